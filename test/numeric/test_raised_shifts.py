"""Shift layers of integers, as exporters write them: raised, or refused, and equal to the bit.

ONNX Runtime sums integers in f64 and saturates; all 32 or 64 bits are compared with the ONNX reference,
which wraps."""

import re

import numpy as np
import onnx
import onnx_oracle
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

DEPTH, WIDTH = 37, 21
SIZES = [(0, 1), (1, 1), (1, 7), (2, 13), (3, 16)]
I32, I64, U32, U64, F32 = (
    TensorProto.INT32, TensorProto.INT64, TensorProto.UINT32, TensorProto.UINT64, TensorProto.FLOAT,
)  # fmt: skip
CASES = {}
# In these the graph rounds sums of floats.
FLOAT_SUMS = {"shifted_and_summed_as_floats", "summed_as_floats", "summed_as_floats_unsigned", "floats_of_all_bits",
              "factors_of_two_magnitudes"}  # fmt: skip


def case(rounding=None, types=None, sizes=SIZES, depth=DEPTH, dtype=np.int32):
    """`rounding`: of the layer that is raised, None where it must not be; `types`: in and out."""

    def register(function):
        name = function.__name__
        CASES[name] = (function, rounding, types or "i32 i32", sizes, depth, dtype)
        return function

    return register


def weights(g, depth=DEPTH, right=15):
    """How far to shift to the right, and signs with zeros."""
    return g.rng.integers(0, right + 1, (WIDTH, depth)), g.rng.integers(-1, 2, (WIDTH, depth))


def broadcast(g, x):
    return g.op("Unsqueeze", x, np.array([-2]))


def total(g, terms, axis=-1):
    return g.op("ReduceSum", terms, np.array([axis]), keepdims=0)


def arithmetic(g, x, count):
    """x >> count, as the newer exporter of PyTorch writes it."""
    negative = g.op("Less", x, np.int32(0))
    bits, count = g.op("Cast", x, to=U32), g.op("Cast", count, to=U32)
    mask = g.op("BitShift", np.uint32(0xFFFFFFFF), count, direction="RIGHT")
    shifted = g.op("BitShift", bits, count, direction="RIGHT")
    filled = g.op("BitwiseOr", shifted, g.op("BitwiseNot", mask))
    filled, shifted = g.op("Cast", filled, to=I32), g.op("Cast", shifted, to=I32)
    return g.op("Where", negative, filled, shifted)


@case("floor_terms")
def masks_for_the_sign(g, x):
    count, sign = weights(g)
    terms = arithmetic(g, broadcast(g, x), count.astype(np.int32))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case("floor_terms", "i32 i64")
def summed_in_more_bits(g, x):
    """As PyTorch sums 32-bit integers."""
    count, sign = weights(g)
    terms = arithmetic(g, broadcast(g, x), count.astype(np.int32))
    terms = g.op("Mul", terms, sign.astype(np.int32))
    return total(g, g.op("Cast", terms, to=I64))


@case("truncate_terms")
def divided(g, x):
    """As the older exporter writes x >> count."""
    count, sign = weights(g)
    power = g.op("Cast", g.op("Pow", np.float32(2), count.astype(np.float32)), to=I32)
    terms = g.op("Div", broadcast(g, x), power)
    return total(g, g.op("Mul", sign.astype(np.int32), terms))


@case("truncate_terms", "i64 i64", dtype=np.int64)
def divided_in_64_bits(g, x):
    count, sign = weights(g, right=40)
    terms = g.op("Div", broadcast(g, x), (1 << count).astype(np.int64))
    return total(g, g.op("Mul", sign.astype(np.int64), terms))


@case("truncate_terms")
def magnitudes(g, x):
    """BitShift of magnitudes, and both signs."""
    count, sign = weights(g)
    bits = g.op("Cast", broadcast(g, g.op("Abs", x)), to=U32)
    bits = g.op("BitShift", bits, count.astype(np.uint32), direction="RIGHT")
    terms = g.op("Mul", g.op("Cast", bits, to=I32), broadcast(g, g.op("Sign", x)))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case("unsigned_terms")
