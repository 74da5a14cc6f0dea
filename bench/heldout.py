"""The models of `cost_models.json`, which the cost model has never seen."""

import importlib.util
import json
import sys
from pathlib import Path

import case as cases
import models as blocks
import numpy as np
import onnx

FOLDER = Path(__file__).resolve().parent
POSITIONS, VOCABULARY = 512, 1000


def _generators():
    """test/models, under a name that leaves `models` to bench/models.py."""
    folder = FOLDER.parent / "test" / "models"
    spec = importlib.util.spec_from_file_location(
        "generators", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules["generators"] = package = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)
    from generators import builder, language, spelling, vision

    language.POSITIONS, language.VOCABULARY = POSITIONS, VOCABULARY
    return builder, language, spelling, vision


builder, language, spelling, vision = _generators()


def network(channels, size):
    """Residual convolutions, of half the size in every stage."""
    g = builder.Graph("network", 20, seed=9)
    x = g.input("image", "f32", ["batch", 3, size, size])
    inner = 3
    for width in channels:
        x = g.op("Relu", vision.convolution(g, x, inner, width, 3, stride=2))
        y = g.op("Relu", vision.convolution(g, x, width, width, 3))
        x = g.op("Relu", g.op("Add", x, vision.convolution(g, y, width, width, 3)))
        y = vision.convolution(g, x, width, width, 5, groups=width)
        x = g.op("Add", x, vision.convolution(g, y, width, width, 1))
        inner = width
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    g.output(g.op("MatMul", x, g.weight(inner, 100)), "logits", shape=["batch", 100])

    def feeds(rng, batch):
        return {"image": rng.standard_normal((batch, 3, size, size)).astype(np.float32)}

    return g.finish(), feeds


def build(entry):
    """(name, model, feeds(rng, **dims)) of an entry of the list."""
    if "graph" in entry or "rule" in entry:
        spec = blocks.feeds(entry.get("rule"))

        def feeds(rng, **dims):
            return cases.inputs({"dims": dims, "inputs": spec}, seed=int(rng.integers(1 << 30)))

        return entry.get("graph") or f"onnx-{entry['rule']}", blocks.model_of(entry), feeds
    if entry["family"] == "network":
        name = "network-" + "-".join(map(str, entry["channels"]))
        return name, *network(entry["channels"], entry["size"])
    style = {s.name: s for s in spelling.SPELLINGS.values()}[entry["spelling"]]
    arguments = dict(entry.get("arguments", {}))
    if "config" in entry:
        arguments["config"] = language.Config(**entry["config"])
    make = getattr(language, entry["family"], None) or getattr(vision, entry["family"])
    made = make(style, **arguments)
    width = f"-{arguments['config'].width}" if "config" in arguments else ""
    return made.name + width, made.model, made.feeds


def models(work, only=()):
    """Writes all models under `work`; gives (name, path, feeds, list of dims)."""
    table = json.loads((FOLDER / "cost_models.json").read_text())
    for entry in table["models"]:
        name, model, feeds = build(entry)
        if only and not any(part in name for part in only):
            continue
        path = Path(work) / f"{name}.onnx"
        if not path.exists():
            onnx.save(model, path)
        yield name, path, feeds, entry["dims"]
