"""Operators of com.microsoft against ONNX Runtime, each as a model of one node, its sizes static and
then all symbols that may be."""

import numpy as np
import onnx
import pytest
from onnx import helper

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session

RNG = np.random.default_rng(11)
TOLERANCE = 2e-5


def f32(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*shape, high):
    return RNG.integers(0, high, shape).astype(np.int32)


def u8(*shape):
    return RNG.integers(0, 256, shape).astype(np.uint8)


def case(label, op, inputs, outputs=1, fixed=(), left_out=(), **attributes):
    """`fixed`: inputs whose sizes stay numbers when the others become symbols."""
    return pytest.param(op, inputs, outputs, fixed, left_out, attributes, id=f"{op}-{label}")


def norms():
    x, skip, weight, bias = f32(2, 5, 24), f32(2, 5, 24), f32(24), f32(24)
    for op, inputs in (
        ("SkipLayerNormalization", [x, skip, weight, f32(24), bias]),
        ("SkipSimplifiedLayerNormalization", [x, skip, weight, bias]),
    ):
        yield case("all", op, inputs, 4, left_out=(1, 2), epsilon=1e-5)
        yield case("plain", op, inputs[:3])
    yield case("plain", "SimplifiedLayerNormalization", [x, weight], axis=-1, epsilon=1e-5)
    words, places, kinds = f32(30, 24), f32(9, 24), f32(2, 24)
    ids, segments, mask = ints(2, 5, high=30), ints(2, 5, high=2), np.ones((2, 5), np.int32)
    mask[1, 3:] = 0
    tables = [words, places, kinds, weight, bias]
    yield case("all", "EmbedLayerNormalization", [ids, segments, *tables, mask], 2, range(2, 7),
               mask_index_type=1)  # fmt: skip
    yield case("sum", "EmbedLayerNormalization", [ids, None, words, places, None, weight, bias], 3,
               range(2, 7))  # fmt: skip


def pointwise():
    x, bias = f32(2, 5, 24), f32(24)
    yield case("plain", "BiasGelu", [x, bias])
    yield case("plain", "FastGelu", [x])
    yield case("bias", "FastGelu", [x, bias])
    yield case("plain", "Gelu", [x])
    yield case("default", "QuickGelu", [x])
    yield case("alpha", "QuickGelu", [x], alpha=2.0)


