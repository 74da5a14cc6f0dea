"""Attention in the spellings of exporters: raised, or refused for a reason, and equal to ONNX Runtime.

Each case is one graph of q, k, v and what belongs to its mask. The artifact serves all sizes; rows
without keys, NaN and infinities must come out as they do from the unraised graph.
"""

import json

import numpy as np
import onnx
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session
from models.builder import Graph

HEADS, DEPTH, LOWEST = 3, 8, float(np.finfo(np.float32).min)
SIZES = [(1, 1, 1), (2, 5, 5), (2, 7, 4), (1, 33, 40)]
I64 = np.int64
CASES = {}


def case(raised=1, inputs=(), square=False, tolerance=2e-6):
    """A function of (graph, q, k, v, *inputs) to the result; inputs: (name, type, shape, make)."""

    def register(function):
        CASES[function.__name__] = (function, raised, inputs, square, tolerance)
        return function

    return register


def scores(g, q, k):
    return g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))


def finish(g, x, v):
    return g.op("MatMul", g.op("Softmax", x, axis=-1), v)


def guarded(g, x, v):
    p = g.op("Softmax", x, axis=-1)
    return g.op("MatMul", g.op("Where", g.op("IsNaN", p), np.float32(0), p), v)


def size(g, x, axis):
    return g.op("Squeeze", g.op("Shape", x, start=axis, end=axis + 1), np.array([0]))


def ramp(g, x, axis, *axes):
    """0, 1, ... along an axis of x, with axes of size 1 inserted."""
    numbers = g.op("Range", I64(0), size(g, x, axis), I64(1))
    return g.op("Unsqueeze", numbers, np.array(axes)) if axes else numbers


def keep_some(rng, *shape):
    """Random keys kept; the last row of the batch keeps none."""
    keep = rng.random(shape) < 0.6
    keep[-1] = False
    return keep


PADDING = ("keep", "bool", ["b", "m"], lambda rng, b, n, m: keep_some(rng, b, m))
FULL = ("bias", "f32", ["b", 1, "n", "m"], lambda rng, b, n, m: rng.normal(size=(b, 1, n, m)))
INFINITE = (
    "bias",
    "f32",
    ["b", 1, 1, "m"],
    lambda rng, b, n, m: np.where(keep_some(rng, b, 1, 1, m), 0, -np.inf),
)


@case()
def scale_on_scores(g, q, k, v):
    return finish(g, g.op("Div", scores(g, q, k), np.float32(DEPTH**0.5)), v)


@case()
def scale_on_both(g, q, k, v):
    root = np.float32(DEPTH**-0.25)
    kt = g.op("Mul", g.op("Transpose", k, perm=[0, 1, 3, 2]), root)
    return finish(g, g.op("MatMul", g.op("Mul", root, q), kt), v)


@case()
def scale_before_heads(g, q, k, v):
    """Bias and scale while the heads are still one axis, as BART, Whisper and OPT have it."""

    def projected(x, factor):
        merged = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3]), np.array([0, 0, -1]))
        biased = g.op("Add", merged, g.weight(HEADS * DEPTH))
        scaled = g.op("Mul", biased, np.float32(factor)) if factor != 1 else biased
        split = g.op("Reshape", scaled, np.array([0, 0, HEADS, DEPTH]))
        return g.op("Transpose", split, perm=[0, 2, 1, 3])

    return finish(g, scores(g, projected(q, DEPTH**-0.5), projected(k, 1)), v)


@case(inputs=[FULL])
def float_bias(g, q, k, v, bias):
    return finish(g, g.op("Add", g.op("Mul", scores(g, q, k), np.float32(0.3)), bias), v)


@case()
def bucketed_distance(g, q, k, v):
    """A bias of the logarithm of the distance (T5): looked up once, not for every batch."""
    far = g.op("Abs", g.op("Sub", ramp(g, q, 2, 1), ramp(g, k, 2, 0)))
    far = g.op("Log", g.op("Cast", g.op("Add", far, I64(1)), to=1))
    bucket = g.op("Min", g.op("Cast", g.op("Mul", far, np.float32(2)), to=7), I64(6))
    bias = g.op("Transpose", g.op("Gather", g.weight(7, HEADS), bucket), perm=[2, 0, 1])
    return finish(g, g.op("Add", scores(g, q, k), bias), v)


@case(inputs=[INFINITE])
def infinite_bias(g, q, k, v, bias):
    return finish(g, g.op("Add", bias, scores(g, q, k)), v)


@case(inputs=[PADDING])
def padding_where(g, q, k, v, keep):
    keep = g.op("Unsqueeze", keep, np.array([1, 2]))
    return finish(g, g.op("Where", keep, scores(g, q, k), np.float32(-np.inf)), v)


