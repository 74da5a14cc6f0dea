"""A candidate as `attune search build` writes it, as a function that can be trained.

What is trained is the very graph that is compiled: `Network` reads the ONNX file and evaluates its
nodes with the operations of a back end (`numpy_ops`, `torch_ops`), over batches where the file has
a leading axis of 1. `save` writes the file again with trained weights.
"""

import numpy as np
import onnx
from onnx import numpy_helper


class Network:
    def __init__(self, path):
        self.model = onnx.load(path)
        graph = self.model.graph
        if len(graph.input) != 1 or len(graph.output) != 1:
            raise ValueError(f"{path}: expects one input and one output")
        self.input, self.output = graph.input[0].name, graph.output[0].name
        tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        # Templates name what is to be trained w_N; masks, tables and shapes have other names.
        self.shapes = {n: t.shape for n, t in tensors.items() if n.startswith("w_")}
        if not self.shapes:
            raise ValueError(f"{path}: has no weights to train (w_N), so no template wrote it")
        self.constants = {n: t for n, t in tensors.items() if n not in self.shapes}
        self.nodes = [
            (node, {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute})
            for node in graph.node
        ]
        for node, _ in self.nodes:
            if node.op_type not in OPERATORS:
                raise ValueError(
                    f"cannot train {node.op_type} ({node.name}); accepted: {', '.join(sorted(OPERATORS))}"
                )

    def initial(self, rng):
        """Weights to start from, by what each is used for."""
        start = {}
        for node, _ in self.nodes:
            for position, name in enumerate(node.input):
                shape = self.shapes.get(name)
                if shape is None or name in start:
                    continue
                if node.op_type == "LayerNormalization":
                    value = np.full(shape, position == 1)
                elif node.op_type == "Add":  # a bias, or an embedding of positions
                    value = np.zeros(shape) if len(shape) == 1 else 0.1 * rng.standard_normal(shape)
                else:
                    inputs = np.prod(shape[1:]) if node.op_type == "Conv" else shape[0]
                    value = rng.standard_normal(shape) / np.sqrt(inputs)
                start[name] = value.astype(np.float32)
        return start

    def __call__(self, ops, weights, x):
        """The output for a batch; `weights` and `x` are values of the back end."""
        values = {name: ops.constant(t) for name, t in self.constants.items()}
        values.update(weights)
        values[self.input] = x
        batched = {self.input}
        for node, attributes in self.nodes:
            inputs = [values[name] if name else None for name in node.input]
            shape = self.constants.get(node.input[1]) if len(node.input) > 1 else None
            result = OPERATORS[node.op_type](ops, inputs, attributes, shape, x.shape[0])
            if batched.intersection(node.input):
                batched.add(node.output[0])
                if result.shape[0] != x.shape[0]:
                    raise ValueError(f"{node.name}: the leading axis is not that of the batch")
            values[node.output[0]] = result
        return values[self.output]

    def save(self, path, weights):
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                value = np.ascontiguousarray(weights[tensor.name], np.float32)
                tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        onnx.save(model, path)


def _axes(attributes, axes):
    return tuple(int(a) for a in axes), bool(attributes.get("keepdims", 1))


def _reshape(ops, inputs, attributes, shape, batch):
    if shape[0] not in (0, 1, -1):
        raise ValueError("Reshape moves the leading axis, which is that of the batch")
    return ops.reshape(inputs[0], (batch, *map(int, shape[1:])))


def _layer_norm(ops, inputs, attributes, shape, batch):
    if attributes.get("axis", -1) not in (-1, len(inputs[0].shape) - 1):
        raise ValueError("LayerNormalization of more than the last axis")
    return ops.layer_norm(*inputs, attributes.get("epsilon", 1e-5))


def _attention(ops, inputs, attributes, shape, batch):
    unknown = attributes.keys() - {"q_num_heads", "kv_num_heads"}
    heads = attributes.get("q_num_heads")
    if unknown or not heads or heads != attributes.get("kv_num_heads") or len(inputs) > 3:
        raise ValueError(f"Attention with {sorted(unknown) or 'other heads for keys, or a mask'}")
    n, width = inputs[0].shape[1:]

    def split(x):
        return ops.transpose(ops.reshape(x, (batch, n, heads, width // heads)), (0, 2, 1, 3))

    y = ops.attention(*map(split, inputs))
    return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (batch, n, width))


def _conv(ops, inputs, attributes, shape, batch):
    taps = inputs[1].shape[2]
    depthwise = attributes.get("group", 1) == inputs[0].shape[1] == inputs[1].shape[0]
    known = attributes.keys() <= {"kernel_shape", "group", "pads"}
    if not depthwise or not known or attributes.get("pads") != [taps // 2] * 2:
        raise ValueError(
            "Conv is one filter per channel over a sequence, of the same length after it"
        )
    return ops.depthwise(*inputs)


def _softmax(ops, inputs, attributes, shape, batch):
    if attributes.get("axis", -1) not in (-1, len(inputs[0].shape) - 1):
        raise ValueError("Softmax over another axis than the last")
    return ops.softmax(inputs[0])


def _gelu(ops, inputs, attributes, shape, batch):
    if attributes.get("approximate", b"none") != b"none":
        raise ValueError("Gelu is the exact one")
    return ops.gelu(inputs[0])


#: By operator: a function of the back end, inputs, attributes, constant second input, batch.
OPERATORS = {
    "Add": lambda ops, i, *_: ops.add(*i),
    "Mul": lambda ops, i, *_: ops.multiply(*i),
    "Div": lambda ops, i, *_: ops.divide(*i),
    "MatMul": lambda ops, i, *_: ops.matmul(*i),
    "Relu": lambda ops, i, *_: ops.relu(i[0]),
    "Transpose": lambda ops, i, a, *_: ops.transpose(i[0], tuple(a["perm"])),
    "Concat": lambda ops, i, a, *_: ops.concatenate(i, a["axis"]),
    "ReduceSum": lambda ops, i, a, axes, _: ops.sum(i[0], *_axes(a, axes)),
    "ReduceMean": lambda ops, i, a, axes, _: ops.mean(i[0], *_axes(a, axes)),
    "Gelu": _gelu,
    "Softmax": _softmax,
    "Reshape": _reshape,
    "LayerNormalization": _layer_norm,
    "Attention": _attention,
    "Conv": _conv,
}
