"""Whole models on an OpenCL device, against numpy and against the artifact for the CPU."""

import json
import os
from pathlib import Path

import attune_cli as cli
import device_cases as device
import onnx
import pytest
from attune_ctypes import Session
from device_cases import agree, on_device, save
from models import language, small
from models.spelling import SPELLINGS

ZOO = Path(__file__).resolve().parents[1] / "data" / "zoo"


@pytest.mark.parametrize("name", small.MODELS)
def test_small_model(name, tmp_path):
    device.small_model(tmp_path, name, "opencl")


# Maps of attention that are mixed by convolutions, over positions and over heads; PyTorch's results
# lie beside the graphs.
@pytest.mark.parametrize("graph", ["evolving/relu-torchscript", "eit/efficient-torchscript"])
def test_map_mixing(graph, tmp_path):
    session = on_device(tmp_path, ZOO / graph / "model.onnx", "opencl")
    for folder in sorted((ZOO / graph).glob("test_data_set_*")):
        x, y = (
            onnx.numpy_helper.to_array(onnx.load_tensor(folder / f"{name}_0.pb"))
            for name in ("input", "output")
        )
        agree(session.run({"x": x})["y"], y)
    session.close()


def test_encoder(tmp_path):
    case = language.encoder(SPELLINGS["native"])
    path = save(tmp_path, case.model)
    session = on_device(tmp_path, path, "opencl")
    cpu = Session(cli.compile(path, tmp_path / "cpu.so"))
    for dims in case.dims:
        feeds = case.inputs(dims)
        got, want = session.run(feeds), cpu.run(feeds)
        agree(got["last_hidden_state"], want["last_hidden_state"])
    session.close()


def test_index_out_of_range(tmp_path):
    device.index_out_of_range(tmp_path, "opencl")


def test_commands(tmp_path):
    device.commands(tmp_path, "opencl")


def test_device_by_name(tmp_path):
    artifact = cli.compile(
        save(tmp_path, small.elementwise()[0]), tmp_path / "m.so", "--target=opencl"
    )
    inputs = cli.write_inputs(tmp_path / "in", {"x": small.weight(2, 7)})
    for name, code in (("0", 0), (":", 0), ("no such thing", 1), ("12345", 1)):
        environment = os.environ | {"ATTUNE_OPENCL_DEVICE": name}
        ran = cli.attune("run", artifact, "--inputs", inputs, check=False, env=environment)
        assert ran.returncode == code
        assert (f"ATTUNE_OPENCL_DEVICE is `{name}`, there are 0 `" in ran.stderr) == bool(code)


def test_without_device(tmp_path):
    artifact = cli.compile(
        save(tmp_path, small.elementwise()[0]), tmp_path / "m.so", "--target=opencl"
    )
    kernels = json.loads(cli.attune("inspect", artifact, "--json").stdout)["kernels"]
    assert [(k["backend"], k["emitter"]) for k in kernels] == [("halide", "opencl")]
    inputs = cli.write_inputs(tmp_path / "in", {"x": small.weight(2, 7)})
    # The loader of drivers finds none in an empty folder.
    environment = os.environ | {"OCL_ICD_VENDORS": str(tmp_path)}
    ran = cli.attune("run", artifact, "--inputs", inputs, check=False, env=environment)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: this model was compiled for OpenCL")
    assert ran.stderr.count("\n") == 1


def test_refusal_without_device(tmp_path):
    path = save(tmp_path, small.half())
    refused = cli.attune("compile", path, "-o", tmp_path / "m.so", "--target=opencl", check=False)
    assert refused.returncode == 1
    assert "node `y`: unsupported: the Halide back end does not take this kernel" in refused.stderr
    assert "16-bit floats" in refused.stderr


def test_back_end_without_device(tmp_path):
    path, flags = save(tmp_path, small.elementwise()[0]), ("--target=opencl", "--backend=mlir")
    refused = cli.attune("compile", path, "-o", tmp_path / "m.so", *flags, check=False)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: --backend=mlir makes kernels for the CPU only")
