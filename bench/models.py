"""The graphs of `attention/`: blocks whose weights are drawn here, and nodes of ONNX itself.

The committed graphs have no weights (examples/zoo/weights.py took them out); they get numbers from
a seed, spread as they were. Sizes are fixed, so that every runtime may use them.
"""

import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

FOLDER = Path(__file__).resolve().parent / "attention"
HEADS, DEPTH = 8, 64


def fill(model):
    for tensor in model.graph.initializer:
        if not tensor.doc_string.startswith("normal "):
            continue
        mean, deviation = map(float, tensor.doc_string.split()[1:])
        rng = np.random.default_rng(zlib.crc32(tensor.name.encode()))
        values = mean + deviation * rng.standard_normal(tuple(tensor.dims))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return model


def fix(model, dims):
    """Symbols of the inputs and outputs become numbers."""
    for port in (*model.graph.input, *model.graph.output):
        for dim in port.type.tensor_type.shape.dim:
            if dim.dim_param in dims:
                dim.dim_value = dims[dim.dim_param]
    return model


def linear_attention(rule):
    """One LinearAttention node of opset 27."""
    ports = ["query", "key", "value"]
    width = dict.fromkeys(ports, HEADS * DEPTH)
    if "gated" in rule:
        width["decay"] = HEADS
    if "delta" in rule:
        width["beta"] = HEADS
    inputs = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["batch", "length", w])
        for n, w in width.items()
    ]
    state = "decay" if "decay" in width else ""
    names = [*ports, "", state, "beta" if "beta" in width else ""]
    while not names[-1]:
        names.pop()
    outputs = {"y": ["batch", "length", HEADS * DEPTH], "state": ["batch", HEADS, DEPTH, DEPTH]}
    node = helper.make_node(
        "LinearAttention", names, list(outputs),
        q_num_heads=HEADS, kv_num_heads=HEADS, update_rule=rule,
    )  # fmt: skip
    results = [
        helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in outputs.items()
    ]
    graph = helper.make_graph([node], "linear_attention", inputs, results)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 27)], ir_version=10)


def feeds(rule):
    """What the inputs of a case are made of, as in cases/*.json."""
    wide = {"dtype": "float32", "shape": ["batch", "length", HEADS * DEPTH], "fill": "normal"}
    if not rule:
        return {"x": wide}
    spec = {n: wide for n in ("query", "key", "value")}
    narrow = {"dtype": "float32", "shape": ["batch", "length", HEADS]}
    if "gated" in rule:
        spec["decay"] = {**narrow, "fill": "negative"}
    if "delta" in rule:
        spec["beta"] = {**narrow, "fill": "unit"}
        spec["key"] = {**wide, "fill": "normal", "scale": DEPTH**-0.5}
    return spec


def model_of(case):
    if "rule" in case:
        return linear_attention(case["rule"])
    return fill(onnx.load(FOLDER / f"{case['graph']}.onnx"))


def write(case, folder, dims):
    """The case's model under `folder`, with these sizes (or symbols, without)."""
    size = "x".join(map(str, dims.values())) or "any"
    path = Path(folder) / f"{case.get('graph') or 'onnx-' + case['rule']}-{size}.onnx"
    if not path.exists():
        onnx.save(fix(model_of(case), dims), path)
    return path
