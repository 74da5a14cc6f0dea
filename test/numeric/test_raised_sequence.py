"""Long convolutions, moving averages and relative positions in the spellings of exporters.

Each case is one graph, raised to what it names (or refused for a reason), and compared with numpy in
f64: transforms are exact to the largest value of a channel only, so ONNX Runtime is no reference.
"""

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

WIDTH, LENGTH, STATES = 5, 200, 3
CASES = {}


def case(*raised, sizes=(LENGTH,), tolerance=1e-5, refused=()):
    """A function of a graph to (result, expected(feeds)); `raised`: the remarks it must give."""

    def register(function):
        CASES[function.__name__] = (function, list(raised), sizes, tolerance, list(refused))
        return function

    return register


def take(g, x, start, end, axis):
    return g.op("Slice", x, np.array([start]), np.array([end]), np.array([axis]))


def complex_product(g, a, b, swapped=False):
    """(a + ib)(c + id) on the last axis, as exporters write it."""
    ar, ai, br, bi = (take(g, x, part, part + 1, -1) for x in (a, b) for part in (0, 1))
    if swapped:
        real = g.op("Sub", g.op("Mul", br, ar), g.op("Mul", bi, ai))
        imaginary = g.op("Add", g.op("Mul", bi, ar), g.op("Mul", br, ai))
    else:
        real = g.op("Sub", g.op("Mul", ar, br), g.op("Mul", ai, bi))
        imaginary = g.op("Add", g.op("Mul", ar, bi), g.op("Mul", ai, br))
    return g.op("Concat", real, imaginary, axis=-1)


def transform(g, x, length, axis, onesided=1):
    """Forward, of a real tensor; padded by the node."""
    x = g.op("Unsqueeze", x, np.array([-1]))
    return g.op("DFT", x, np.int64(length), np.int64(axis), onesided=onesided)


def back(g, x, length, axis, onesided=1):
    x = g.op("DFT", x, np.int64(length), np.int64(axis), inverse=1, onesided=onesided)
    return g.op("Squeeze", take(g, x, 0, 1, -1), np.array([-1]))


def parameters(g, width=WIDTH):
    decay = g.rng.uniform(0.3, 0.999, (width, STATES)).astype(np.float32)
    weight = g.rng.normal(size=(width, STATES)).astype(np.float32)
    return decay, weight


def kernel(g, decay, weight, length):
    """[width, length], as an Einsum of exp(t log a)."""
    steps = g.op("Cast", np.arange(length), to=1)
    powers = g.op("Exp", g.op("Mul", g.op("Unsqueeze", np.log(decay), np.array([-1])), steps))
    return g.op("Einsum", g.const(weight), powers, equation="dn,dnt->dt")


def average(x, decay, weight):
    """Along the second axis."""
    h, rows = np.zeros((len(x), *decay.shape)), []
    for t in range(x.shape[1]):
        h = decay.astype(np.float64) * h + x[:, t, :, None]
        rows.append((weight * h).sum(-1))
    return np.stack(rows, 1)


def convolved(x, k):
    """Causal, along the second axis; k [width, taps]."""
    rows = [
        sum(k[:, t - m] * x[:, m] for m in range(max(0, t - k.shape[1] + 1), t + 1))
        for t in range(x.shape[1])
    ]
    return np.stack(rows, 1)


@case("ToeplitzRaised", "EmaRaised", sizes=(3000,))
def average_last_axis(g):
    """Mega: channels first, padded by the transforms; too long to be folded to a constant."""
    x = g.input("x", "f32", [2, 3000, WIDTH])
    decay, weight = parameters(g)
    decay[0, 0] = 1
    product = complex_product(
        g,
        transform(g, g.op("Transpose", x, perm=[0, 2, 1]), 6000, 2),
        transform(g, kernel(g, decay, weight, 3000), 6000, 1),
    )
    y = g.op("Transpose", take(g, back(g, product, 6000, 2), 0, 3000, 2), perm=[0, 2, 1])
    return y, lambda f: average(f["x"].astype(np.float64), decay, weight)


