"""Decoding in place: caches that grow in the caller's buffer, states that are overwritten.

Every case decodes a sequence piece by piece with one buffer for past and present; the results must
be those of causal attention over the whole sequence (numpy, f64).
"""

import ctypes
import mmap
import multiprocessing

import ml_dtypes
import numpy as np
import pytest

import attune_cli as cli
from attune_ctypes import RuntimeFault, Session
from models.builder import Graph

TYPES = {"f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}
TOLERANCE = {"f32": 5e-6, "f16": 4e-3, "bf16": 4e-2}


def operator(g, q, past, fresh, heads, kv_heads, depth):
    """ONNX Attention, which appends itself."""
    return g.op("Attention", q, *fresh, "", *past, outputs=3, is_causal=1)


def by_hand(g, q, past, fresh, heads, kv_heads, depth):
    """Concat, keys repeated for the query heads, one query at a time (no mask)."""
    present = [g.op("Concat", p, f, axis=2) for p, f in zip(past, fresh)]
    return attend(g, q, *present, heads, kv_heads, depth), *present


def heads_inside(g, q, past, fresh, heads, kv_heads, depth):
    """Caches [B,P,H,D], as they leave the projections."""
    fresh = [g.op("Transpose", f, perm=[0, 2, 1, 3]) for f in fresh]
    present = [g.op("Concat", p, f, axis=1) for p, f in zip(past, fresh)]
    keys, values = (g.op("Transpose", p, perm=[0, 2, 1, 3]) for p in present)
    return attend(g, q, keys, values, heads, kv_heads, depth), *present


def fixed_size(g, q, past, fresh, heads, kv_heads, depth):
    """Caches of one size: new entries are scattered to where the sequence ends."""
    start, length = (g.input(n, "i64", ["batch"]) for n in ("start", "length"))
    present = [g.op("TensorScatter", p, f, start, axis=2) for p, f in zip(past, fresh)]
    return g.op("Attention", q, *present, "", "", "", length, is_causal=1), *present


def attend(g, q, keys, values, heads, kv_heads, depth):
    group = heads // kv_heads
    if group > 1:
        for_all = np.array([1, 1, group, 1, 1], np.int64)
        shape = np.array([0, heads, -1, depth], np.int64)
        keys, values = (
            g.op("Reshape", g.op("Expand", g.op("Unsqueeze", x, np.array([2])), for_all), shape)
            for x in (keys, values)
        )
    scores = g.op("MatMul", q, g.op("Transpose", keys, perm=[0, 1, 3, 2]))
    scores = g.op("Mul", scores, np.float32(depth**-0.5))
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), values)


def model(spell, heads, kv_heads, depth, dtype="f32", past="past"):
    g = Graph("decoder", 24)
    q = g.input("q", dtype, ["batch", heads, "seq", depth])
    fresh = [g.input(n, dtype, ["batch", kv_heads, "seq", depth]) for n in ("k", "v")]
    shape = ["batch", kv_heads, past, depth]
    if spell is heads_inside:
        shape = ["batch", past, kv_heads, depth]
    caches = [g.input(f"past_{n}", dtype, shape) for n in ("key", "value")]
    y, *present = spell(g, q, caches, fresh, heads, kv_heads, depth)
    g.output(y, "y", dtype, ["batch", heads, "seq", depth])
    shape = [d if d != past else "total" for d in shape]
    for name, value in zip(("present_key", "present_value"), present):
        g.output(value, name, dtype, shape if spell is not fixed_size else None)
    return g.finish().SerializeToString()


def compiled(folder, graph, threads):
    (folder / "m.onnx").write_bytes(graph)
    cli.compile(folder / "m.onnx", folder / "m.so")
    return Session(folder / "m.so", threads=threads)


def sequence(rng, batch, heads, kv_heads, length, depth, dtype):
    draw = lambda h: rng.standard_normal((batch, h, length, depth)).astype(TYPES[dtype])  # noqa: E731
    return draw(heads), draw(kv_heads), draw(kv_heads)


def causal(q, k, v):
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = q @ k.swapaxes(2, 3) * q.shape[3] ** -0.5
    n = q.shape[2]
    scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True) @ v


