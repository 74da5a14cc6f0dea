"""Language models: encoder, causal decoder (with and without a cache), grouped-query decoder."""

from dataclasses import dataclass

import numpy as np

from .builder import Graph
from .case import Case

VOCABULARY, POSITIONS = 97, 64


@dataclass
class Config:
    depth: int = 2
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 16
    inner: int = 128
    activation: str = "gelu"
    norm_first: bool = False
    positions: int = POSITIONS
    packed: bool = False  # query, key and value by one MatMul and a Split
    layout: str = "transpose"  # or "einsum"

    @property
    def width(self):
        return self.heads * self.head_dim


SIZES = [dict(batch=1, seq=1), dict(batch=1, seq=8), dict(batch=3, seq=17), dict(batch=2, seq=64)]


def ids(rng, batch, seq):
    return rng.integers(0, VOCABULARY, (batch, seq))


def padding(rng, batch, seq):
    lengths = rng.integers(1, seq + 1, batch)
    lengths[0] = seq
    return (np.arange(seq) < lengths[:, None]).astype(np.int64)


def project(s, x, config):
    """Query, key and value, each [batch, heads, n, d]."""
    g, sizes = s.g, [config.heads, config.kv_heads, config.kv_heads]
    widths = [n * config.head_dim for n in sizes]
    if config.packed:
        wide = s.linear(x, config.width, sum(widths))
        parts = g.op("Split", wide, np.array(widths), outputs=3, axis=-1)
    else:
        parts = [s.linear(x, config.width, w) for w in widths]
    split = [s.reshape(p, (p, 0), (p, 1), n, config.head_dim) for p, n in zip(parts, sizes)]
    return [g.op("Transpose", p, perm=[0, 2, 1, 3]) for p in split]


def join(s, x, config):
    y = s.g.op("Transpose", x, perm=[0, 2, 1, 3])
    return s.linear(s.reshape(y, (y, 0), (y, 1), config.width), config.width, config.width)


def einsum_attention(s, x, config, mask):
    """Heads stay where the projection leaves them; Einsum contracts them in place."""
    g = s.g
    parts = []
    for _ in range(3):
        p = s.linear(x, config.width, config.width)
        parts.append(s.reshape(p, (p, 0), (p, 1), config.heads, config.head_dim))
    scores = g.op("Einsum", parts[0], parts[1], equation="bnhd,bmhd->bhnm")
    scores = g.op("Mul", scores, np.float32(config.head_dim**-0.5))
    if mask:
        scores = g.op("Where", mask, scores, np.float32(-1e9))
    y = g.op("Einsum", g.op("Softmax", scores, axis=-1), parts[2], equation="bhnm,bmhd->bnhd")
    return s.linear(s.reshape(y, (y, 0), (y, 1), config.width), config.width, config.width)


def self_attention(s, x, config, mask):
    if config.layout == "einsum":
        return einsum_attention(s, x, config, mask)
    q, k, v = project(s, x, config)
    y = s.attention(q, k, v, config.heads, config.kv_heads, config.head_dim, mask)
    return join(s, y, config)


def feed_forward(s, x, config):
    y = s.activation(s.linear(x, config.width, config.inner), config.activation)
    return s.linear(y, config.inner, config.width)


def block(s, x, config, attend):
    g = s.g
    if config.norm_first:
        x = g.op("Add", x, attend(s.layer_norm(x, config.width)))
        return g.op("Add", x, feed_forward(s, s.layer_norm(x, config.width), config))
    x = s.layer_norm(g.op("Add", attend(x), x), config.width)
    return s.layer_norm(g.op("Add", feed_forward(s, x, config), x), config.width)


def embed(s, tokens, config, offset=None):
    """Token plus position embedding; positions start at `offset` (a scalar) if given."""
    g = s.g
    table = g.weight(VOCABULARY, config.width, name="tokens", scale=1)
    places = g.weight(config.positions, config.width, name="positions", scale=0.3)
    length = s.size(tokens, 1)
    start = offset or np.int64(0)
    stop = g.op("Add", offset, length) if offset else length
    index = g.op("Range", start, stop, np.int64(1))
    return g.op("Add", g.op("Gather", table, tokens), g.op("Gather", places, index))


