"""Matrix products on tensor cores and by multiply-add, with epilogues, against numpy."""

import attune_cli as cli
import json
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from faults import INTERPRETED
from models import small
from models.builder import Graph
from onnx import TensorProto

# Relative to the largest result; inputs are rounded before, sums are f32.
TOLERANCE = {"FLOAT": 1e-5, "FLOAT16": 2e-3, "BFLOAT16": 1e-2}


def emitters(artifact):
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    return {k["emitter"] for k in kernels}


def run(folder, model, feeds, *flags, emitter="gpu-gemm"):
    path = folder / "model.onnx"
    onnx.save(model, path)
    artifact = cli.compile(path, folder / "m.so", "--target=cuda", *flags)
    assert emitters(artifact) == {emitter}
    session = Session(artifact)
    results = [session.run(f)["y"] for f in feeds]
    session.close()
    return results


def values(rng, shape, dtype):
    kind = onnx.helper.tensor_dtype_to_np_dtype(getattr(TensorProto, dtype))
    return rng.normal(size=shape).astype(kind)


def agree(got, want, dtype):
    got, want = got.astype(np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= TOLERANCE[dtype] * np.abs(want).max(initial=1)


# Rows, depth, columns: 1, below, at and above tiles, primes, multiples of 8 and not.
SIZES = [(1, 8, 8), (63, 32, 64), (64, 33, 65), (65, 64, 63), (129, 72, 136), (37, 101, 53)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("transposed", [False, True])
def test_sizes(dtype, transposed, tmp_path):
    """Batches of products; B as it is, or with the depth inside, as the keys of attention."""
    rng = np.random.default_rng(5)
    kind = getattr(TensorProto, dtype)
    for number, (m, k, n) in enumerate(SIZES):
        # The last axis is known, or every one is free.
        free = number % 2 == 1
        inner = "k" if free else k
        columns = "n" if free else n
        b = ["b", columns, inner] if transposed else ["b", inner, columns]
        nodes = [("MatMul", ["x", "w"], "y", {})]
        if transposed:
            nodes = [
                ("Transpose", ["w"], "t", {"perm": [0, 2, 1]}),
                ("MatMul", ["x", "t"], "y", {}),
            ]
        model = small.model(
            nodes, {"x": ["b", "m", inner], "w": b}, ["b", "m", columns], dtype=kind
        )
        x = values(rng, (2, m, k), dtype)
        w = values(rng, (2, n, k) if transposed else (2, k, n), dtype)
        exact = w.astype(np.float64)
        exact = x.astype(np.float64) @ (exact.swapaxes(1, 2) if transposed else exact)
        agree(run(tmp_path, model, [{"x": x, "w": w}])[0], exact, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_epilogue(dtype, tmp_path):
    """Bias, GELU and a residual, with free rows, none of them, and a tile of 128 columns."""
    kind = getattr(TensorProto, dtype)
    rng = np.random.default_rng(6)
    k, n = 96, 200
    w, bias = values(rng, (k, n), dtype), values(rng, n, dtype)
    model = small.model(
        [
            ("MatMul", ["x", "w"], "p", {}),
            ("Add", ["p", "bias"], "s", {}),
            ("Gelu", ["s"], "g", {"approximate": "tanh"}),
            ("Add", ["g", "r"], "y", {}),
        ],
        {"x": ["b", "n", k], "r": ["b", "n", n]},
        ["b", "n", n],
        {"w": w, "bias": bias},
        kind,
    )
    feeds = [
        {"x": values(rng, (*rows, k), dtype), "r": values(rng, (*rows, n), dtype)}
        for rows in [(1, 1), (2, 97), (3, 0)]
    ]
    for feed, got in zip(feeds, run(tmp_path, model, feeds)):
        x, r, f, b = (v.astype(np.float64) for v in (feed["x"], feed["r"], w, bias))
        s = x @ f + b
        want = 0.5 * s * (1 + np.tanh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3))) + r
        agree(got, want, dtype)


def test_heads(tmp_path):
    """Rows and columns of several axes: heads in place, results in another order."""
    rng = np.random.default_rng(7)
    model = small.model(
        [
            ("Reshape", ["x", "split"], "h", {}),
            ("Transpose", ["h"], "q", {"perm": [0, 2, 1, 3]}),
            ("Transpose", ["h"], "k", {"perm": [0, 2, 3, 1]}),
            ("MatMul", ["q", "k"], "y", {}),
        ],
        {"x": ["b", "n", 64]},
        ["b", 4, "n", "n"],
        {"split": np.array([0, 0, 4, 16])},
        TensorProto.FLOAT16,
    )
    x = values(rng, (2, 35, 64), "FLOAT16")
    q = x.astype(np.float64).reshape(2, 35, 4, 16).transpose(0, 2, 1, 3)
    agree(run(tmp_path, model, [{"x": x}])[0], q @ q.swapaxes(2, 3), "FLOAT16")


@pytest.fixture
def launches(tmp_path, monkeypatch):
    """The interpreter's counts of every launch so far; none on a GPU."""
    report = tmp_path / "report.json"
    monkeypatch.setenv("ATTUNE_PTX_REPORT", str(report))
    return lambda: [json.loads(line) for line in report.read_text().splitlines()]


def batches(x, w, columns, dtype):
    """Products of batches; operands with `T` behind their name have the depth outside (A), inside (B)."""
    nodes = [("Transpose", [v[0]], v, {"perm": [0, 2, 1]}) for v in (x, w) if v.endswith("T")]
    shapes = {"x": ["b", 80, 72], "xT": ["b", 72, 80], "w": ["b", 72, columns]}
    shapes["wT"] = ["b", columns, 72]
    return small.model(
        [*nodes, ("MatMul", [x, w], "y", {})],
        {x[0]: shapes[x], w[0]: shapes[w]},
        ["b", 80, columns],
        dtype=getattr(TensorProto, dtype),
    )


# A tile and two of the depth's 64, wide tiles where there are many of them.
GROUPS = [
    ("FLOAT16", "x", "w", 136, 33),
    ("BFLOAT16", "x", "wT", 136, 33),
    ("FLOAT16", "xT", "wT", 72, 66),
    ("BFLOAT16", "xT", "w", 264, 66),
]


@pytest.mark.parametrize("dtype, x, w, n, b", GROUPS)
def test_warp_groups(dtype, x, w, n, b, tmp_path, launches):
    """wgmma with the tiles of tensor maps, in each order of the operands."""
    rng = np.random.default_rng(9)
    model = batches(x, w, n, dtype)
    feeds = {
        port.name: values(
            rng, [b, *(d.dim_value for d in port.type.tensor_type.shape.dim[1:])], dtype
        )
        for port in model.graph.input
    }
    exact = {v: feeds[v[0]].astype(np.float64) for v in (x, w)}
    left, right = (e.swapaxes(1, 2) if v.endswith("T") else e for v, e in exact.items())
    agree(run(tmp_path, model, [feeds], "--gpu=sm_90a")[0], left @ right, dtype)
    if INTERPRETED:
        assert [c.get("opcode:wgmma", 0) > 0 and c["conflicts"] == [] for c in launches()] == [True]


@pytest.mark.parametrize(
    "dtype, gpu",
    [("FLOAT16", "sm_80"), ("FLOAT16", "sm_90a"), ("BFLOAT16", "sm_90a"), ("FLOAT", "sm_80")],
)
def test_parts_of_depth(gpu, dtype, tmp_path, launches):
    """Few rows and columns: blocks sum parts of the depth. The host chooses the tile by the rows."""
    rng = np.random.default_rng(11)
    for k, n in [(1032, 72), (1031, 5)]:
        w, bias = values(rng, (k, n), dtype), values(rng, n, dtype)
        model = small.model(
            [("MatMul", ["x", "w"], "p", {}), ("Add", ["p", "bias"], "y", {})],
            {"x": ["m", k]},
            ["m", n],
            {"w": w, "bias": bias},
            getattr(TensorProto, dtype),
        )
        feeds = [{"x": values(rng, (m, k), dtype)} for m in (1, 17, 33, 65, 0)]
        results = run(tmp_path, model, feeds + feeds[:2], f"--gpu={gpu}")
        for feed, got in zip(feeds, results):
            exact = feed["x"].astype(np.float64) @ w.astype(np.float64) + bias.astype(np.float64)
            agree(got, exact, dtype)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(results, results[len(feeds) :]))
    if INTERPRETED:
        counts = launches()
        assert all(c["conflicts"] == [] for c in counts)
        # Every second launch adds what the one before has left.
        assert max(c["grid"][1] for c in counts[::2]) > 1
        assert all(c["block"] == [256, 1, 1] and c["grid"][1] == 1 for c in counts[1::2])


