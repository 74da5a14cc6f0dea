"""Whole models on an OpenCL device, against numpy and against the artifact for the CPU."""

import json
import os
from pathlib import Path

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import RuntimeFault, Session
from models import language, small
from models.spelling import SPELLINGS

ZOO = Path(__file__).resolve().parents[1] / "data" / "zoo"
# One, a prime, a multiple of every tile, more than a group of work items.
SIZES = [dict(b=1, n=1, m=1), dict(b=2, n=13, m=5), dict(b=1, n=64, m=8), dict(b=3, n=131, m=67)]


def save(folder, model):
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def on_device(folder, path):
    return Session(cli.compile(path, folder / "opencl.so", "--target=opencl"))


def feeds_of(model, sizes, rng):
    feeds = {}
    for port in model.graph.input:
        shape = [
            sizes[d.dim_param] if d.dim_param else d.dim_value
            for d in port.type.tensor_type.shape.dim
        ]
        integers = port.type.tensor_type.elem_type == onnx.TensorProto.INT64
        feeds[port.name] = (
            rng.integers(-10, 10, shape) if integers else rng.normal(size=shape).astype(np.float32)
        )
    return feeds


def agree(got, want):
    assert cli.worst(got, np.asarray(want, got.dtype), relative=True) <= 1e-5


@pytest.mark.parametrize("name", small.MODELS)
def test_small_model(name, tmp_path):
    model, oracle = small.MODELS[name]()
    session = on_device(tmp_path, save(tmp_path, model))
    rng = np.random.default_rng(3)
    for sizes in SIZES:
        feeds = feeds_of(model, sizes, rng)
        first = session.run(feeds)["y"]
        agree(first, oracle(**feeds))
        assert first.tobytes() == session.run(feeds)["y"].tobytes()
    session.close()


# Maps of attention that are mixed by convolutions, over positions and over heads; PyTorch's results
# lie beside the graphs.
@pytest.mark.parametrize("graph", ["evolving/relu-torchscript", "eit/efficient-torchscript"])
def test_map_mixing(graph, tmp_path):
    session = on_device(tmp_path, ZOO / graph / "model.onnx")
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
    session = on_device(tmp_path, path)
    cpu = Session(cli.compile(path, tmp_path / "cpu.so"))
    for dims in case.dims:
        feeds = case.inputs(dims)
        got, want = session.run(feeds), cpu.run(feeds)
        agree(got["last_hidden_state"], want["last_hidden_state"])
    session.close()


def test_index_out_of_range(tmp_path):
    session = on_device(tmp_path, save(tmp_path, small.lookup()[0]))
    for index in (10, -11, 2**32 + 1):
        with pytest.raises(RuntimeFault, match="an index is outside its axis"):
            session.run({"x": np.array([[0, index, 3]])})
    assert session.run({"x": np.array([[0, -10, 9]])})["y"].shape == (1, 3, 12)
    session.close()


def test_commands(tmp_path):
    model, oracle = small.layer()
    path = save(tmp_path, model)
    sizes = ("--dim", "b=2", "--dim", "n=5")
    checked = cli.attune("check", path, "--target=opencl", "--tolerance=1e-5", *sizes)
    assert checked.stdout.count("ok ") == 1
    artifact = cli.compile(path, tmp_path / "m.so", "--target=opencl")
    measured = json.loads(cli.attune("bench", artifact, "--runs=3", "--json", *sizes).stdout)
    assert measured["median_ms"] > 0
    x = small.weight(2, 5, 13)
    inputs = cli.write_inputs(tmp_path / "in", {"x": x})
    cli.attune("run", artifact, "--inputs", inputs, "--outputs", tmp_path / "out")
    agree(cli.read_outputs(tmp_path / "out")[0], oracle(x))


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