def causal_mask(s, queries, keys):
    """[1, 1, queries, keys], aligned at the end; both are scalars."""
    g = s.g
    if s.name == "torchscript":
        # A slice of a large constant triangle, as GPT-2 exports do.
        triangle = np.tril(np.ones((1, 1, POSITIONS, POSITIONS), bool))
        one = np.array([0])
        stop = g.op("Unsqueeze", keys, one)
        start = g.op("Unsqueeze", g.op("Sub", keys, queries), one)
        rows = g.op("Slice", triangle, start, stop, np.array([2]))
        return g.op("Slice", rows, np.array([0]), stop, np.array([3]))
    rows = g.op("Range", g.op("Sub", keys, queries), keys, np.int64(1))
    columns = g.op("Range", np.int64(0), keys, np.int64(1))
    rows = g.op("Unsqueeze", rows, np.array([0, 1, 3]))
    return g.op("GreaterOrEqual", rows, g.op("Unsqueeze", columns, np.array([0, 1, 2])))


def padding_mask(s, mask):
    g = s.g
    return g.op("Cast", g.op("Unsqueeze", mask, np.array([1, 2])), to=9)


def encoder(spelling, config=Config(), seed=0, mask="padding", name="encoder"):
    """BERT: token and position embeddings, `mask` is none, padding, causal or both."""
    g = Graph(name, spelling.opset, seed)
    s = spelling(g)
    tokens = g.input("input_ids", "i64", ["batch", "seq"])
    allowed = None
    if mask in ("padding", "both"):
        allowed = padding_mask(s, g.input("attention_mask", "i64", ["batch", "seq"]))
    if mask in ("causal", "both"):
        length = s.size(tokens, 1)
        causal = causal_mask(s, length, length)
        allowed = g.op("And", allowed, causal) if allowed else causal
    with g.scope("embeddings"):
        x = s.layer_norm(embed(s, tokens, config), config.width)
    for layer in range(config.depth):
        with g.scope(f"layer.{layer}"):
            x = block(s, x, config, lambda y: self_attention(s, y, config, allowed))
    g.output(x, "last_hidden_state", shape=["batch", "seq", config.width])

    def feeds(rng, batch, seq):
        values = {"input_ids": ids(rng, batch, seq)}
        if mask in ("padding", "both"):
            values["attention_mask"] = padding(rng, batch, seq)
        return values

    return Case(f"{name}-{spelling.name}", g.finish(), feeds, SIZES)


def cosformer_features(s, x):
    """relu(x) times sin and cos of the positions, [batch, heads, n, 2 d]."""
    g = s.g
    length = s.size(x, 2)
    places = g.op("Cast", g.op("Range", np.int64(1), g.op("Add", length, np.int64(1)), np.int64(1)),
                  to=1)  # fmt: skip
    angle = g.op("Div", g.op("Mul", places, np.float32(np.pi / 2)), g.op("Cast", length, to=1))
    angle = g.op("Unsqueeze", angle, np.array([1]))
    y = g.op("Relu", x)
    return g.op("Concat", *(g.op("Mul", y, g.op(f, angle)) for f in ("Sin", "Cos")), axis=-1)


def cosformer_attention(s, x, config):
    """Linear in the length (https://arxiv.org/abs/2202.08791, not causal)."""
    g = s.g
    q, k, v = project(s, x, config)
    q, k = cosformer_features(s, q), cosformer_features(s, k)
    turned = g.op("Transpose", k, perm=[0, 1, 3, 2])
    count = g.op("MatMul", q, g.op("ReduceSum", turned, np.array([-1]), keepdims=1))
    y = g.op("MatMul", q, g.op("MatMul", turned, v))
    return join(s, g.op("Div", y, g.op("Max", count, np.float32(1e-3))), config)


def cosformer_encoder(spelling, config=Config(norm_first=True), seed=4):
    """An encoder of cosFormer attention."""
    g = Graph("cosformer", spelling.opset, seed)
    s = spelling(g)
    tokens = g.input("input_ids", "i64", ["batch", "seq"])
    x = embed(s, tokens, config)
    for layer in range(config.depth):
        with g.scope(f"layer.{layer}"):
            x = block(s, x, config, lambda y: cosformer_attention(s, y, config))
    x = s.layer_norm(x, config.width)
    g.output(x, "last_hidden_state", shape=["batch", "seq", config.width])
    feeds = lambda rng, batch, seq: {"input_ids": ids(rng, batch, seq)}
    return Case(f"cosformer-{spelling.name}", g.finish(), feeds, SIZES)


def decoder(spelling, config=Config(norm_first=True, packed=True), seed=1):
    """GPT: causal, logits over the vocabulary by the transposed embedding."""
    g = Graph("decoder", spelling.opset, seed)
    s = spelling(g)
    tokens = g.input("input_ids", "i64", ["batch", "seq"])
    length = s.size(tokens, 1)
    mask = causal_mask(s, length, length)
    x = embed(s, tokens, config)
    for layer in range(config.depth):
        with g.scope(f"h.{layer}"):
            x = block(s, x, config, lambda y: self_attention(s, y, config, mask))
    x = s.layer_norm(x, config.width)
    logits = g.op("MatMul", x, g.weight(config.width, VOCABULARY, name="head"))
    g.output(logits, "logits", shape=["batch", "seq", VOCABULARY])
    feeds = lambda rng, batch, seq: {"input_ids": ids(rng, batch, seq)}
    return Case(f"decoder-{spelling.name}", g.finish(), feeds, SIZES)


