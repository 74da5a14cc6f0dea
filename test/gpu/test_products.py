"""Matrix products on tensor cores and by multiply-add, with epilogues, against numpy."""

import attune_cli as cli
import json
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from faults import INTERPRETED
from models import small
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
