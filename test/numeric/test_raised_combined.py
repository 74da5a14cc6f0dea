"""Weights that combine several softmaxes, or parts of one: each becomes an attention."""

import numpy as np
import pytest
import test_raised_attention as softmax
from test_raised_attention import DEPTH, FULL, HEADS, ramp, scores

CASES = {}
HALF = DEPTH // 2
TOLERANCE = 4e-6  # the terms cancel in part


def case(raised, inputs=()):
    def register(function):
        CASES[function.__name__] = (function, raised, inputs, False, TOLERANCE)
        return function

    return register


def probabilities(g, q, k, causal=False):
    x = scores(g, q, k)
    if causal:
        keep = g.op("GreaterOrEqual", ramp(g, q, 2, 1), ramp(g, k, 2, 0))
        x = g.op("Where", keep, x, np.float32(-np.inf))
    return g.op("Softmax", x, axis=-1)


def halves(g, x):
    return [g.op("Slice", x, np.array([a]), np.array([a + HALF]), np.array([3])) for a in (0, HALF)]


def pairs(g, x):
    """Twice as many heads of half the depth: [b, 2 h, n, d / 2]."""
    x = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3]), np.array([0, 0, 2 * HEADS, HALF]))
    return g.op("Transpose", x, perm=[0, 2, 1, 3])


def part(g, p, number):
    return g.op("Gather", p, np.int64(number), axis=2)


def difference(g, a, b, factor):
    return g.op("Sub", a, g.op("Mul", b, np.float32(factor)))


@case(raised=2)
def halves_of_the_depth(g, q, k, v):
    (q1, q2), (k1, k2) = halves(g, q), halves(g, k)
    weights = difference(g, probabilities(g, q1, k1), probabilities(g, q2, k2, True), 0.4)
    return g.op("MatMul", weights, v)


@case(raised=2, inputs=[FULL])
def mixed_by_a_gate(g, q, k, v, bias):
    """A factor per row, and one for the whole sum; one softmax has a bias."""
    gate = g.op("Sigmoid", g.op("ReduceSum", q, np.array([-1]), keepdims=1))
    first = probabilities(g, q, k)
    second = g.op("Softmax", g.op("Add", scores(g, k_of(g, q), k), bias), axis=-1)
    mixed = g.op("Add", g.op("Mul", gate, first),
                 g.op("Mul", g.op("Sub", np.float32(1), gate), second))  # fmt: skip
    return g.op("MatMul", g.op("Mul", mixed, np.float32(0.8)), v)


@case(raised=1)
def gated_beside_a_product(g, q, k, v):
    """The first softmax is used elsewhere, too; a gate that is a sum is no end of its product."""
    gate = g.op("Sigmoid", g.op("ReduceSum", q, np.array([-1]), keepdims=1))
    first, second = probabilities(g, q, k), probabilities(g, q, k, True)
    y = g.op("MatMul", g.op("Add", first, g.op("Mul", gate, second)), v)
    return g.op("Add", y, g.op("ReduceMax", first, np.array([-1]), keepdims=1))


def k_of(g, q):
    return g.op("Tanh", q)


@case(raised=1)
def neighbouring_heads(g, q, k, v):
    """Of each pair of heads, the second is subtracted (differential attention as published)."""
    p = probabilities(g, pairs(g, q), pairs(g, k), True)
    shape = g.op("Concat", np.array([0, HEADS, 2]), g.op("Shape", p, start=2), axis=0)
    p = g.op("Reshape", p, shape)
    return g.op("MatMul", difference(g, part(g, p, 0), part(g, p, 1), 0.3), v)


@case(raised=1)
def an_axis_of_parts(g, q, k, v):
    """The parts have an axis of their own from the start; the first is subtracted."""

    def split(x):
        shape = np.array([0, 0, HEADS, 2, HALF])
        x = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3]), shape)
        return g.op("Transpose", x, perm=[0, 2, 3, 1, 4])

    x = g.op("MatMul", split(q), g.op("Transpose", split(k), perm=[0, 1, 2, 4, 3]))
    p = g.op("Softmax", x, axis=-1)
    return g.op("MatMul", difference(g, part(g, p, 1), part(g, p, 0), 0.3), v)


@case(raised=0)
def a_factor_of_keys(g, q, k, v):
    """What differs from key to key belongs to the weights."""
    by_key = g.op("ReduceSum", k, np.array([-1]), keepdims=1)
    by_key = g.op("Transpose", by_key, perm=[0, 1, 3, 2])
    p = probabilities(g, q, k)
    (q1, _), (k1, _) = halves(g, q), halves(g, k)
    weights = g.op("Sub", g.op("Mul", p, by_key), probabilities(g, q1, k1))
    return g.op("MatMul", weights, v)


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path, monkeypatch):
    monkeypatch.setattr(softmax, "CASES", CASES)
    softmax.test_spelling(name, tmp_path)
