"""Whole models for a GPU on the PTX interpreter, against numpy and against the artifact for the CPU."""

import json
import os

import attune_cli as cli
import device_cases as device
import numpy as np
import pytest
from attune_ctypes import Session
from device_cases import agree, feeds_of, on_device, save
from models import small
from onnx import TensorProto

# As on other devices, but smaller: an interpreter runs it.
SIZES = [dict(b=1, n=1, m=1), dict(b=2, n=13, m=5), dict(b=1, n=64, m=8), dict(b=3, n=67, m=31)]
# The interpreter's device, and the architecture of the kernels.
GPUS = {"sm_80": "80", "sm_90a": "90"}


@pytest.mark.parametrize("name", small.MODELS)
def test_small_model(name, tmp_path):
    device.small_model(tmp_path, name, "cuda", SIZES)


@pytest.mark.parametrize("gpu", GPUS)
def test_architecture(gpu, tmp_path):
    """A process of its own: a driver has one device."""
    model, oracle = small.layer()
    artifact = cli.compile(
        save(tmp_path, model), tmp_path / "m.so", "--target=cuda", f"--gpu={gpu}"
    )
    feeds = feeds_of(model, SIZES[1], np.random.default_rng(3))
    inputs = cli.write_inputs(tmp_path / "in", feeds)
    arguments = ("run", artifact, "--inputs", inputs, "--outputs", tmp_path / "out")
    cli.attune(*arguments, env=os.environ | {"ATTUNE_PTX_ARCH": GPUS[gpu]})
    agree(cli.read_outputs(tmp_path / "out")[0], oracle(**feeds))


@pytest.mark.parametrize("dtype, tolerance", [("FLOAT16", 2e-3), ("BFLOAT16", 1e-2)])
def test_half_floats(dtype, tolerance, tmp_path):
    """Softmax of a sum of exponentials of halves; the oracle rounds inputs only."""
    kind = getattr(TensorProto, dtype)
    model = small.model(
        [("Add", ["x", "x"], "d", {}), ("Softmax", ["d"], "y", {"axis": -1})],
        {"x": ["b", "n"]},
        ["b", "n"],
        dtype=kind,
    )
    path = save(tmp_path, model)
    session, cpu = (
        on_device(tmp_path, path, "cuda"),
        Session(cli.compile(path, tmp_path / "cpu.so")),
    )
    for sizes in SIZES:
        feeds = feeds_of(model, sizes, np.random.default_rng(3))
        got, want = session.run(feeds)["y"], cpu.run(feeds)["y"]
        gap = np.abs(got.astype(np.float64) - want.astype(np.float64))
        assert got.shape == want.shape and gap.max() <= tolerance
        exact = small.softmax(2 * feeds["x"].astype(np.float64))
        assert np.abs(got.astype(np.float64) - exact).max() <= tolerance
    session.close()


def test_huge_angles(tmp_path):
    model = small.model(
        [
            ("Sin", ["x"], "s", {}),
            ("Cos", ["x"], "c", {}),
            ("Concat", ["s", "c"], "y", {"axis": 0}),
        ],
        {"x": ["n"]},
        ["m"],
    )
    session = on_device(tmp_path, save(tmp_path, model), "cuda")
    bits = np.random.default_rng(3).integers(0x4D000000, 0x7F800000, 500, dtype=np.int32)
    x = np.concatenate([bits.view(np.float32), -bits.view(np.float32)[:100]])
    x = np.append(x, np.float32([np.inf, -np.inf, np.nan, 2**28, 2**29, 3e38, 0, 1]))
    with np.errstate(invalid="ignore"):
        want = np.concatenate([np.sin(x.astype(np.float64)), np.cos(x.astype(np.float64))])
    got = session.run({"x": x.astype(np.float32)})["y"]
    agree(got, want, 3e-7)
    session.close()


def test_index_out_of_range(tmp_path):
    device.index_out_of_range(tmp_path, "cuda")


def test_empty(tmp_path):
    model, _ = small.layer()
    session = on_device(tmp_path, save(tmp_path, model), "cuda")
    assert session.run({"x": np.zeros((0, 5, 13), np.float32)})["y"].shape == (0, 5, 37)
    session.close()


def test_commands(tmp_path):
    artifact = device.commands(tmp_path, "cuda")
    listed = json.loads(cli.attune("inspect", artifact, "--json").stdout)
    assert listed["target"] == "cuda" and {k["backend"] for k in listed["kernels"]} == {"mlir"}


def test_without_driver(tmp_path):
    artifact = cli.compile(
        save(tmp_path, small.elementwise()[0]), tmp_path / "m.so", "--target=cuda"
    )
    inputs = cli.write_inputs(tmp_path / "in", {"x": small.weight(2, 7)})
    environment = os.environ | {"ATTUNE_CUDA_DRIVER": str(tmp_path / "none.so")}
    ran = cli.attune("run", artifact, "--inputs", inputs, check=False, env=environment)
    assert ran.returncode == 1 and ran.stderr.count("\n") == 1
    assert "CUDA: no driver" in ran.stderr


def test_too_many_tensors(tmp_path):
    names = [f"x{i}" for i in range(600)]
    model = small.model(
        [("Concat", names, "y", {"axis": 0})], {name: ["n", 2] for name in names}, ["m", 2]
    )
    path = save(tmp_path, model)
    refused = cli.attune("compile", path, "-o", tmp_path / "m.so", "--target=cuda", check=False)
    assert refused.returncode == 1 and "too many tensors for one launch" in refused.stderr


def test_refusals(tmp_path):
    model = small.model([("Exp", ["x"], "y", {})], {"x": ["n"]}, ["n"], dtype=TensorProto.DOUBLE)
    path = save(tmp_path, model)

    def refused(*flags):
        result = cli.attune("compile", path, "-o", tmp_path / "m.so", *flags, check=False)
        assert result.returncode in (1, 2)
        return result.stderr

    assert (
        "node `y`: unsupported: the CUDA back end does not take this kernel: `math.exp` of f64"
        in refused("--target=cuda")
    )
    assert "--gpu accepts sm_80 or sm_90a, found `sm_70`" in refused("--target=cuda", "--gpu=sm_70")
    accepted = "--gpu-math accepts f32, tf32 or tf32x3, found `tf16`"
    assert accepted in refused("--target=cuda", "--gpu-math=tf16")
    assert "--backend=halide makes no kernels for cuda" in refused(
        "--target=cuda", "--backend=halide"
    )
    assert "--emit=ptx needs --target=cuda" in refused("--emit=ptx")
    assert "--gpu-math=tf32 needs --target=cuda" in refused("--gpu-math=tf32")
