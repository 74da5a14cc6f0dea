"""A graph that rewrites can edit: users, constants, ranks, fresh names, new nodes."""

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

FLOAT = onnx.TensorProto.FLOAT


class Editor:
    """Works on a copy of the model; `finish()` gives the edited one, checked.

    New names begin with `stem`.
    """

    def __init__(self, model, rng, stem):
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.rng, self.stem = rng, stem
        self.graph = self.model.graph
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.count = 0
        inferred = onnx.shape_inference.infer_shapes(self.model, data_prop=True).graph
        self.types = {}
        for info in (*inferred.value_info, *inferred.input, *inferred.output):
            self.types[info.name] = info.type.tensor_type
        self.refresh()

    def refresh(self):
        """After an edit: who makes and who reads each value, what is constant."""
        self.maker, self.users = {}, Counter()
        self.constants = {t.name: t for t in self.graph.initializer}
        for node in self.graph.node:
            self.users.update(node.input)
            for output in node.output:
                self.maker[output] = node
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.constants[node.output[0]] = node.attribute[0].t
        self.users.update(o.name for o in self.graph.output)

    def nodes(self, *kinds):
        return [n for n in self.graph.node if n.op_type in kinds]

    def some(self, sites):
        """A random half of them, at least one if there are any."""
        sites = list(sites)
        if not sites:
            return []
        count = max(1, len(sites) // 2)
        picked = self.rng.choice(len(sites), count, replace=False)
        return [sites[i] for i in sorted(picked)]

    def value(self, name):
        """The array of a constant, or None."""
        return numpy_helper.to_array(self.constants[name]) if name in self.constants else None

    def scalar(self, name):
        """The number of a float constant with one element, or None."""
        array = self.value(name)
        ok = array is not None and array.dtype == np.float32 and array.size == 1
        return float(array.reshape(())) if ok else None

    def rank(self, name):
        if name in self.constants:
            return len(self.constants[name].dims)
        kind = self.types.get(name)
        return len(kind.shape.dim) if kind is not None and kind.HasField("shape") else None

    def dims(self, name):
        """Numbers and symbols; None where nothing is known."""
        if name in self.constants:
            return list(self.constants[name].dims)
        if self.rank(name) is None:
            return None
        dims = self.types[name].shape.dim
        return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims]

    def is_float(self, name):
        if name in self.constants:
            return self.constants[name].data_type == FLOAT
        return name in self.types and self.types[name].elem_type == FLOAT

    def fresh(self, stem):
        self.count += 1
        return f"{self.stem}_{stem}_{self.count}"

    def const(self, array):
        name = self.fresh("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        self.constants[name] = self.graph.initializer[-1]
        return name

    def node(self, kind, inputs, output=None, outputs=None, **attributes):
        """A node that is not yet in the graph; see `replace` and `before`."""
        outputs = outputs or [output or self.fresh(kind)]
        return helper.make_node(kind, inputs, outputs, name=self.fresh("node"), **attributes)

    def axes(self, kind, value, axes, output=None):
        """Squeeze or Unsqueeze."""
        return self.node(kind, [value, self.const(np.array(axes, np.int64))], output)

    def replace(self, old, new):
        """The nodes `new` in the place of the node `old`."""
        position = list(self.graph.node).index(old)
        self.graph.node.remove(old)
        for offset, node in enumerate(new):
            self.graph.node.insert(position + offset, node)
        self.refresh()

    def rename_value(self, old, new, *, users_only=False):
        for node in self.graph.node:
            for position, name in enumerate(node.input):
                if name == old:
                    node.input[position] = new
            if not users_only:
                for position, name in enumerate(node.output):
                    if name == old:
                        node.output[position] = new

    def finish(self):
        del self.graph.value_info[:]
        onnx.checker.check_model(self.model)
        return self.model
