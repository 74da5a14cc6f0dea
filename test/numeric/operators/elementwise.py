"""Unary, binary, comparing, selecting and casting operators."""

import numpy as np

from .case import OpCase, bools, f32, i64

UNARY = {
    "Abs": {}, "Ceil": {}, "Cos": {}, "Elu": dict(alpha=0.7), "Erf": {}, "Exp": {}, "Floor": {},
    "Gelu": {}, "HardSigmoid": {}, "HardSwish": {}, "LeakyRelu": dict(alpha=0.1), "Mish": {},
    "Neg": {}, "Reciprocal": {}, "Relu": {}, "Selu": {}, "Sigmoid": {}, "Sign": {}, "Sin": {},
    "Softplus": {}, "Softsign": {}, "Tan": {}, "Tanh": {}, "ThresholdedRelu": {}, "Celu": {},
    "Atan": {}, "Sinh": {}, "Cosh": {},
}  # fmt: skip
SPECIAL = np.array([[0.0, -0.0, np.inf], [-np.inf, np.nan, 1e-40]], np.float32)


def unary():
    for op, attributes in UNARY.items():
        yield OpCase(op, [f32(3, 17)], attributes)
    yield OpCase("Gelu", [f32(3, 17)], dict(approximate="tanh"), label="tanh")
    yield OpCase("Round", [np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.4], np.float32)])
    for op in ("Sqrt", "Log"):
        yield OpCase(op, [f32(3, 17, low=0.01, high=9)])
    for op in ("Asin", "Acos"):
        yield OpCase(op, [f32(3, 17, low=-0.9, high=0.9)])
    # Large arguments, where a polynomial that was cut short would overflow or lose its sign.
    wide = np.array([-104, -88.5, -30, -1e-6, 0, 1e-6, 30, 88.5, 104, 1e30], np.float32)
    for op in ("Exp", "Tanh", "Sigmoid", "Erf", "Gelu", "Softplus"):
        yield OpCase(op, [wide], label="wide")
    for op in ("Relu", "Exp", "Tanh", "Sigmoid", "Erf", "Abs", "IsNaN", "IsInf", "Sqrt", "Neg"):
        yield OpCase(op, [SPECIAL], label="special")
    yield OpCase("Not", [bools(4, 5)])
    yield OpCase("Abs", [i64(3, 4)], label="i64")
    yield OpCase("Neg", [i64(3, 4).astype(np.int32)], label="i32")
    yield OpCase("Relu", [f32()], label="scalar")
    yield OpCase("Relu", [f32(0, 3)], label="empty")
    yield OpCase("Exp", [f32(3, 5).astype(np.float64)], label="f64", tolerance=1e-12)
    yield OpCase("Tanh", [f32(3, 5).astype(np.float16)], label="f16", tolerance=2e-3)


