"""PyTorch, compiled by its default compiler (inductor), for models that `FUNCTIONS` knows by name.

The functions say what a user of PyTorch would write; weights are those of the ONNX file.
"""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional

# Of bench/cheap_models.py.
SCALE, ZERO = 0.02, 128


def version():
    return torch.__version__.split("+")[0]


def adder(x, w):
    return -(x.unsqueeze(1) - w).abs().sum(2)


def adder_convolution(x, w, scale, bias, mean, variance):
    windows = functional.unfold(x, 3, padding=1)
    y = -(windows.unsqueeze(1) - w).abs().sum(2)
    y = y.reshape(x.shape[0], w.shape[1], *x.shape[2:])
    return functional.batch_norm(y, mean, variance, scale, bias)


def adder_bytes(x, w):
    x, w = ((v.float() - ZERO) * SCALE for v in (x, w))
    return -(x.unsqueeze(1) - w.unsqueeze(0)).abs().sum(2)


def product(x, w):
    return x @ w


def shift_sum(x, w):
    return (x.unsqueeze(1) * w).sum(2)


def shift_bits(x, p, s):
    wide = x.unsqueeze(1)
    shifted = (wide.abs() >> p.int()) * wide.sign() * s
    return shifted.sum(2, dtype=torch.int32)


def convolution(x, w, b):
    return functional.conv2d(x, w, b, padding=1)


# Names of the weights in the graph.
FUNCTIONS = {
    "adder": (adder, "w"),
    "adder-convolution": (adder_convolution, "w scale bias mean variance"),
    "adder-bytes": (adder_bytes, "w"),
    "product": (product, "w"),
    "product-row": (product, "w"),
    "shift-sum": (shift_sum, "w"),
    "shift-bits": (shift_bits, "p s"),
    "shift-product": (product, "w"),
    "shift-row": (product, "w"),
    "convolution": (convolution, "w b"),
}


class Session:
    def __init__(self, model, threads, work):
        torch.set_num_threads(threads)
        name = Path(model).stem
        if name not in FUNCTIONS:
            raise ValueError("not written in PyTorch")
        function, weights = FUNCTIONS[name]
        stored = {t.name: t for t in onnx.load(model).graph.initializer}
        self.weights = [
            torch.from_numpy(numpy_helper.to_array(stored[n]).copy()) for n in weights.split()
        ]
        self.function = torch.compile(function)

    def bind(self, feeds):
        self.x = torch.from_numpy(feeds["x"])

    def run(self):
        with torch.no_grad():
            return [self.function(self.x, *self.weights).numpy()]
