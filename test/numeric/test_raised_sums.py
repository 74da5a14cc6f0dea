"""Layers written as sums over broadcast products or distances: raised, or refused, and equal to numpy
in f64."""

import json

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

DEPTH, WIDTH = 37, 21
SIZES = [(0, 1), (1, 1), (1, 7), (2, 13), (3, 16), (2, 65)]
CASES = {}


def case(raised=True, sizes=SIZES):
    def register(function):
        CASES[function.__name__] = (function, raised, sizes)
        return function

    return register


def rows(g):
    return g.input("x", "f32", ["b", "n", DEPTH])


def layer(x, w):
    """-sum_k |x[..., k] - w[n, k]|"""
    return -np.abs(x[..., None, :].astype(np.float64) - w).sum(-1)


@case()
def unsqueezed(g):
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    b = g.rng.normal(size=WIDTH).astype(np.float32)
    d = g.op("Sub", g.op("Unsqueeze", rows(g), np.array([2])), w)
    y = g.op("Add", g.op("Neg", g.op("ReduceSum", g.op("Abs", d), np.array([3]), keepdims=0)), b)
    return y, lambda x: layer(x, w) + b


@case()
def weights_first(g):
    """The weight stored as [k, n] on the left, summed over the middle, not negated."""
    w = g.rng.normal(size=(DEPTH, WIDTH)).astype(np.float32)
    d = g.op("Sub", w, g.op("Unsqueeze", rows(g), np.array([-1])))
    y = g.op("ReduceSum", g.op("Abs", d), np.array([2]), keepdims=0)
    return y, lambda x: -layer(x, w.T)


@case()
def negated_terms(g):
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    x = g.op("Reshape", rows(g), np.array([0, 0, 1, DEPTH]))
    d = g.op("Neg", g.op("Abs", g.op("Sub", x, w)))
    y = g.op("Relu", g.op("Add", g.op("ReduceSum", d, np.array([-1]), keepdims=0), np.float32(40)))
    return y, lambda x: np.maximum(layer(x, w) + 40, 0)


@case()
def between_rows(g):
    """Distances of all pairs of rows; both operands known at run time only."""
    x = rows(g)
    d = g.op("Sub", g.op("Unsqueeze", x, np.array([2])), g.op("Unsqueeze", x, np.array([1])))
    y = g.op("ReduceSum", g.op("Abs", d), np.array([3]), keepdims=0)
    return y, lambda x: np.abs(x[:, :, None].astype(np.float64) - x[:, None]).sum(-1)


def convolution(g, stride, channels=5, filters=6, height=9, width=11):
    """Pad, Gather, Gather, Transpose, Reshape, as unfold is exported."""
    x = g.input("x", "f32", ["b", channels, height, width])
    w = g.rng.normal(size=(filters, channels, 3, 3)).astype(np.float32)
    high, wide = (height - 1) // stride + 1, (width - 1) // stride + 1
    p = g.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    down = np.arange(3)[:, None] + stride * np.arange(high)
    right = np.arange(3)[:, None] + stride * np.arange(wide)
    p = g.op("Gather", g.op("Gather", p, down, axis=2), right, axis=4)
    p = g.op("Transpose", p, perm=[0, 1, 2, 4, 3, 5])
    p = g.op("Reshape", p, np.array([0, channels * 9, high * wide]))
    d = g.op("Sub", g.op("Unsqueeze", p, np.array([1])), w.reshape(1, filters, channels * 9, 1))
    y = g.op("Neg", g.op("ReduceSum", g.op("Abs", d), np.array([2]), keepdims=0))

    def expected(x):
        x = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)])
        y = np.zeros((len(x), filters, high, wide))
        for i in range(3):
            for j in range(3):
                part = x[:, :, i : i + stride * high : stride, j : j + stride * wide : stride]
                part = part[:, :, :high, :wide]
                y -= np.abs(part[:, None] - w[None, :, :, i, j, None, None]).sum(2)
        return y.reshape(len(x), filters, high * wide)

    return g.op("Reshape", y, np.array([0, filters, high * wide])), expected


@case(sizes=[(0,), (1,), (3,)])
def unfolded(g):
    return convolution(g, stride=1)


@case(sizes=[(2,)])
def unfolded_strided(g):
    return convolution(g, stride=2)