@case(inputs=[PADDING])
def padding_guarded(g, q, k, v, keep):
    keep = g.op("Unsqueeze", keep, np.array([1, 2]))
    bias = g.op("Where", keep, np.float32(0), np.float32(-np.inf))
    return guarded(g, g.op("Add", scores(g, q, k), bias), v)


@case(inputs=[PADDING])
def padding_finite(g, q, k, v, keep):
    """Rows without keys are averages over all keys."""
    keep = g.op("Cast", g.op("Unsqueeze", keep, np.array([1, 2])), to=1)
    bias = g.op("Mul", g.op("Sub", np.float32(1), keep), np.float32(LOWEST))
    return finish(g, g.op("Add", scores(g, q, k), bias), v)


@case(inputs=[PADDING])
def padding_filled(g, q, k, v, keep):
    drop = g.op("Not", g.op("Unsqueeze", keep, np.array([1, 2])))
    return finish(g, g.op("Where", drop, np.float32(-1e4), scores(g, q, k)), v)


@case(inputs=[PADDING])
def masked_before_and_after(g, q, k, v, keep):
    drop = g.op("Not", g.op("Unsqueeze", keep, np.array([1, 2])))
    p = g.op("Softmax", g.op("Where", drop, np.float32(LOWEST), scores(g, q, k)), axis=-1)
    return g.op("MatMul", g.op("Where", drop, np.float32(0), p), v)


@case()
def causal_positions(g, q, k, v):
    keep = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    return finish(g, g.op("Where", keep, scores(g, q, k), np.float32(-np.inf)), v)


@case()
def causal_bottom_right(g, q, k, v):
    """Keys before the queries are a cache; with fewer keys than queries the first rows are empty."""
    past = g.op("Sub", size(g, k, 2), size(g, q, 2))
    keep = g.op("LessOrEqual", ramp(g, k, 2, 0), g.op("Add", ramp(g, q, 2, 1), past))
    bias = g.op("Where", keep, np.float32(0), np.float32(-np.inf))
    return guarded(g, g.op("Add", scores(g, q, k), bias), v)


@case()
def causal_trilu(g, q, k, v):
    shape = g.op(
        "Concat", g.op("Shape", q, start=2, end=3), g.op("Shape", k, start=2, end=3), axis=0
    )
    full = onnx.numpy_helper.from_array(np.array([LOWEST], np.float32))
    upper = g.op("Trilu", g.op("ConstantOfShape", shape, value=full), I64(1), upper=1)
    return finish(g, g.op("Add", scores(g, q, k), upper), v)


@case(square=True)
def causal_buffer(g, q, k, v):
    """A slice of a constant triangle, as in GPT-2."""
    buffer = g.const(np.tril(np.ones((1, 1, 64, 64), bool)))
    ends = [g.op("Shape", x, start=2, end=3) for x in (q, k)]
    rows = g.op("Slice", buffer, np.array([0]), ends[0], np.array([2]))
    keep = g.op("Slice", rows, np.array([0]), ends[1], np.array([3]))
    return finish(g, g.op("Where", keep, scores(g, q, k), np.float32(LOWEST)), v)


@case(inputs=[PADDING], square=True)
def causal_and_padding(g, q, k, v, keep):
    causal = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    both = g.op("And", causal, g.op("Unsqueeze", keep, np.array([1, 2])))
    bias = g.op("Where", both, np.float32(0), np.float32(-np.inf))
    return guarded(g, g.op("Add", scores(g, q, k), bias), v)


