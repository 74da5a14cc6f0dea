"""`attune.session` of the Python package: DLPack in and out, on the host and on the device."""

import gc

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune import session as attune
from device import CUDA, Calls
from faults import INTERPRETED
from models import small


@pytest.fixture(params=["cpu", "cuda"])
def layer(request, tmp_path):
    model, oracle = small.layer()
    onnx.save(model, tmp_path / "m.onnx")
    cli.compile(tmp_path / "m.onnx", tmp_path / "m.so", f"--target={request.param}")
    session = attune.Session(tmp_path / "m.so", device_outputs=False)
    yield session, oracle
    session.close()


def expect(got, want):
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_numpy(layer):
    session, oracle = layer
    x = np.random.default_rng(1).normal(size=(2, 5, 13)).astype(np.float32)
    result = session.run({"x": x})["y"]
    y = np.from_dlpack(result)
    expect(y, oracle(x))
    # The array owns the memory now.
    del result
    session.close()
    gc.collect()
    expect(y, oracle(x))


def test_into(layer):
    session, oracle = layer
    x = np.random.default_rng(1).normal(size=(1, 7, 13)).astype(np.float32)
    y = np.zeros((1, 7, 37), np.float32)
    assert session.run({"x": x}, into={"y": y})["y"] is y
    expect(y, oracle(x))
    with pytest.raises(KeyError, match="no output"):
        session.run({"x": x}, into={"z": y})
    with pytest.raises(attune.RuntimeFault, match="`x`: found f64, accepted is f32"):
        session.run({"x": x.astype(np.float64)})


def test_strided(layer):
    session, oracle = layer
    x = np.random.default_rng(1).normal(size=(5, 2, 13)).astype(np.float32).swapaxes(0, 1)
    expect(np.from_dlpack(session.run({"x": x})["y"]), oracle(x))


def test_stays_on_the_device(tmp_path):
    """What one call gives the next one takes, without a copy."""
    model, oracle = small.elementwise()
    onnx.save(model, tmp_path / "m.onnx")
    cli.compile(tmp_path / "m.onnx", tmp_path / "m.so", "--target=cuda")
    session = attune.Session(tmp_path / "m.so")
    host = attune.Session(tmp_path / "m.so", device_outputs=False)
    x = np.random.default_rng(1).normal(size=(4, 7)).astype(np.float32) - 3
    first = session.run({"x": x})["y"]
    assert first.__dlpack_device__() == (CUDA, 0) and first.shape == (4, 7)
    if INTERPRETED:
        with Calls() as calls:
            second = session.run({"x": first})["y"]
        assert not any("Memcpy" in name for name in calls.made)
        del second
    expect(np.from_dlpack(host.run({"x": first})["y"]), oracle(oracle(x)))
    # A capsule that nobody takes gives back what it holds.
    held = len(attune._lent)
    capsule = first.__dlpack__()
    assert len(attune._lent) == held + 1
    del capsule
    assert len(attune._lent) == held
    for opened in (session, host):
        opened.close()
