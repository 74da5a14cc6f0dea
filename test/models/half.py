"""A model of f32 in f16 or bf16, as exporters write one that was trained in half precision."""

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

KINDS = {
    "f16": (np.float16, TensorProto.FLOAT16),
    "bf16": (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
}


def _rounded(array, kind):
    """Finite numbers stay finite: masks are filled with some that f16 does not have."""
    most = float(ml_dtypes.finfo(KINDS[kind][0]).max)
    finite = np.where(np.isinf(array), array, np.clip(array, -most, most))
    return finite.astype(KINDS[kind][0])


def _tensors(model, change):
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = change(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def rounded(model, kind="f16"):
    """In f32, with the weights of `half(model, kind)`: what the latter should compute."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    _tensors(model, lambda array: _rounded(array, kind).astype(np.float32))
    return model


def half(model, kind="f16"):
    model = onnx.ModelProto.FromString(model.SerializeToString())
    element = KINDS[kind][1]
    _tensors(model, lambda array: _rounded(array, kind))
    del model.graph.value_info[:]
    for port in (*model.graph.input, *model.graph.output):
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            port.type.tensor_type.elem_type = element
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT:
                attribute.i = element
    onnx.checker.check_model(model, full_check=True)
    return model