@case()
def product(g):
    """A matrix product as multiplication and sum, behind an activation."""
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    x = g.op("Unsqueeze", g.op("Relu", rows(g)), np.array([2]))
    y = g.op("ReduceSum", g.op("Mul", w, x), np.array([3]), keepdims=0)
    return y, lambda x: np.maximum(x, 0).astype(np.float64) @ w.T


# Near misses.


@case(raised=False)
def squares(g):
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    d = g.op("Sub", g.op("Unsqueeze", rows(g), np.array([2])), w)
    y = g.op("ReduceSum", g.op("Mul", d, d), np.array([3]), keepdims=0)
    return y, lambda x: ((x[..., None, :].astype(np.float64) - w) ** 2).sum(-1)


@case(raised=False)
def sums(g):
    """|x + w|"""
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    d = g.op("Add", g.op("Unsqueeze", rows(g), np.array([2])), w)
    y = g.op("ReduceSum", g.op("Abs", d), np.array([3]), keepdims=0)
    return y, lambda x: np.abs(x[..., None, :].astype(np.float64) + w).sum(-1)


@case(raised=False)
def one_vector(g):
    """Every weight meets one element of a row."""
    w = g.rng.normal(size=DEPTH).astype(np.float32)
    y = g.op("ReduceSum", g.op("Abs", g.op("Sub", rows(g), w)), np.array([2]), keepdims=0)
    return y, lambda x: np.abs(x.astype(np.float64) - w).sum(-1)


@case(raised=False)
def one_product(g):
    """A dot product per row."""
    w = g.rng.normal(size=DEPTH).astype(np.float32)
    y = g.op("ReduceSum", g.op("Mul", rows(g), w), np.array([2]), keepdims=0)
    return y, lambda x: (x.astype(np.float64) * w).sum(-1)


@case(raised=False)
def largest(g):
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    d = g.op("Sub", g.op("Unsqueeze", rows(g), np.array([2])), w)
    y = g.op("ReduceMax", g.op("Abs", d), np.array([3]), keepdims=0)
    return y, lambda x: np.abs(x[..., None, :].astype(np.float64) - w).max(-1)


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    function, raised, sizes = CASES[name]
    g = Graph(name, opset=18)
    y, expected = function(g)
    g.output(y, "y", shape=[None] * (2 if name.startswith("one_") else 3))
    onnx.save(g.finish(), tmp_path / "model.onnx")
    text = cli.attune("compile", tmp_path / "model.onnx", "--stop-after=raise").stdout
    assert (("attune.contract" in text) or ("linalg.contract" in text)) == raised
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")
    rng = np.random.default_rng(1)
    shape = [d.dim_value for d in g.inputs[0].type.tensor_type.shape.dim]
    for size in sizes:
        x = rng.normal(size=(*size, *shape[len(size) :])).astype(np.float32)
        one, two = (Session(artifact, threads=n).run({"x": x})["y"] for n in (1, 2))
        assert cli.worst(one, expected(x).astype(np.float32), relative=True) <= 1e-5, size
        assert np.array_equal(one, two), size


def test_batch_norm_is_computed_in_the_kernel(tmp_path):
    """Sizes are free: [n, 37] to [n, 21] rows, scaled and shifted per channel."""
    g = Graph("batch_norm", opset=18)
    x = g.input("x", "f32", ["n", DEPTH])
    w = g.rng.normal(size=(WIDTH, DEPTH)).astype(np.float32)
    d = g.op("Sub", g.op("Unsqueeze", x, np.array([1])), w)
    y = g.op("Neg", g.op("ReduceSum", g.op("Abs", d), np.array([2]), keepdims=0))
    scale, bias, mean = (g.rng.normal(size=WIDTH).astype(np.float32) for _ in range(3))
    variance = g.rng.uniform(0.5, 2, WIDTH).astype(np.float32)
    y = g.op("BatchNormalization", y, scale, bias, mean, variance)
    g.output(y, "y", shape=[None] * 2)
    onnx.save(g.finish(), tmp_path / "m.onnx")
    artifact = cli.compile(tmp_path / "m.onnx", tmp_path / "m.so")
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    assert [k["emitter"] for k in kernels] == ["gemm"]
    session = Session(artifact, threads=2)
    for n in (0, 1, 7, 65):
        rows = np.random.default_rng(n).normal(size=(n, DEPTH)).astype(np.float32)
        want = (layer(rows, w) - mean) / np.sqrt(variance + 1e-5) * scale + bias
        got = session.run({"x": rows})["y"]
        assert cli.worst(got, want.astype(np.float32), relative=True) <= 1e-5, n
