"""Merged projections and row demand on whole models, against ONNX Runtime at several sizes."""

import json

import numpy as np
import onnx
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session
from models.builder import Graph

WIDTH, HEADS, VOCABULARY = 32, 4, 50
SIZES = [(1, 1), (2, 3), (1, 17), (3, 8)]


def linear(g, x, width, out, bias=True):
    y = g.op("MatMul", x, g.weight(width, out))
    return g.op("Add", y, g.weight(out, scale=1)) if bias else y


def norm(g, x):
    return g.op("LayerNormalization", x, g.weight(WIDTH), g.weight(WIDTH), axis=-1, epsilon=1e-5)


def causal_bias(g, x):
    length = g.op("Gather", g.op("Shape", x), np.int64(1))
    at = g.op("Range", np.int64(0), length, np.int64(1))
    rows, columns = (g.op("Unsqueeze", at, np.array([axis])) for axis in (1, 0))
    return g.op("Where", g.op("LessOrEqual", columns, rows), np.float32(0), np.float32(-np.inf))


def layer(g, x, bias, biases=(True, True, True)):
    heads = np.array([0, 0, HEADS, WIDTH // HEADS])
    y = norm(g, x)
    q, k, v = (
        g.op("Transpose", g.op("Reshape", linear(g, y, WIDTH, WIDTH, own), heads), perm=perm)
        for own, perm in zip(biases, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
    )
    scores = g.op("Mul", g.op("MatMul", q, k), np.float32((WIDTH // HEADS) ** -0.5))
    if bias:
        scores = g.op("Add", scores, bias)
    y = g.op("MatMul", g.op("Softmax", scores, axis=-1), v)
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, WIDTH]))
    x = g.op("Add", x, linear(g, y, WIDTH, WIDTH))
    y = g.op("Relu", linear(g, norm(g, x), WIDTH, 2 * WIDTH))
    return g.op("Add", x, linear(g, y, 2 * WIDTH, WIDTH))


def transformer(read, causal):
    g = Graph("transformer", 18)
    x = g.input("x", "f32", ["batch", "length", WIDTH])
    bias = causal_bias(g, x) if causal else None
    y = layer(g, x, bias)
    y = norm(g, layer(g, y, bias, biases=(True, False, True)))
    if causal:
        y = linear(g, y, WIDTH, VOCABULARY)
    y = read(g, y)
    if not causal:
        y = g.op("Tanh", linear(g, y, WIDTH, WIDTH))
    g.output(y, "y")
    return g.finish()


def gather(index):
    return lambda g, y: g.op("Gather", y, np.int64(index), axis=1)


def sliced(start, end):
    return lambda g, y: g.op("Slice", y, np.array([start]), np.array([end]), np.array([1]))


def first_and_last(g, y):
    return g.op("Sub", gather(0)(g, y), gather(-1)(g, y))


def given(g, y):
    return g.op("Gather", y, g.input("at", "i64", []), axis=1)


END = np.iinfo(np.int64).max
CASES = {
    "first": (gather(0), False, True),
    "last": (gather(-1), False, True),
    "last_logits": (gather(-1), True, True),
    "last_logit_row": (sliced(-1, END), True, True),
    "tail": (sliced(-5, END), True, True),
    "all": (lambda g, y: y, True, False),
    "given": (given, True, True),
    "two": (first_and_last, False, False),
}


@pytest.mark.parametrize("name", CASES)
def test_rows(name, tmp_path):
    read, causal, reduced = CASES[name]
    model = transformer(read, causal)
    onnx.save(model, tmp_path / "model.onnx")
    report = json.loads(cli.attune("explain", tmp_path / "model.onnx", "--json").stdout)
    applied = [r["rewrite"] for r in report["rewrites"] if r["applied"]]
    assert applied.count("ProjectionsMerged") == 2
    assert applied.count("RowsReduced") == reduced

    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")
    peer = oracle.session(model.SerializeToString())
    sessions = [Session(artifact, threads=threads) for threads in (1, 2)]
    for batch, length in SIZES:
        x = np.random.default_rng(length).standard_normal((batch, length, WIDTH))
        feeds = {"x": x.astype(np.float32)}
        if read is given:
            feeds["at"] = np.array(length // 2 - length, np.int64)
        got = [session.run(feeds)["y"] for session in sessions]
        assert got[0].tobytes() == got[1].tobytes()
        assert cli.worst(got[0], peer.run(None, feeds)[0], relative=True) <= 2e-5


def test_fewer_kernels_and_no_copies(tmp_path):
    """One product for queries, keys and values, whose slices attention reads in place."""
    onnx.save(transformer(gather(0), False), tmp_path / "model.onnx")
    report = json.loads(cli.attune("explain", tmp_path / "model.onnx", "--json").stdout)
    kernels = [(k["emitter"], k["name"]) for k in report["kernels"]]
    assert not [name for emitter, name in kernels if emitter == "loops"]
    assert not [name for emitter, name in kernels if name in ("extract_slice", "transpose")]
    merged = next(r for r in report["rewrites"] if r["rewrite"] == "ProjectionsMerged")
    assert "3 products" in merged["message"]
