"""What `make bench-gpu` measures: models in ONNX, inputs, how much work, and the names of the functions
in gpu_peers.py that do the same in PyTorch. `tiny`: sizes that the PTX interpreter can run.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from onnx import TensorProto

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test"))
from models import language, small  # noqa: E402
from models.half import half  # noqa: E402
from models.spelling import SPELLINGS  # noqa: E402

F16 = TensorProto.FLOAT16


@dataclass
class Case:
    name: str
    model: object
    feeds: dict
    peer: str  # of gpu_peers.PEERS
    options: dict = field(default_factory=dict)  # for the functions of the peer
    flops: float = 0  # 0: what counts is the time
    bytes: float = 0  # of operands and results, where they are the limit
    tolerance: float = 1e-2  # relative to the largest result


def draw(*shape, seed=0, scale=1.0):
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return (values * np.float32(scale)).astype(np.float16)


def attention(name, batch, heads, queries, keys, depth, causal=False, kv_heads=None):
    kv_heads = kv_heads or heads
    q = ["b", heads, "n", depth]
    k = ["b", kv_heads, "n" if causal else "m", depth]
    model = small.model(
        [("Attention", ["q", "k", "v"], "y", {"is_causal": int(causal)})],
        {"q": q, "k": k, "v": k}, q, dtype=F16,
    )  # fmt: skip
    shapes = [(batch, heads, queries, depth), *[(batch, kv_heads, keys, depth)] * 2]
    feeds = {n: draw(*s, seed=i) for i, (n, s) in enumerate(zip("qkv", shapes))}
    flops = 4 * batch * heads * queries * keys * depth / (2 if causal else 1)
    nbytes = 2 * depth * batch * (2 * heads * queries + 2 * kv_heads * keys)
    few = queries < 64
    return Case(name, model, feeds, "attention", {"causal": causal},
                flops=0 if few else flops, bytes=nbytes if few else 0)  # fmt: skip


def product(name, rows, depth, columns, epilogue=False):
    nodes = [("MatMul", ["x", "w"], "p", {})]
    if epilogue:
        nodes += [("Add", ["p", "bias"], "s", {}), ("Gelu", ["s"], "g", {"approximate": "tanh"})]
    nodes[-1] = (*nodes[-1][:2], "y", nodes[-1][3])
    inputs = {"x": ["n", depth], "w": [depth, columns]}
    feeds = {"x": draw(rows, depth), "w": draw(depth, columns, seed=1, scale=depth**-0.5)}
    if epilogue:
        inputs["bias"], feeds["bias"] = [columns], draw(columns, seed=2)
    few = rows < 64
    return Case(name, small.model(nodes, inputs, ["n", columns], dtype=F16), feeds, "product",
                flops=0 if few else 2 * rows * depth * columns,
                bytes=2 * (depth * columns + rows * (depth + columns)) if few else 0)  # fmt: skip


def linear_attention(name, batch, heads, length, depth, causal, chunk):
    """Features elu(x) + 1, normalised; `chunk` is PyTorch's."""
    features = [("Elu", ["q"], "qe", {}), ("Add", ["qe", "one"], "u", {}),
                ("Elu", ["k"], "ke", {}), ("Add", ["ke", "one"], "t", {}),
                ("Transpose", ["t"], "tt", {"perm": [0, 1, 3, 2]})]  # fmt: skip
    if causal:
        rest = [("MatMul", ["u", "tt"], "all", {}), ("Trilu", ["all"], "a", {"upper": 0}),
                ("ReduceSum", ["a", "last"], "z", {"keepdims": 1}),
                ("MatMul", ["a", "v"], "o", {}), ("Div", ["o", "z"], "y", {})]  # fmt: skip
    else:
        rest = [("MatMul", ["tt", "v"], "s", {}),
                ("ReduceSum", ["tt", "last"], "keys", {"keepdims": 1}),
                ("MatMul", ["u", "s"], "o", {}), ("MatMul", ["u", "keys"], "z", {}),
                ("Div", ["o", "z"], "y", {})]  # fmt: skip
    shape = ["b", heads, "n", depth]
    weights = {"one": np.float16(1), "last": np.array([-1])}
    model = small.model(features + rest, {n: shape for n in "qkv"}, shape, weights, F16)
    feeds = {n: draw(batch, heads, length, depth, seed=i) for i, n in enumerate("qkv")}
    # The state is built and read; what chunks add inside counts for nobody.
    flops = 4 * batch * heads * length * depth * depth
    return Case(name, model, feeds, "linear_attention", {"causal": causal, "chunk": chunk}, flops=flops,
                bytes=8 * batch * heads * length * depth)  # fmt: skip


def network(name, make, peer, config, sizes):
    case = make(SPELLINGS["native"], config)
    feeds = {n: x.astype(np.float16) if x.dtype == np.float32 else x
             for n, x in case.feeds(np.random.default_rng(0), *sizes).items()}  # fmt: skip
    return Case(name, half(case.model), feeds, peer, {"config": config}, tolerance=3e-2)


def networks(tiny):
    sizes = {"heads": 12, "kv_heads": 12, "positions": 2048}
    wide = {} if tiny else {**sizes, "head_dim": 32, "inner": 1536}
    deep = {} if tiny else {**sizes, "head_dim": 64, "inner": 3072}
    few, more = (1, 1) if tiny else (6, 12)
    many, past = ((2, 9), (1, 1, 5)) if tiny else ((32, 128), (8, 1, 1024))
    encoder = language.Config(depth=few, **wide)
    first = {"norm_first": True}
    yield network("MiniLM encoder", language.encoder, "encoder", encoder, many)
    yield network("cosFormer encoder", language.cosformer_encoder, "cosformer",
                  language.Config(depth=few, **wide, **first), many)  # fmt: skip
    yield network("GPT decode step", language.cached_decoder, "decoder",
                  language.Config(depth=more, **deep, **first), past)  # fmt: skip


def cases(tiny=False):
    """Attention, products, linear attention, models."""
    n, short = (64, 32) if tiny else (8192, 2048)
    batch = 1 if tiny else 2
    for depth in (64, 128):
        heads = 2 if tiny else 2048 // depth
        for causal in (False, True):
            for length in (n,) if tiny else (short, n):
                kind = "causal attention" if causal else "attention"
                yield attention(f"{kind} hd {depth} n {length}", batch * n // length, heads, length,
                                length, depth, causal)  # fmt: skip
    yield attention(f"decode hd 128 keys {n}", 1 if tiny else 16, 4 if tiny else 32, 1, n, 128,
                    kv_heads=2 if tiny else 8)  # fmt: skip
    wide = 64 if tiny else 4096
    yield product(f"product {wide}^3", wide, wide, wide)
    yield product("product bias GELU", 64 if tiny else 8192, wide // 4, wide, epilogue=True)
    yield product("product 16 rows", 16, wide, wide)
    for causal in (False, True):
        yield linear_attention(f"linear attention{' causal' * causal} hd 64", 1 if tiny else 4,
                               2 if tiny else 16, n, 64, causal, 16 if tiny else 128)  # fmt: skip
    yield from networks(tiny)