def unsigned(g, x):
    count, sign = weights(g)
    bits = g.op("Cast", broadcast(g, x), to=U32)
    bits = g.op("BitShift", bits, count.astype(np.uint32), direction="RIGHT")
    return total(g, g.op("Mul", g.op("Cast", bits, to=I32), sign.astype(np.int32)))


@case("floor_terms")
def left_and_right(g, x):
    """Choices of direction and sign; weights stored as [k, n], on the left."""
    count, sign = weights(g, right=9)
    count = count.T - 4
    x = g.op("Unsqueeze", x, np.array([-1]))
    down = arithmetic(g, x, np.maximum(count, 0).astype(np.int32))
    up = g.op("BitShift", g.op("Cast", x, to=U32), np.maximum(-count, 0).astype(np.uint32),
              direction="LEFT")  # fmt: skip
    terms = g.op("Where", count > 0, down, g.op("Cast", up, to=I32))
    terms = g.op("Where", sign.T < 0, g.op("Neg", terms), terms)
    terms = g.op("Where", sign.T == 0, np.int32(0), terms)
    return total(g, terms, axis=-2)


@case(depth=1)
def one_term(g, x):
    """No sum is left of it."""
    count, sign = weights(g, depth=1)
    terms = arithmetic(g, broadcast(g, x), count.astype(np.int32))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case("floor_terms")
def all_bits_out(g, x):
    """Shifts by 31 leave the sign."""
    count, sign = weights(g, right=31)
    count[0] = 31
    terms = arithmetic(g, broadcast(g, x), count.astype(np.int32))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case("floor_terms")
def plain_signs(g, x):
    """Ternary weights: shifts by 0."""
    return total(g, g.op("Mul", broadcast(g, x), weights(g)[1].astype(np.int32)))


@case("floor_terms", dtype=np.float32)
def fixed_point(g, x):
    """From floats to 16 bits behind the point and back, with a bias."""
    count, sign = weights(g)
    scaled = g.op("Clip", g.op("Mul", x, np.float32(65536)), np.float32(-2e9), np.float32(2e9))
    x = g.op("Cast", g.op("Floor", scaled), to=I32)
    terms = arithmetic(g, broadcast(g, x), count.astype(np.int32))
    y = g.op("Cast", total(g, g.op("Mul", terms, sign.astype(np.int32))), to=F32)
    bias = g.rng.normal(size=WIDTH).astype(np.float32)
    return g.op("Relu", g.op("Add", g.op("Mul", y, np.float32(2**-16)), bias))


@case("floor_terms", "i64 i64")
def negated_in_more_bits(g, x):
    """The smallest 32-bit integer has a negative there."""
    count, sign = weights(g)
    terms = g.op("Cast", arithmetic(g, broadcast(g, x), count.astype(np.int32)), to=I64)
    return total(g, g.op("Mul", terms, sign.astype(np.int64)))


@case("truncate_terms", "i64 i64")
def divided_and_negated_in_more_bits(g, x):
    count, sign = weights(g)
    terms = g.op("Div", broadcast(g, x), (1 << count).astype(np.int32))
    return total(g, g.op("Mul", g.op("Cast", terms, to=I64), sign.astype(np.int64)))


@case("floor_terms", "i32 i64")
def shifted_and_summed_as_floats(g, x):
    count, sign = weights(g)
    terms = arithmetic(g, broadcast(g, x), (count + 1).astype(np.int32))
    terms = g.op("Mul", g.op("Cast", terms, to=F32), sign.astype(np.float32))
    return total(g, terms)


