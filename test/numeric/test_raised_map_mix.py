"""Mixed attention maps in the spellings of exporters: raised or left alone, and equal to ONNX Runtime."""

import numpy as np
import onnx
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session
from models.builder import Graph

HEADS, DEPTH = 4, 8
SIZES = [(1, 1, 1), (2, 5, 7), (1, 33, 40)]
CASES = {}


def case(raised=1, gone=(), probabilities=False):
    """A function of (graph, scores, previous scores, q, k) to mixed scores, or of probabilities.

    raised: map_mix ops after the raise stage; gone: what the rewritten module must not hold.
    """

    def register(function):
        CASES[function.__name__] = (function, raised, gone, probabilities)
        return function

    return register


def convolve(g, x, out=HEADS, size=3, bias=True, group=1, dilation=1, pad=None):
    inside = HEADS if isinstance(x, str) else x[1]
    x = x if isinstance(x, str) else x[0]
    pad = size // 2 * dilation if pad is None else pad
    inputs = [x, g.weight(out, inside // group, size, size, scale=0.3)]
    if bias:
        inputs.append(g.weight(out, scale=0.5))
    return g.op(
        "Conv", *inputs, kernel_shape=[size] * 2, pads=[pad] * 4, group=group,
        dilations=[dilation] * 2,
    )  # fmt: skip


def blend(g, x, y, factor):
    x = g.op("Mul", x, np.float32(factor))
    return g.op("Add", x, g.op("Mul", y, np.float32(1 - factor)))


@case()
def evolving(g, s, p, q, k):
    x = blend(g, s, p, 0.5)
    return blend(g, g.op("LeakyRelu", convolve(g, x), alpha=0.01), x, 0.3)


@case()
def evolving_folded(g, s, p, q, k):
    """The factor of the convolution in its weights, the activation as Max."""
    x = blend(g, s, p, 0.75)
    y = g.op("Max", np.float32(0), convolve(g, x))
    return g.op("Add", g.op("Mul", np.float32(0.6), x), y)


@case()
def two_convolutions(g, s, p, q, k):
    y = g.op("Relu", convolve(g, s, out=6, dilation=2))
    return convolve(g, (y, 6), bias=False)


@case()
def grouped(g, s, p, q, k):
    return g.op("Relu", convolve(g, s, group=2))


@case()
def talking_heads(g, s, p, q, k):
    return g.op("Einsum", s, g.weight(HEADS, HEADS), equation="bhnm,hg->bgnm")


@case()
def talking_heads_transposed(g, s, p, q, k):
    y = g.op("Transpose", s, perm=[0, 2, 3, 1])
    y = g.op("Add", g.op("MatMul", y, g.weight(HEADS, HEADS)), g.weight(HEADS, scale=1))
    return g.op("Transpose", y, perm=[0, 3, 1, 2])


@case()
def talking_heads_without_bias(g, s, p, q, k):
    """A bias of zeros, as new layers have it."""
    y = g.op("MatMul", g.op("Transpose", s, perm=[0, 2, 3, 1]), g.weight(HEADS, HEADS))
    y = g.op("Add", y, np.zeros(HEADS, np.float32))
    return g.op("Transpose", y, perm=[0, 3, 1, 2])


def pairs(g, q, k):
    y = g.op("Einsum", q, k, equation="bgnd,bhmd->bghnm")
    batch, rest = g.op("Shape", q, start=0, end=1), g.op("Shape", q, start=2, end=3)
    keys = g.op("Shape", k, start=2, end=3)
    return g.op("Reshape", y, g.op("Concat", batch, np.array([HEADS**2]), rest, keys, axis=0))


def consensus(g, maps, inner):
    y = g.op("Relu", convolve(g, (maps, HEADS**2), out=HEADS * inner, size=1, group=HEADS))
    y = convolve(g, (y, HEADS * inner), size=1, group=HEADS)
    y = g.op("Relu", convolve(g, y, out=5, size=1))
    return convolve(g, (y, 5), size=1)


@case(gone=[f"x{HEADS**2}x", f"x{HEADS}x{HEADS}x"])
def consensus_of_pairs(g, s, p, q, k):
    """The first mix moves into the keys: no pairs of heads are left."""
    return consensus(g, pairs(g, q, k), 2)


@case()
def consensus_of_many(g, s, p, q, k):
    """More mixed maps than key heads: the mix stays."""
    return consensus(g, pairs(g, q, k), HEADS + 1)


@case(raised=0)
def some_of_the_maps(g, s, p, q, k):
    y = convolve(g, s, out=HEADS + 3)
    return g.op("Slice", y, np.array([2]), np.array([2 + HEADS]), np.array([1]))


@case(raised=0)
def other_padding(g, s, p, q, k):
    y = convolve(g, s, pad=0)
    return g.op("Pad", y, np.array([0, 0, 2, 2, 0, 0, 0, 0]))


@case()
def other_maps_added(g, s, p, q, k):
    """The product alone is raised; what is added stays an addition."""
    return blend(g, g.op("Relu", convolve(g, s)), p, 0.3)


@case(raised=0)
def other_activation(g, s, p, q, k):
    return g.op("Tanh", convolve(g, s))


@case()
def factor_inside(g, s, p, q, k):
    """Folded into the weights before."""
    return g.op("Relu", g.op("Sub", np.float32(1), convolve(g, s)))


@case(probabilities=True)
def mixed_probabilities(g, p, previous, q, k):
    return g.op("Einsum", p, g.weight(HEADS, HEADS), equation="bhnm,hg->bgnm")


@case(probabilities=True)
def mixed_as_the_last_axis(g, p, previous, q, k):
    """CaiT: a linear layer over the heads, of which the transposes join the products."""
    return talking_heads_transposed(g, p, previous, q, k)


@case(probabilities=True)
def re_attention(g, p, previous, q, k):
    """DeepViT: a convolution of the probabilities, and a norm of the maps that folds into it."""
    return g.op("Mul", convolve(g, p, size=1), np.float32(0.5))


@case(raised=0, probabilities=True)
def squared_probabilities(g, p, previous, q, k):
    mixed = g.op("Einsum", p, g.weight(HEADS, HEADS), equation="bhnm,hg->bgnm")
    return g.op("Mul", mixed, mixed)


def build(name):
    g = Graph(name, 20)
    q, k, v = (
        g.input(x, "f32", ["b", HEADS, "n" if x == "q" else "m", DEPTH]) for x in "qkv"
    )  # fmt: skip
    p = g.input("p", "f32", ["b", HEADS, "n", "m"])
    keep = g.input("keep", "bool", ["b", 1, 1, "m"])
    s = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    s = g.op("Mul", s, np.float32(DEPTH**-0.5))
    mix, _, _, probabilities = CASES[name]
    mixed = s if probabilities else mix(g, s, p, q, k)
    # The mask stands behind the mixing.
    masked = g.op("Where", keep, mixed, np.float32(-1e9))
    weights = g.op("Softmax", masked, axis=-1)
    if probabilities:
        weights = mix(g, weights, p, q, k)
    g.output(g.op("MatMul", weights, v), "y")
    return g.finish()


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    _, raised, gone, _ = CASES[name]
    model = build(name)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    text = cli.attune("compile", path, "--stop-after=rewrite", "-o", "-").stdout
    assert text.count("attune.map_mix ins") == raised
    main = "\n".join(line for line in text.splitlines() if "dense" not in line)
    assert not [shape for shape in gone if shape in main]
    session = Session(cli.compile(path, tmp_path / "model.so"), threads=1)
    peer = oracle.session(model.SerializeToString())
    for b, n, m in SIZES:
        if name == "other_padding" and min(n, m) < 3:
            continue
        rng = np.random.default_rng(n)
        shapes = {"q": (b, HEADS, n, DEPTH), "p": (b, HEADS, n, m)}
        shapes |= {x: (b, HEADS, m, DEPTH) for x in "kv"}
        feeds = {x: rng.normal(size=shape).astype(np.float32) for x, shape in shapes.items()}
        feeds["keep"] = rng.random((b, 1, 1, m)) < 0.8
        got, want = session.run(feeds)["y"], peer.run(None, feeds)[0]
        assert cli.worst(got, want) <= 1e-5, f"{b}, {n}, {m}"