@case("ToeplitzRaised", "EmaRaised", sizes=(2500,))
def average_middle_axis(g):
    """Padded before the transforms, along the middle axis, powers by Pow, two-sided."""
    x = g.input("x", "f32", [1, 2500, WIDTH])
    decay, weight = parameters(g)
    steps = np.arange(2500, dtype=np.float32).reshape(1, 1, -1)
    powers = g.op("Pow", g.const(decay[:, :, None]), g.const(steps))
    k = g.op(
        "ReduceSum", g.op("Mul", powers, g.const(weight[:, :, None])), np.array([1]), keepdims=0
    )
    pads = np.array([0, 0, 0, 0, 2500, 0])
    a = transform(g, g.op("Pad", x, pads), 5000, 1, onesided=0)
    b = transform(g, g.op("Transpose", g.op("Pad", k, np.array([0, 0, 0, 2500])), perm=[1, 0]), 5000, 0,
                  onesided=0)  # fmt: skip
    product = complex_product(g, g.op("Unsqueeze", b, np.array([0])), a, swapped=True)
    y = take(g, back(g, product, 5000, 1, onesided=0), 0, 2500, 1)
    return y, lambda f: average(f["x"].astype(np.float64), decay, weight)


NO_LAW = ["EmaNotRaised"]


@case("ToeplitzRaised", refused=NO_LAW)
def causal_convolution(g):
    """A kernel that follows no law."""
    x = g.input("x", "f32", [2, LENGTH, WIDTH])
    k = g.rng.normal(size=(WIDTH, LENGTH)).astype(np.float32)
    product = complex_product(
        g,
        transform(g, g.op("Transpose", x, perm=[0, 2, 1]), 2 * LENGTH, 2),
        transform(g, g.const(k), 2 * LENGTH, 1),
    )
    y = g.op("Transpose", take(g, back(g, product, 2 * LENGTH, 2), 0, LENGTH, 2), perm=[0, 2, 1])
    return y, lambda f: convolved(f["x"].astype(np.float64), k)


@case("ToeplitzRaised", refused=NO_LAW)
def constant_spectrum(g):
    """The exporter transformed the kernel."""
    x = g.input("x", "f32", [2, LENGTH, WIDTH])
    k = g.rng.normal(size=(WIDTH, LENGTH)).astype(np.float32)
    spectrum = np.fft.rfft(k, 2 * LENGTH)
    spectrum = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)
    a = transform(g, g.op("Transpose", x, perm=[0, 2, 1]), 2 * LENGTH, 2)
    y = back(g, complex_product(g, g.const(spectrum), a), 2 * LENGTH, 2)
    y = g.op("Transpose", take(g, y, 0, LENGTH, 2), perm=[0, 2, 1])
    return y, lambda f: convolved(f["x"].astype(np.float64), k)


def by_constant_spectrum(g, k):
    """x convolved with k [width, length]."""
    length = k.shape[1]
    x = g.input("x", "f32", [2, length, len(k)])
    spectrum = np.fft.rfft(k.astype(np.float32), 2 * length)
    spectrum = np.stack([spectrum.real, spectrum.imag], -1).astype(np.float32)
    a = transform(g, g.op("Transpose", x, perm=[0, 2, 1]), 2 * length, 2)
    y = back(g, complex_product(g, g.const(spectrum), a), 2 * length, 2)
    return g.op("Transpose", take(g, y, 0, length, 2), perm=[0, 2, 1])


@case("ToeplitzRaised", "EmaRaised")
def fitted_spectrum(g):
    """Mega with fixed weights: only the transform of the taps is left; one channel is 0."""
    decay, weight = parameters(g)
    weight[1], weight[2, 0] = 0, 0
    k = np.einsum("dn,dnt->dt", weight, decay[..., None].astype(np.float64) ** np.arange(LENGTH))
    y = by_constant_spectrum(g, k)
    return y, lambda f: average(f["x"].astype(np.float64), decay, weight)


@case("ToeplitzRaised", refused=NO_LAW)
def nearly_fitted(g):
    """A step in the middle of the taps, of a thousandth."""
    k = np.linspace(0.5, 0.9, WIDTH)[:, None] ** np.arange(LENGTH)
    k[3, 40:] += 1e-3
    return by_constant_spectrum(g, k), lambda f: convolved(f["x"].astype(np.float64), k)


