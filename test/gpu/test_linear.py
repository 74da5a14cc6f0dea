"""Linear attention in chunks, on tensor cores and by multiply-add, against numpy."""

import json

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from models.builder import Graph

# Relative to the largest result; inputs are rounded before, sums are f32.
TOLERANCE = {"f32": 1e-5, "f16": 2e-3, "bf16": 1e-2}
F64 = np.float64
EPS = 1e-3


def dtype_of(name):
    return onnx.helper.tensor_dtype_to_np_dtype(
        {"f32": onnx.TensorProto.FLOAT, "f16": onnx.TensorProto.FLOAT16,
         "bf16": onnx.TensorProto.BFLOAT16}[name]
    )  # fmt: skip


def compiled(folder, graph, *flags):
    path = folder / "model.onnx"
    onnx.save(graph._model(), path)
    artifact = cli.compile(path, folder / "m.so", "--target=cuda", *flags)
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    assert "gpu-linear-attention" in {k["emitter"] for k in kernels}
    return artifact


def agree(got, want, dtype):
    got, want = got.astype(F64), np.asarray(want, F64)
    assert got.shape == want.shape
    assert np.abs(got - want).max(initial=0) <= TOLERANCE[dtype] * np.abs(want).max(initial=1e-3)


def elu1(x):
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def pairs(u, y, v, causal, weigh=None, eps=EPS):
    """The quadratic form, from features [B,H,N,F], in f64."""
    weights = u @ y.swapaxes(2, 3)
    if weigh is not None:
        weights = weights * weigh
    if causal:
        weights = np.where(np.tri(*weights.shape[2:], dtype=bool), weights, 0)
    return weights @ v / (weights.sum(-1, keepdims=True) + eps)


def normalised(dtype, causal, heads, depth, width):
    """A graph of q, k, v with elu(x) + 1: by the state, or by weights that are cut off."""
    kind = dtype_of(dtype)
    g = Graph("linear", 23)
    keys = "n" if causal else "m"
    q = g.input("q", dtype, ["b", heads, "n", depth])
    k = g.input("k", dtype, ["b", heads, keys, depth])
    v = g.input("v", dtype, ["b", heads, keys, width])
    q, k = (g.op("Add", g.op("Elu", x), np.ones((), kind)) for x in (q, k))
    turned, last = g.op("Transpose", k, perm=[0, 1, 3, 2]), np.array([-1])
    eps = np.array(EPS, kind)
    if causal:
        w = g.op("Trilu", g.op("MatMul", q, turned), upper=0)
        total = g.op("ReduceSum", w, last, keepdims=1)
        y = g.op("MatMul", g.op("Div", w, g.op("Add", total, eps)), v)
    else:
        z = g.op("ReduceSum", k, np.array([2]), keepdims=1)
        total = g.op("ReduceSum", g.op("Mul", q, z), last, keepdims=1)
        y = g.op("MatMul", q, g.op("MatMul", turned, v))
        y = g.op("Div", y, g.op("Add", total, eps))
    g.output(y, "y", dtype, ["b", heads, "n", width])
    return g


# Heads, features, value columns: tiles, below and above them, not of whole 16 bytes.
SHAPES = [(2, 64, 64), (1, 8, 40), (3, 65, 66), (1, 128, 17)]
# Lengths: empty, one, around a chunk, around a part, of queries and of keys.
LENGTHS = [(1, 1), (63, 65), (0, 5), (64, 300), (257, 64)]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("causal", [False, True])
def test_normalised(dtype, causal, tmp_path):
    rng = np.random.default_rng(4)
    kind = dtype_of(dtype)
    for number, (heads, depth, width) in enumerate(SHAPES):
        session = Session(compiled(tmp_path, normalised(dtype, causal, heads, depth, width)))
        for n, m in LENGTHS if number == 0 else LENGTHS[1:2]:
            m = n if causal else m
            feeds = {
                name: rng.normal(size=(2, heads, *shape)).astype(kind)
                for name, shape in {"q": (n, depth), "k": (m, depth), "v": (m, width)}.items()
            }
            u, y, v = (x.astype(F64) for x in feeds.values())
            got = session.run(feeds)["y"]
            agree(got, pairs(elu1(u), elu1(y), v, causal), dtype)
            assert got.tobytes() == session.run(feeds)["y"].tobytes()
        session.close()


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_later_values(dtype, tmp_path):
    """A value that is no number reaches later positions of its column, and nothing else."""
    rng = np.random.default_rng(8)
    kind, shape = dtype_of(dtype), (1, 1, 90, 16)
    session = Session(compiled(tmp_path, normalised(dtype, True, 1, 16, 16)))
    q, k, v = (rng.normal(size=shape).astype(kind) for _ in range(3))
    want = pairs(elu1(q.astype(F64)), elu1(k.astype(F64)), v.astype(F64), True)
    for position, x in [(0, np.nan), (5, np.inf), (31, -np.inf), (47, np.nan), (70, np.inf)]:
        changed = v.copy()
        changed[0, 0, position, 3] = x
        got = session.run({"q": q, "k": k, "v": changed})["y"].astype(F64)
        reached = np.zeros(shape, bool)
        reached[:, :, position:, 3] = True
        assert not np.isfinite(got[reached]).any()
        agree(np.where(reached, 0, got), np.where(reached, 0, want), dtype)
        late = k.copy()
        late[0, 0, position] = np.nan
        got = session.run({"q": q, "k": late, "v": v})["y"][:, :, :position]
        agree(got, want[:, :, :position], dtype)
    session.close()


