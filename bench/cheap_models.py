"""The graphs of `cheap.py`: layers that save multiplications, as exporters write them, and stencils.

Each case gives a model and its inputs. `peers/torch.py` has the same as functions of PyTorch, which
read their weights from the model.
"""

import importlib.util
from pathlib import Path

import numpy as np
import onnx

import models

SIZE = 256
INT32, UINT32, FLOAT = onnx.TensorProto.INT32, onnx.TensorProto.UINT32, onnx.TensorProto.FLOAT
SCALE, ZERO = np.float32(0.02), np.uint8(128)


def builder():
    """test/models/builder.py; `models` is another module here."""
    path = Path(__file__).resolve().parent.parent / "test" / "models" / "builder.py"
    spec = importlib.util.spec_from_file_location("graph_builder", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Model(builder().Graph):
    def __init__(self):
        super().__init__("model", opset=18)
        self.feeds = {}

    def feed(self, values, dtype):
        self.feeds["x"] = values
        return self.input("x", dtype, list(values.shape))

    def normal(self, *shape):
        return self.rng.standard_normal(shape).astype(np.float32)

    def powers(self, *shape):
        """s 2^p with p in [-7, 0], and zeros."""
        exponents = self.rng.integers(-7, 1, shape)
        signs = self.rng.integers(-1, 2, shape)
        return (signs * np.exp2(exponents)).astype(np.float32)

    def done(self, y, dtype="f32", rank=2):
        self.output(y, "y", dtype, shape=[None] * rank)
        return self.finish(), self.feeds


def over_depth(g, op, x, w):
    """reduce of op(x[m, 1, k], w[1, n, k])"""
    terms = g.op(op, g.op("Unsqueeze", x, np.array([1])), w)
    if op == "Sub":
        terms = g.op("Abs", terms)
    return g.op("ReduceSum", terms, np.array([2]), keepdims=0)


def adder():
    g = Model()
    w = g.const(g.normal(1, SIZE, SIZE), "w")
    y = over_depth(g, "Sub", g.feed(g.normal(SIZE, SIZE), "f32"), w)
    return g.done(g.op("Neg", y))


def unfolded(g, x, channels, size):
    """3 x 3 windows of a padded image, [b, channels * 9, size * size], as unfold is exported."""
    x = g.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    places = np.arange(3)[:, None] + np.arange(size)
    x = g.op("Gather", g.op("Gather", x, places, axis=2), places, axis=4)
    x = g.op("Transpose", x, perm=[0, 1, 2, 4, 3, 5])
    return g.op("Reshape", x, np.array([0, channels * 9, size * size]))


def adder_convolution(channels=32, size=28):
    """Followed by what normalises it at inference: a scale and a shift per channel."""
    g = Model()
    x = unfolded(g, g.feed(g.normal(1, channels, size, size), "f32"), channels, size)
    w = g.const(g.normal(1, channels, channels * 9, 1), "w")
    d = g.op("Abs", g.op("Sub", g.op("Unsqueeze", x, np.array([1])), w))
    y = g.op("Neg", g.op("ReduceSum", d, np.array([2]), keepdims=0))
    y = g.op("Reshape", y, np.array([0, channels, size, size]))
    names = ("scale", "bias", "mean", "variance")
    parameters = [g.const(np.abs(g.normal(channels)) + 1, name) for name in names]
    y = g.op("BatchNormalization", y, *parameters)
    return g.done(y, rank=4)


def adder_bytes():
    """Quantised to bytes of one scale and zero point."""
    g = Model()
    codes = g.rng.integers(0, 256, (2, SIZE, SIZE)).astype(np.uint8)
    x = g.op("DequantizeLinear", g.feed(codes[0], "u8"), SCALE, ZERO)
    w = g.op("DequantizeLinear", g.const(codes[1], "w"), SCALE, ZERO)
    return g.done(g.op("Neg", over_depth(g, "Sub", x, g.op("Unsqueeze", w, np.array([0])))))


def product(rows=SIZE, size=SIZE):
    g = Model()
    x = g.feed(g.normal(rows, size), "f32")
    return g.done(g.op("MatMul", x, g.const(g.normal(size, size), "w")))


def shift_sum():
    g = Model()
    x = g.feed(g.normal(SIZE, SIZE), "f32")
    return g.done(over_depth(g, "Mul", x, g.const(g.powers(1, SIZE, SIZE), "w")))


def shift_bits():
    """Fixed point: magnitudes are shifted, signs multiplied."""
    g = Model()
    x = g.feed(g.rng.integers(-(2**18), 2**18, (SIZE, SIZE)).astype(np.int32), "i32")
    wide = g.op("Unsqueeze", x, np.array([1]))
    amount = g.const(g.rng.integers(0, 15, (1, SIZE, SIZE)).astype(np.uint32), "p")
    sign = g.const((2 * g.rng.integers(0, 2, (1, SIZE, SIZE)) - 1).astype(np.int32), "s")
    shifted = g.op(
        "BitShift", g.op("Cast", g.op("Abs", wide), to=UINT32), amount, direction="RIGHT"
    )
    terms = g.op("Mul", g.op("Cast", shifted, to=INT32), g.op("Sign", wide))
    y = g.op("ReduceSum", g.op("Mul", terms, sign), np.array([2]), keepdims=0)
    return g.done(y, "i32")


def shift_product(rows=SIZE, size=SIZE):
    g = Model()
    x = g.feed(g.normal(rows, size), "f32")
    return g.done(g.op("MatMul", x, g.const(g.powers(size, size), "w")))


def convolution(channels=64, size=56):
    g = Model()
    x = g.feed(g.normal(1, channels, size, size), "f32")
    w = g.const(g.normal(channels, channels, 3, 3) / 24, "w")
    return g.done(g.op("Conv", x, w, g.const(g.normal(channels), "b"), pads=[1] * 4), rank=4)


def block(graph, length=512):
    """One of bench/attention."""
    dims = {"batch": 1, "length": length}
    model = models.fix(models.model_of({"graph": graph}), dims)
    x = np.random.default_rng(0).standard_normal((1, length, models.HEADS * models.DEPTH))
    return model, {"x": x.astype(np.float32)}
