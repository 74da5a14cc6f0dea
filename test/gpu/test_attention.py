"""Fused attention against numpy in f64: sizes around tiles, masks, few queries, faults."""

import json
import os
import re

import attune_cli as cli
import faults
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from models import small
from onnx import TensorProto
from test_products import agree, emitters, values

needs_hopper = pytest.mark.skipif(
    not faults.INTERPRETED and os.environ.get("ATTUNE_TEST_GPU") != "sm_90a",
    reason="the GPU is not said to be one of sm_90a (ATTUNE_TEST_GPU)",
)
DTYPES = ["FLOAT", "FLOAT16", "BFLOAT16"]


def attention(queries, keys, dtype, value=None, mask=None, allowed=None, **attributes):
    """`mask`: the shape of a mask to add; `allowed`: a constant one."""
    extra = {"mask": mask} if mask else {}
    constants = {} if allowed is None else {"allowed": allowed}
    return small.model(
        [("Attention", ["q", "k", "v", *extra, *constants], "y", attributes)],
        {"q": queries, "k": keys, "v": value or keys, **extra},
        [*queries[:3], (value or keys)[3]],
        constants,
        dtype=getattr(TensorProto, dtype),
    )


def compiled(folder, model, gpu="sm_80"):
    onnx.save(model, folder / "model.onnx")
    flags = "--target=cuda", f"--gpu={gpu}"
    artifact = cli.compile(folder / "model.onnx", folder / "m.so", *flags)
    assert "gpu-attention" in emitters(artifact)
    return artifact


