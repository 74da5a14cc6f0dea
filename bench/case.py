"""Bench cases: which model, which sizes, which inputs (`cases/*.json`)."""

import json
import sysconfig
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent


def load(names=None):
    """The cases of those names (file stems), or all of them."""
    files = sorted((FOLDER / "cases").glob("*.json"))
    known = {f.stem: f for f in files}
    unknown = [n for n in names or [] if n not in known]
    if unknown:
        raise SystemExit(f"no such case: {', '.join(unknown)} (known: {', '.join(known)})")
    return {n: json.loads(known[n].read_text()) for n in names or known}


def model_path(case):
    """Models come out of installed Python packages, so that every machine has the same bytes; or
    from a given path."""
    if "path" in case["model"]:
        return case["model"]["path"]
    return Path(sysconfig.get_path("purelib")) / case["model"]["package"] / case["model"]["file"]


def inputs(case, dims=None, seed=0):
    dims = {**case["dims"], **(dims or {})}
    rng = np.random.default_rng(seed)
    feeds = {}
    for name, spec in case["inputs"].items():
        shape = [dims.get(d, d) for d in spec["shape"]]
        fill, dtype = spec["fill"], np.dtype(spec["dtype"])
        if fill == "index":
            feeds[name] = rng.integers(0, spec["below"], shape).astype(dtype)
        elif fill in ("ones", "zeros"):
            feeds[name] = np.full(shape, fill == "ones", dtype)
        else:
            values = rng.standard_normal(shape) * spec.get("scale", 1)
            if fill == "negative":  # logarithms of gates
                values = -0.1 * np.abs(values)
            elif fill == "unit":
                values = 1 / (1 + np.exp(-values))
            feeds[name] = values.astype(dtype)
    return feeds
