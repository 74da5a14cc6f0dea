"""Attention systems in two spellings each: how many attentions are raised, and the same numbers.

Couplformer (two axis attentions), Luna (pack and unpack), SReT (groups), Mega (chunks), Synthesizer
(given scores), a T5 bias and grouped queries. A near-miss is refused or right all the same.
"""

import json

import attune_cli as cli
import numpy as np
import onnx
import onnx_oracle as oracle
import pytest
from attune_ctypes import Session
from models.builder import Graph

HEADS, DEPTH = 2, 6
CASES = {}


def case(raised, **inputs):
    """A function of (graph, *inputs) to the result; inputs are shapes."""

    def register(function):
        CASES[function.__name__] = (function, raised, inputs)
        return function

    return register


def attend(g, q, k, v, scale=0.4):
    swap = list(range(4))
    swap[-2:] = swap[-1], swap[-2]
    x = g.op("MatMul", g.op("Mul", q, np.float32(scale)), g.op("Transpose", k, perm=swap))
    return g.op("MatMul", g.op("Softmax", x, axis=-1), v)


# Couplformer: [B, heads, rows, columns, channels].
IMAGE = dict(q=[1, HEADS, 5, 7, 3], k=[1, HEADS, 5, 7, 3], v=[1, HEADS, 5, 7, 3])


def axis_maps(g, q, k):
    def one(x, y, n, rest):
        x, y = (g.op("Reshape", t, np.array([0, 0, n, rest])) for t in (x, y))
        s = g.op("MatMul", x, g.op("Transpose", y, perm=[0, 1, 3, 2]))
        return g.op("Softmax", g.op("Mul", s, np.float32(3**-0.25)), axis=-1)

    columns = [g.op("Transpose", t, perm=[0, 1, 3, 2, 4]) for t in (q, k)]
    return one(q, k, 5, 21), one(*columns, 7, 15)


@case(2, **IMAGE)
def couplformer_matmul(g, q, k, v):
    """The maps are repeated over channels: [B, heads, c, rows, columns]."""
    a, b = axis_maps(g, q, k)
    v = g.op("Transpose", v, perm=[0, 1, 4, 2, 3])
    v = g.op("MatMul", g.op("Unsqueeze", a, np.array([2])), v)
    b = g.op("Transpose", g.op("Unsqueeze", b, np.array([2])), perm=[0, 1, 2, 4, 3])
    return g.op("Transpose", g.op("MatMul", v, b), perm=[0, 1, 3, 4, 2])


@case(2, **IMAGE)
def couplformer_rows(g, q, k, v):
    """One axis after the other, the rest of the image in the channels."""
    a, b = axis_maps(g, q, k)
    t = g.op("MatMul", a, g.op("Reshape", v, np.array([0, 0, 5, 21])))
    t = g.op("Transpose", g.op("Reshape", t, np.array([0, 0, 5, 7, 3])), perm=[0, 1, 3, 2, 4])
    t = g.op("MatMul", b, g.op("Reshape", t, np.array([0, 0, 7, 15])))
    t = g.op("Reshape", t, np.array([0, 0, 7, 5, 3]))
    return g.op("Transpose", t, perm=[0, 1, 3, 2, 4])


@case(2, **IMAGE)
def couplformer_einsum(g, q, k, v):
    s = g.op("Einsum", q, k, equation="bhrwc,bhswc->bhrs")
    a = g.op("Softmax", g.op("Mul", s, np.float32(0.7)), axis=-1)
    s = g.op("Einsum", q, k, equation="bhrwc,bhrxc->bhwx")
    b = g.op("Softmax", g.op("Mul", s, np.float32(0.7)), axis=-1)
    return g.op("Einsum", a, b, v, equation="bhrs,bhwx,bhsxc->bhrwc")


@case(2, **IMAGE)
def couplformer_kronecker(g, q, k, v):
    a, b = axis_maps(g, q, k)
    a = g.op("Unsqueeze", a, np.array([3, 5]))
    b = g.op("Unsqueeze", b, np.array([2, 4]))
    w = g.op("Reshape", g.op("Mul", a, b), np.array([0, 0, 35, 35]))
    y = g.op("MatMul", w, g.op("Reshape", v, np.array([0, 0, 35, 3])))
    return g.op("Reshape", y, np.array([0, 0, 5, 7, 3]))


