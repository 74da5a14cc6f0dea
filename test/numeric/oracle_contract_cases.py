"""Cases of attune.contract: shift and adder products and convolutions, with numpy's values."""

import numpy as np
from oracle_cases import Case, operand_text, tensor

F64 = np.float64
MATMUL = ("(m, n, k) -> (m, k)", "(m, n, k) -> (n, k)", "(m, n, k) -> (m, n)")


def convolution(stride, dilation):
    """Maps of input [B,I,L], weight [O,I,T], result [B,O,N]."""
    loops = "(b, o, n, i, t) ->"
    return (
        f"{loops} (b, i, n * {stride} + t * {dilation})",
        f"{loops} (o, i, t)",
        f"{loops} (b, o, n)",
    )


def terms(x, w, kind):
    return -np.abs(x - w) if kind == "adder" else x * w


def matmul_value(x, w, kind):
    return terms(x[:, None, :], w[None], kind).sum(-1)


def convolution_value(stride, dilation):
    def value(x, w, kind):
        taps = w.shape[2]
        count = (x.shape[2] - (taps - 1) * dilation - 1) // stride + 1
        windows = np.stack([x[:, :, t * dilation :][:, :, : (count - 1) * stride + 1 : stride]
                            for t in range(taps)], -1)  # fmt: skip
        return terms(windows[:, None], w[None, :, :, None], kind).sum((2, 4))

    return value


def decoded(codes, bias):
    wide = codes.astype(F64)
    return np.sign(wide) * np.exp2(np.abs(wide) - bias)


def wrapped(value, width):
    """As a signed integer of so many bits."""
    return (value + 2 ** (width - 1)) % 2**width - 2 ** (width - 1)


def shifted_sum(x, codes, z, bias, rounding):
    """Of unbounded integers: x [M,K], codes [N,K], z [M,N]; terms wrap to x's type, sums to z's."""
    width = 8 * x.itemsize
    x = (x.view(f"u{x.itemsize}") if rounding == "unsigned_terms" else x).astype(object)
    codes = codes.astype(object)
    sums = z.astype(object)
    for m, n, k in np.ndindex(x.shape[0], *codes.shape):
        value, code = x[m, k], codes[n, k]
        power = abs(code) - bias
        if power >= 0:
            term = value << power
        elif rounding == "truncate_terms":
            term = (abs(value) >> -power) * (-1 if value < 0 else 1)
        else:
            term = value >> -power
        sums[m, n] += wrapped(term * ((code > 0) - (code < 0)), width)
    result = np.vectorize(lambda value: wrapped(value, 8 * z.itemsize), otypes=[z.dtype])
    return result(sums)


def contract_case(name, kind, x, w, y, maps=MATMUL, value=matmul_value, bias=None, values=None,
                  rounding=None):  # fmt: skip
    arguments = {"x": x, "w": w, "z": y}
    maps = ", ".join(f"affine_map<{text}>" for text in maps)
    words = f"kind = #attune.contract_kind<{kind}>, indexing_maps = [{maps}]"
    words += f", exponent_bias = {bias} : i64" if bias else ""
    words += f", rounding = #attune.contract_rounding<{rounding}>" if rounding else ""
    op = f"attune.contract {operand_text('ins', {'x': x, 'w': w})} outs(%z : {y.type}) {{{words}}}"

    def draw(rng):
        drawn = {key: t.draw(rng) for key, t in arguments.items()}
        if kind == "shift" and not bias:
            powers = np.exp2(rng.integers(-15, 1, drawn["w"].shape))
            drawn["w"] = (np.sign(np.round(drawn["w"])) * powers).astype(w.dtype)
        if values:
            values(drawn)
        return drawn

    def expected(x, w, z):
        if rounding:
            return [shifted_sum(x, w, z, bias, rounding)]
        integers = x.dtype.kind in "iu"
        x, z = (x.view(np.uint8) if integers else x).astype(F64), z.astype(F64)
        w = decoded(w, bias) if bias else (w.view(np.uint8) if integers else w).astype(F64)
        return [z + value(x, w, kind)]

    return Case(name, op, arguments, [y], draw, expected)


def all_codes(values):
    """From the smallest to the largest 8-bit code, 0 and -128 among them; few terms in a sum."""
    values["w"][:] = np.arange(-128, 128, dtype=np.int8)[:, None]
    values["x"][:] = 1


