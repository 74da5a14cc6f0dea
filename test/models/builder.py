"""Writes ONNX graphs node by node, with names as an exporter would give them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DTYPES = {
    "u8": TensorProto.UINT8, "i8": TensorProto.INT8,
    "f32": TensorProto.FLOAT, "f16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16,
    "i32": TensorProto.INT32, "i64": TensorProto.INT64, "bool": TensorProto.BOOL,
}  # fmt: skip


class Graph:
    def __init__(self, name, opset, seed=0):
        self.name, self.opset = name, opset
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initialisers, self.inputs, self.outputs = [], [], [], []
        self.count = 0
        self.scopes = []
        self.constants = {}

    def scope(self, name):
        """`with g.scope("layer.0"):` prefixes the names of nodes and weights."""
        return _Scope(self, name)

    def _unique(self, stem):
        self.count += 1
        return "/".join(["", *self.scopes, f"{stem}_{self.count}"])

    def op(self, kind, *inputs, outputs=1, domain="", **attributes):
        """Adds a node; inputs are value names or arrays ("" leaves one out)."""
        names = [i if isinstance(i, str) else self.const(i) for i in inputs]
        node = self._unique(kind)
        results = [f"{node}_output_{i}" for i in range(outputs)]
        self.nodes.append(
            helper.make_node(kind, names, results, name=node, domain=domain, **attributes)
        )
        return results[0] if outputs == 1 else results

    def const(self, value, name=None):
        """An initialiser; equal small ones are shared, as exporters do."""
        array = np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        key = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 16 else None
        if name is None and key in self.constants:
            return self.constants[key]
        name = name or self._unique("constant")
        self.initialisers.append(numpy_helper.from_array(array, name))
        if key:
            self.constants[key] = name
        return name

    def weight(self, *shape, name="weight", scale=None):
        scale = shape[0] ** -0.5 if scale is None else scale
        values = (self.rng.standard_normal(shape) * scale).astype(np.float32)
        return self.const(values, self._unique(name))

    def input(self, name, dtype, shape):
        self.inputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], shape))
        return name

    def output(self, value, name, dtype="f32", shape=None):
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"/{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, DTYPES[dtype], shape))

    def _model(self, *domains):
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, self.initialisers
        )
        imports = [
            helper.make_opsetid("", self.opset),
            *(helper.make_opsetid(d, 1) for d in domains),
        ]
        model = helper.make_model(graph, opset_imports=imports)
        model.ir_version = 10
        return model

    def contrib(self):
        """With operators of com.microsoft, about which the checker knows nothing."""
        return self._model("com.microsoft")

    def finish(self):
        model = self._model()
        # Outputs without a given shape need one that the checker accepts.
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        onnx.checker.check_model(model, full_check=True)
        return model


class _Scope:
    def __init__(self, graph, name):
        self.graph, self.name = graph, name

    def __enter__(self):
        self.graph.scopes.append(self.name)

    def __exit__(self, *_):
        self.graph.scopes.pop()
