"""Attention without a softmax: weights that are any function of single scores, and their sums."""

import numpy as np
import pytest
import test_raised_attention as softmax
from test_raised_attention import FULL, HEADS, PADDING, ramp, scores, size

CASES = {}
I64, SCALE = np.int64, np.float32(0.35)
TOLERANCE = 3e-5  # weights grow with the square of the scores, results to 40
MASK = ("mask", "f32", ["b", 1, 1, "m"],
        lambda rng, b, n, m: softmax.keep_some(rng, b, 1, 1, m))  # fmt: skip
FULL_MASK = ("keep", "bool", ["b", 1, "n", "m"],
             lambda rng, b, n, m: softmax.keep_some(rng, b, 1, n, m))  # fmt: skip
GATED = ("gate", "f32", ["b", HEADS, "n", "m"],
         lambda rng, b, n, m: rng.normal(size=(b, HEADS, n, m)))  # fmt: skip


def case(raised=1, inputs=()):
    def register(function):
        CASES[function.__name__] = (function, raised, inputs, False, TOLERANCE)
        return function

    return register


def relu2(g, x):
    r = g.op("Relu", x)
    return g.op("Mul", r, r)


def laplace(g, x):
    z = g.op("Div", g.op("Sub", x, np.float32(0.707107)), np.float32(0.282095 * 2**0.5))
    return g.op("Mul", g.op("Add", g.op("Erf", z), np.float32(1)), np.float32(0.5))


def length(g, x, axis):
    return g.op("Cast", size(g, x, axis), to=1)


def causal(g, q, k):
    return g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))


@case()
def relu_squared(g, q, k, v):
    return g.op("MatMul", relu2(g, g.op("Mul", scores(g, q, k), SCALE)), v)


@case()
def relu_power(g, q, k, v):
    x = g.op("Einsum", g.op("Mul", q, SCALE), k, equation="bhid,bhjd->bhij")
    return g.op(
        "Einsum", g.op("Pow", g.op("Relu", x), np.float32(2)), v, equation="bhij,bhje->bhie"
    )


@case()
def laplace_by_length(g, q, k, v):
    """Mega: the scores divided by the number of keys, which is no constant."""
    return g.op("MatMul", laplace(g, g.op("Div", scores(g, q, k), length(g, k, 2))), v)


@case(inputs=[MASK])
def laplace_masked(g, q, k, v, mask):
    """By the number of keys that are kept, times a mask of numbers."""
    count = g.op("ReduceSum", mask, np.array([-1]), keepdims=1)
    count = g.op("Clip", count, np.float32(1))
    w = laplace(g, g.op("Div", scores(g, q, k), count))
    return g.op("MatMul", g.op("Mul", w, mask), v)


@case()
def relu_squared_causal_mean(g, q, k, v):
    """Mega, causal: divided by the number of keys of the row."""
    count = g.op("Cast", g.op("Add", ramp(g, q, 2, 1), I64(1)), to=1)
    w = relu2(g, g.op("Div", scores(g, q, k), count))
    return g.op("MatMul", g.op("Mul", w, g.op("Cast", causal(g, q, k), to=1)), v)


@case()
def sigmoid(g, q, k, v):
    bias = g.op("Neg", g.op("Log", length(g, k, 2)))
    return g.op("MatMul", g.op("Sigmoid", g.op("Add", scores(g, q, k), bias)), v)


@case(inputs=[PADDING])
def sigmoid_filled(g, q, k, v, keep):
    """Masked in front of the function, which is 0 at -inf."""
    keep = g.op("Unsqueeze", keep, np.array([1, 2]))
    x = g.op("Where", keep, scores(g, q, k), np.float32(-np.inf))
    return g.op("MatMul", g.op("Sigmoid", x), v)


@case(inputs=[FULL_MASK])
def sigmoid_bias(g, q, k, v, keep):
    bias = g.op("Where", keep, np.float32(0), np.float32(-1e9))
    x = g.op("Add", g.op("Mul", scores(g, q, k), SCALE), bias)
    return g.op("MatMul", g.op("Sigmoid", x), v)


@case(inputs=[FULL])
def relu_biased(g, q, k, v, bias):
    x = g.op("Add", g.op("Mul", scores(g, q, k), SCALE), bias)
    return g.op("MatMul", g.op("Relu", x), v)


@case(inputs=[GATED])
def gated_tanh(g, q, k, v, gate):
    """A factor that is no mask stays in the weight."""
    return g.op("MatMul", g.op("Mul", gate, g.op("Tanh", scores(g, q, k))), v)