def binary():
    shapes = {
        "same": ((3, 5), (3, 5)), "row": ((4, 3, 5), (5,)), "column": ((4, 3, 1), (4, 1, 5)),
        "scalar": ((3, 5), ()), "left": ((1, 5), (4, 3, 5)),
    }  # fmt: skip
    for op in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        for label, (a, b) in shapes.items():
            yield OpCase(op, [f32(*a), f32(*b, low=0.5)], label=label)
    for op in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"):
        yield OpCase(op, [f32(3, 5), f32(5)])
        yield OpCase(op, [i64(3, 5), i64(3, 1)], label="i64")
    special = [SPECIAL, np.flip(SPECIAL).copy()]
    for op in ("Add", "Mul", "Max", "Min", "Equal", "Less", "GreaterOrEqual"):
        yield OpCase(op, special, label="special")
    for op in ("And", "Or", "Xor"):
        yield OpCase(op, [bools(3, 5), bools(1, 5)])
    yield OpCase("Equal", [bools(3, 5), bools(3, 5)], label="bool")
    for op in ("Add", "Sub", "Mul", "Max", "Min"):
        yield OpCase(op, [i64(3, 5), i64(5)], label="i64")
    yield OpCase("Div", [i64(4, 5, low=-20, high=20), np.array([3, -3, 7, 1, -1])], label="i64")
    yield OpCase("Mod", [i64(4, 5, low=-20, high=20), np.array([3, -3, 7, 1, -1])], label="i64")
    yield OpCase("Mod", [f32(4, 5, low=-9, high=9), f32(5, low=1)], dict(fmod=1), label="fmod")
    yield OpCase("Pow", [f32(3, 5, low=0.1), f32(5)])
    for exponent in (2.0, 3.0, 0.5, -1.0, 0.0):
        power = np.float32(exponent)
        yield OpCase("Pow", [f32(3, 5, low=0.1), power], constants=(1,), label=f"by{exponent}")
    yield OpCase("Pow", [f32(3, 5), np.float32(2)], constants=(1,), label="negative-squared")
    yield OpCase("PRelu", [f32(2, 3, 5), f32(3, 1)])
    yield OpCase("Sum", [f32(3, 5), f32(5), f32(3, 1)])
    yield OpCase("Mean", [f32(3, 5), f32(5), f32(3, 1)])
    yield OpCase("Max", [f32(3, 5), f32(5), f32(3, 1)], label="three")
    for label, shift in (("left", "LEFT"), ("right", "RIGHT")):
        values = [i64(6, low=0, high=99).astype(np.uint32), i64(6, low=0, high=9).astype(np.uint32)]
        yield OpCase("BitShift", values, dict(direction=shift), label=label)


def selecting():
    yield OpCase("Where", [bools(3, 5), f32(3, 5), f32(3, 5)])
    yield OpCase("Where", [bools(3, 1), f32(5), np.float32(-1e9)], label="broadcast")
    yield OpCase("Where", [bools(2, 1, 5), i64(3, 5), i64(3, 1)], label="i64")
    low, high = np.float32(-0.5), np.float32(0.7)
    yield OpCase("Clip", [f32(3, 5), low, high], constants=(1, 2))
    yield OpCase("Clip", [f32(3, 5), None, high], constants=(2,), label="max")
    yield OpCase("Clip", [f32(3, 5), low, high], label="values")
    yield OpCase("Clip", [i64(3, 5), np.int64(-1), np.int64(2)], constants=(1, 2), label="i64")
    yield OpCase("Clip", [SPECIAL, low, high], constants=(1, 2), label="special")


def casts():
    numbers = np.array([-3.7, -0.5, 0.0, 0.5, 2.5, 100.9], np.float32)
    whole = np.array([-128, -1, 0, 1, 127], np.int64)
    targets = {1: "f32", 3: "i8", 6: "i32", 7: "i64", 9: "bool", 10: "f16", 11: "f64", 16: "bf16"}
    for code, label in targets.items():
        yield OpCase("Cast", [numbers], dict(to=code), label=f"f32-{label}")
        yield OpCase("Cast", [whole], dict(to=code), label=f"i64-{label}")
    yield OpCase("Cast", [bools(7)], dict(to=1), label="bool-f32")
    yield OpCase("Cast", [bools(7)], dict(to=7), label="bool-i64")
    yield OpCase("Cast", [i64(9).astype(np.int8)], dict(to=1), label="i8-f32")
    yield OpCase("Cast", [i64(9, low=0, high=256).astype(np.uint8)], dict(to=1), label="u8-f32")
    yield OpCase("Cast", [f32(9).astype(np.float16)], dict(to=1), label="f16-f32")
    yield OpCase("CastLike", [i64(9), f32(1)])
    scale, zero = np.float32(0.02), np.int8(3)
    quantised = i64(3, 5, low=-128, high=128).astype(np.int8)
    yield OpCase("DequantizeLinear", [quantised, scale, zero], constants=(1, 2), may_refuse=True)
    yield OpCase("QuantizeLinear", [f32(3, 5), scale, zero], constants=(1, 2), may_refuse=True)
    per_row = [quantised, f32(3, low=0.01, high=0.1), np.array([1, -2, 0], np.int8)]
    yield OpCase(
        "DequantizeLinear",
        per_row,
        dict(axis=0),
        constants=(1, 2),
        label="per-axis",
        may_refuse=True,
    )


def cases():
    for group in (unary, binary, selecting, casts):
        yield from group()