def front(cache, n, axis):
    return cache[(slice(None),) * axis + (slice(n),)]


def step(session, q, k, v, caches, first, last, axis=2):
    """Positions [first, last), with past and present in `caches`; axis None: of fixed size."""
    names = ("key", "value")
    feeds = {n: x[:, :, first:last] for n, x in (("q", q), ("k", k), ("v", v))}
    if axis is None:
        for name, number in (("start", first), ("length", last)):
            feeds[name] = np.full(len(q), number)
        feeds |= {f"past_{n}": c for n, c in zip(names, caches)}
        return session.run(feeds, {f"present_{n}": c for n, c in zip(names, caches)})["y"]
    feeds |= {f"past_{n}": front(c, first, axis) for n, c in zip(names, caches)}
    into = {f"present_{n}": front(c, last, axis) for n, c in zip(names, caches)}
    return session.run(feeds, into)["y"]


ONE_BY_ONE = [1] * 40
PIECES = [5, 1, 1, 9, 1, 1, 1, 17, 1, 1, 3]
CASES = [
    (operator, 8, 2, 64, "f32", PIECES),
    (operator, 3, 3, 20, "f32", PIECES),
    (operator, 14, 2, 16, "f32", [70, 1, 1, 1]),
    (operator, 8, 2, 32, "f16", PIECES),
    (operator, 8, 2, 32, "bf16", PIECES),
    (by_hand, 8, 2, 64, "f32", ONE_BY_ONE),
    (by_hand, 1, 1, 7, "f32", ONE_BY_ONE),
    (heads_inside, 6, 2, 24, "f32", ONE_BY_ONE),
]


@pytest.mark.parametrize("spell,heads,kv_heads,depth,dtype,pieces", CASES)
def test_pieces_make_the_whole(tmp_path, spell, heads, kv_heads, depth, dtype, pieces):
    graph = model(spell, heads, kv_heads, depth, dtype)
    length, axis, kv = sum(pieces), 1 if spell is heads_inside else 2, kv_heads
    runs = []
    for threads in (1, 2):
        session = compiled(tmp_path, graph, threads)
        assert session.aliases == [
            ("past_key", "present_key", axis), ("past_value", "present_value", axis)
        ]  # fmt: skip
        for batch in (1, 2):
            rng = np.random.default_rng(batch)
            q, k, v = sequence(rng, batch, heads, kv, length, depth, dtype)
            shape = (batch, kv, length + 6, depth) if axis == 2 else (batch, length + 6, kv, depth)
            caches = [np.full(shape, np.nan, TYPES[dtype]) for _ in "kv"]
            rows, first = [], 0
            for piece in pieces:
                rows.append(step(session, q, k, v, caches, first, first + piece, axis))
                first += piece
            got = np.concatenate(rows, 2)
            runs.append(got)
            assert cli.worst(got.astype(np.float64), causal(q, k, v)) <= TOLERANCE[dtype]
            for cache, whole in zip(caches, (k, v)):
                want = whole if axis == 2 else whole.swapaxes(1, 2)
                assert np.array_equal(front(cache, length, axis), want)
                # Nothing is written behind the present.
                assert np.isnan(cache.astype(np.float32)).sum() == cache.size * 6 // (length + 6)
    assert np.array_equal(runs[0], runs[2]) and np.array_equal(runs[1], runs[3])


@pytest.mark.parametrize("heads,kv_heads,depth,dtype", [(8, 2, 64, "f32"), (4, 4, 5, "bf16"),
                                                        (2, 1, 1, "f32")])  # fmt: skip
def test_caches_of_fixed_size(tmp_path, heads, kv_heads, depth, dtype):
    graph = model(fixed_size, heads, kv_heads, depth, dtype)
    for threads in (1, 2):
        session = compiled(tmp_path, graph, threads)
        assert session.aliases == [
            ("past_key", "present_key", 0),
            ("past_value", "present_value", 0),
        ]
        length, rows, first = sum(PIECES), [], 0
        q, k, v = sequence(np.random.default_rng(1), 2, heads, kv_heads, length, depth, dtype)
        caches = [np.full((2, kv_heads, length + 6, depth), 3, TYPES[dtype]) for _ in "kv"]
        for piece in PIECES:
            rows.append(step(session, q, k, v, caches, first, first + piece, axis=None))
            first += piece
        got = np.concatenate(rows, 2)
        assert cli.worst(got.astype(np.float64), causal(q, k, v)) <= TOLERANCE[dtype]
        for cache, whole in zip(caches, (k, v)):
            assert np.array_equal(cache[:, :, :length], whole) and (cache[:, :, length:] == 3).all()


