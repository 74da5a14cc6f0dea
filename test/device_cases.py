"""What whole models are asked on every device: small models against numpy, and the commands.

`target` is the value of `--target`.
"""

import json

import attune_cli as cli
import numpy as np
import onnx
import pytest
from attune_ctypes import RuntimeFault, Session
from models import small

# One, a prime, a multiple of every tile, more than a block of threads.
SIZES = [dict(b=1, n=1, m=1), dict(b=2, n=13, m=5), dict(b=1, n=64, m=8), dict(b=3, n=131, m=67)]


def save(folder, model):
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def on_device(folder, path, target, *flags):
    return Session(cli.compile(path, folder / "device.so", f"--target={target}", *flags))


def feeds_of(model, sizes, rng):
    feeds = {}
    for port in model.graph.input:
        shape = [
            sizes[d.dim_param] if d.dim_param else d.dim_value
            for d in port.type.tensor_type.shape.dim
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
        integers = np.issubdtype(dtype, np.integer)
        values = rng.integers(-10, 10, shape) if integers else rng.normal(size=shape)
        feeds[port.name] = values.astype(dtype)
    return feeds


def agree(got, want, tolerance=1e-5):
    assert cli.worst(got, np.asarray(want, got.dtype), relative=True) <= tolerance


def small_model(folder, name, target, sizes=SIZES):
    model, oracle = small.MODELS[name]()
    session = on_device(folder, save(folder, model), target)
    rng = np.random.default_rng(3)
    for dims in sizes:
        feeds = feeds_of(model, dims, rng)
        first = session.run(feeds)["y"]
        agree(first, oracle(**feeds))
        assert first.tobytes() == session.run(feeds)["y"].tobytes()
    session.close()


def index_out_of_range(folder, target):
    session = on_device(folder, save(folder, small.lookup()[0]), target)
    for index in (10, -11, 2**32 + 1):
        with pytest.raises(RuntimeFault, match="an index is outside its axis"):
            session.run({"x": np.array([[0, index, 3]])})
    assert session.run({"x": np.array([[0, -10, 9]])})["y"].shape == (1, 3, 12)
    session.close()


def commands(folder, target):
    """`check`, `bench` and `run`; the artifact."""
    model, oracle = small.layer()
    path = save(folder, model)
    sizes = ("--dim", "b=2", "--dim", "n=5")
    checked = cli.attune("check", path, f"--target={target}", "--tolerance=1e-5", *sizes)
    assert checked.stdout.count("ok ") == 1
    artifact = cli.compile(path, folder / "m.so", f"--target={target}")
    measured = json.loads(cli.attune("bench", artifact, "--runs=3", "--json", *sizes).stdout)
    assert measured["median_ms"] > 0
    x = small.weight(2, 5, 13)
    inputs = cli.write_inputs(folder / "in", {"x": x})
    cli.attune("run", artifact, "--inputs", inputs, "--outputs", folder / "out")
    agree(cli.read_outputs(folder / "out")[0], oracle(x))
    return artifact