def depthwise_taps(g, x, k):
    """The kernel is flipped in the graph."""
    last = k.shape[1] - 1
    flipped = g.op(
        "Slice", g.const(k), np.array([-1]), np.array([-99]), np.array([1]), np.array([-1])
    )
    padded = g.op("Pad", g.op("Transpose", x, perm=[0, 2, 1]), np.array([0, 0, last, 0, 0, 0]))
    y = g.op("Conv", padded, g.op("Unsqueeze", flipped, np.array([1])), group=len(k))
    return g.op("Transpose", y, perm=[0, 2, 1])


@case("ToeplitzRaised", "EmaRaised", sizes=("l",))
def vanishing_taps(g):
    """Cut off where the exponentials are 0 to rounding, so the length does not matter."""
    x = g.input("x", "f32", [2, "l", WIDTH])
    weight = g.rng.normal(size=(WIDTH, 2, 1))
    k = (weight * g.rng.uniform(-0.5, 0.7, (WIDTH, 2, 1)) ** np.arange(80)).sum(1)
    k = k.astype(np.float32)
    return depthwise_taps(g, x, k), lambda f: convolved(f["x"].astype(np.float64), k)


@case("ToeplitzRaised", refused=NO_LAW)
def depthwise(g):
    """Taps over the past as a Conv."""
    x = g.input("x", "f32", [2, LENGTH, WIDTH])
    k = g.rng.normal(size=(WIDTH, 20)).astype(np.float32)
    return depthwise_taps(g, x, k), lambda f: convolved(f["x"].astype(np.float64), k)


@case("RelativePositionsRaised", sizes=(64,))
def relative_positions(g):
    """Features times values, convolved along the length with a circle of gains."""
    n, heads, features, depth = 64, 2, 6, 5
    q, k = (g.input(name, "f32", [1, heads, n, features]) for name in "qk")
    v = g.input("v", "f32", [1, heads, n, depth])
    gains = np.exp(0.5 * g.rng.normal(size=(heads, 2 * n - 1))).astype(np.float32)
    flipped = gains[:, ::-1]
    circle = np.concatenate([flipped[:, n - 1 :], np.zeros((heads, 1)), flipped[:, : n - 1]], -1)
    pairs = g.op("Einsum", k, v, equation="bhnf,bhne->bhfen")
    circle = g.const(circle.astype(np.float32)[:, None, None])
    product = complex_product(g, transform(g, pairs, 2 * n, 4), transform(g, circle, 2 * n, 3))
    y = g.op("Einsum", q, take(g, back(g, product, 2 * n, 4), 0, n, 4), equation="bhnf,bhfen->bhne")

    def expected(f):
        q, k, v = (f[name].astype(np.float64) for name in "qkv")
        t = np.arange(n)
        weights = np.einsum("bhnf,bhmf->bhnm", q, k) * gains[:, t - t[:, None] + n - 1]
        return (weights @ v).reshape(heads, n, depth)

    return g.op("Squeeze", y, np.array([0])), expected


@case("ToeplitzRaised", sizes=("l",))
def dynamic_length(g):
    """Sizes from Shape; the kernel is an input."""
    x = g.input("x", "f32", [2, "l", WIDTH])
    k = g.input("k", "f32", ["l", WIDTH])
    size = g.op("Shape", x, start=1, end=2)
    double = g.op("Squeeze", g.op("Mul", size, np.array([2])))
    axis = np.int64(1)
    a = g.op("DFT", g.op("Unsqueeze", x, np.array([-1])), double, axis, onesided=1)
    b = g.op("DFT", g.op("Unsqueeze", k, np.array([0, -1])), double, axis, onesided=1)
    z = g.op("DFT", complex_product(g, a, b), double, axis, inverse=1, onesided=1)
    y = g.op("Slice", g.op("Squeeze", z, np.array([-1])), np.array([0]), size, np.array([1]))
    return y, lambda f: convolved(f["x"].astype(np.float64), f["k"].T.astype(np.float64))


@case("ToeplitzRaised")
def circular(g):
    """No padding: differences wrap around."""
    x = g.input("x", "f32", [2, LENGTH, WIDTH])
    k = g.rng.normal(size=(LENGTH, WIDTH)).astype(np.float32)
    product = complex_product(
        g, transform(g, x, LENGTH, 1), transform(g, g.const(k[None]), LENGTH, 1)
    )

    def expected(f):
        t = np.arange(LENGTH)
        return np.einsum("tmc,bmc->btc", k[(t[:, None] - t) % LENGTH].astype(np.float64), f["x"])

    return back(g, product, LENGTH, 1), expected