def test_many_tiles_of_floats(tmp_path, launches):
    rng = np.random.default_rng(12)
    model = small.model(
        [("MatMul", ["x", "w"], "y", {})],
        {"x": ["b", 130, 20], "w": ["b", 20, 64]},
        ["b", 130, 64],
    )
    x, w = values(rng, (108, 130, 20), "FLOAT"), values(rng, (108, 20, 64), "FLOAT")
    exact = x.astype(np.float64) @ w.astype(np.float64)
    agree(run(tmp_path, model, [{"x": x, "w": w}])[0], exact, "FLOAT")
    if INTERPRETED:
        assert [(c["block"][0], c["conflicts"]) for c in launches()] == [(128, [])]


# f32 on tensor cores: relative to the sum of the absolute products, and `mma` for one product.
MATH = {"tf32": (2e-3, 1), "tf32x3": (1e-6, 3)}


def agree_terms(got, x, w, math):
    x, w = x.astype(np.float64), w.astype(np.float64)
    assert got.dtype == np.float32 and got.shape == (x @ w).shape
    error = np.abs(got - x @ w) / (np.abs(x) @ np.abs(w))
    assert error.max(initial=0) <= MATH[math][0]


@pytest.mark.parametrize("math, transposed", [("tf32", False), ("tf32x3", False), ("tf32x3", True)])
def test_tf32(math, transposed, tmp_path, launches):
    """Edges of tiles; either order of B; chunks that are whole, and elements one by one."""
    rng = np.random.default_rng(13)
    for m, k, n in [(1, 1, 1), (65, 36, 64), (129, 33, 37)]:
        w = ["n", k] if transposed else [k, "n"]
        turned = [("Transpose", ["w"], "t", {"perm": [1, 0]})] if transposed else []
        model = small.model(
            [*turned, ("MatMul", ["x", "t" if transposed else "w"], "y", {})],
            {"x": ["b", "m", k], "w": w},
            ["b", "m", "n"],
        )
        x, w = values(rng, (2, m, k), "FLOAT"), values(rng, (k, n), "FLOAT")
        feeds = [{"x": x[:b], "w": np.ascontiguousarray(w.T) if transposed else w} for b in (2, 0)]
        for feed, got in zip(feeds, run(tmp_path, model, feeds, f"--gpu-math={math}")):
            agree_terms(got, feed["x"], w, math)
    if INTERPRETED:
        assert all(c["conflicts"] == [] for c in launches())