@case("floor_terms", "i64 i64")
def summed_as_floats(g, x):
    """Floats of shifted integers, with float signs and the scale inside the sum."""
    count, sign = weights(g)
    terms = g.op("Cast", arithmetic(g, broadcast(g, x), count.astype(np.int32)), to=F32)
    terms = g.op("Mul", g.op("Mul", terms, sign.astype(np.float32)), np.float32(-(2**-16)))
    return total(g, terms)


@case("unsigned_terms", "i32 i64")
def summed_as_floats_unsigned(g, x):
    count, sign = weights(g)
    bits = g.op("Cast", broadcast(g, x), to=U32)
    bits = g.op("BitShift", bits, (count + 1).astype(np.uint32), direction="RIGHT")
    return total(g, g.op("Mul", sign.astype(np.float32), g.op("Cast", bits, to=F32)))


@case("floor_terms", "i64 i64")
def floats_of_all_bits(g, x):
    """Without a shift an unsigned float is no 32-bit term."""
    count, sign = weights(g)
    bits = g.op("Cast", broadcast(g, x), to=U32)
    bits = g.op("BitShift", bits, count.astype(np.uint32), direction="RIGHT")
    return total(g, g.op("Mul", sign.astype(np.float32), g.op("Cast", bits, to=F32)))


@case("floor_terms", dtype=np.uint8)
def unsigned_bytes(g, x):
    count, sign = weights(g, right=9)
    bits = g.op("BitShift", broadcast(g, x), count.astype(np.uint8), direction="RIGHT")
    return total(g, g.op("Mul", g.op("Cast", bits, to=I32), sign.astype(np.int32)))


@case("floor_terms", "i32 i64", dtype=np.int8)
def signed_bytes(g, x):
    count, sign = weights(g)
    terms = arithmetic(g, g.op("Cast", broadcast(g, x), to=I32), count.astype(np.int32))
    return total(g, g.op("Mul", g.op("Cast", terms, to=I64), sign.astype(np.int64)))


# Near misses.


@case()
def factors_of_two_magnitudes(g, x):
    count, sign = weights(g)
    terms = g.op("Cast", arithmetic(g, broadcast(g, x), count.astype(np.int32)), to=F32)
    return total(g, g.op("Mul", terms, (sign * (1 + count % 2)).astype(np.float32)))


@case()
def signs_first(g, x):
    """(s x) >> p rounds the other way where s = -1."""
    count, sign = weights(g)
    terms = g.op("Mul", broadcast(g, x), sign.astype(np.int32))
    return total(g, arithmetic(g, terms, count.astype(np.int32)))


@case()
def odd_factors(g, x):
    factors = g.rng.integers(-3, 4, (WIDTH, DEPTH)).astype(np.int32)
    return total(g, g.op("Mul", broadcast(g, x), factors))


@case()
def wrong_mask(g, x):
    """One bit too few is filled in."""
    count, sign = weights(g)
    count = np.maximum(count, 1).astype(np.uint32)
    x = broadcast(g, x)
    bits = g.op("BitShift", g.op("Cast", x, to=U32), count, direction="RIGHT")
    mask = ~(np.uint32(0xFFFFFFFF) >> (count - 1).astype(np.uint32))
    filled = g.op("Cast", g.op("BitwiseOr", bits, mask), to=I32)
    terms = g.op("Where", g.op("Less", x, np.int32(0)), filled, g.op("Cast", bits, to=I32))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case()
def rounded_in_two_ways(g, x):
    count, sign = weights(g)
    x = broadcast(g, x)
    down = arithmetic(g, x, count.astype(np.int32))
    terms = g.op("Where", count % 2 == 0, down, g.op("Div", x, (1 << count).astype(np.int32)))
    return total(g, g.op("Mul", terms, sign.astype(np.int32)))


@case()
def shifted_by_the_input(g, x):
    count = g.op("Cast", g.op("BitwiseAnd", broadcast(g, x), np.int32(7)), to=U32)
    ones = np.full((WIDTH, DEPTH), 12345, np.uint32)
    return total(g, g.op("Cast", g.op("BitShift", ones, count, direction="RIGHT"), to=I32))


