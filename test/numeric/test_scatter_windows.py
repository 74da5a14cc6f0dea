"""Assignments to slices, as TorchScript exports them: ScatterND over ranges of sizes of the model."""

import json

import numpy as np
import onnx
import pytest

import attune_cli as cli
from attune_ctypes import Session
from models.builder import Graph


def extent(g, x, axis):
    return g.op("Gather", g.op("Shape", x), np.array(axis, np.int64), axis=0)


def positions(g, start, stop, axis, rank):
    """`start .. stop` along one of `rank` axes."""
    numbers = g.op("Range", start, stop, np.array(1, np.int64))
    shape = np.array([-1 if a == axis else 1 for a in range(rank)], np.int64)
    return g.op("Reshape", numbers, shape)


def assign(g, x, first, last, updates):
    """x[:, :, first:last] = updates, for x of rank 3."""
    zero = np.array(0, np.int64)
    ranges = [
        positions(g, zero, extent(g, x, 0), 0, 3),
        positions(g, zero, extent(g, x, 1), 1, 3),
        positions(g, np.array(first, np.int64), np.array(last, np.int64), 2, 3),
    ]
    shape = g.op("Shape", updates)
    places = [g.op("Unsqueeze", g.op("Expand", r, shape), np.array([-1])) for r in ranges]
    return g.op("ScatterND", x, g.op("Concat", *places, axis=-1), updates)


def saved(g, folder):
    path = folder / "model.onnx"
    onnx.save(g.finish(), path)
    return path


def session_of(model):
    return Session(cli.compile(model, model.with_suffix(".so")), threads=1)


@pytest.mark.parametrize("first, last", [(0, 4), (2, 9), (9, 16), (0, 16)])
def test_slice(first, last, tmp_path):
    g = Graph("assign", 18)
    x = g.input("x", "f32", ["batch", "length", 16])
    u = g.input("u", "f32", ["batch", "length", last - first])
    g.output(assign(g, x, first, last, g.op("Mul", u, np.float32(2))), "y")
    session = session_of(saved(g, tmp_path))
    rng = np.random.default_rng(3)
    for batch, length in ((1, 1), (2, 5), (3, 0)):
        x = rng.standard_normal((batch, length, 16)).astype(np.float32)
        u = rng.standard_normal((batch, length, last - first)).astype(np.float32)
        expected = x.copy()
        expected[:, :, first:last] = 2 * u
        np.testing.assert_array_equal(session.run({"x": x, "u": u})["y"], expected)


def test_filled_in_pieces_is_no_scatter(tmp_path):
    """Halves of an empty tensor, one after the other."""
    g = Graph("halves", 18)
    u, v = (g.input(name, "f32", ["batch", "length", 8]) for name in "uv")
    shape = g.op("Concat", g.op("Slice", g.op("Shape", u), np.array([0]), np.array([2])),
                 np.array([16]), axis=0)  # fmt: skip
    x = g.op("ConstantOfShape", shape)
    g.output(assign(g, assign(g, x, 0, 8, u), 8, 16, v), "y")
    model = saved(g, tmp_path)
    kernels = json.loads(cli.attune("explain", model, "--json").stdout)["kernels"]
    assert [k["emitter"] for k in kernels] == ["rowwise"], kernels
    a, b = (np.random.default_rng(n).standard_normal((2, 3, 8)).astype(np.float32) for n in (0, 1))
    result = session_of(model).run({"u": a, "v": b})["y"]
    np.testing.assert_array_equal(result, np.concatenate([a, b], axis=-1))