LUNA = dict(p=[1, HEADS, 4, DEPTH], x=["b", HEADS, "n", DEPTH], q=["b", HEADS, "n", DEPTH])


@case(2, **LUNA)
def luna_tied(g, p, x, q):
    packed = attend(g, p, x, x)
    return attend(g, q, packed, packed)


@case(2, **LUNA)
def luna_einsum(g, p, x, q):
    s = g.op("Softmax", g.op("Einsum", p, x, equation="ahld,bhmd->bhlm"), axis=-1)
    packed = g.op("Einsum", s, x, equation="bhlm,bhmd->bhld")
    s = g.op("Softmax", g.op("Einsum", packed, q, equation="bhld,bhnd->bhnl"), axis=-1)
    return g.op("Einsum", packed, s, equation="bhld,bhnl->bhnd")


TOKENS = dict(qkv=["b", 24, 3 * HEADS * DEPTH])


@case(1, **TOKENS)
def sret_groups(g, qkv):
    x = g.op("Reshape", qkv, np.array([0, 4, 6, 3, HEADS, DEPTH]))
    x = g.op("Transpose", x, perm=[3, 0, 1, 4, 2, 5])
    q, k, v = (g.op("Gather", x, np.int64(i), axis=0) for i in range(3))
    s = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 2, 4, 3]))
    y = g.op("MatMul", g.op("Softmax", g.op("Mul", s, np.float32(0.4)), axis=-1), v)
    return g.op("Reshape", g.op("Transpose", y, perm=[0, 1, 3, 2, 4]), np.array([0, 24, 12]))


@case(1, **TOKENS)
def sret_permuted(g, qkv):
    """The tokens are permuted in front and put back behind; groups join the batch."""
    order = np.random.default_rng(1).permutation(24)
    x = g.op("Gather", qkv, order, axis=1)
    x = g.op("Reshape", x, np.array([-1, 6, 3, HEADS, DEPTH]))
    q, k, v = (g.op("Squeeze", t, np.array([2]))
               for t in g.op("Split", x, outputs=3, axis=2, num_outputs=3))  # fmt: skip
    s = g.op("Einsum", q, k, equation="gnhd,gmhd->ghnm")
    p = g.op("Softmax", g.op("Mul", s, np.float32(0.4)), axis=-1)
    y = g.op("Reshape", g.op("Einsum", p, v, equation="ghnm,gmhd->gnhd"), np.array([-1, 24, 12]))
    return g.op("Gather", y, np.argsort(order), axis=1)


def laplace(g, x):
    z = g.op("Div", g.op("Sub", x, np.float32(0.707107)), np.float32(0.282095 * 2**0.5))
    return g.op("Mul", g.op("Add", g.op("Erf", z), np.float32(1)), np.float32(0.5))


CHUNKS = dict(q=["b", 3, 8, DEPTH], k=["b", 3, 8, DEPTH], v=["b", 3, 8, 10], mask=["b", 3, 8])


def skewed(g):
    """b[j - i] as Mega makes it: tiled, cut and reshaped."""
    table = g.const(np.random.default_rng(5).normal(size=15).astype(np.float32))
    t = g.op("Tile", g.op("Pad", table, np.array([0, 8])), np.array([8]))
    t = g.op("Reshape", g.op("Slice", t, np.array([0]), np.array([-8]), np.array([0])),
             np.array([8, 22]))  # fmt: skip
    return g.op("Slice", t, np.array([7]), np.array([15]), np.array([1]))


@case(1, **CHUNKS)
def mega_laplace(g, q, k, v, mask):
    count = g.op("Clip", g.op("ReduceSum", mask, np.array([-1]), keepdims=1), np.float32(1))
    count = g.op("Unsqueeze", count, np.array([-1]))
    s = g.op("Div", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), count)
    w = laplace(g, g.op("Add", s, skewed(g)))
    w = g.op("Mul", w, g.op("Unsqueeze", mask, np.array([2])))
    return g.op("MatMul", w, v)


@case(1, **CHUNKS)
def mega_relu(g, q, k, v, mask):
    s = g.op("Einsum", q, k, equation="bcid,bcjd->bcij")
    r = g.op("Relu", g.op("Add", skewed(g), g.op("Mul", s, np.float32(1 / 8))))
    causal = np.tril(np.ones((8, 8), np.float32))
    w = g.op(
        "Mul",
        g.op("Pow", r, np.float32(2)),
        g.op("Mul", causal, g.op("Unsqueeze", mask, np.array([2]))),
    )
    return g.op("Einsum", w, v, equation="bcij,bcje->bcie")