def oracle(q, k, v, mask=None, causal=False, softcap=0.0):
    """Rows without a key are 0."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[3])
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    if mask is not None:
        scores = scores + np.asarray(mask, np.float64)
    if causal:
        scores = np.where(np.tri(*scores.shape[2:], dtype=bool), scores, -np.inf)
    top = np.maximum(scores.max(-1, keepdims=True, initial=-np.inf), -1e300)
    weights = np.exp(scores - top)
    total = weights.sum(-1, keepdims=True)
    return np.divide(weights, total, out=np.zeros_like(weights), where=total > 0) @ v


def inputs(rng, dtype, b, heads, n, m, d, e=None):
    shapes = (b, heads[0], n, d), (b, heads[1], m, d), (b, heads[1], m, e or d)
    return {name: values(rng, shape, dtype) for name, shape in zip("qkv", shapes)}


# Queries and keys: 1, below, at and above tiles (of 16, 64 and 128 rows, 16 to 64 keys), primes, none;
# keys in one, two and three ranges where queries are few.
SIZES = [(1, 1), (3, 300), (16, 127), (17, 64), (63, 65), (64, 31), (67, 129), (129, 128), (18, 0)]
SIZES += [(2, 0), (0, 5)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
def test_sizes(dtype, causal, tmp_path):
    """Query heads that share keys."""
    model = attention(
        ["b", 4, "n", 64], ["b", 2, "m", 64], dtype, **({"is_causal": 1} if causal else {})
    )
    session = Session(compiled(tmp_path, model))
    rng = np.random.default_rng(1)
    for n, m in SIZES:
        feed = inputs(rng, dtype, 1, (4, 2), n, m, 64)
        got = session.run(feed)["y"]
        if m == 0:
            assert got.shape == (1, 4, n, 64)
            continue
        agree(got, oracle(*feed.values(), causal=causal), dtype)
    session.close()


@pytest.mark.parametrize(
    "d, e, dtype",
    [(16, 16, "FLOAT16"), (33, 50, "FLOAT16"), (96, 80, "BFLOAT16"), (128, 128, "FLOAT16"),
     (40, 24, "FLOAT"), (80, 128, "FLOAT")],
)  # fmt: skip
def test_head_sizes(d, e, dtype, tmp_path):
    """Columns that are no multiple of a fragment, values narrower or wider than keys."""
    session = Session(compiled(tmp_path, attention(
        [2, 2, "n", d], [2, 2, "m", d], dtype, [2, 2, "m", e])))  # fmt: skip
    rng = np.random.default_rng(2)
    for n, m in [(33, 70), (5, 140)]:
        feed = inputs(rng, dtype, 2, (2, 2), n, m, d, e)
        agree(session.run(feed)["y"], oracle(*feed.values()), dtype)
    session.close()


@pytest.mark.parametrize("dtype", DTYPES)
def test_masks(dtype, tmp_path):
    """Scores are changed by a region and a mask of which one row is empty."""
    model = attention(
        ["b", 4, "n", 16], ["b", 2, "m", 16], dtype, mask=["n", "m"], softcap=3.0, is_causal=1
    )
    session = Session(compiled(tmp_path, model))
    rng = np.random.default_rng(3)
    for b, n, m in [(2, 1, 5), (1, 9, 300), (2, 37, 37), (1, 130, 90)]:
        feed = inputs(rng, dtype, b, (4, 2), n, m, 16)
        feed["mask"] = values(rng, (n, m), dtype)
        feed["mask"][n // 2] = -np.inf
        got = session.run(feed)["y"]
        agree(got, oracle(*feed.values(), causal=True, softcap=3.0), dtype)
    session.close()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n, m", [(130, 97), (33, 200)])
def test_constant_masks(n, m, dtype, tmp_path):
    """Windows and blocks along the diagonal; some rows keep no key."""
    row, column = np.indices((n, m))
    window = (column <= row - 2) & (column >= row - 40)
    for number, allowed in enumerate([window, row // 24 == column // 24]):
        folder = tmp_path / str(number)
        folder.mkdir()
        model = attention([1, 4, n, 16], [1, 2, m, 16], dtype, allowed=allowed)
        session = Session(compiled(folder, model))
        feed = inputs(np.random.default_rng(4), dtype, 1, (4, 2), n, m, 16)
        want = oracle(*feed.values(), mask=np.where(allowed, 0, -np.inf))
        agree(session.run(feed)["y"], want, dtype)
        session.close()


@needs_hopper
@pytest.mark.parametrize("d, e, dtype", [(64, 64, "BFLOAT16"), (128, 64, "FLOAT16")])
def test_warp_groups(d, e, dtype, tmp_path):
    """Products by wgmma, one or two panels of 64 columns; blocks of 128 and 192 queries."""
    model = attention(
        ["b", 4, "n", d], ["b", 2, "m", d], dtype, ["b", 2, "m", e], ["n", "m"], is_causal=1
    )
    session = Session(compiled(tmp_path, model, "sm_90a"))
    rng = np.random.default_rng(8)
    for n, m in [(17, 64), (63, 65), (127, 31), (129, 200), (193, 128)]:
        feed = inputs(rng, dtype, 1, (4, 2), n, m, d, e)
        feed["mask"] = values(rng, (n, m), dtype)
        feed["mask"][n // 2] = -np.inf
        agree(session.run(feed)["y"], oracle(*feed.values(), causal=True), dtype)
    session.close()


@pytest.mark.parametrize("dtype", ["FLOAT", "FLOAT16"])
def test_heads_in_place(dtype, tmp_path):
    """Heads side by side in a row, in inputs and result; keys beyond the lengths are not read."""
    kind = getattr(TensorProto, dtype)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Attention", ["q", "k", "v", "", "", "", "length"], ["y"],
                               q_num_heads=4, kv_num_heads=2)],
        "model",
        [onnx.helper.make_tensor_value_info(name, kind, shape) for name, shape in
         {"q": ["b", "n", 128], "k": ["b", "m", 64], "v": ["b", "m", 64]}.items()]
        + [onnx.helper.make_tensor_value_info("length", TensorProto.INT64, ["b"])],
        [onnx.helper.make_tensor_value_info("y", kind, ["b", "n", 128])],
    )  # fmt: skip
    opset = onnx.helper.make_opsetid("", 24)
    session = Session(compiled(tmp_path, onnx.helper.make_model(
        graph, opset_imports=[opset], ir_version=11)))  # fmt: skip
    rng = np.random.default_rng(4)
    for n, m, lengths in [(2, 200, [0, 133]), (40, 70, [70, 33])]:
        feed = {
            name: values(rng, (2, rows, width), dtype)
            for name, rows, width in [("q", n, 128), ("k", m, 64), ("v", m, 64)]
        }
        for name in "kv":
            for row, length in zip(feed[name], lengths):
                row[length:] = np.nan
        q, k, v = (x.reshape(2, x.shape[1], -1, 32).transpose(0, 2, 1, 3) for x in feed.values())
        rows = [
            oracle(q[b : b + 1], k[b : b + 1, :, :length], v[b : b + 1, :, :length])
            for b, length in enumerate(lengths)
        ]
        want = np.concatenate(rows).transpose(0, 2, 1, 3).reshape(2, n, 128)
        got = session.run(feed | {"length": np.array(lengths)})["y"]
        got = np.where(np.array(lengths)[:, None, None] == 0, np.nan_to_num(got), got)
        agree(got, want, dtype)
    session.close()


@pytest.mark.parametrize("d, dtype", [(64, "FLOAT16"), (128, "BFLOAT16"), (64, "FLOAT")])
def test_accesses(d, dtype, tmp_path, monkeypatch):
    """No bank conflicts, no sector of memory in vain; few instructions for each product."""
    report = tmp_path / "report.json"
    monkeypatch.setenv("ATTUNE_PTX_REPORT", str(report))
    artifact = compiled(tmp_path, attention([1, 1, "n", d], [1, 1, "m", d], dtype))
    session = Session(artifact)
    for n, m in [(256, 256), (1, 256)]:
        session.run(inputs(np.random.default_rng(5), dtype, 1, (1, 1), n, m, d))
    session.close()
    launches = [json.loads(line) for line in report.read_text().splitlines()]
    products = [launch for launch in launches if launch.get("opcode:mma")]
    assert len(products) == 2 and len(launches) == 3
    for launch in products:
        assert launch["conflicts"] == []
        assert launch["global_sectors"] <= launch["global_ideal_sectors"]
    print({k: products[0][k] for k in products[0] if k.startswith(("opcode", "instr"))})


# A warp of its own has no barrier of the block, and no races that the interpreter sees.
RULES = {128: [faults.BARRIERS], 16: []}


@faults.needs_interpreter
@pytest.mark.parametrize("n", RULES)
def test_faults(n, tmp_path):
    """Of both forms, in sizes that leave no row or key out."""
    artifact = compiled(tmp_path, attention([1, 1, n, 32], [1, 1, 256, 32], "FLOAT16"))
    feed = inputs(np.random.default_rng(6), "FLOAT16", 1, (1, 1), n, 256, 32)
    faulty = faults.Faults(artifact, feed, [oracle(*feed.values())], 2e-3)
    rules = [*RULES[n], faults.PIPELINE, faults.FRAGMENTS, faults.OFFSETS]
    missed, tried = faulty.missed(sum(rules, []), most=2)
    assert not missed and tried >= 12


WARP_GROUPS = [
    ("copies not published", r"^\tfence\.proxy\.async[^;\n]*;", ""),
    ("no fence of registers", r"^\t?wgmma\.fence\.sync\.aligned;", ""),
    ("products not awaited", r"^\t?wgmma\.wait_group\.sync\.aligned[^;\n]*;", ""),
    ("products not committed", r"^\t?wgmma\.commit_group\.sync\.aligned;", ""),
    ("A registers swapped", r"(wgmma\.mma\S+ \{[^}]*\}, \{ *)(%\w+), (%\w+)", r"\1\3, \2"),
    ("values not transposed", r"(wgmma\.mma[^;]*, )1;", r"\g<1>0;"),
]


@faults.needs_interpreter
def test_faults_of_warp_groups(tmp_path):
    model = attention([1, 1, 128, 64], [1, 1, 192, 64], "FLOAT16")
    artifact = compiled(tmp_path, model, "sm_90a")
    feed = inputs(np.random.default_rng(9), "FLOAT16", 1, (1, 1), 128, 192, 64)
    faulty = faults.Faults(artifact, feed, [oracle(*feed.values())], 2e-3)
    missed, tried = faulty.missed(faults.BARRIERS + faults.PIPELINE + WARP_GROUPS, most=2)
    assert not missed and tried >= 12


@faults.needs_interpreter
def test_dropped_mask(tmp_path):
    artifact = compiled(tmp_path, attention([1, 1, 70, 16], [1, 1, 70, 16], "FLOAT16", is_causal=1))
    feed = inputs(np.random.default_rng(7), "FLOAT16", 1, (1, 1), 70, 70, 16)
    faulty = faults.Faults(artifact, feed, [oracle(*feed.values(), causal=True)], 2e-3)
    text, count = re.subn(r"(selp\.f32[^;]*), 0fFF800000, ", r"\1, 0f00000000, ", faulty.text)
    assert count > 0 and faulty.caught("no mask", text)
