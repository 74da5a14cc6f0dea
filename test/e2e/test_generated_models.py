"""Small models of every family and spelling, and one drawn afresh, against ONNX Runtime."""

import numpy as np
import onnx
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session
from models import suite
from models.builder import Graph
from models.fresh import draw

SEED = cli.seed()


def compare(case, tmp_path, *flags):
    """One artifact for all sizes, each size twice in a different order."""
    onnx.save(case.model, tmp_path / "model.onnx")
    artifact = cli.compile(tmp_path / "model.onnx", tmp_path / "model.so", *flags)
    peer = oracle.session(case.model.SerializeToString())
    session = Session(artifact, threads=2)
    for dims in case.dims + case.dims[::-1]:
        feeds = case.inputs(dims)
        got = session.run(feeds)
        for info, want in zip(peer.get_outputs(), peer.run(None, feeds)):
            error = cli.worst(got[info.name], want)
            assert error <= case.tolerance, f"{info.name} at {dims}: {error}"


@pytest.mark.parametrize("case", suite(), ids=lambda c: c.name)
def test_family(case, tmp_path):
    compare(case, tmp_path)


@pytest.mark.parametrize("keys", [1, 2])
def test_convolved_maps(keys, tmp_path):
    """Maps of one key have a unit axis that the convolution and the norm see in different places."""
    g = Graph("maps", opset=18)
    q, k = g.input("q", "f32", [1, 8, 31, 4]), g.input("k", "f32", [1, 8, keys, 4])
    v = g.input("v", "f32", [1, 8, keys, 12])
    scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
    x = g.op("Conv", g.op("Tanh", scores), g.weight(8, 8, 3, 3), pads=[1, 1, 1, 1])
    weights = g.op("Exp", g.op("Sub", x, g.op("ReduceMax", x, np.array([-1]), keepdims=1)))
    total = g.op("ReduceSum", weights, np.array([-1]), keepdims=1)
    weights = g.op("Div", weights, g.op("Add", total, np.float32(1e-6)))
    g.output(g.op("MatMul", weights, v), "y", shape=[1, 8, 31, 12])
    onnx.save(g.finish(), tmp_path / "model.onnx")
    session = Session(cli.compile(tmp_path / "model.onnx", tmp_path / "model.so"))
    rng = np.random.default_rng(5)
    shapes = {"q": (1, 8, 31, 4), "k": (1, 8, keys, 4), "v": (1, 8, keys, 12)}
    feeds = {n: rng.standard_normal(shape).astype("f") for n, shape in shapes.items()}
    (want,) = oracle.session((tmp_path / "model.onnx").read_bytes()).run(None, feeds)
    assert cli.worst(session.run(feeds)["y"], want) <= 1e-5


@pytest.mark.parametrize("spelling", ["torchscript", "dynamo", "native"])
def test_caches_grow_in_place(spelling, tmp_path):
    """Every cache of a decoder, in every spelling of its mask and attention."""
    case = next(c for c in suite() if c.name == f"cached-decoder-{spelling}")
    onnx.save(case.model, tmp_path / "model.onnx")
    cli.compile(tmp_path / "model.onnx", tmp_path / "model.so")
    session = Session(tmp_path / "model.so", threads=2)
    assert [a for a, _, _ in session.aliases] == [
        n for n in case.inputs(case.dims[0]) if "past" in n
    ]
    for dims in case.dims:
        feeds, into = case.inputs(dims), {}
        want = session.run(feeds)
        for past, present, axis in session.aliases:
            room = [(0, 0)] * axis + [(0, dims["seq"] + 2)] + [(0, 0)] * (3 - axis)
            buffer = np.pad(feeds[past], room, constant_values=np.nan)
            feeds[past] = buffer[:, :, : dims["past"]]
            into[present] = buffer[:, :, : dims["past"] + dims["seq"]]
        got = session.run(feeds, into)
        assert all(np.array_equal(got[name], want[name]) for name in want)


@pytest.mark.parametrize("number", range(2))
def test_fresh(number, tmp_path):
    """Not the same from run to run; ATTUNE_SEED repeats one."""
    case = draw(SEED + number)
    print(f"ATTUNE_SEED={SEED}, model {number}: {case.about}")
    compare(case, tmp_path)


@pytest.mark.parametrize("family", ["encoder", "gqa-decoder", "convnet"])
def test_check_against_reference(family, tmp_path):
    """`attune check` compares the optimised model with the decomposed one."""
    case = next(c for c in suite() if c.name == f"{family}-dynamo")
    onnx.save(case.model, tmp_path / "model.onnx")
    folder = cli.write_inputs(tmp_path / "in", case.inputs(case.dims[-1]))
    result = cli.attune("check", tmp_path / "model.onnx", "--inputs", folder)
    assert "error" in result.stdout