def any_bits(values):
    """Integers of every magnitude, the smallest and -1 among them, and all codes around the bias."""
    rng = np.random.default_rng(int(values["x"].sum()) & 0xFFFF)
    for key in ("x", "z"):
        dtype, shape = values[key].dtype, values[key].shape
        width = 8 * dtype.itemsize
        drawn = rng.integers(-(2 ** (width - 1)), 2 ** (width - 1) - 1, shape, dtype, endpoint=True)
        values[key][:] = drawn >> rng.integers(0, width, shape).astype(dtype)
    values["x"].flat[:3] = [np.iinfo(values["x"].dtype).min, -1, np.iinfo(values["x"].dtype).max][
        : values["x"].size]  # fmt: skip
    values["w"][:] = np.resize(np.arange(-128, 128, dtype=np.int8), values["w"].shape)


def bytes_of(values):
    for key in ("x", "w"):
        values[key][:] = (values[key].astype(np.int64) * 51 % 256).astype(np.uint8).view(np.int8)


def products(element="f32", dynamic=False, shape=(4, 3, 6), weight=None, out=None):
    """x [M,K], w [N,K], y [M,N]."""
    m, n, k = shape
    return (tensor((m, k), element, dynamic), tensor((n, k), weight or element, dynamic),
            tensor((m, n), out or element, dynamic))  # fmt: skip


def signals(element="f32", dynamic=False, count=5, stride=1, dilation=1, taps=3):
    length = (count - 1) * stride + (taps - 1) * dilation + 1
    return (tensor((2, 3, length), element, dynamic), tensor((4, 3, taps), element, dynamic),
            tensor((2, 4, count), element, dynamic))  # fmt: skip


case = contract_case
CONTRACTS = [
    case("shift", "shift", *products()),
    case("shift_dynamic", "shift", *products(dynamic=True, shape=(5, 7, 11))),
    case("shift_codes", "shift", *products(weight="i8"), bias=16),
    case("shift_all_codes", "shift", *products("f64", weight="i8", shape=(1, 256, 1)), bias=127,
         values=all_codes),
    case("shift_low_codes", "shift", *products(weight="i8", shape=(1, 256, 1)), bias=1,
         values=lambda values: (all_codes(values), values["z"].fill(0))),
    case("shift_f16", "shift", *products("f16", shape=(4, 3, 40))),
    case("shift_conv", "shift", *signals(), convolution(1, 1), convolution_value(1, 1)),
    case("shift_empty", "shift", *products(dynamic=True, shape=(3, 0, 4))),
    *[case(f"{rounding}_{x}_{z}" + "_dynamic" * dynamic, "shift",
           *products(x, dynamic, shape=(3, 37, 7), weight="i8", out=z), bias=bias, values=any_bits,
           rounding=rounding)
      for rounding in ("floor_terms", "truncate_terms", "unsigned_terms")
      for x, z, bias, dynamic in (("i32", "i32", 64, False), ("i32", "i64", 100, True),
                                  ("i64", "i64", 80, False))],
    case("floor_one", "shift", *products("i32", shape=(3, 5, 1), weight="i8"), bias=16,
         rounding="floor_terms"),
    case("floor_empty", "shift", *products("i32", True, shape=(3, 0, 4), weight="i8"), bias=16,
         rounding="floor_terms"),
    case("adder", "adder", *products()),
    case("adder_one", "adder", *products(shape=(1, 1, 1))),
    case("adder_primes", "adder", *products(dynamic=True, shape=(7, 5, 37))),
    case("adder_no_terms", "adder", *products(shape=(3, 2, 0))),
    case("adder_f16", "adder", *products("f16", shape=(3, 2, 60))),
    case("adder_f64", "adder", *products("f64", dynamic=True)),
    case("adder_bytes", "adder", *products("i8", out="i32", shape=(3, 5, 33)), values=bytes_of),
    case("adder_conv", "adder", *signals(), convolution(1, 1), convolution_value(1, 1)),
    case("adder_strided", "adder", *signals(dynamic=True, stride=2, dilation=3), convolution(2, 3),
         convolution_value(2, 3)),
]  # fmt: skip