def grouped_query_attention(heads, kv_heads, depth):
    """The operator of com.microsoft: cache lengths are data, the buffers may be longer."""
    g = Graph("grouped", 22)
    rows = [
        g.input(n, "f32", ["batch", "seq", h * depth])
        for n, h in (("q", heads), ("k", kv_heads), ("v", kv_heads))
    ]
    shape = ["batch", kv_heads, "past", depth]
    past = [g.input(f"past_{n}", "f32", shape) for n in ("key", "value")]
    last, total = g.input("last", "i32", ["batch"]), g.input("total", "i32", [])
    outputs = g.op("GroupQueryAttention", *rows, *past, last, total, outputs=3,
                   domain="com.microsoft", num_heads=heads, kv_num_heads=kv_heads)  # fmt: skip
    g.output(outputs[0], "y", shape=["batch", "seq", heads * depth])
    for name, value in zip(("present_key", "present_value"), outputs[1:]):
        g.output(value, name, shape=["batch", kv_heads, "most", depth])
    return g


def rows(x):
    """[B,H,N,D] as [B,N,H*D]."""
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(len(x), x.shape[2], -1)


def grouped_feeds(q, k, v, caches, first, last):
    feeds = {n: rows(x[:, :, first:last]) for n, x in (("q", q), ("k", k), ("v", v))}
    feeds |= {"last": np.full(len(q), last - 1, np.int32), "total": np.int32(last)}
    return feeds | {"past_key": caches[0], "past_value": caches[1]}


def test_grouped_query_attention(tmp_path):
    """Past and present of one size: ONNX Runtime's shared buffers."""
    heads, kv_heads, depth, batch = 4, 2, 16, 2
    graph = grouped_query_attention(heads, kv_heads, depth).contrib().SerializeToString()
    length = sum(PIECES)
    q, k, v = sequence(np.random.default_rng(1), batch, heads, kv_heads, length, depth, "f32")
    for threads in (1, 2):
        session = compiled(tmp_path, graph, threads)
        assert session.aliases == [
            ("past_key", "present_key", 2),
            ("past_value", "present_value", 2),
        ]
        caches = [np.full((batch, kv_heads, length + 6, depth), 3, np.float32) for _ in "kv"]
        found, first = [], 0
        for piece in PIECES:
            last = first + piece
            feeds = grouped_feeds(q, k, v, caches, first, last)
            want = session.run(feeds)
            got = session.run(feeds, {"present_key": caches[0], "present_value": caches[1]})
            assert all(np.array_equal(got[n], want[n]) for n in want)
            found.append(got["y"])
            first = last
        assert cli.worst(np.concatenate(found, 1), rows(causal(q, k, v)).astype(np.float32)) <= 5e-6
        assert np.array_equal(caches[1][:, :, :length], v) and (caches[1][:, :, length:] == 3).all()
        # A past that is too short grows, in memory of its own.
        feeds["past_key"], feeds["past_value"] = (c[:, :, : length - 3].copy() for c in caches)
        assert session.run(feeds)["present_key"].shape[2] == length
        with pytest.raises(RuntimeFault, match="found shape"):
            session.run(feeds, {"present_key": feeds["past_key"]})


