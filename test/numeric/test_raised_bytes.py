"""Adder layers of quantised values: summed as bytes where both operands have one scale and zero point,
else in floats, and equal to numpy either way. Sums of bytes are exact; a scale rounds once."""

import json
import re

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

SCALE, ZERO = np.float32(0.037), np.uint8(131)
INT32, INT64, FLOAT = onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
CASES = {}


def case(in_bytes=True, depth=37, width=21):
    def register(function):
        CASES[function.__name__] = (function, in_bytes, depth, width)
        return function

    return register


def extreme(rng, shape, dtype):
    """A third of the values are the smallest or the largest."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    values = rng.integers(low, high + 1, shape)
    ends = rng.integers(0, 6, shape)
    return np.where(ends == 0, low, np.where(ends == 1, high, values)).astype(dtype)


def weights(g, depth, width, dtype=np.uint8):
    return extreme(g.rng, (width, depth), dtype)


def distances(g, x, w):
    """sum_k |x[b, k] - w[n, k]| of values that broadcast."""
    return g.op("Abs", g.op("Sub", g.op("Unsqueeze", x, np.array([1])), w))


def total(g, terms):
    return g.op("ReduceSum", terms, np.array([2]), keepdims=0)


def expected(x, w, scale=1):
    gap = np.abs(x[:, None].astype(np.int64) - w).sum(-1)
    return gap * np.float64(scale) if scale != 1 else gap


@case()
def dequantised(g, depth, width):
    w = weights(g, depth, width)
    x = g.op("DequantizeLinear", g.input("x", "u8", ["b", depth]), SCALE, ZERO)
    y = g.op("Neg", total(g, distances(g, x, g.op("DequantizeLinear", w, SCALE, ZERO))))
    return y, lambda x: -expected(x, w, SCALE)


@case(depth=64, width=48)
def signed(g, depth, width):
    w, zero = weights(g, depth, width, np.int8), np.int8(-3)
    x = g.op("DequantizeLinear", g.input("x", "i8", ["b", depth]), SCALE, zero)
    y = total(g, distances(g, x, g.op("DequantizeLinear", w, SCALE, zero)))
    return y, lambda x: expected(x, w, SCALE)


@case(depth=8, width=16)
def weights_in_floats(g, depth, width):
    """As exporters fold them."""
    w = weights(g, depth, width)
    x = g.op("DequantizeLinear", g.input("x", "u8", ["b", depth]), SCALE, ZERO)
    folded = (w.astype(np.float32) - ZERO) * SCALE
    return total(g, distances(g, x, folded[None])), lambda x: expected(x, w, SCALE)


@case(depth=9)
def zero_points_in_floats(g, depth, width):
    w = weights(g, depth, width)

    def value(q):
        shifted = g.op("Sub", g.op("Cast", q, to=FLOAT), np.float32(ZERO))
        return g.op("Mul", shifted, SCALE)

    x, w_value = value(g.input("x", "u8", ["b", depth])), value(g.const(w))
    return total(g, distances(g, x, w_value)), lambda x: expected(x, w, SCALE)


@case()
def quantised_here(g, depth, width):
    """The values are floats: quantised behind an activation, and with a bias after the sum."""
    w, b = weights(g, depth, width), g.rng.normal(size=width).astype(np.float32)
    x = g.op("Relu", g.input("x", "f32", ["b", depth]))
    x = g.op("DequantizeLinear", g.op("QuantizeLinear", x, SCALE, ZERO), SCALE, ZERO)
    y = g.op("Neg", total(g, distances(g, x, g.op("DequantizeLinear", w, SCALE, ZERO))))

    def result(x):
        codes = np.rint(np.maximum(x, 0) / SCALE) + np.float32(ZERO)
        return b - expected(np.clip(codes, 0, 255), w, SCALE)

    return g.op("Add", y, b), result


@case()
def integers(g, depth, width):
    w = weights(g, depth, width)
    x = g.op("Cast", g.input("x", "u8", ["b", depth]), to=INT32)
    y = total(g, distances(g, x, g.op("Cast", w, to=INT32)))
    return y, lambda x: expected(x, w).astype(np.int32)


@case(depth=130, width=5)
def wide_integers(g, depth, width):
    """torch sums integers in 64 bits."""
    w = weights(g, depth, width, np.int8)
    x = g.op("Cast", g.input("x", "i8", ["b", depth]), to=INT32)
    terms = g.op("Cast", distances(g, x, g.op("Cast", w, to=INT32)), to=INT64)
    return g.op("Neg", total(g, terms)), lambda x: -expected(x, w)


@case()
def between_rows(g, depth, width):
    x = g.op("Cast", g.input("x", "u8", ["b", depth]), to=INT32)
    y = total(g, distances(g, x, g.op("Unsqueeze", x, np.array([0]))))
    return y, lambda x: expected(x, x).astype(np.int32)


# Near misses.


def different(g, depth, width, scale, zero):
    w = weights(g, depth, width)
    x = g.op("DequantizeLinear", g.input("x", "u8", ["b", depth]), SCALE, ZERO)
    y = total(g, distances(g, x, g.op("DequantizeLinear", w, scale, zero, axis=0)))
    column = lambda v: np.reshape(v, (-1, 1)).astype(np.float64)  # noqa: E731
    value = (w - column(zero)) * column(scale)
    return y, lambda x: np.abs(
        (x[:, None].astype(np.float64) - ZERO) * np.float64(SCALE) - value
    ).sum(-1)


@case(in_bytes=False)
def other_scale(g, depth, width):
    return different(g, depth, width, np.float32(0.036), ZERO)


@case(in_bytes=False)
def other_zero_point(g, depth, width):
    return different(g, depth, width, SCALE, np.uint8(130))


@case(in_bytes=False)
def scale_per_column(g, depth, width):
    scale = (0.037 + 0.001 * np.arange(width)).astype(np.float32)
    return different(g, depth, width, scale, np.full(width, ZERO))


@case(in_bytes=False)
def weights_between_codes(g, depth, width):
    w = g.rng.normal(size=(width, depth)).astype(np.float32)
    x = g.op("DequantizeLinear", g.input("x", "u8", ["b", depth]), SCALE, ZERO)
    value = lambda x: (x[:, None].astype(np.float64) - ZERO) * np.float64(SCALE)  # noqa: E731
    return total(g, distances(g, x, w)), lambda x: np.abs(value(x) - w).sum(-1)


@case(in_bytes=False)
def signed_and_unsigned(g, depth, width):
    w = weights(g, depth, width, np.int8)
    x = g.op("Cast", g.input("x", "u8", ["b", depth]), to=INT32)
    y = total(g, distances(g, x, g.op("Cast", w, to=INT32)))
    return y, lambda x: expected(x, w).astype(np.int32)


def compiled(g, y, shape, tmp_path, dtype):
    g.output(y, "y", dtype, shape=shape)
    onnx.save(g.finish(), tmp_path / "model.onnx")
    text = cli.attune("compile", tmp_path / "model.onnx", "--stop-after=raise").stdout
    in_bytes = bool(re.search(r"attune\.contract ins\([^)]*xi8>,[^)]*xi8>", text))
    return cli.compile(tmp_path / "model.onnx", tmp_path / "model.so"), in_bytes


def agree(artifact, x, want):
    one, two = (Session(artifact, threads=n).run({"x": x})["y"] for n in (1, 2))
    assert np.array_equal(one, two)
    if want.dtype.kind == "i":
        assert np.array_equal(one, want)
    else:
        assert cli.worst(one, want.astype(np.float32), relative=True) <= 2e-6


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    function, in_bytes, depth, width = CASES[name]
    g = Graph(name, opset=18)
    y, result = function(g, depth, width)
    rng = np.random.default_rng(1)
    port = g.inputs[0].type.tensor_type.elem_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(port)

    def values(batch):
        if dtype == np.float32:
            return rng.normal(size=(batch, depth), scale=5).astype(np.float32)
        return extreme(rng, (batch, depth), dtype)

    kind = {"f": "f32", "i": "i32"}[result(values(1)).dtype.kind]
    if result(values(1)).dtype == np.int64:
        kind = "i64"
    artifact, found = compiled(g, y, [None, None], tmp_path, kind)
    assert found == in_bytes
    for batch in (0, 1, 3, 16):
        x = values(batch)
        agree(artifact, x, result(x))


@pytest.mark.parametrize("stride", [1, 2])
def test_convolution(stride, tmp_path):
    """Padded after it was dequantised, unfolded; normalised per channel in the same kernel."""
    channels, filters, height, wide = 5, 6, 9, 37
    g = Graph("convolution", opset=18)
    w = extreme(g.rng, (filters, channels, 3, 3), np.uint8)
    x = g.input("x", "u8", ["b", channels, height, wide])
    x = g.op("DequantizeLinear", x, SCALE, ZERO)
    p = g.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    high, across = (height - 1) // stride + 1, (wide - 1) // stride + 1
    down = np.arange(3)[:, None] + stride * np.arange(high)
    right = np.arange(3)[:, None] + stride * np.arange(across)
    p = g.op("Gather", g.op("Gather", p, down, axis=2), right, axis=4)
    p = g.op("Transpose", p, perm=[0, 1, 2, 4, 3, 5])
    p = g.op("Reshape", p, np.array([0, channels * 9, high * across]))
    value = g.op("DequantizeLinear", w.reshape(1, filters, channels * 9, 1), SCALE, ZERO)
    d = g.op("Sub", g.op("Unsqueeze", p, np.array([1])), value)
    y = g.op("Neg", g.op("ReduceSum", g.op("Abs", d), np.array([2]), keepdims=0))
    y = g.op("Reshape", y, np.array([0, filters, high, across]))
    scale, bias, mean = (g.rng.normal(size=filters).astype(np.float32) for _ in range(3))
    variance = g.rng.uniform(0.5, 2, filters).astype(np.float32)
    y = g.op("BatchNormalization", y, scale, bias, mean, variance)
    artifact, found = compiled(g, y, [None] * 4, tmp_path, "f32")
    assert found
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    assert sorted(k["emitter"] for k in kernels)[0] == "gemm" and len(kernels) == 2
    for batch in (0, 1, 3):
        x = extreme(np.random.default_rng(2), (batch, channels, height, wide), np.uint8)
        padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=ZERO)
        windows = np.lib.stride_tricks.sliding_window_view(padded.astype(np.int64), (3, 3), (2, 3))
        windows = windows[:, None, :, ::stride, ::stride]
        gap = np.abs(windows - w[None, :, :, None, None].astype(np.int64)).sum((2, 5, 6))
        each = lambda v: v[:, None, None].astype(np.float64)  # noqa: E731
        normal = (gap * -np.float64(SCALE) - each(mean)) / np.sqrt(each(variance) + 1e-5)
        agree(artifact, x, normal * each(scale) + each(bias))
