"""Windows over values that the same kernel computes: their rows must not be folded away."""

import numpy as np
import onnx
import pytest
from onnx import helper

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session


@pytest.mark.parametrize("size", [3, 8])
def test_chain_before_convolution(size, tmp_path):
    shape = [1, 1, size, size]
    inputs = [helper.make_tensor_value_info(n, 1, s)
              for n, s in (("x", shape), ("w", [1, 1, 2, 2]), ("z", []))]  # fmt: skip
    nodes = [
        helper.make_node("Sub", ["x", "z"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w"], ["y"]),
    ]
    output = helper.make_tensor_value_info("y", 1, [1, 1, size - 1, size - 1])
    graph = helper.make_graph(nodes, "chain", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    x = np.arange(size * size, dtype=np.float32).reshape(shape)
    feeds = {"x": x, "w": np.ones((1, 1, 2, 2), np.float32), "z": np.array(1, np.float32)}
    got = Session(cli.compile(path, path.with_suffix(".so"))).run(feeds)["y"]
    assert cli.worst(got, oracle.run(model.SerializeToString(), feeds)[0]) <= 1e-5