def test_separate_memory_still_works(tmp_path):
    """Dense inputs and outputs, buffers on one side only, a past of fixed length."""
    graph = model(operator, 4, 2, 16, past=6)
    session = compiled(tmp_path, graph, 2)
    q, k, v = sequence(np.random.default_rng(1), 2, 4, 2, 8, 16, "f32")
    want = causal(q, k, v)[:, :, 6:]
    caches = [np.full((2, 2, 11, 16), np.nan, np.float32) for _ in "kv"]
    for cache, whole in zip(caches, (k, v)):
        cache[:, :, :6] = whole[:, :, :6]
    dense = {"past_key": k[:, :, :6], "past_value": v[:, :, :6]}
    fresh = {"q": q[:, :, 6:], "k": k[:, :, 6:], "v": v[:, :, 6:]}
    got = session.run(fresh | dense)
    assert cli.worst(got["y"], want.astype(np.float32)) <= 5e-6
    assert np.array_equal(got["present_key"], k)
    into = {"present_key": caches[0][:, :, :8], "present_value": caches[1][:, :, :8]}
    again = session.run(fresh | dense, into)
    assert np.array_equal(again["y"], got["y"]) and np.array_equal(caches[1][:, :, :8], v)
    assert np.array_equal(step(session, q, k, v, caches, 6, 8), got["y"])


def in_locked_memory(path, threads):
    """Decodes one step while the pages of the past are read-only."""
    session = Session(path, threads=threads)
    page, depth = mmap.PAGESIZE, 64
    past, capacity = page // (4 * depth), 2 * page // (4 * depth)
    q, k, v = sequence(np.random.default_rng(1), 2, 8, 2, past + 1, depth, "f32")
    memories = [mmap.mmap(-1, 2 * 2 * 2 * page) for _ in "kv"]
    caches = [np.frombuffer(m, np.float32).reshape(2, 2, capacity, depth) for m in memories]
    for cache, whole in zip(caches, (k, v)):
        cache[:, :, :past] = whole[:, :, :past]
        for row in range(4):
            address = cache.ctypes.data + row * 2 * page
            assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(address), page, mmap.PROT_READ) == 0
    if any(p.name == b"total" for p in session.inputs):
        feeds = grouped_feeds(q, k, v, caches, past, past + 1)
        got = session.run(feeds, {"present_key": caches[0], "present_value": caches[1]})["y"]
        got = got.reshape(2, 8, 1, depth)
    else:
        axis = 2 if session.aliases[0][2] == 2 else None
        got = step(session, q, k, v, caches, past, past + 1, axis)
    assert cli.worst(got.astype(np.float64), causal(q, k, v)[:, :, past:]) <= 5e-6


@pytest.mark.parametrize("spell", [operator, by_hand, fixed_size, None])
def test_the_past_is_not_written(tmp_path, spell):
    contrib = grouped_query_attention(8, 2, 64).contrib().SerializeToString()
    compiled(tmp_path, model(spell, 8, 2, 64) if spell else contrib, 1).close()
    for threads in (1, 2):
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=in_locked_memory, args=(tmp_path / "m.so", threads))
        process.start()
        process.join()
        assert process.exitcode == 0


def test_partial_overlap_is_refused(tmp_path):
    session = compiled(tmp_path, model(operator, 4, 2, 16), 1)
    q, k, v = sequence(np.random.default_rng(1), 1, 4, 2, 9, 16, "f32")
    cache = np.zeros((1, 2, 12, 16), np.float32)
    feeds = {"q": q[:, :, :1], "k": k[:, :, :1], "v": v[:, :, :1], "past_value": v[:, :, :5]}
    packed = cache.reshape(-1)[: 2 * 6 * 16].reshape(1, 2, 6, 16)
    for past, present in [
        (cache[:, :, 1:6], cache[:, :, :6]),
        (cache[:, :, :5], cache[:, :, 1:7]),
        (cache[:, :, :5], packed),
    ]:
        with pytest.raises(RuntimeFault, match="`present_key` shares memory with input `past_key`"):
            session.run(feeds | {"past_key": past}, {"present_key": present})


def test_only_an_append_may_share(tmp_path):
    """New keys in front of the past: every step moves all of it; the new ones could grow."""

    def prepends(g, q, past, fresh, heads, kv_heads, depth):
        present = [g.op("Concat", f, p, axis=2) for p, f in zip(past, fresh)]
        return attend(g, q, *present, heads, kv_heads, depth), *present

    session = compiled(tmp_path, model(prepends, 4, 2, 16), 1)
    assert session.aliases == [("k", "present_key", 2), ("v", "present_value", 2)]
    q, k, v = sequence(np.random.default_rng(1), 1, 4, 2, 5, 16, "f32")
    caches = [np.zeros((1, 2, 12, 16), np.float32) for _ in "kv"]
    with pytest.raises(RuntimeFault, match="not dense row-major"):
        step(session, q, k, v, caches, 4, 5)


