"""Half the bandwidth or half the arithmetic of a machine (machines/*.json) moves decisions."""

import json
from pathlib import Path

import onnx
import pytest

import attune_cli as cli
from models.builder import Graph

MACHINES = Path(__file__).parent / "machines"


def explained(model, path, machine, monkeypatch):
    onnx.save(model, path)
    monkeypatch.setenv("ATTUNE_CALIBRATION", str(MACHINES / f"{machine}.json"))
    return json.loads(cli.attune("explain", path, "--json").stdout)


def planes(*taps, channels=64, size=128):
    """Filters of single channels, one after the other."""
    g = Graph("planes", 20)
    y = g.input("x", "f32", [1, channels, size, size])
    for count in taps:
        window = dict(kernel_shape=[count] * 2, pads=[count // 2] * 4, group=channels)
        y = g.op("Relu", g.op("Conv", y, g.weight(channels, 1, count, count), **window))
    g.output(y, "y", shape=[1, channels, size, size])
    return g.finish()


@pytest.mark.parametrize(
    "taps, machine, chosen",
    [
        # As one kernel, neighbours of a block are computed twice; as two, the image goes to
        # memory and back.
        ((3, 7), "whole", "apart"),
        ((3, 7), "half-bandwidth", "together"),
        ((5, 3), "whole", "together"),
        ((5, 3), "half-arithmetic", "apart"),
    ],
)
def test_kernels_are_merged_where_memory_is_slow(taps, machine, chosen, tmp_path, monkeypatch):
    result = explained(planes(*taps), tmp_path / "planes.onnx", machine, monkeypatch)
    assert result["calibration"] == str(MACHINES / f"{machine}.json")
    if not any(k["backend"] == "halide" for k in result["kernels"]):
        pytest.skip("built without Halide")
    merges = {d["what"].count("generic"): d for d in result["decisions"] if d["kind"] == "merge"}
    last = merges[max(merges)]
    assert last["chosen"] == chosen and last["by"] == "price"
    prices = {a["name"]: a["latency_ms"] for a in last["alternatives"]}
    assert chosen == min(prices, key=prices.get)


@pytest.mark.parametrize(
    "machine, merged",
    [("whole", True), ("half-bandwidth", True), ("half-arithmetic", False)],
)
def test_products_share_what_they_read(machine, merged, tmp_path, monkeypatch):
    """Apart they read it twice; together one of them is copied to its output."""
    g = Graph("projections", 20)
    x = g.input("x", "f32", [16, 1024])
    inner = g.op("MatMul", x, g.weight(1024, 32))
    g.output(g.op("MatMul", x, g.weight(1024, 32)), "a", shape=[16, 32])
    g.output(g.op("MatMul", inner, g.weight(32, 8)), "b", shape=[16, 8])
    result = explained(g.finish(), tmp_path / "products.onnx", machine, monkeypatch)
    applied = [r["rewrite"] for r in result["rewrites"] if r["applied"]]
    assert ("ProjectionsMerged" in applied) == merged
