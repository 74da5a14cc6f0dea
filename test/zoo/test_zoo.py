"""Exports of every attention system: compiled, equal to PyTorch, raised as the table says.

Compiling takes most of the time: here, one style of each block runs (another one for each block);
with ATTUNE_ZOO=all, all of them, and more respelled graphs and near-misses.
"""

import os
import zlib

import numpy as np
import onnx
import pytest

import attune_cli as cli
import near_miss
import wanted
import zoo
from attune_ctypes import RuntimeFault, Session
from respell import respell

ALL = os.environ.get("ATTUNE_ZOO") == "all"
REACHED = wanted.read()
SEED = cli.seed()


def draw(name):
    """A number that stays the same for a name."""
    return zlib.crc32(name.encode())


def one_style_each():
    names = sorted({g.name for g in zoo.GRAPHS})
    for name in names:
        graphs = [g for g in zoo.GRAPHS if g.name == name]
        yield graphs[draw(name) % len(graphs)]


ONE_EACH = list(one_style_each())
# Unrolled: one very large kernel where it is not raised.
SLOW = set() if ALL else {"momentum/recurrent"}
QUICK = [g for g in zoo.GRAPHS if g.name not in SLOW]
by_id = dict(ids=lambda g: g.id)


def compare(model, cases, tmp_path):
    """cases: (inputs, expected result); in an order that also goes back to an earlier size."""
    session = Session(cli.compile(model, tmp_path / "model.so"), threads=2)
    for feeds, want in [*cases, *cases[:1]]:
        error = cli.worst(session.run(feeds)["y"], want)
        assert error <= zoo.tolerance(want), f"{feeds['x'].shape}: {error}"


@pytest.mark.parametrize("graph", zoo.GRAPHS, **by_id)
def test_raised(graph):
    assert zoo.raised(graph.path) == wanted.expected(graph, REACHED)


SHIFTS = {"integers": 1, "integers_wide": 1, "convolution": 3, "convolution_parts": 3}


@pytest.mark.parametrize("graph", [g for g in zoo.GRAPHS if g.system == "shift"], **by_id)
def test_powers_of_two(graph):
    """The weights of every layer are known when compiling, whatever they are made from."""
    assert zoo.powers_of_two(graph.path) == SHIFTS.get(graph.name.partition("/")[2], 2)


@pytest.mark.parametrize("graph", zoo.GRAPHS if ALL else ONE_EACH, **by_id)
def test_equal_to_pytorch(graph, tmp_path):
    compare(graph.path, list(graph.data()), tmp_path)


@pytest.mark.parametrize("number", range(3 if ALL else 1))
@pytest.mark.parametrize("graph", ONE_EACH, **by_id)
def test_respelled(graph, number, tmp_path):
    """The same ops are raised from what says the same in other words."""
    model, changes = respell(graph.model(), draw(f"{graph.id} {number}"))
    onnx.save(model, tmp_path / "model.onnx")
    found = zoo.raised(tmp_path / "model.onnx")
    assert found == wanted.expected(graph, REACHED), changes


@pytest.mark.parametrize("number", range(40 if ALL else 6))
def test_respelled_results(number, tmp_path):
    """Not the same graphs from run to run; ATTUNE_SEED repeats them."""
    rng = np.random.default_rng([SEED, number])
    graph = QUICK[rng.integers(len(QUICK))]
    model, changes = respell(graph.model(), rng.integers(2**31))
    print(f"ATTUNE_SEED={SEED}, number {number}: {graph.id}: {changes}")
    onnx.save(model, tmp_path / "model.onnx")
    compare(tmp_path / "model.onnx", list(graph.data()), tmp_path)


SYSTEMS = sorted({g.system for g in zoo.GRAPHS})


@pytest.mark.parametrize("number", range(8 if ALL else 2))
@pytest.mark.parametrize("system", SYSTEMS)
def test_near_miss(system, number, tmp_path):
    """One sign, axis or mask changed: ONNX Runtime's result, or refused as unsupported."""
    rng = np.random.default_rng([draw(system), number])
    graphs = [g for g in QUICK if g.system == system]
    graph = graphs[rng.integers(len(graphs))]
    feeds = [x for x, _ in graph.data()]
    for about, model in near_miss.near_misses(graph.model(), rng):
        results = near_miss.peer_outputs(model, feeds)
        if results is None:
            continue
        print(f"{graph.id}: {about}")
        onnx.save(model, tmp_path / "model.onnx")
        try:
            compare(tmp_path / "model.onnx", list(zip(feeds, results)), tmp_path)
        except (AssertionError, RuntimeFault) as error:
            if "error: unsupported:" not in str(error):
                raise
        return


def test_batch_of_one(tmp_path):
    """Axes of size 1 beside each other: which of them an operator drops is not ambiguous."""
    graph = next(g for g in zoo.GRAPHS if g.name == "ema/fft")
    cases = [({"x": f["x"][:1]}, want[:1]) for f, want in graph.data()]
    artifact = cli.compile(graph.path, tmp_path / "model.so", "--dim", "batch=1")
    assert cli.worst(Session(artifact).run(cases[0][0])["y"], cases[0][1]) <= 2e-5