@pytest.mark.parametrize("dtype, depth", [("f16", 40), ("bf16", 12), ("f32", 10)])
def test_positions(dtype, depth, tmp_path):
    """Features times the sine and the cosine of their position, of chunks of 16 bytes and not."""
    kind, width = dtype_of(dtype), 16
    g = Graph("cosformer", 20)
    q, k = (g.input(x, dtype, ["b", 2, "n", depth]) for x in "qk")
    v = g.input("v", dtype, ["b", 2, "n", width])
    tables = [g.input(x, dtype, ["n", 1]) for x in ("sin", "cos")]

    def features(x):
        x = g.op("Relu", x)
        return g.op("Concat", *(g.op("Mul", x, table) for table in tables), axis=-1)

    q, k = features(q), features(k)
    s = g.op("MatMul", g.op("Transpose", k, perm=[0, 1, 3, 2]), v)
    z = g.op("ReduceSum", k, np.array([2]), keepdims=1)
    total = g.op("ReduceSum", g.op("Mul", q, z), np.array([-1]), keepdims=1)
    total = g.op("Add", total, np.array(EPS, kind))
    g.output(g.op("Div", g.op("MatMul", q, s), total), "y", dtype, ["b", 2, "n", width])
    session = Session(compiled(tmp_path, g))
    rng = np.random.default_rng(6)
    for n in (1, 66, 300):
        angles = np.arange(n)[:, None] * np.pi / (2 * n)
        feeds = {x: rng.normal(size=(1, 2, n, depth)) for x in "qk"}
        feeds |= {"v": rng.normal(size=(1, 2, n, width)), "sin": np.sin(angles)}
        feeds = {x: y.astype(kind) for x, y in (feeds | {"cos": np.cos(angles)}).items()}
        q, k, v, *tables = (x.astype(F64) for x in feeds.values())
        u, y = (np.concatenate([np.maximum(x, 0) * t for t in tables], -1) for x in (q, k))
        agree(session.run(feeds)["y"], pairs(u, y, v, causal=False), dtype)
    session.close()


def recurrent(dtype, rule, heads, shared, depth, width):
    """ONNX LinearAttention with a state before and after."""
    g = Graph("linear", 27)
    q = g.input("q", dtype, ["b", "n", heads * depth])
    k = g.input("k", dtype, ["b", "n", shared * depth])
    v = g.input("v", dtype, ["b", "n", shared * width])
    past = g.input("past", dtype, ["b", shared, depth, width])
    gates = [g.input("g", dtype, ["b", "n", shared])] if rule == "gated" else []
    y, present = g.op("LinearAttention", q, k, v, past, *gates, outputs=2, q_num_heads=heads,
                      kv_num_heads=shared, update_rule=rule)  # fmt: skip
    g.output(y, "y", dtype)
    g.output(present, "present", dtype)
    return g


def recurrence(q, k, v, state, scale, decay=None):
    """ONNX LinearAttention on [B,H,N,D] in f64: results and the last state."""
    group = q.shape[1] // k.shape[1]
    results = []
    for t in range(q.shape[2]):
        if decay is not None:
            state = state * np.exp(decay[:, :, t])[..., None, None]
        state = state + k[:, :, t, :, None] * v[:, :, t, None, :]
        spread = np.repeat(state, group, 1)
        results.append(scale * np.einsum("bhd,bhde->bhe", q[:, :, t], spread))
    return np.stack(results, 2), state


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", ["linear", "gated"])
def test_states(dtype, rule, tmp_path):
    """Heads that share keys, a state before and after, one step at a time or several parts."""
    heads, shared, depth, width = 4, 2, 32, 24
    kind = dtype_of(dtype)
    session = Session(compiled(tmp_path, recurrent(dtype, rule, heads, shared, depth, width)))
    rng = np.random.default_rng(5)
    for b, n in [(2, 1), (1, 70), (1, 321)]:
        feeds = {
            "q": rng.normal(size=(b, n, heads * depth)),
            "k": rng.normal(size=(b, n, shared * depth)),
            "v": rng.normal(size=(b, n, shared * width)),
            "past": rng.normal(size=(b, shared, depth, width)),
        }
        if rule == "gated":
            feeds["g"] = -np.abs(rng.normal(size=(b, n, shared))) * 0.1
        feeds = {name: x.astype(kind) for name, x in feeds.items()}
        exact = {name: x.astype(F64) for name, x in feeds.items()}

        def split(name, count):
            return exact[name].reshape(b, n, count, -1).swapaxes(1, 2)

        decay = exact["g"].swapaxes(1, 2) if rule == "gated" else None
        want, state = recurrence(split("q", heads), split("k", shared), split("v", shared),
                                 exact["past"], depth**-0.5, decay)  # fmt: skip
        got = session.run(feeds)
        agree(got["y"], want.swapaxes(1, 2).reshape(b, n, heads * width), dtype)
        agree(got["present"], state, dtype)
    session.close()
