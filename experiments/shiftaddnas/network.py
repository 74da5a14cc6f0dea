"""A member of the space as ONNX, with random weights, as `layers.py` trains it: what the compiler
prices. Shift layers are sums of shifted fixed-point numbers (16 bits behind the point, ShiftAddNAS's
activations have 16 bits), so that what is priced are shifts; training rounds weights only."""

import sys
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "models"))
from builder import Graph  # noqa: E402

KINDS = ("conv", "att", "shift", "add")
SIDE, D, HEADS, CLASSES = 4, 12, 2, 10
POINT = np.float32(2**16)


def linear(g, x, channels, to):
    return g.op("Add", g.op("MatMul", x, g.weight(channels, to)), g.weight(to))


def norm(g, x):
    return g.op("LayerNormalization", x, np.ones(D, np.float32), g.weight(D), axis=-1)


def attention(g, x):
    q, k, v = (linear(g, x, D, D) for _ in range(3))
    y = g.op("Attention", q, k, v, q_num_heads=HEADS, kv_num_heads=HEADS)
    return linear(g, y, D, D)


def image(g, x):
    """[1, 16, d] as [1, d, 4, 4]."""
    return g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1]), np.array([1, D, SIDE, SIDE]))


def positions(g, y):
    """[1, d, ...] as [1, 16, d]."""
    return g.op("Transpose", g.op("Reshape", y, np.array([1, D, SIDE * SIDE])), perm=[0, 2, 1])


def convolution(g, x):
    return positions(g, g.op("Conv", image(g, x), g.weight(D, D, 3, 3, scale=0.1), pads=[1] * 4))


def unfolded(g, x):
    """The 3x3 windows, [1, 1, 9 d, 16]."""
    x = g.op("Pad", image(g, x), np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    places = np.arange(3)[:, None] + np.arange(SIDE)
    x = g.op("Gather", g.op("Gather", x, places, axis=2), places, axis=4)
    x = g.op("Transpose", x, perm=[0, 1, 2, 4, 3, 5])
    return g.op("Reshape", x, np.array([1, 1, 9 * D, SIDE * SIDE]))


def adder(g, x):
    w = g.weight(1, D, 9 * D, 1, scale=0.5)
    distance = g.op("Abs", g.op("Sub", unfolded(g, x), w))
    return positions(g, g.op("Neg", g.op("ReduceSum", distance, np.array([2]), keepdims=0)))


def shift(g, x):
    fixed = g.op("Cast", g.op("Round", g.op("Mul", x, POINT)), to=onnx.TensorProto.INT32)
    rows = g.op("Reshape", unfolded(g, fixed), np.array([9 * D, SIDE * SIDE]))
    wide = g.op("Unsqueeze", g.op("Transpose", rows, perm=[1, 0]), np.array([1]))
    shape = (1, D, 9 * D)
    amount = g.const(g.rng.integers(0, 15, shape).astype(np.uint32), g._unique("shifts"))
    sign = g.const((2 * g.rng.integers(0, 2, shape) - 1).astype(np.int32), g._unique("signs"))
    size = g.op("Cast", g.op("Abs", wide), to=onnx.TensorProto.UINT32)
    shifted = g.op("BitShift", size, amount, direction="RIGHT")
    terms = g.op("Mul", g.op("Cast", shifted, to=onnx.TensorProto.INT32), g.op("Sign", wide))
    y = g.op("ReduceSum", g.op("Mul", terms, sign), np.array([2]), keepdims=0)
    y = g.op("Unsqueeze", g.op("Cast", y, to=onnx.TensorProto.FLOAT), np.array([0]))
    return g.op("Mul", y, 1 / POINT)


LAYERS = {"conv": convolution, "att": attention, "shift": shift, "add": adder}


def model(kinds):
    g = Graph("hybrid", opset=23)
    x = linear(g, g.input("x", "f32", [1, SIDE * SIDE, 4]), 4, D)
    x = g.op("Add", x, g.weight(1, SIDE * SIDE, D))
    for kind in kinds:
        y = norm(g, LAYERS[kind](g, norm(g, x)))
        x = g.op("Add", x, g.op("Relu", y))
    mean = g.op("ReduceMean", norm(g, x), np.array([1]), keepdims=0)
    g.output(linear(g, mean, D, CLASSES), "y", shape=[1, CLASSES])
    return g.finish()
