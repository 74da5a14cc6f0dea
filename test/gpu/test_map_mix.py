"""Mixing of attention maps as one launch, against numpy."""

import json

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import Session
from models.builder import Graph

# One, below, at and above a tile of 16 rows and 64 columns, primes.
SIZES = [(1, 1, 1), (1, 15, 65), (2, 16, 64), (1, 17, 131), (0, 3, 3)]


def convolution(x, w, bias, groups=1, dilation=1):
    """[B,I,N,M] with [O,I/groups,P,Q], padded to the same size."""
    out, inside, rows, columns = w.shape
    r, c = rows // 2 * dilation, columns // 2 * dilation
    padded = np.pad(x, [(0, 0), (0, 0), (r, r), (c, c)])
    y = np.zeros((x.shape[0], out, *x.shape[2:])) + bias[:, None, None]
    for o in range(out):
        first = o // (out // groups) * inside
        for p in range(rows):
            for q in range(columns):
                part = padded[:, first : first + inside, p * dilation :, q * dilation :]
                part = part[:, :, : x.shape[2], : x.shape[3]]
                y[:, o] += np.einsum("binm,i->bnm", part, w[o, :, p, q])
    return y


class Stage:
    def __init__(self, rng, out, inside, size=3, groups=1, dilation=1, slope=None, bias=True):
        self.w = rng.normal(size=(out, inside // groups, size, size)).astype(np.float32) / 4
        self.bias = rng.normal(size=out).astype(np.float32) * bias
        self.groups, self.dilation, self.slope = groups, dilation, slope

    def node(self, g, x):
        size = self.w.shape[2]
        pad = size // 2 * self.dilation
        x = g.op("Conv", x, self.w, self.bias, kernel_shape=[size] * 2, pads=[pad] * 4,
                 group=self.groups, dilations=[self.dilation] * 2)  # fmt: skip
        return x if self.slope is None else g.op("LeakyRelu", x, alpha=self.slope)

    def numpy(self, x):
        x = convolution(x, self.w.astype(np.float64), self.bias, self.groups, self.dilation)
        return x if self.slope is None else np.where(x >= 0, x, self.slope * x)


RNG = np.random.default_rng(3)
# Stages, what the previous maps weigh, what the mixed ones do.
CASES = {
    "evolving": ([Stage(RNG, 4, 4, slope=0.125)], 0.5, 0.25),
    "heads": ([Stage(RNG, 6, 4, size=1)], 0, 1),
    "unbiased": ([Stage(RNG, 4, 4, size=1, bias=False)], 0, 1),
    "two": ([Stage(RNG, 5, 4, size=1, slope=0.125), Stage(RNG, 4, 5, dilation=2)], 0, 0.5),
    "groups": ([Stage(RNG, 6, 6, size=5, groups=2, slope=0.125)], 0.25, 1),
}


def graph(stages, beta, alpha):
    inside = stages[0].w.shape[1] * stages[0].groups
    out = stages[-1].w.shape[0]
    # The maps are products, as those of attention.
    g = Graph("map_mix", 20)
    q = g.input("q", "f32", ["b", inside, "n", 8])
    k = g.input("k", "f32", ["b", inside, "m", 8])
    old = g.input("p", "f32", ["b", inside, "n", "m"])
    s = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))

    def blend(x, y, factor):
        x = g.op("Mul", x, np.float32(factor))
        return g.op("Add", x, g.op("Mul", y, np.float32(1 - factor)))

    x = y = blend(old, s, beta) if beta else s
    for stage in stages:
        y = stage.node(g, y)
    y = g.op("Softmax", y if alpha == 1 else blend(y, x, alpha), axis=-1)
    g.output(y, "y", "f32", ["b", out, "n", "m"])
    return g


@pytest.mark.parametrize("name", CASES)
def test_mix(name, tmp_path):
    stages, beta, alpha = CASES[name]
    inside = stages[0].w.shape[1] * stages[0].groups
    g = graph(*CASES[name])
    onnx.save(g._model(), tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "m.so", "--target=cuda")
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    assert [k["emitter"] for k in kernels].count("gpu-map-mix") == 1
    session = Session(artifact)
    rng = np.random.default_rng(4)
    for b, n, m in SIZES:
        shapes = {"q": (b, inside, n, 8), "k": (b, inside, m, 8), "p": (b, inside, n, m)}
        feeds = {x: rng.normal(size=shape).astype(np.float32) for x, shape in shapes.items()}
        x = feeds["q"].astype(np.float64) @ feeds["k"].swapaxes(2, 3)
        x = y = beta * feeds["p"] + (1 - beta) * x if beta else x
        for stage in stages:
            y = stage.numpy(y)
        y = np.exp(y := alpha * y + (1 - alpha) * x if alpha != 1 else y)
        got = session.run(feeds)["y"]
        want = y / y.sum(-1, keepdims=True)
        assert got.shape == want.shape
        assert np.abs(got - want).max(initial=0) <= 1e-5
    session.close()
