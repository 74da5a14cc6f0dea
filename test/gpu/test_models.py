"""Whole models against the artifact for the CPU, and what a call of theirs asks of the driver."""

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import RuntimeFault, Session
from device import Calls
from faults import INTERPRETED, needs_interpreter
from models import language, small
from models.half import KINDS, half, rounded
from models.spelling import SPELLINGS

FAMILIES = {
    "encoder": (language.encoder, {}),
    "cosformer": (language.cosformer_encoder, {"norm_first": True}),
    "decoder": (language.cached_decoder, {"norm_first": True}),
}
# Relative to the largest result. Of 16 bits, every operator rounds.
TOLERANCE = {"f32": 1e-5, "f16": 2e-3, "bf16": 1e-2}


def compiled(folder, model, name, *flags):
    onnx.save(model, folder / f"{name}.onnx")
    return Session(cli.compile(folder / f"{name}.onnx", folder / f"{name}.so", *flags))


@pytest.mark.parametrize(
    "family, dtype",
    [(family, dtype) for family in FAMILIES for dtype in ("f32", "f16")] + [("encoder", "bf16")],
)
def test_model(family, dtype, tmp_path):
    make, config = FAMILIES[family]
    case = make(SPELLINGS["native"], language.Config(depth=1, **config))
    model, wanted, narrow = case.model, case.model, np.float32
    if dtype != "f32":
        model, wanted, narrow = half(model, dtype), rounded(model, dtype), KINDS[dtype][0]
    device = compiled(tmp_path, model, "cuda", "--target=cuda")
    host = compiled(tmp_path, wanted, "cpu")
    for dims in case.dims[:3]:
        feeds = {n: x.astype(narrow) if x.dtype == np.float32 else x
                 for n, x in case.inputs(dims).items()}  # fmt: skip
        wide = {n: x.astype(np.float32) if x.dtype == narrow else x for n, x in feeds.items()}
        got = device.run(feeds)
        for name, want in host.run(wide).items():
            worst = np.abs(got[name].astype(np.float32) - want).max(initial=0)
            assert got[name].shape == want.shape
            assert worst <= TOLERANCE[dtype] * np.abs(want).max(initial=1), name
    expect_one_wait(device, feeds)
    for session in (device, host):
        session.close()


def expect_one_wait(session, feeds):
    """Inputs in, kernels, results out with what went wrong, one wait; memory is there already."""
    if not INTERPRETED:
        return
    first = session.run(feeds)
    with Calls() as calls:
        second = session.run(feeds)
    assert all(first[n].tobytes() == second[n].tobytes() for n in first)
    assert 5 < calls.made.pop("cuLaunchKernel") < 60
    assert calls.made == {
        "cuStreamSynchronize": 1,
        "cuMemcpyHtoDAsync_v2": len(feeds),
        "cuMemcpyDtoHAsync_v2": len(first) + 1,
    }


@needs_interpreter
def test_no_lookup_no_question(tmp_path):
    """Kernels that cannot fail are not asked whether they did."""
    session = compiled(tmp_path, small.layer()[0], "cuda", "--target=cuda")
    feeds = {"x": np.ones((2, 5, 13), np.float32)}
    session.run(feeds)
    with Calls() as calls:
        session.run(feeds)
    assert calls.made["cuMemcpyDtoHAsync_v2"] == 1
    session.close()


def test_first_failure_is_named(tmp_path):
    """Two nodes fail, the first is named; the session works again after that."""
    model = small.model(
        [("Gather", ["t", "x"], "first", {}), ("Gather", ["t", "z"], "second", {}),
         ("MatMul", ["first", "w"], "p", {}), ("Add", ["p", "second"], "y", {})],
        {"x": ["n"], "z": ["n"]}, ["n", 8],
        {"t": small.weight(5, 8), "w": small.weight(8, 8)}, onnx.TensorProto.INT64,
    )  # fmt: skip
    session = compiled(tmp_path, model, "cuda", "--target=cuda")
    good, bad = np.array([0, 4, -5]), np.array([0, 5, 1])
    want = session.run({"x": good, "z": good})["y"]
    for x, z in [(bad, bad), (good, bad), (bad, good)]:
        with pytest.raises(RuntimeFault, match="an index is outside its axis") as fault:
            session.run({"x": x, "z": z})
        assert ("`first`" in str(fault.value)) == (x is bad)
        assert session.run({"x": good, "z": good})["y"].tobytes() == want.tobytes()
    session.close()