def test_explain(tmp_path):
    (tmp_path / "m.onnx").write_bytes(model(operator, 4, 2, 16))
    output = cli.attune("explain", tmp_path / "m.onnx").stdout
    assert output.count("in place CacheShared at `/Attention_1`") == 2, output
    assert "input 3 may grow in place along axis 2 to output 1" in output

    def returns_past(g, q, past, fresh, heads, kv_heads, depth):
        y, *present = by_hand(g, q, past, fresh, heads, kv_heads, depth)
        g.output(past[0], "old", shape=["batch", kv_heads, "past", depth])
        return y, *present

    (tmp_path / "m.onnx").write_bytes(model(returns_past, 4, 2, 16))
    output = cli.attune("explain", tmp_path / "m.onnx").stdout
    assert "copied   CacheNotShared" in output and "returned as it is" in output, output
    assert output.count("CacheShared") == 1


# States of constant size.


def linear_attention(g):
    """ONNX LinearAttention, delta rule with gates: updates its state."""
    names = [g.input(n, "f32", ["batch", "seq", 64]) for n in ("q", "k", "v")]
    state = g.input("past", "f32", ["batch", 4, 16, 16])
    gates = g.input("g", "f32", ["batch", "seq", 4])
    rates = g.input("r", "f32", ["batch", "seq", 4])
    return g.op("LinearAttention", *names, state, gates, rates, outputs=2,
                q_num_heads=4, kv_num_heads=4, update_rule="gated_delta")  # fmt: skip


def linear_sum(g):
    names = [g.input(n, "f32", ["batch", "seq", 96]) for n in ("q", "k", "v")]
    state = g.input("past", "f32", ["batch", 2, 48, 48])
    return g.op("LinearAttention", *names, state, outputs=2, q_num_heads=2, kv_num_heads=2,
                update_rule="linear")  # fmt: skip


def convolution(g):
    """The last positions of the input are the next call's past."""
    x = g.input("x", "f32", ["batch", 5, "seq"])
    state = g.input("past", "f32", ["batch", 5, 3])
    longer = g.op("Concat", state, x, axis=2)
    y = g.op("Conv", longer, g.weight(5, 1, 4), group=5)
    last = np.array([np.iinfo(np.int64).max])
    return y, g.op("Slice", longer, np.array([-3]), last, np.array([2]))


def gru(g):
    x = g.input("x", "f32", [1, "batch", 6])
    state = g.input("past", "f32", [1, "batch", 8])
    return g.op("GRU", x, g.weight(1, 24, 6), g.weight(1, 24, 8), "", "", state, outputs=2,
                hidden_size=8)  # fmt: skip


def matrix(g):
    """An output that needs all of the state for each of its elements."""
    x = g.input("x", "f32", ["seq", 40])
    state = g.input("past", "f32", [40, 40])
    present = g.op("MatMul", state, g.op("Softmax", state, axis=0))
    return g.op("MatMul", x, present), present


STATES = {"linear_attention": True, "linear_sum": True, "convolution": False, "gru": False,
          "matrix": False}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_states_in_place(tmp_path, name):
    g = Graph(name, 27 if name.startswith("linear") else 24)
    y, present = globals()[name](g)
    g.output(y, "y")
    g.output(present, "present")
    graph = g.finish().SerializeToString()
    for threads in (1, 2):
        session = compiled(tmp_path, graph, threads)
        # The others copy the old state first.
        assert session.aliases == ([("past", "present", 0)] if STATES[name] else [])
        rng = np.random.default_rng(3)
        for seq in (1, 4, 37):
            sizes = {"batch": 3, "seq": seq}
            feeds = {}
            for value in g.inputs:
                dims = value.type.tensor_type.shape.dim
                shape = [sizes[d.dim_param] if d.dim_param else d.dim_value for d in dims]
                feeds[value.name] = rng.standard_normal(shape).astype(np.float32) * 0.3
            if "g" in feeds:
                feeds["g"] = -np.abs(feeds["g"])
            want = session.run(feeds)
            state = feeds["past"].copy()
            got = session.run(feeds | {"past": state}, {"present": state})
            assert np.array_equal(got["y"], want["y"]) and np.array_equal(state, want["present"])


