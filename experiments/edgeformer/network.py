"""A member of the space as two ONNX models with random weights, as `make_table.py` trains it: the
encoder, which also makes the keys and values that every step reads, and one step of the decoder with
a cache that grows. Tied layers name the same weights."""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "models"))
from builder import Graph  # noqa: E402

D, HEADS, LENGTH, VOCAB, LIGHT, RANK = 64, 4, 20, 20, 32, 8
LAYERS, TIE, ADAPT, FFN = (2, 4), ("none", "all"), ("none", "bias", "adapter"), (64, 96)


class Builder(Graph):
    def __init__(self, name):
        super().__init__(name, opset=23)
        self.named = {}

    def shared(self, name, *shape):
        """The weight of this name, made when it is first met."""
        if name not in self.named:
            self.named[name] = self.weight(*shape)
        return self.named[name]

    def norm(self, name, x):
        scale, shift = self.shared(name + ".s", D), self.shared(name + ".t", D)
        return self.op("LayerNormalization", x, scale, shift, axis=-1)

    def product(self, name, x, channels, to):
        return self.op("MatMul", x, self.shared(name, channels, to))

    def feed_forward(self, name, x, width):
        inner = self.op("Relu", self.product(name + ".up", x, D, width))
        return self.product(name + ".down", inner, width, D)

    def embed(self, name, tokens, places):
        return self.op("Add", self.op("Gather", self.shared(name, VOCAB, D), tokens), places)

    def attend(self, q, k, v):
        return self.op("Attention", q, k, v, q_num_heads=HEADS, kv_num_heads=HEADS)


def encoder(genes):
    layers, tie, adapt, ffn = (
        choices[gene] for choices, gene in zip((LAYERS, TIE, ADAPT, FFN), genes)
    )
    g = Builder("encoder")
    x = g.embed(
        "source", g.input("tokens", "i64", [1, LENGTH + 1]), g.shared("places", LENGTH + 1, D)
    )
    for layer in range(layers):
        name = f"enc{0 if tie == 'all' else layer}"

        def adapted(place, y):
            return g.op("Add", y, g.shared(f"own{layer}.{place}", D)) if adapt == "bias" else y

        y = adapted("b1", g.norm(name + ".n1", x))
        q, k, v = (g.product(f"{name}.{part}", y, D, D) for part in "qkv")
        x = g.op("Add", x, g.product(name + ".out", g.attend(q, k, v), D, D))
        y = adapted("b2", g.norm(name + ".n2", x))
        x = g.op("Add", x, g.feed_forward(name, y, ffn))
        if adapt == "adapter":
            x = g.op("Add", x, g.feed_forward(f"own{layer}", x, RANK))
    memory = g.norm("last", x)
    for part in ("keys", "values"):
        g.output(g.product("cross." + part, memory, D, D), part, shape=[1, LENGTH + 1, D])
    return g.finish()


def step():
    """Self attention and cross attention, each followed by the same light product."""
    g = Builder("step")
    token, place = g.input("token", "i64", [1, 1]), g.input("place", "i64", [1, 1])
    cache = [g.input(name, "f32", [1, "past", D]) for name in ("past_keys", "past_values")]
    memory = [g.input(part, "f32", [1, LENGTH + 1, D]) for part in ("keys", "values")]
    x = g.embed("target", token, g.op("Gather", g.shared("places", LENGTH + 1, D), place))
    y = g.norm("n1", x)
    q, k, v = (g.product("self." + part, y, D, D) for part in "qkv")
    keys, values = (g.op("Concat", past, new, axis=1) for past, new in zip(cache, (k, v)))
    x = g.op("Add", x, g.product("self.out", g.attend(q, keys, values), D, D))
    x = g.op("Add", x, g.feed_forward("light", g.norm("n2", x), LIGHT))
    y = g.attend(g.product("cross.q", g.norm("n3", x), D, D), *memory)
    x = g.op("Add", x, g.product("cross.out", y, D, D))
    x = g.op("Add", x, g.feed_forward("light", g.norm("n4", x), LIGHT))
    g.output(g.product("head", g.norm("last", x), D, VOCAB), "logits", shape=[1, 1, VOCAB])
    for value, name in ((keys, "present_keys"), (values, "present_values")):
        g.output(value, name, shape=[1, "present", D])
    return g.finish()


def parameters(genes):
    """Trained numbers of both models; what several layers share counts once."""
    arrays = [a for m in (encoder(genes), step()) for a in m.graph.initializer]
    return sum(int(np.prod(a.dims)) for a in arrays if a.data_type == 1)
