"""A model of f32 in f16, as exporters write one that was trained in half precision."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

# Masks are filled with numbers that f16 does not have.
MOST = float(np.finfo(np.float16).max)


def _rounded(array):
    """In f16; finite numbers stay finite."""
    finite = np.where(np.isinf(array), array, np.clip(array, -MOST, MOST))
    return finite.astype(np.float16)


def _tensors(model, change):
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = change(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def rounded(model):
    """In f32, with the weights of `half(model)`: what the latter should compute."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    _tensors(model, lambda array: _rounded(array).astype(np.float32))
    return model


def half(model):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    _tensors(model, _rounded)
    del model.graph.value_info[:]
    for port in (*model.graph.input, *model.graph.output):
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            port.type.tensor_type.elem_type = TensorProto.FLOAT16
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
    onnx.checker.check_model(model, full_check=True)
    return model
