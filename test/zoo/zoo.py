"""The exported blocks under test/data/zoo, and what is raised from a graph."""

import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

import attune_cli as cli

ROOT = Path(__file__).resolve().parents[1] / "data" / "zoo"
OPS = ("attention", "linear_attention", "ema", "toeplitz", "map_mix", "contract")


@dataclass(frozen=True)
class Graph:
    folder: Path

    @property
    def system(self):
        return self.folder.parent.name

    @property
    def name(self):
        """system/spelling"""
        return f"{self.system}/{self.folder.name.rpartition('-')[0]}"

    @property
    def style(self):
        return self.folder.name.rpartition("-")[2]

    @property
    def id(self):
        return f"{self.system}/{self.folder.name}"

    @property
    def path(self):
        return self.folder / "model.onnx"

    def model(self):
        return onnx.load(self.path)

    def data(self):
        """(inputs by name, PyTorch's result) for each test data set."""
        for folder in sorted(self.folder.glob("test_data_set_*")):
            x, y = (
                numpy_helper.to_array(onnx.load_tensor(folder / f"{name}_0.pb"))
                for name in ("input", "output")
            )
            yield {"x": x}, y


GRAPHS = [Graph(p.parent) for p in sorted(ROOT.glob("*/*/model.onnx"))]


def raised(model, *flags):
    """The ops of the families in the IR after the raise stage: "attention", "2 attention", ..."""
    text = cli.attune("compile", model, "--stop-after=raise", *flags).stdout
    found = Counter(re.findall(rf"attune\.({'|'.join(OPS)})(?![\w.])", text))
    return " + ".join(f"{n} {op}" if n > 1 else op for op, n in sorted(found.items())) or "none"


def refusals(model):
    """Why regions that look like attention were not raised."""
    report = json.loads(cli.attune("explain", model, "--json").stdout)
    return [r["refused"] for r in report["regions"] if r["refused"]]


def powers_of_two(model):
    """How many products and convolutions the compiler finds to have weights that are powers of two."""
    report = json.loads(cli.attune("explain", model, "--json").stdout)
    return sum(r["rewrite"].startswith("ShiftCodes") for r in report["rewrites"])


def tolerance(want):
    return 2e-5 * max(1.0, float(np.abs(want).max(initial=0)))
