"""Attention whose mask is a constant: equal to numpy, and priced by the keys that are left."""

import json

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph

HEADS, DEPTH = 2, 16
LOWEST = {"infinite": -np.inf, "finite": -1e9}
# Rows and keys around the tiles of kernels.
SIZES = [(1, 1), (1, 7), (5, 3), (33, 65), (64, 64), (65, 130), (127, 128)]


def causal(row, column):
    return column <= row


def shifted(row, column):
    """The first rows keep no key."""
    return column <= row - 3


def window(row, column):
    return (column <= row + 2) & (column >= row - 9)


def blocks(row, column):
    return row // 32 == column // 32


def causal_blocks(row, column):
    return blocks(row, column) & causal(row, column)


def padding(row, column):
    return (column < 50) & (row >= 1)


def dilated(row, column):
    """No bounds say this, but some contain it."""
    return window(row, column) & ((row - column) % 3 == 0)


def scattered(row, column):
    """Without bounds."""
    return (row * 7 + column * 5) % 3 != 0


LAWS = [causal, shifted, window, blocks, causal_blocks, padding, dilated, scattered]


def mask_of(law, n, m):
    return law(*np.indices((n, m)))


def native(g, q, k, v, allowed, kind):
    mask = allowed if kind == "bool" else np.where(allowed, 0, LOWEST[kind]).astype(np.float32)
    return g.op("Attention", q, k, v, mask, scale=0.3)


def spelled(g, q, k, v, allowed, kind):
    """Rows without keys are guarded."""
    x = g.op("Mul", g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2])), np.float32(0.3))
    lowest = np.float32(LOWEST.get(kind, -np.inf))
    if kind == "bool":
        x = g.op("Where", allowed, x, lowest)
    else:
        x = g.op("Add", x, np.where(allowed, np.float32(0), lowest)[None, None])
    p = g.op("Softmax", x, axis=-1)
    p = g.op("Where", g.op("IsNaN", p), np.float32(0), p)
    return g.op("MatMul", p, v)


def build(spelling, kind, sizes, mask):
    """One attention per size, [name, queries, keys]."""
    g = Graph("masks", opset=23)
    for name, n, m in sizes:
        q = g.input(f"{name}_q", "f32", [2, HEADS, n, DEPTH])
        k, v = (g.input(f"{name}_{x}", "f32", [2, HEADS, m, DEPTH]) for x in "kv")
        y = spelling(g, q, k, v, mask(name, n, m), kind)
        g.output(y, f"{name}_y", shape=[2, HEADS, n, DEPTH])
    return g.finish()


def expected(q, k, v, allowed, kind):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    x = 0.3 * q @ k.swapaxes(-1, -2) + np.where(allowed, 0, LOWEST.get(kind, -np.inf))
    highest = x.max(-1, keepdims=True)
    w = np.exp(x - np.where(np.isinf(highest), 0, highest))
    total = w.sum(-1, keepdims=True)
    return (w / np.where(total == 0, 1, total) @ v).astype(np.float32)


CASES = [(s, k) for s in (native, spelled) for k in ("bool", "infinite", "finite")]


@pytest.mark.parametrize("spelling, kind", CASES)
def test_equal_to_numpy(spelling, kind, tmp_path):
    """Every law has another size in every case."""
    turn = CASES.index((spelling, kind))
    laws = {}
    for number, law in enumerate(LAWS):
        n, m = SIZES[(number + turn) % len(SIZES)]
        laws[f"{law.__name__}_{n}_{m}"] = law, n, m
    sizes = [(name, n, m) for name, (_, n, m) in laws.items()]
    model = build(spelling, kind, sizes, lambda name, n, m: mask_of(laws[name][0], n, m))
    onnx.save(model, tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")
    rng = np.random.default_rng(7)
    feeds = {
        i.name: rng.normal(size=[d.dim_value for d in i.type.tensor_type.shape.dim])
        for i in model.graph.input
    }
    feeds = {name: value.astype(np.float32) for name, value in feeds.items()}
    one, two = (Session(artifact, threads=threads).run(feeds) for threads in (1, 2))
    for name, (law, n, m) in laws.items():
        q, k, v = (feeds[f"{name}_{x}"] for x in "qkv")
        want = expected(q, k, v, mask_of(law, n, m), kind)
        # A finite mask of a whole row rounds its scores to steps of 64 in f32.
        rows = mask_of(law, n, m).any(-1) if kind == "finite" else np.full(n, True)
        got = one[f"{name}_y"]
        assert cli.worst(got[:, :, rows], want[:, :, rows]) <= 4e-6, name
        assert np.array_equal(got, two[f"{name}_y"]), name


@pytest.mark.parametrize("spelling", [native, spelled])
def test_keys_out_of_bounds_take_no_time(spelling, tmp_path):
    """As predicted for one size by what kernels know of their masks."""

    def latency(law, kind):
        size = [("only", 512, 512)]
        path = tmp_path / f"{law.__name__}_{kind}.onnx"
        onnx.save(build(spelling, kind, size, lambda _, n, m: mask_of(law, n, m)), path)
        return json.loads(cli.attune("cost", path, "--json").stdout)["latency_ms"]

    whole = latency(scattered, "bool")
    for kind in ("bool", "infinite", "finite"):
        assert latency(causal, kind) < 0.65 * whole, kind
        for law in (window, blocks, dilated):
            assert latency(law, kind) < 0.2 * whole, (law.__name__, kind)