@pytest.mark.parametrize("math", MATH)
def test_tf32_parts_of_depth(math, tmp_path, launches):
    """Few rows take a tile of their own; parts of the depth are added in order."""
    rng = np.random.default_rng(14)
    w = values(rng, (516, 72), "FLOAT")
    model = small.model([("MatMul", ["x", "w"], "y", {})], {"x": ["m", 516]}, ["m", 72], {"w": w})
    feeds = [{"x": values(rng, (m, 516), "FLOAT")} for m in (1, 33)]
    results = run(tmp_path, model, feeds + feeds, f"--gpu-math={math}")
    for feed, got in zip(feeds, results):
        agree_terms(got, feed["x"], w, math)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(results, results[2:]))
    if INTERPRETED:
        counts = launches()
        assert all(c["conflicts"] == [] and c["grid"][1] > 1 for c in counts[::2])


def test_tf32_check(tmp_path):
    """`attune check` compares with the CPU; one product of tf32 is outside its usual tolerance."""
    path = tmp_path / "model.onnx"
    onnx.save(
        small.model([("MatMul", ["x", "w"], "y", {})], {"x": [4, 64], "w": [64, 8]}, [4, 8]), path
    )
    codes = [
        cli.attune("check", path, "--target=cuda", *flags, check=False).returncode
        for flags in [
            ["--gpu-math=tf32"],
            ["--gpu-math=tf32", "--tolerance=2e-3"],
            ["--gpu-math=tf32x3"],
        ]
    ]
    assert codes == [1, 0, 0]


@pytest.mark.parametrize("math", MATH)
def test_tf32_large_tiles(math, tmp_path, launches):
    rng = np.random.default_rng(15)
    b, m, k, n = 108, 66, 9, 65
    model = small.model(
        [("MatMul", ["x", "w"], "y", {})], {"x": [b, m, k], "w": [b, k, n]}, [b, m, n]
    )
    x, w = values(rng, (b, m, k), "FLOAT"), values(rng, (b, k, n), "FLOAT")
    agree_terms(run(tmp_path, model, [{"x": x, "w": w}], f"--gpu-math={math}")[0], x, w, math)
    if INTERPRETED:
        (count,) = launches()
        blocks = np.prod(count["grid"])
        # A warp has 4 x 8 sums of 16 x 8, two steps of depth.
        assert count["opcode:mma"] == blocks * 4 * 64 * MATH[math][1]
        assert count["conflicts"] == []