@case()
def sum_added(g, q, k, v):
    w = relu2(g, scores(g, q, k))
    total = g.op("ReduceSum", w, np.array([-1]), keepdims=1)
    return g.op("MatMul", g.op("Div", w, g.op("Add", total, np.float32(1e-3))), v)


@case(inputs=[PADDING])
def sum_clamped(g, q, k, v, keep):
    keep = g.op("Cast", g.op("Unsqueeze", keep, np.array([1, 2])), to=1)
    w = g.op("Mul", g.op("Sigmoid", scores(g, q, k)), keep)
    total = g.op("Clip", g.op("ReduceSum", w, np.array([-1]), keepdims=1), np.float32(1e-2))
    return g.op("MatMul", g.op("Mul", w, g.op("Reciprocal", total)), v)


@case()
def sum_afterwards(g, q, k, v):
    """The division comes after the contraction; exp(x) / (1 + sum exp(x))."""
    w = g.op("Exp", g.op("Mul", scores(g, q, k), SCALE))
    total = g.op("Add", np.float32(1), g.op("ReduceSum", w, np.array([-1]), keepdims=1))
    return g.op("Div", g.op("MatMul", w, v), total)


@case()
def plain_product(g, q, k, v):
    """Linear attention without a norm: scores, keys and values share batch and heads."""
    return g.op("MatMul", g.op("Mul", scores(g, q, k), SCALE), v)


@case(raised=0)
def activation_layer(g, q, k, v):
    """A layer with learned matrices on both sides of its activation."""
    x = g.op("MatMul", relu2(g, g.op("MatMul", q, g.weight(8, 16))), g.weight(16, 8))
    return g.op("Add", x, g.op("ReduceMean", v, np.array([2]), keepdims=1))


@case(raised=0)
def row_statistic(g, q, k, v):
    """Less than the mean of the row counts nothing."""
    x = scores(g, q, k)
    mean = g.op("ReduceMean", x, np.array([-1]), keepdims=1)
    return g.op("MatMul", g.op("Relu", g.op("Sub", x, mean)), v)


@case()
def sum_unguarded(g, q, k, v):
    w = g.op("Sigmoid", scores(g, q, k))
    return g.op("MatMul", g.op("Div", w, g.op("ReduceSum", w, np.array([-1]), keepdims=1)), v)


@case(inputs=[PADDING])
def exponentials_of_kept(g, q, k, v, keep):
    """Without the shift by the maximum; rows without keys are 0 / 0."""
    keep = g.op("Cast", g.op("Unsqueeze", keep, np.array([1, 2])), to=1)
    w = g.op("Mul", g.op("Exp", g.op("Mul", scores(g, q, k), SCALE)), keep)
    total = g.op("ReduceSum", w, np.array([-1]), keepdims=1)
    return g.op("Div", g.op("MatMul", w, v), total)


def beside_the_sum(g, q, k, v, sink):
    """exp(x - t) / (exp(sink - t) + sum exp(x - t)), where t is the row's maximum."""
    x = g.op("Where", causal(g, q, k), scores(g, q, k), np.float32(-np.inf))
    greatest = g.op("ReduceMax", x, np.array([-1]), keepdims=1)
    w = g.op("Exp", g.op("Sub", x, greatest))
    more = g.op("Neg", greatest) if sink is None else g.op("Sub", sink, greatest)
    total = g.op("ReduceSum", w, np.array([-1]), keepdims=1)
    return g.op("MatMul", g.op("Div", w, g.op("Add", total, g.op("Exp", more))), v)


@case()
def softmax_and_one(g, q, k, v):
    return beside_the_sum(g, q, k, v, None)


@case()
def softmax_and_sinks(g, q, k, v):
    return beside_the_sum(g, q, k, v, g.weight(HEADS, 1, 1))


@case()
def decay_by_data(g, q, k, v):
    """No features: the decay is a function of query and key (Mamba-2, written as a whole map)."""
    ends = [g.op("ReduceSum", x, np.array([-1]), keepdims=1) for x in (q, k)]
    between = g.op("Sub", ends[0], g.op("Transpose", ends[1], perm=[0, 1, 3, 2]))
    decay = g.op("Exp", g.op("Min", between, np.float32(0)))
    w = g.op("Mul", scores(g, q, k), decay)
    return g.op("MatMul", g.op("Where", causal(g, q, k), w, np.float32(0)), v)


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path, monkeypatch):
    monkeypatch.setattr(softmax, "CASES", CASES)
    softmax.test_spelling(name, tmp_path)
