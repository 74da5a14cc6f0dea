"""One operator as a model of one node."""

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

DEFAULT_OPSET = 22


@dataclass
class OpCase:
    op: str
    inputs: list  # arrays; None leaves an optional input out
    attributes: dict = field(default_factory=dict)
    outputs: int = 1
    constants: tuple = ()  # positions of the inputs that are initialisers
    opset: int = DEFAULT_OPSET
    tolerance: float = 1e-5
    static_only: bool = False
    label: str = ""
    by_reference: bool = False  # the ONNX reference is right where ONNX Runtime is not
    may_refuse: bool = False  # may be refused as unsupported; a wrong result is still a failure
    left_out: tuple = ()  # positions of outputs that nobody asks for

    def __post_init__(self):
        self.inputs = [None if v is None else np.asarray(v) for v in self.inputs]

    @property
    def name(self):
        return f"{self.op}-{self.label}" if self.label else self.op

    @property
    def can_be_dynamic(self):
        return not self.static_only and any(
            max(v.shape, default=0) > 1 for v in self.feeds().values()
        )

    def parts(self, prefix, dynamic):
        """(nodes, inputs, outputs, initialisers), every name starting with the prefix.

        With `dynamic`, every extent above 1 of an input is a symbol; equal extents share one.
        """
        names, infos, weights = [], [], []
        for position, value in enumerate(self.inputs):
            if value is None:
                names.append("")
                continue
            name = f"{prefix}x{position}"
            names.append(name)
            if position in self.constants:
                weights.append(numpy_helper.from_array(value, name))
                continue
            shape = [f"{prefix}n{e}" if dynamic and e > 1 else e for e in value.shape]
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            infos.append(helper.make_tensor_value_info(name, kind, shape))
        results = [f"{prefix}y{i}" for i in range(self.outputs)]
        named = ["" if i in self.left_out else r for i, r in enumerate(results)]
        node = helper.make_node(self.op, names, named, name=f"{prefix}{self.op}", **self.attributes)
        return [node], infos, [n for n in named if n], weights

    def feeds(self, prefix=""):
        return {
            f"{prefix}x{i}": v
            for i, v in enumerate(self.inputs)
            if v is not None and i not in self.constants
        }


def model_of(cases, dynamic):
    """One model with all those cases side by side; case i has the prefix `c{i}_`."""
    nodes, inputs, outputs, weights = [], [], [], []
    for number, case in enumerate(cases):
        n, i, o, w = case.parts(f"c{number}_", dynamic)
        nodes += n
        inputs += i
        outputs += [helper.make_empty_tensor_value_info(name) for name in o]
        weights += w
    graph = helper.make_graph(nodes, "operators", inputs, outputs, weights)
    opset = helper.make_opsetid("", cases[0].opset)
    model = helper.make_model(graph, opset_imports=[opset])
    model.ir_version = 10
    # Types of the results, which the format wants, come from inference; where an operator has none,
    # the result has the type of the first input.
    model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    types = {value.name: value.type for value in model.graph.input}
    for output in model.graph.output:
        if not output.type.tensor_type.HasField("shape"):
            output.type.CopyFrom(types[output.name.split("_")[0] + "_x0"])
    return model


RNG = np.random.default_rng(7)


def f32(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def i64(*shape, low=-5, high=6):
    return RNG.integers(low, high, shape)


def bools(*shape):
    return RNG.random(shape) < 0.5


def ints(*values):
    return np.array(values, np.int64)