@case("ToeplitzRaised")
def two_sided(g):
    """Mega's bidirectional kernel: one half runs back; the result starts inside."""
    x = g.input("x", "f32", [1, LENGTH, WIDTH])
    k = g.rng.normal(size=(WIDTH, 2 * LENGTH - 1)).astype(np.float32)
    n = 3 * LENGTH
    a = transform(g, g.op("Transpose", x, perm=[0, 2, 1]), n, 2)
    y = back(g, complex_product(g, a, transform(g, g.const(k), n, 1)), n, 2)
    y = g.op("Transpose", take(g, y, LENGTH - 1, 2 * LENGTH - 1, 2), perm=[0, 2, 1])

    def expected(f):
        t = np.arange(LENGTH)
        return np.einsum(
            "ctm,bmc->btc", k[:, t[:, None] - t + LENGTH - 1].astype(np.float64), f["x"]
        )

    return y, expected


@case(sizes=(LENGTH,))
def correlation(g):
    """One sign away from a convolution: stays what it is."""
    x = g.input("x", "f32", [1, LENGTH, WIDTH])
    k = g.rng.normal(size=(1, LENGTH, WIDTH)).astype(np.float32)
    a, b = transform(g, x, LENGTH, 1), transform(g, g.const(k), LENGTH, 1)
    ar, ai, br, bi = (take(g, s, part, part + 1, -1) for s in (a, b) for part in (0, 1))
    real = g.op("Add", g.op("Mul", ar, br), g.op("Mul", ai, bi))
    imaginary = g.op("Sub", g.op("Mul", ai, br), g.op("Mul", ar, bi))
    y = back(g, g.op("Concat", real, imaginary, axis=-1), LENGTH, 1)

    def expected(f):
        fx, fk = (
            np.fft.rfft(f["x"].astype(np.float64), axis=1),
            np.fft.rfft(k.astype(np.float64), axis=1),
        )
        return np.fft.irfft(fx * fk.conj(), LENGTH, axis=1)

    return y, expected


@case(sizes=(20000,), refused=["ToeplitzNotRaised"], tolerance=1e-4)
def long_kernel(g):
    """The transforms are cheaper."""
    x = g.input("x", "f32", [1, 20000, 2])
    k = (g.rng.normal(size=(1, 20000, 2)) / 100).astype(np.float32)
    product = complex_product(g, transform(g, x, 40000, 1), transform(g, g.const(k), 40000, 1))
    y = take(g, back(g, product, 40000, 1), 0, 20000, 1)

    def expected(f):
        fx, fk = (np.fft.rfft(s.astype(np.float64), 40000, axis=1) for s in (f["x"], k))
        return np.fft.irfft(fx * fk, 40000, axis=1)[:, :20000]

    return y, expected


def feeds_of(model, length, seed):
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in model.graph.input:
        shape = [d.dim_value or length for d in value.type.tensor_type.shape.dim]
        feeds[value.name] = rng.normal(size=shape).astype(np.float32)
    return feeds


@pytest.mark.parametrize("name", CASES)
def test_spelling(name, tmp_path):
    function, raised, sizes, tolerance, refused = CASES[name]
    g = Graph(name, opset=20)
    result, expected = function(g)
    g.output(result, "y", shape=[None] * 3)
    model = g.finish()
    onnx.save(model, tmp_path / "model.onnx")
    report = cli.attune("explain", tmp_path / "model.onnx").stdout
    kinds = [
        line.split()[:2] for line in report.splitlines() if line.startswith(("raised", "refused"))
    ]
    assert sorted(k for how, k in kinds if how == "raised") == sorted(raised), report
    assert sorted(k for how, k in kinds if how == "refused") == sorted(refused), report
    session = Session(cli.compile(tmp_path / "model.onnx", tmp_path / "model.so"), threads=2)
    for length in (1, 7, 40) if "l" in sizes else sizes:
        feeds = feeds_of(model, length, seed=length)
        got, want = session.run(feeds)["y"], expected(feeds)
        scale = np.abs(want).max(axis=1, keepdims=True)
        assert got.shape == want.shape
        assert (np.abs(got - want) <= tolerance * scale).all(), length