@case(square=True)
def window(g, q, k, v):
    distance = g.op("Sub", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    near = g.op("And", g.op("GreaterOrEqual", distance, I64(0)), g.op("Less", distance, I64(4)))
    return finish(g, g.op("Where", near, scores(g, q, k), np.float32(-1e30)), v)


@case()
def alibi(g, q, k, v):
    slopes = g.const(np.array([0.5, 0.25, 0.125], np.float32).reshape(3, 1, 1))
    distance = g.op("Cast", g.op("Sub", ramp(g, k, 2, 0), ramp(g, q, 2, 1)), to=1)
    return finish(g, g.op("Add", scores(g, q, k), g.op("Mul", slopes, distance)), v)


@case()
def soft_cap(g, q, k, v):
    x = g.op("Div", g.op("Mul", scores(g, q, k), np.float32(0.5)), np.float32(3))
    return finish(g, g.op("Mul", g.op("Tanh", x), np.float32(3)), v)


@case()
def sink_column(g, q, k, v):
    shape = [g.op("Shape", x, start=i, end=i + 1) for x, i in ((q, 0), (q, 2))]
    shape = g.op("Concat", shape[0], np.array([HEADS]), shape[1], np.array([1]), axis=0)
    sink = g.const(np.array([0.5, -1, 2], np.float32).reshape(1, 3, 1, 1))
    x = g.op("Concat", scores(g, q, k), g.op("Expand", sink, shape), axis=-1)
    x = g.op("Sub", x, g.op("ReduceMax", x, np.array([-1]), keepdims=1))
    p = g.op("Softmax", x, axis=-1)
    p = g.op("Slice", p, np.array([0]), np.array([-1]), np.array([3]))
    return g.op("MatMul", p, v)


@case()
def softmax_by_hand(g, q, k, v):
    x = scores(g, q, k)
    e = g.op("Exp", g.op("Sub", x, g.op("ReduceMax", x, np.array([-1]), keepdims=1)))
    return g.op("MatMul", g.op("Div", e, g.op("ReduceSum", e, np.array([-1]), keepdims=1)), v)


@case()
def merged_heads(g, q, k, v):
    """baddbmm: [B*H, N, D], the mask added on four axes."""
    merge = [g.op("Reshape", x, g.op("Concat", np.array([-1]), g.op("Shape", x, start=2), axis=0))
             for x in (q, k, v)]  # fmt: skip
    x = g.op("MatMul", merge[0], g.op("Transpose", merge[1], perm=[0, 2, 1]))
    shape = g.op("Concat", g.op("Shape", q, end=3), g.op("Shape", k, start=2, end=3), axis=0)
    x = g.op("Reshape", g.op("Mul", x, np.float32(0.5)), shape)
    keep = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    x = g.op("Add", x, g.op("Where", keep, np.float32(0), np.float32(-np.inf)))
    flat = g.op("Concat", np.array([-1]), g.op("Shape", x, start=2), axis=0)
    p = g.op("Softmax", g.op("Reshape", x, flat), axis=-1)
    return g.op("Reshape", g.op("MatMul", p, merge[2]), g.op("Shape", q))


@case()
def shared_keys(g, q, k, v):
    """One head of keys and values for all heads of queries."""
    one = [g.op("Slice", x, np.array([1]), np.array([2]), np.array([1])) for x in (k, v)]
    return finish(g, scores(g, q, one[0]), one[1])


@case()
def value_sum_transposed(g, q, k, v):
    """The result as [B, N, H, D]."""
    p = g.op("Softmax", g.op("Einsum", q, k, equation="bhnd,bhmd->bhnm"), axis=-1)
    return g.op("Einsum", p, v, equation="bhnm,bhme->bnhe")


@case(inputs=[("er", "f32", ["n", DEPTH], lambda rng, b, n, m: rng.normal(size=(n, DEPTH)))],
      square=True, tolerance=4e-6)  # fmt: skip
def skewed_positions(g, q, k, v, er):
    """Music Transformer: products of queries and distances, shifted by padding and reshaping."""
    r = g.op("MatMul", q, g.op("Transpose", er, perm=[1, 0]))
    n = g.op("Shape", q, start=2, end=3)
    r = g.op("Pad", r, np.array([0, 0, 0, 1, 0, 0, 0, 0]))
    one = g.op("Add", n, np.array([1]))
    r = g.op("Reshape", r, g.op("Concat", g.op("Shape", q, end=2), one, n, axis=0))
    r = g.op("Slice", r, np.array([1]), one, np.array([2]))
    keep = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    return finish(g, g.op("Where", keep, g.op("Add", scores(g, q, k), r), np.float32(-np.inf)), v)


@case()
def probabilities_scaled(g, q, k, v):
    gains = g.const(np.array([1, 0.5, 2], np.float32).reshape(3, 1, 1))
    return g.op("MatMul", g.op("Mul", g.op("Softmax", scores(g, q, k), axis=-1), gains), v)


def mapped(g, q, k, v, change, mask=None):
    x = scores(g, q, k)
    p = g.op("Softmax", g.op("Add", x, mask) if mask else x, axis=-1)
    return g.op("MatMul", change(p), v)


ROWS = ("rows", "f32", ["b", 1, "n", 1], lambda rng, b, n, m: rng.random((b, 1, n, 1)))
KEYS = ("keys", "f32", ["b", 1, 1, "m"], lambda rng, b, n, m: rng.random((b, 1, 1, m)))


@case(inputs=[ROWS, KEYS])
def probabilities_of_rows_and_keys(g, q, k, v, rows, keys):
    """Factors of the result and of the values."""
    return mapped(g, q, k, v, lambda p: g.op("Mul", g.op("Mul", keys, p), rows))


@case(inputs=[INFINITE, ROWS])
def probabilities_of_some_rows(g, q, k, v, mask, rows):
    """Other rows are 0, even those without keys."""
    some = g.op("Less", rows, np.float32(0.5))
    return mapped(g, q, k, v, lambda p: g.op("Where", some, np.float32(0), p), mask)


@case(inputs=[PADDING])
def probabilities_of_hidden_rows(g, q, k, v, keep):
    """Rows without keys are averages: their scores are so great that a sum's logarithm is lost."""
    keep = g.op("Cast", g.op("Unsqueeze", keep, np.array([1, 2])), to=1)
    bias = g.op("Mul", g.op("Sub", np.float32(1), keep), np.float32(-1e9))
    return mapped(g, q, k, v, lambda p: g.op("Mul", p, p), bias)


@case(inputs=[FULL])
def probabilities_of_pairs(g, q, k, v, factor):
    return mapped(g, q, k, v, lambda p: g.op("Mul", g.op("Mul", p, factor), np.float32(0.5)))


@case(inputs=[INFINITE], tolerance=4e-6)
def probabilities_squared(g, q, k, v, mask):
    """Rows without keys stay NaN."""
    return mapped(g, q, k, v, lambda p: g.op("Mul", p, p), mask)


@case(inputs=[INFINITE], tolerance=1e-5)
def probabilities_lifted(g, q, k, v, mask):
    """Keys without weight get one."""
    return mapped(g, q, k, v, lambda p: g.op("Sqrt", g.op("Add", p, np.float32(0.1))), mask)


@case(inputs=[INFINITE])
def probabilities_guarded_and_changed(g, q, k, v, mask):
    def change(p):
        p = g.op("Where", g.op("IsNaN", p), np.float32(0), p)
        return g.op("Relu", g.op("Sub", p, np.float32(0.05)))

    return mapped(g, q, k, v, change, mask)


@case()
def probabilities_masked(g, q, k, v):
    """A mask after the softmax alone: the rest does not sum to 1."""
    keep = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
    return mapped(g, q, k, v, lambda p: g.op("Where", keep, p, np.float32(0)))


@case(tolerance=6e-6)
def probabilities_beside_a_sink(g, q, k, v):
    shape = g.op("Concat", g.op("Shape", q, end=3), np.array([1]), axis=0)
    x = g.op("Concat", scores(g, q, k), g.op("Expand", np.float32(0.7), shape), axis=3)
    p = g.op("Slice", g.op("Softmax", x, axis=-1), np.array([0]), np.array([-1]), np.array([3]))
    return g.op("MatMul", g.op("Mul", p, p), v)


@case(raised=0)
def probabilities_divided_by_their_own_sum(g, q, k, v):
    """The weights need the probabilities of the whole row."""

    def change(p):
        p = g.op("Mul", p, p)
        return g.op("Div", p, g.op("ReduceSum", p, np.array([-1]), keepdims=1))

    return mapped(g, q, k, v, change)


def build(name):
    function, _, inputs, square, _ = CASES[name]
    g = Graph(name, opset=18)
    q = g.input("q", "f32", ["b", HEADS, "n", DEPTH])
    keys = "n" if square else "m"
    k, v = (g.input(x, "f32", ["b", HEADS, keys, DEPTH]) for x in "kv")
    more = [
        g.input(n, kind, [keys if d == "m" else d for d in shape]) for n, kind, shape, _ in inputs
    ]
    result = function(g, q, k, v, *more)
    g.output(result, "y", shape=[None] * 4)
    return g.finish()


def feeds_of(name, b, n, m):
    _, _, inputs, square, _ = CASES[name]
    m = n if square else m
    rng = np.random.default_rng(b * 1000 + n * 10 + m)
    feeds = {"q": rng.normal(size=(b, HEADS, n, DEPTH))}
    feeds |= {x: rng.normal(size=(b, HEADS, m, DEPTH)) for x in "kv"}
    kinds = {"f32": np.float32, "bool": bool}
    feeds = {x: a.astype(np.float32) for x, a in feeds.items()}
    for name, kind, _, make in inputs:
        feeds[name] = make(rng, b, n, m).astype(kinds[kind])
    return feeds


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    _, raised, _, _, tolerance = CASES[name]
    model = build(name)
    onnx.save(model, tmp_path / "model.onnx")
    report = json.loads(cli.attune("explain", tmp_path / "model.onnx", "--json").stdout)
    assert sum(r["raised"] for r in report["regions"]) == raised, report["regions"]
    session = Session(cli.compile(tmp_path / "model.onnx", tmp_path / "model.so"), threads=1)
    peer = oracle.session(model.SerializeToString())
    for b, n, m in SIZES:
        feeds = feeds_of(name, b, n, m)
        got, want = session.run(feeds)["y"], peer.run(None, feeds)[0]
        assert cli.worst(got, want) <= tolerance, f"{b}, {n}, {m}"
