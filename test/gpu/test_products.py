"""Matrix products on tensor cores and by multiply-add, with epilogues, against numpy."""

import attune_cli as cli
import json
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from models import small
from onnx import TensorProto

# Relative to the largest result; inputs are rounded before, sums are f32.
TOLERANCE = {"FLOAT": 1e-5, "FLOAT16": 2e-3, "BFLOAT16": 1e-2}


def emitters(artifact):
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    return {k["emitter"] for k in kernels}


def run(folder, model, feeds, emitter="gpu-gemm"):
    path = folder / "model.onnx"
    onnx.save(model, path)
    artifact = cli.compile(path, folder / "m.so", "--target=cuda")
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
