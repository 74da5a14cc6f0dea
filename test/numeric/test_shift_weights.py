"""Weights that graphs round to powers of two: known when compiling, exactly, and equal layers."""

import numpy as np
import onnx
import onnx_oracle
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

LOW = np.float32(2.0**-15)
LN2 = np.float32(np.log(2))
# Zeros of both signs, out of range both ways, powers, halfway between powers, just beside that.
EDGES = [0.0, -0.0, 3.0, -5.0, 2.0**-20, -(2.0**-16), 1.0, -0.5, 2.0**-2.5, -(2.0**-0.5), 2.0**-3.5,
         -(2.0**-1.5), 2.0**-2.5 * 1.001, 2.0**-2.5 * 0.999, 2.0**-15.5, 1.5 * 2**-15]  # fmt: skip


def floats(rng, *shape):
    w = (rng.standard_normal(shape) * 0.3).astype(np.float32)
    edges = np.float32(EDGES)[: w.size]
    w.flat[: edges.size] = edges
    return w


def quantise(g, w):
    """DeepShift-Q of a tensor: its sign times 2^round(log2 |w|), magnitudes clamped, 0 stays 0."""
    size = g.op("Clip", g.op("Abs", w), LOW, np.float32(1))
    size = g.op("Where", g.op("Equal", w, np.float32(0)), np.float32(0), size)
    power = g.op("Round", g.op("Div", g.op("Log", size), LN2))
    return g.op("Mul", g.op("Pow", np.float32(2), power), g.op("Sign", w))


def quantised(w):
    """The same, every step rounded to f32."""
    size = np.where(w == 0, np.float32(0), np.clip(np.abs(w), LOW, 1))
    with np.errstate(divide="ignore"):
        log = np.log(size.astype(np.float64)).astype(np.float32)
    return np.float32(2) ** np.round(log / LN2) * np.sign(w)


def identity(depth):
    """Rows that a product turns into its weights."""
    return np.eye(depth, dtype=np.float32)[None]


def output(g, y, rank, tmp_path):
    g.output(y, "y", shape=[None] * rank)
    onnx.save(g.finish(), tmp_path / "model.onnx")
    text = cli.attune("compile", tmp_path / "model.onnx", "--stop-after=raise").stdout
    assert "math." not in text
    return cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")


def stored(g, w, how):
    """The weights [k, n] as initialisers lie around."""
    if how == "transposed":
        return g.op("Transpose", quantise(g, g.const(np.ascontiguousarray(w.T))), perm=[1, 0])
    if how == "flat":
        return g.op("Reshape", quantise(g, g.const(w.reshape(-1))), np.array(w.shape))
    return quantise(g, g.const(w))


@pytest.mark.parametrize("how", ["plain", "transposed", "flat", "broadcast"])
@pytest.mark.parametrize("depth,width", [(1, 19), (33, 7)])
def test_quantised(depth, width, how, tmp_path):
    g = Graph("model", opset=18)
    w = floats(g.rng, depth, width)
    x = g.input("x", "f32", ["b", "n", depth])
    if how == "broadcast":
        terms = g.op("Mul", g.op("Unsqueeze", x, np.array([-1])), stored(g, w, how))
        y = g.op("ReduceSum", terms, np.array([-2]), keepdims=0)
    else:
        y = g.op("MatMul", x, stored(g, w, how))
    artifact = output(g, y, 3, tmp_path)
    np.testing.assert_array_equal(
        Session(artifact).run({"x": identity(depth)})["y"][0], quantised(w)
    )
    for shape in ((0, 1), (1, 1), (2, 13)):
        x = g.rng.standard_normal((*shape, depth)).astype(np.float32)
        one, two = (Session(artifact, threads=n).run({"x": x})["y"] for n in (1, 2))
        want = (x.astype(np.float64) @ quantised(w)).astype(np.float32)
        assert cli.worst(one, want, relative=True) <= 1e-5
        np.testing.assert_array_equal(one, two)


def test_parts(tmp_path):
    """DeepShift-PS: 2^round(p) times the sign of round(z); both round halves to even."""
    g = Graph("model", opset=18)
    p = g.rng.uniform(-16, 2, (33, 8)).astype(np.float32)
    z = g.rng.uniform(-2, 2, (33, 8)).astype(np.float32)
    p[0] = [-0.5, -1.5, -2.5, -13.5, -14.5, 0.5, -0.49999997, -15]
    z[0] = [1, -1, 1, -1, 1, -1, 1, -1]
    z[1] = [0, -0.0, 0.5, -0.5, 0.50000006, -0.50000006, 1.5, 0.49999997]
    power = g.op("Round", g.op("Clip", p, np.float32(-14), np.float32(0)))
    sign = g.op("Sign", g.op("Round", z))
    w = g.op("Mul", g.op("Pow", np.float32(2), power), sign)
    artifact = output(g, g.op("MatMul", g.input("x", "f32", ["b", "n", 33]), w), 3, tmp_path)
    want = np.float32(2) ** np.round(np.clip(p, -14, 0)) * np.sign(np.round(z))
    np.testing.assert_array_equal(Session(artifact).run({"x": identity(33)})["y"][0], want)


CONVOLUTIONS = {
    "plain": ((6, 5, 3, 3), dict(pads=[1] * 4)),
    "strided": ((6, 5, 3, 3), dict(strides=[2, 2], pads=[1] * 4)),
    "pointwise": ((7, 5, 1, 1), {}),
    "grouped": ((6, 3, 3, 2), dict(group=2, pads=[1, 0, 1, 1])),
    "depthwise": ((5, 1, 5, 3), dict(group=5, strides=[2, 1], pads=[2, 1, 2, 1])),
    "dilated": ((4, 5, 3, 3), dict(dilations=[2, 1])),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name, tmp_path):
    """Against ONNX Runtime with weights of the oracle: its own logarithm decides halves otherwise."""
    shape, attributes = CONVOLUTIONS[name]
    rng = np.random.default_rng(1)
    channels = shape[1] * attributes.get("group", 1)
    w, bias = floats(rng, *shape), rng.standard_normal(shape[0]).astype(np.float32)

    def graph(filters):
        g = Graph("model", opset=18)
        x = g.input("x", "f32", ["b", channels, "h", "w"])
        y = g.op("Conv", x, filters(g), bias, kernel_shape=list(shape[2:]), **attributes)
        return g, g.op("Relu", y)

    g, y = graph(lambda g: g.const(quantised(w)))
    g.output(y, "y", shape=[None] * 4)
    peer = onnx_oracle.session(g.finish().SerializeToString())
    artifact = output(*graph(lambda g: quantise(g, g.const(w))), 4, tmp_path)
    for size in ((1, 9, 11), (2, 5, 6), (3, 17, 8)):
        x = rng.standard_normal((size[0], channels, *size[1:])).astype(np.float32)
        one, two = (Session(artifact, threads=n).run({"x": x})["y"] for n in (1, 2))
        assert cli.worst(one, peer.run(None, {"x": x})[0], relative=True) <= 1e-5
        np.testing.assert_array_equal(one, two)