def products():
    a, b = f32(2, 5, 7), f32(2, 7, 3)
    yield case("plain", "FusedMatMul", [a, b])
    yield case("scaled", "FusedMatMul", [a, b], alpha=0.25)
    yield case("transposed", "FusedMatMul", [f32(2, 7, 5), f32(2, 3, 7)], transA=1, transB=1)
    k, n, block = 40, 6, 16
    blocks = -(-k // block)
    x, scales = f32(3, k), f32(n, blocks)
    weights = u8(n, blocks, block // 2)
    shape = dict(K=k, N=n, bits=4, block_size=block, fixed=range(1, 4))
    yield case("plain", "MatMulNBits", [x, weights, scales], **shape)
    yield case("zeros", "MatMulNBits", [x, weights, scales, u8(n, (blocks + 1) // 2)], **shape)


def attention():
    q, k, v = f32(2, 5, 32), f32(2, 7, 32), f32(2, 7, 32)
    yield case("plain", "MultiHeadAttention", [q, k, v], num_heads=4)
    yield case("scale", "MultiHeadAttention", [q, k, v], num_heads=4, scale=0.3)
    yield case("causal", "MultiHeadAttention", [k, k, v], num_heads=4, unidirectional=1)
    yield case("bias", "MultiHeadAttention", [q, k, v, f32(96)], num_heads=4)
    mask = np.ones((2, 7), np.int32)
    mask[1, 4:] = 0
    yield case("mask", "MultiHeadAttention", [q, k, v, None, mask], num_heads=4)
    yield case("attention-bias", "MultiHeadAttention", [q, k, v, None, None, f32(2, 4, 5, 7)],
               num_heads=4)  # fmt: skip
    heads = [f32(2, 4, 7, 8), f32(2, 4, 7, 8)]
    yield case("split-keys", "MultiHeadAttention", [q, *heads], num_heads=4)
    cached = [q, q, q, None, None, None, f32(2, 4, 3, 8), f32(2, 4, 3, 8)]
    yield case("cache", "MultiHeadAttention", cached, 3, num_heads=4)
    x, tables = f32(2, 5, 32), [f32(16, 4), f32(16, 4)]
    first, each = np.array([3], np.int64), RNG.integers(0, 16, (2, 5))
    yield case("first", "RotaryEmbedding", [x, first, *tables], 1, (1, 2, 3), num_heads=4)
    yield case("each", "RotaryEmbedding", [x, each, *tables], 1, (2, 3), num_heads=4)
    yield case("interleaved", "RotaryEmbedding", [x, each, *tables], 1, (2, 3), num_heads=4,
               interleaved=1)  # fmt: skip


def grouped():
    sizes = dict(num_heads=4, kv_num_heads=2, fixed=range(10))

    # ONNX Runtime takes several queries on top of a past for one sequence only.
    def step(queries, past, total, *more):
        batch = 1 if past and queries > 1 else 2
        cache = [f32(batch, 2, past, 16), f32(batch, 2, past, 16)] if past else [None, None]
        last = np.full(batch, total - 1, np.int32)
        qkv = [f32(batch, queries, 64), f32(batch, queries, 32), f32(batch, queries, 32)]
        return [*qkv, *cache, last, np.array(total, np.int32), *more]

    op = "GroupQueryAttention"
    yield case("prompt", op, step(5, 0, 5), 3, **sizes)
    yield case("decode", op, step(1, 6, 7), 3, **sizes)
    yield case("chunk", op, step(3, 4, 7), 3, **sizes)
    yield case("window", op, step(5, 0, 5), 3, local_window_size=2, **sizes)
    yield case("decode-window", op, step(1, 6, 7), 3, local_window_size=3, **sizes)
    tables = [f32(16, 8), f32(16, 8)]
    yield case("rotary", op, step(3, 4, 7, *tables), 3, do_rotary=1, **sizes)


CASES = [*norms(), *pointwise(), *products(), *attention(), *grouped()]


def model_of(op, inputs, outputs, fixed, left_out, attributes, dynamic, results):
    names = ["" if v is None else f"x{i}" for i, v in enumerate(inputs)]
    named = ["" if i in left_out else f"y{i}" for i in range(outputs)]
    infos = []
    for position, value in enumerate(inputs):
        if value is not None:
            shape = list(value.shape)
            if dynamic and position not in fixed:
                shape = [f"n{e}" if axis < 2 and e > 1 else e for axis, e in enumerate(shape)]
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            infos.append(helper.make_tensor_value_info(names[position], kind, shape))
    ports = []
    for name, result in zip([n for n in named if n], results):
        kind = helper.np_dtype_to_tensor_dtype(result.dtype)
        shape = [None] * result.ndim if dynamic else result.shape
        ports.append(helper.make_tensor_value_info(name, kind, shape))
    domain = "" if op == "SimplifiedLayerNormalization" else "com.microsoft"
    node = helper.make_node(op, names, named, name="node", domain=domain, **attributes)
    imports = [helper.make_opsetid("", 22), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "contrib", infos, ports),
                              opset_imports=imports)  # fmt: skip
    model.ir_version = 10
    return model


def untyped(model):
    """With outputs of which nothing but the names is said."""
    names = [n for n in model.graph.node[0].output if n]
    model.graph.output.extend([helper.make_empty_tensor_value_info(n) for n in names])
    return model


@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("op, inputs, outputs, fixed, left_out, attributes", CASES)
def test_contrib(op, inputs, outputs, fixed, left_out, attributes, dynamic, tmp_path):
    inputs = [None if v is None else np.asarray(v) for v in inputs]
    feeds = {f"x{i}": v for i, v in enumerate(inputs) if v is not None}
    parts = (op, inputs, outputs, fixed, left_out, attributes)
    want = oracle.run(untyped(model_of(*parts, False, [])).SerializeToString(), feeds)
    path = tmp_path / "model.onnx"
    onnx.save(model_of(*parts, dynamic, want), path)
    session = Session(cli.compile(path, path.with_suffix(".so")), threads=2)
    got = session.run(feeds)
    for name, expected in zip(session.output_names, want):
        error = cli.worst(got[name], expected, relative=True)
        assert error <= TOLERANCE, f"output {name} differs by {error}"