EMA = """
func.func @main(%x: tensor<?x?x40xf32> {attune.name = "x", attune.dims = ["batch", "seq", ""]},
                %h: tensor<?x40x4xf32> {attune.name = "past", attune.dims = ["batch", "", ""]})
    -> (tensor<?x?x40xf32> {attune.name = "y"}, tensor<?x40x4xf32> {attune.name = "present"}) {
  %a = arith.constant dense<0.9> : tensor<40x4xf32>
  %b = arith.constant dense<0.5> : tensor<40x4xf32>
  %y:2 = attune.ema ins(%x : tensor<?x?x40xf32>)
      coeffs(%a, %b, %b : tensor<40x4xf32>, tensor<40x4xf32>, tensor<40x4xf32>)
      init_state(%h : tensor<?x40x4xf32>)
      -> tensor<?x?x40xf32> final_state(tensor<?x40x4xf32>)
  return %y#0, %y#1 : tensor<?x?x40xf32>, tensor<?x40x4xf32>
}
"""


def test_moving_average_in_place(tmp_path):
    (tmp_path / "m.mlir").write_text(EMA)
    cli.compile(tmp_path / "m.mlir", tmp_path / "m.so")
    for threads in (1, 2):
        session = Session(tmp_path / "m.so", threads=threads)
        assert session.aliases == [("past", "present", 0)]
        rng = np.random.default_rng(3)
        for seq in (1, 2, 19):
            x = rng.standard_normal((2, seq, 40)).astype(np.float32)
            state = rng.standard_normal((2, 40, 4)).astype(np.float32)
            want = session.run({"x": x, "past": state})
            got = session.run({"x": x, "past": state}, {"present": state})
            assert np.array_equal(got["y"], want["y"]) and np.array_equal(state, want["present"])


def test_keys_by_columns(tmp_path):
    """Keys [B,H,D,P], which grow along their last axis."""
    heads, depth, length = 3, 16, 21
    g = Graph("columns", 24)
    q, k, v = (g.input(n, "f32", ["batch", heads, "seq", depth]) for n in "qkv")
    keys = g.input("past_key", "f32", ["batch", heads, depth, "past"])
    values = g.input("past_value", "f32", ["batch", heads, "past", depth])
    keys = g.op("Concat", keys, g.op("Transpose", k, perm=[0, 1, 3, 2]), axis=3)
    values = g.op("Concat", values, v, axis=2)
    scores = g.op("Mul", g.op("MatMul", q, keys), np.float32(depth**-0.5))
    g.output(g.op("MatMul", g.op("Softmax", scores, axis=-1), values), "y")
    g.output(keys, "present_key")
    g.output(values, "present_value")
    session = compiled(tmp_path, g.finish().SerializeToString(), 2)
    assert session.aliases == [("past_key", "present_key", 3), ("past_value", "present_value", 2)]
    q, k, v = sequence(np.random.default_rng(1), 2, heads, heads, length, depth, "f32")
    keys = np.full((2, heads, depth, length + 4), np.nan, np.float32)
    values = np.full((2, heads, length + 4, depth), np.nan, np.float32)
    found = []
    for n in range(length):
        feeds = {name: x[:, :, n : n + 1] for name, x in (("q", q), ("k", k), ("v", v))}
        feeds |= {"past_key": keys[..., :n], "past_value": values[:, :, :n]}
        into = {"present_key": keys[..., : n + 1], "present_value": values[:, :, : n + 1]}
        found.append(session.run(feeds, into)["y"])
    assert cli.worst(np.concatenate(found, 2).astype(np.float64), causal(q, k, v)) <= 5e-6
    assert (
        np.array_equal(keys[..., :length], k.swapaxes(2, 3)) and np.isnan(keys[..., length:]).all()
    )
