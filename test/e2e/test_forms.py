"""Every form of every operator that has several: forced, with fixed and with free sizes."""

import json
import re

import numpy as np
import pytest

import attune_cli as cli
from attune_ctypes import Session
from zoo.zoo import ROOT, Graph

FORMS = {
    "linear/bidirectional-dynamo": ["linear", "quadratic"],
    "linear/causal_cumsum-dynamo": ["recurrent", "chunked", "quadratic"],
    "momentum/quadratic-dynamo": ["recurrent", "chunked"],
    "rpe/quadratic-dynamo": ["quadratic"],
    "ema/fft-dynamo": ["recurrent", "quadratic", "fft"],
}
# With a fixed length their weights are constants, not functions of positions.
FREE_ONLY = ("momentum", "rpe")
# Transforms are exact to the largest value of a channel only; PyTorch's results are f32.
TOLERANCE = 1e-4


def explained(graph, *flags):
    regions = json.loads(cli.attune("explain", graph.path, "--json", *flags).stdout)["regions"]
    return [region for region in regions if region["raised"]]


@pytest.mark.parametrize("name,form", [(name, form) for name in FORMS for form in FORMS[name]])
def test_forced(name, form, tmp_path):
    """One artifact for all sizes, and one for the sizes of the last data set."""
    graph = Graph(ROOT / name)
    data = list(graph.data())
    free = Session(cli.compile(graph.path, tmp_path / "free.so", f"--form={form}"), threads=2)
    for inputs, want in data:
        assert cli.worst(free.run(inputs)["y"], want, relative=True) <= TOLERANCE
    if name.startswith(FREE_ONLY):
        return
    inputs, want = data[-1]
    shape = "x=" + "x".join(map(str, inputs["x"].shape))
    fixed = cli.compile(graph.path, tmp_path / "fixed.so", f"--form={form}", f"--shape={shape}")
    assert cli.worst(Session(fixed).run(inputs)["y"], want, relative=True) <= TOLERANCE


def test_forms_agree_but_differ(tmp_path):
    """Forced forms are different programs."""
    graph = Graph(ROOT / "linear/causal_cumsum-dynamo")
    x = {"x": np.random.default_rng(0).standard_normal((1, 100, 8)).astype(np.float32)}
    results = [
        Session(cli.compile(graph.path, tmp_path / f"{form}.so", f"--form={form}")).run(x)["y"]
        for form in FORMS["linear/causal_cumsum-dynamo"]
    ]
    assert len({r.tobytes() for r in results}) == len(results)


def test_a_form_that_no_operator_has_is_an_error(tmp_path):
    graph = Graph(ROOT / "rpe/quadratic-dynamo")
    result = cli.attune(
        "compile", graph.path, "-o", tmp_path / "m.so", "--form=recurrent", check=False
    )
    assert result.returncode == 1
    assert "can be computed in the form `recurrent`" in result.stderr


def test_free_sizes_tell_where_forms_change():
    region = explained(Graph(ROOT / "linear/bidirectional-dynamo"))[0]
    assert {a["form"] for a in region["alternatives"]} == {"linear", "quadratic"}
    assert all(a["latency_ms"] > 0 for a in region["alternatives"])
    assert re.fullmatch(r"quadratic, linear from \d+ positions on", region["at_run_time"])
