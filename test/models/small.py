"""Small models, each with what it computes in numpy. Sizes `b`, `n`, `m` are free."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(7)


def weight(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def model(nodes, inputs, output, weights=None, dtype=TensorProto.FLOAT):
    """`nodes`: (operator, inputs, output, attributes)."""

    def port(name, shape, of=TensorProto.FLOAT):
        return helper.make_tensor_value_info(name, of, shape)

    graph = helper.make_graph(
        [helper.make_node(op, i, [o], name=o, **attributes) for op, i, o, attributes in nodes],
        "model",
        [port(name, shape, dtype) for name, shape in inputs.items()],
        [port("y", output, TensorProto.FLOAT if dtype == TensorProto.INT64 else dtype)],
        [numpy_helper.from_array(np.asarray(w), name) for name, w in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def elementwise():
    b = weight(7)
    graph = model(
        [("Exp", ["x"], "e", {}), ("Add", ["e", "b"], "y", {})],
        {"x": ["n", 7]},
        ["n", 7],
        {"b": b},
    )
    return graph, lambda x: np.exp(x) + b


def layer():
    """A product that is no multiple of any tile, bias, norm, GELU by its tanh form."""
    w, bias, scale, shift = weight(13, 37), weight(37), weight(37), weight(37)
    graph = model(
        [
            ("MatMul", ["x", "w"], "p", {}),
            ("Add", ["p", "bias"], "s", {}),
            ("LayerNormalization", ["s", "scale", "shift"], "l", {"axis": -1}),
            ("Gelu", ["l"], "y", {"approximate": "tanh"}),
        ],
        {"x": ["b", "n", 13]},
        ["b", "n", 37],
        {"w": w, "bias": bias, "scale": scale, "shift": shift},
    )

    def oracle(x):
        s = x.astype(np.float64) @ w + bias
        s = (s - s.mean(-1, keepdims=True)) / np.sqrt(s.var(-1, keepdims=True) + 1e-5)
        s = s * scale + shift
        return 0.5 * s * (1 + np.tanh(np.sqrt(2 / np.pi) * (s + 0.044715 * s**3)))

    return graph, oracle


def attention(causal):
    heads = [["b", 3, "n", 8], ["b", 3, "n" if causal else "m", 8]]
    graph = model(
        [("Attention", ["q", "k", "v"], "y", {"is_causal": int(causal)})],
        {"q": heads[0], "k": heads[1], "v": heads[1]},
        heads[0],
    )

    def oracle(q, k, v):
        scores = q.astype(np.float64) @ k.swapaxes(-1, -2) / np.sqrt(8)
        if causal:
            scores = np.where(np.tri(q.shape[2], dtype=bool), scores, -np.inf)
        return softmax(scores) @ v

    return graph, oracle


def linear_attention(causal):
    """Features elu(x) + 1, written as linear products or as weights that are summed."""
    features = [
        (op, [i], o, {}) for i, e in (("q", "qe"), ("k", "ke")) for op, o in (("Elu", e),)
    ] + [("Add", [e, "one"], o, {}) for e, o in (("qe", "u"), ("ke", "t"))]
    weights = {"one": np.float32(1), "last": np.array([-1])}
    turned = ("Transpose", ["t"], "tt", {"perm": [0, 1, 3, 2]})
    if causal:
        nodes = [
            *features,
            turned,
            ("MatMul", ["u", "tt"], "all", {}),
            ("Trilu", ["all"], "a", {"upper": 0}),
            ("ReduceSum", ["a", "last"], "z", {"keepdims": 1}),
            ("MatMul", ["a", "v"], "o", {}),
            ("Div", ["o", "z"], "y", {}),
        ]
    else:
        nodes = [
            *features,
            turned,
            ("MatMul", ["tt", "v"], "s", {}),
            ("ReduceSum", ["tt", "last"], "keys", {"keepdims": 1}),
            ("MatMul", ["u", "s"], "o", {}),
            ("MatMul", ["u", "keys"], "z", {}),
            ("Div", ["o", "z"], "y", {}),
        ]
    shape = ["b", 2, "n", 5]
    graph = model(nodes, {"q": shape, "k": shape, "v": shape}, shape, weights)

    def oracle(q, k, v):
        u, t = (np.where(x > 0, x, np.expm1(x)).astype(np.float64) + 1 for x in (q, k))
        a = u @ t.swapaxes(-1, -2)
        a = np.tril(a) if causal else a
        return a @ v / a.sum(-1, keepdims=True)

    return graph, oracle


def adder():
    w = weight(11, 6)
    graph = model(
        [
            ("Unsqueeze", ["x", "last"], "wide", {}),
            ("Sub", ["wide", "w"], "gap", {}),
            ("Abs", ["gap"], "size", {}),
            ("ReduceSum", ["size", "inner"], "sum", {"keepdims": 0}),
            ("Neg", ["sum"], "y", {}),
        ],
        {"x": ["b", "n", 11]},
        ["b", "n", 6],
        {"w": w, "last": np.array([-1]), "inner": np.array([2])},
    )
    return graph, lambda x: -np.abs(x[..., None].astype(np.float64) - w).sum(2)


def lookup():
    table = weight(10, 12)
    graph = model(
        [("Gather", ["table", "x"], "g", {}), ("Relu", ["g"], "y", {})],
        {"x": ["b", "n"]},
        ["b", "n", 12],
        {"table": table},
        TensorProto.INT64,
    )
    return graph, lambda x: np.maximum(table[x], 0)


def running_sums():
    """Forwards, and backwards without the place itself."""
    graph = model(
        [
            ("CumSum", ["x", "axis"], "up", {}),
            ("CumSum", ["x", "axis"], "down", {"exclusive": 1, "reverse": 1}),
            ("Sub", ["up", "down"], "y", {}),
        ],
        {"x": ["b", "n", 4]},
        ["b", "n", 4],
        {"axis": np.array(1)},
    )

    def oracle(x):
        up = np.cumsum(x.astype(np.float64), 1)
        return 2 * up - x.astype(np.float64).sum(1, keepdims=True)

    return graph, oracle


def half():
    return model([("Relu", ["x"], "y", {})], {"x": ["n"]}, ["n"], dtype=TensorProto.FLOAT16)


MODELS = {
    "elementwise": elementwise,
    "layer": layer,
    "attention": lambda: attention(causal=False),
    "causal_attention": lambda: attention(causal=True),
    "linear_attention": lambda: linear_attention(causal=False),
    "causal_linear_attention": lambda: linear_attention(causal=True),
    "adder": adder,
    "lookup": lookup,
    "running_sums": running_sums,
}