def cached_decoder(spelling, config=Config(norm_first=True), seed=2):
    """GPT with keys and values of earlier tokens as inputs and the longer ones as outputs."""
    g = Graph("cached-decoder", spelling.opset, seed)
    s = spelling(g)
    tokens = g.input("input_ids", "i64", ["batch", "seq"])
    past_shape = ["batch", config.kv_heads, "past", config.head_dim]
    past = [
        [g.input(f"past.{i}.{n}", "f32", past_shape) for n in ("key", "value")]
        for i in range(config.depth)
    ]
    offset = s.size(past[0][0], 2)
    length = s.size(tokens, 1)
    mask = causal_mask(s, length, g.op("Add", offset, length))
    x = embed(s, tokens, config, offset)
    present = []

    def attend(y, layer):
        q, k, v = project(s, y, config)
        k = g.op("Concat", past[layer][0], k, axis=2)
        v = g.op("Concat", past[layer][1], v, axis=2)
        present.append((k, v))
        z = s.attention(q, k, v, config.heads, config.kv_heads, config.head_dim, mask)
        return join(s, z, config)

    for layer in range(config.depth):
        with g.scope(f"h.{layer}"):
            x = block(s, x, config, lambda y: attend(y, layer))
    g.output(x, "hidden", shape=["batch", "seq", config.width])
    for layer, pair in enumerate(present):
        for value, n in zip(pair, ("key", "value")):
            shape = ["batch", config.kv_heads, "total", config.head_dim]
            g.output(value, f"present.{layer}.{n}", shape=shape)

    def feeds(rng, batch, seq, past):
        values = {"input_ids": ids(rng, batch, seq)}
        shape = (batch, config.kv_heads, past, config.head_dim)
        for i in range(config.depth):
            for n in ("key", "value"):
                values[f"past.{i}.{n}"] = rng.standard_normal(shape).astype(np.float32)
        return values

    sizes = [(1, 5, 0), (1, 1, 5), (2, 3, 8), (2, 1, 33)]
    dims = [dict(batch=b, seq=n, past=p) for b, n, p in sizes]
    return Case(f"cached-decoder-{spelling.name}", g.finish(), feeds, dims)


def gqa_decoder(spelling, config=Config(heads=6, kv_heads=2, activation="silu"), seed=3):
    """LLaMA: RMS norms, rotary positions, grouped heads, gated feed-forward."""
    g = Graph("gqa-decoder", spelling.opset, seed)
    s = spelling(g)
    tokens = g.input("input_ids", "i64", ["batch", "seq"])
    length = s.size(tokens, 1)
    mask = causal_mask(s, length, length)
    x = g.op("Gather", g.weight(VOCABULARY, config.width, name="tokens", scale=1), tokens)
    cos, sin = rotary_tables(s, length, config.head_dim)
    for layer in range(config.depth):
        with g.scope(f"layers.{layer}"):
            q, k, v = project(s, s.rms_norm(x, config.width), config)
            q, k = s.rotary(q, cos, sin), s.rotary(k, cos, sin)
            y = s.attention(q, k, v, config.heads, config.kv_heads, config.head_dim, mask)
            x = g.op("Add", x, join(s, y, config))
            y = s.rms_norm(x, config.width)
            gate = s.activation(s.linear(y, config.width, config.inner, bias=False), "silu")
            y = g.op("Mul", gate, s.linear(y, config.width, config.inner, bias=False))
            x = g.op("Add", x, s.linear(y, config.inner, config.width, bias=False))
    g.output(s.rms_norm(x, config.width), "hidden", shape=["batch", "seq", config.width])
    feeds = lambda rng, batch, seq: {"input_ids": ids(rng, batch, seq)}
    return Case(f"gqa-decoder-{spelling.name}", g.finish(), feeds, SIZES)


def rotary_tables(s, length, head_dim):
    """cos and sin, [n, d/2], computed in the graph from Range as exporters leave them."""
    g = s.g
    frequency = (10000.0 ** (-np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
    places = g.op("Cast", g.op("Range", np.int64(0), length, np.int64(1)), to=1)
    angle = g.op("Mul", g.op("Unsqueeze", places, np.array([1])), frequency[None, :])
    return g.op("Cos", angle), g.op("Sin", angle)
