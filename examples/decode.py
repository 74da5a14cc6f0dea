"""Decoding with key/value caches in place: `python examples/decode.py`.

Some layers of grouped-query attention with random weights decode with one buffer per cache
(docs/decoding.md), then again with new arrays at every step. The results are equal; the times show
what copying the past costs (the kernel does it, and the binding once more).
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))
import attune_cli as cli  # noqa: E402
from attune_ctypes import Session  # noqa: E402
from models.builder import Graph  # noqa: E402

LAYERS, HEADS, KV_HEADS, DEPTH = 4, 16, 4, 64


def model():
    """x + attention(x), layer by layer; the caches are inputs and outputs of each."""
    g, width = Graph("layers", 24), HEADS * DEPTH
    x = g.input("x", "f32", ["batch", "seq", width])
    for i in range(LAYERS):
        shape = ["batch", KV_HEADS, "past", DEPTH]
        past = [g.input(f"past.{i}.{n}", "f32", shape) for n in ("key", "value")]
        q = g.op("MatMul", x, g.weight(width, width))
        k, v = (g.op("MatMul", x, g.weight(width, KV_HEADS * DEPTH)) for _ in "kv")
        y, *present = g.op("Attention", q, k, v, "", *past, outputs=3, is_causal=1,
                           q_num_heads=HEADS, kv_num_heads=KV_HEADS)  # fmt: skip
        x = g.op("Add", x, g.op("MatMul", y, g.weight(width, width)))
        shape = ["batch", KV_HEADS, "total", DEPTH]
        for n, value in zip(("key", "value"), present):
            g.output(value, f"present.{i}.{n}", shape=shape)
    g.output(x, "y", shape=["batch", "seq", width])
    return g.finish()


def decode(session, rows, in_place):
    """Row after row of x [1, n, width], each with the caches of those before it; y, ms per row."""
    length = rows.shape[1]
    empty = np.zeros((1, KV_HEADS, length if in_place else 0, DEPTH), np.float32)
    buffers = {past: empty.copy() for past, _, _ in session.aliases}
    found = []
    start = time.perf_counter()
    for n in range(length):
        feeds, into = {"x": rows[:, n : n + 1]}, None
        if in_place:
            into = {new: buffers[past][:, :, : n + 1] for past, new, _ in session.aliases}
        results = session.run(feeds | {p: b[:, :, :n] for p, b in buffers.items()}, into)
        if not in_place:
            buffers = {past: results[new] for past, new, _ in session.aliases}
        found.append(results["y"])
    return np.concatenate(found, 1), (time.perf_counter() - start) / length * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model(), f"{folder}/model.onnx")
        session = Session(cli.compile(f"{folder}/model.onnx", f"{folder}/model.so"))
    for past, present, axis in session.aliases:
        print(f"{present} may grow in the memory of {past}, along axis {axis}")
    shape = (1, arguments.tokens, HEADS * DEPTH)
    rows = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y, in_place = decode(session, rows, True)
    again, copied = decode(session, rows, False)
    assert np.array_equal(y, again)
    print(f"{shape[1]} tokens: {in_place:.2f} ms each in place, {copied:.2f} ms with new arrays")


if __name__ == "__main__":
    main()