@pytest.mark.parametrize("size", [(1, 8, 8), (63, 33, 65), (130, 64, 64)])
def test_distances(size, tmp_path):
    """Adder layers: sums of -|a - b|, with a bias behind them."""
    rows, depth, columns = size
    rng = np.random.default_rng(11)
    w, bias = values(rng, (depth, columns), "FLOAT"), values(rng, columns, "FLOAT")
    model = small.model(
        [
            ("Unsqueeze", ["x", "last"], "wide", {}),
            ("Sub", ["wide", "w"], "gap", {}),
            ("Abs", ["gap"], "size", {}),
            ("ReduceSum", ["size", "inner"], "sum", {"keepdims": 0}),
            ("Sub", ["bias", "sum"], "y", {}),
        ],
        {"x": ["n", depth]},
        ["n", columns],
        {"w": w, "bias": bias, "last": np.array([-1]), "inner": np.array([1])},
    )
    x = values(rng, (rows, depth), "FLOAT")
    want = bias - np.abs(x[..., None].astype(np.float64) - w).sum(1)
    agree(run(tmp_path, model, [{"x": x}])[0], want, "FLOAT")


# Rows, depth, columns: few, around tiles, primes; depths that come by 16 bytes and one by one, and one
# whose parts are summed.
BYTES = [(1, 3, 2), (63, 127, 65), (65, 64, 63), (128, 144, 64), (37, 2051, 53)]


def byte_distances(depth, columns, outside=False):
    """bias - sum |x - w| in i32; `outside`: the weights have the depth outside."""
    g = Graph("distances", opset=18)
    x = g.op("Cast", g.input("x", "u8", ["n", depth]), to=TensorProto.INT32)
    w = g.input("w", "u8", [depth, columns] if outside else [columns, depth])
    x = g.op("Unsqueeze", x, np.array([2 if outside else 1]))
    gap = g.op("Abs", g.op("Sub", x, g.op("Cast", w, to=TensorProto.INT32)))
    total = g.op("ReduceSum", gap, np.array([1 if outside else 2]), keepdims=0)
    bias = np.arange(columns, dtype=np.int32) - 7
    g.output(g.op("Sub", bias, total), "y", "i32", ["n", columns])

    def exact(x, w):
        gaps = (np.abs(x[:, [k]].astype(np.int64) - w[:, k]) for k in range(depth))
        return bias - sum(gaps)

    return g._model(), exact


def codes(rng, shape):
    """Bytes of which many are the smallest or the largest."""
    return np.clip(rng.integers(-100, 356, shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("outside", [False, True])
def test_byte_distances(outside, tmp_path, launches):
    """Exact sums, also of few rows, and of none."""
    rng = np.random.default_rng(13)
    for rows, depth, columns in BYTES[-2:] if outside else BYTES:
        model, exact = byte_distances(depth, columns, outside)
        w = codes(rng, (columns, depth))
        feeds = [
            {"x": codes(rng, (n, depth)), "w": np.ascontiguousarray(w.T) if outside else w}
            for n in (rows, 3, 0)
        ]
        for feed, got in zip(feeds, run(tmp_path, model, feeds)):
            assert got.dtype == np.int32 and np.array_equal(got, exact(feed["x"], w))
    if INTERPRETED:
        sums = [c for c in launches() if c.get("opcode:vabsdiff4")]
        assert sums and all(c["conflicts"] == [] for c in sums)


def test_many_tiles_of_bytes(tmp_path, launches):
    rng = np.random.default_rng(14)
    model, exact = byte_distances(18, 72)
    x, w = codes(rng, (13807, 18)), codes(rng, (72, 18))
    assert np.array_equal(run(tmp_path, model, [{"x": x, "w": w}])[0], exact(x, w))
    if INTERPRETED:
        assert [(c["block"][0], c["conflicts"]) for c in launches()] == [(128, [])]


def test_quantised_distances(tmp_path):
    """Signed codes whose sums are scaled to floats, and codes made in front of the product."""
    rng = np.random.default_rng(15)
    scale, w = np.float32(0.037), rng.integers(-128, 128, (40, 37)).astype(np.int8)
    g = Graph("quantised", opset=18)
    x = g.op("QuantizeLinear", g.input("x", "f32", ["n", 37]), scale, np.int8(-3))
    x = g.op("Unsqueeze", g.op("DequantizeLinear", x, scale, np.int8(-3)), np.array([1]))
    gap = g.op("Abs", g.op("Sub", x, g.op("DequantizeLinear", w, scale, np.int8(-3))))
    total = g.op("ReduceSum", gap, np.array([2]), keepdims=0)
    g.output(g.op("Relu", g.op("Sub", np.float32(60), total)), "y", "f32", ["n", 40])
    onnx.save(g._model(), tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda")
    assert "gpu-gemm" in emitters(artifact)
    session = Session(artifact)
    for n in (1, 66):
        x = rng.normal(scale=3, size=(n, 37)).astype(np.float32)
        rounded = np.clip(np.rint(x / scale) - 3, -128, 127)
        sums = np.abs(rounded[:, None] - w).sum(-1) * np.float64(scale)
        agree(session.run({"x": x})["y"], np.maximum(60 - sums, 0), "FLOAT")
    session.close()