@case(1, x=["b", HEADS, 9, DEPTH])
def synthesizer_table(g, x):
    table = g.const(np.random.default_rng(2).normal(size=(1, HEADS, 9, 9)).astype(np.float32))
    causal = g.const(np.tril(np.ones((9, 9), bool)))
    s = g.op(
        "Where", causal, g.op("Mul", table, g.op("ReduceMax", x, keepdims=1)), np.float32(-np.inf)
    )
    return g.op("MatMul", g.op("Softmax", s, axis=-1), x)


@case(1, x=["b", HEADS, 9, DEPTH], s=["b", HEADS, 9, 9])
def synthesizer_dense(g, x, s):
    p = g.op("Softmax", g.op("LeakyRelu", s, alpha=0.1), axis=-1)
    return g.op("Einsum", p, x, equation="bhij,bhjd->bihd")


@case(1, q=["b", HEADS, 12, DEPTH], k=["b", HEADS, 12, DEPTH])
def t5_bias(g, q, k):
    distance = np.arange(12)[None] - np.arange(12)[:, None]
    buckets = np.minimum(np.abs(distance), 4) + 5 * (distance > 0)
    table = g.const(np.random.default_rng(3).normal(size=(10, HEADS)).astype(np.float32))
    bias = g.op("Transpose", g.op("Gather", table, buckets), perm=[2, 0, 1])
    s = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    s = g.op("Add", s, g.op("Unsqueeze", bias, np.array([0])))
    return g.op("MatMul", g.op("Softmax", s, axis=-1), k)


GROUPED = dict(q=["b", 6, "n", DEPTH], k=["b", 2, "m", DEPTH], v=["b", 2, "m", DEPTH])


def repeat(g, x, axis, times, shape):
    x = g.op("Unsqueeze", x, np.array([axis]))
    ones = [1] * 5
    ones[axis] = times
    size = g.op("Shape", x)
    x = g.op("Expand", x, g.op("Mul", size, np.array(ones)))
    tail = g.op("Shape", x, start=3)
    return g.op("Reshape", x, g.op("Concat", np.array([0, shape]), tail, axis=0))


@case(1, **GROUPED)
def grouped_interleaved(g, q, k, v):
    return attend(g, q, repeat(g, k, 2, 3, 6), repeat(g, v, 2, 3, 6))


@case(1, **GROUPED)
def grouped_gathered(g, q, k, v):
    heads = np.array([0, 0, 0, 1, 1, 1])
    return attend(g, q, g.op("Gather", k, heads, axis=1), g.op("Gather", v, heads, axis=1))


@case(1, **GROUPED)
def grouped_tiled(g, q, k, v):
    """torch.repeat: head h reads key head h mod 2, which is no group."""
    times = np.array([1, 3, 1, 1])
    return attend(g, q, g.op("Tile", k, times), g.op("Tile", v, times))


def build(name):
    function, _, inputs = CASES[name]
    g = Graph(name, opset=18)
    result = function(g, *(g.input(x, "f32", shape) for x, shape in inputs.items()))
    g.output(result, "y")
    return g.finish()


@pytest.mark.parametrize("name", CASES)
def test_system(name, tmp_path):
    _, raised, inputs = CASES[name]
    model = build(name)
    onnx.save(model, tmp_path / "model.onnx")
    report = json.loads(cli.attune("explain", tmp_path / "model.onnx", "--json").stdout)
    assert sum(r["raised"] for r in report["regions"]) == raised, report["regions"]
    session = Session(cli.compile(tmp_path / "model.onnx", tmp_path / "model.so"), threads=1)
    peer = oracle.session(model.SerializeToString())
    for sizes in ({"b": 1, "n": 1, "m": 1}, {"b": 2, "n": 5, "m": 37}):
        rng = np.random.default_rng(4)
        feeds = {x: rng.normal(size=[sizes.get(d, d) for d in shape]).astype(np.float32)
                 for x, shape in inputs.items()}  # fmt: skip
        if "mask" in feeds:
            feeds["mask"] = (feeds["mask"] > -0.5).astype(np.float32)
        got, want = session.run(feeds)["y"], peer.run(None, feeds)[0]
        assert cli.worst(got, want, relative=True) <= 1e-5, f"{sizes}"