def unfolded(g, stride, channels=5, filters=6, height=9, width=11):
    x = g.input("x", "i32", ["b", channels, height, width])
    count = g.rng.integers(0, 9, (1, filters, channels * 9, 1)).astype(np.int32)
    sign = g.rng.integers(-1, 2, (1, filters, channels * 9, 1)).astype(np.int32)
    high, wide = (height - 1) // stride + 1, (width - 1) // stride + 1
    p = g.op("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    down = np.arange(3)[:, None] + stride * np.arange(high)
    right = np.arange(3)[:, None] + stride * np.arange(wide)
    p = g.op("Gather", g.op("Gather", p, down, axis=2), right, axis=4)
    p = g.op("Transpose", p, perm=[0, 1, 2, 4, 3, 5])
    p = g.op("Reshape", p, np.array([0, 1, channels * 9, high * wide]))
    return total(g, g.op("Mul", arithmetic(g, p, count), sign), axis=2)


def values(rng, shape, dtype, bits):
    """Of all magnitudes up to so many bits."""
    if dtype == np.float32:
        return rng.normal(size=shape).astype(dtype)
    bits = min(bits, 8 * np.dtype(dtype).itemsize)
    if dtype == np.uint8:
        return rng.integers(0, 255, shape, dtype, endpoint=True)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    x = rng.integers(low, high, shape, dtype, endpoint=True)
    x = x >> rng.integers(0, bits, shape).astype(dtype)
    x.flat[:4] = np.array([low, -1, high, 0], dtype)[: x.size]
    return x


def check(g, y, name, rounding, types, shapes, dtype, tmp_path):
    kind = "f32" if dtype == np.float32 or name in FLOAT_SUMS else types.split()[1]
    g.output(y, "y", dtype=kind, shape=[None] * 3)
    onnx.save(g.finish(), tmp_path / "model.onnx")
    text = cli.attune("compile", tmp_path / "model.onnx", "--stop-after=raise").stdout
    layer = r"contract ins\(.*x(i\d+)>, tensor.*outs\(.*x(i\d+)>\).*contract_rounding<(\w+)>"
    expected = [] if rounding is None else [(*types.split(), rounding)]
    assert re.findall(layer, text) == expected
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")
    rng = np.random.default_rng(1)
    path = str(tmp_path / "model.onnx")
    one, two = (Session(artifact, threads=threads) for threads in (1, 2))
    for peer, bits in ((onnx_oracle.session(path), 22), (ReferenceEvaluator(path), 64)):
        for shape in shapes:
            feeds = {"x": values(rng, shape, dtype, bits)}
            with np.errstate(over="ignore"):
                (want,) = peer.run(None, feeds)
            got = one.run(feeds)["y"]
            np.testing.assert_array_equal(two.run(feeds)["y"], got)
            if name in FLOAT_SUMS:
                scale = np.abs(want).max(initial=1)
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * scale)
                continue
            if bits < 64 and want.dtype == np.int32:
                limits = np.iinfo(want.dtype)
                want = np.where((want == limits.min) | (want == limits.max), got, want)
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    function, rounding, types, sizes, depth, dtype = CASES[name]
    g = Graph(name, opset=18)
    kind = np.dtype(dtype).name.replace("uint", "u").replace("int", "i").replace("float", "f")
    y = function(g, g.input("x", kind, ["b", "n", depth]))
    check(g, y, name, rounding, types, [(*size, depth) for size in sizes], dtype, tmp_path)


@pytest.mark.parametrize("stride", [1, 2])
def test_unfolded(stride, tmp_path):
    g = Graph("unfolded", opset=18)
    y = unfolded(g, stride)
    check(
        g,
        y,
        "unfolded",
        "floor_terms",
        "i32 i32",
        [(0, 5, 9, 11), (2, 5, 9, 11)],
        np.int32,
        tmp_path,
    )
