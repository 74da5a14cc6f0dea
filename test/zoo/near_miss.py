"""Graphs that look like a known attention and are not: one sign, axis or mask is changed.

`near_misses(model, rng)` yields (what was changed, the model), in an order that is drawn; whether a
change still makes a valid graph is for the caller to find out.
"""

import numpy as np
import onnx
from onnx import helper

import onnx_oracle as oracle
from editor import Editor

STRICT = {"LessOrEqual": "Less", "GreaterOrEqual": "Greater"}
RELAXED = {strict: loose for loose, strict in STRICT.items()}
FUNCTIONS = {"Relu": "Elu", "Elu": "Relu", "Cos": "Sin", "Sin": "Cos", "Erf": "Tanh"}


def set_attribute(node, name, value):
    for attribute in node.attribute:
        if attribute.name == name:
            attribute.CopyFrom(helper.make_attribute(name, value))
            return
    node.attribute.append(helper.make_attribute(name, value))


def attribute(node, name, default):
    found = [a for a in node.attribute if a.name == name]
    return helper.get_attribute_value(found[0]) if found else default


def change_constant(e, node, position, change):
    """A constant of one node only, changed; False where there is none or it stays the same."""
    array = e.value(node.input[position])
    if array is None:
        return False
    new = change(array)
    if new is None or np.array_equal(new, array):
        return False
    node.input[position] = e.const(new.astype(array.dtype))
    return True


def masks(e, node):
    if node.op_type in STRICT | RELAXED:
        node.op_type = (STRICT | RELAXED)[node.op_type]
        return f"{node.op_type} instead"
    if node.op_type == "Where":
        node.input[1], node.input[2] = node.input[2], node.input[1]
        return "branches swapped"
    if node.op_type == "Trilu":
        set_attribute(node, "upper", 1 - attribute(node, "upper", 1))
        return "other triangle"
    return None


def scans(e, node):
    if node.op_type != "CumSum":
        return None
    name = ("reverse", "exclusive")[int(e.rng.integers(2))]
    set_attribute(node, name, 1 - attribute(node, name, 0))
    return f"{name} changed"


def axes(e, node):
    if node.op_type == "Softmax":
        set_attribute(node, "axis", -2)
        return "axis -2"
    if node.op_type in ("ReduceSum", "ReduceMax") and len(node.input) > 1:
        if change_constant(e, node, 1, lambda a: np.where(a == -1, -2, a)):
            return "axis -2"
    if node.op_type == "Transpose":
        perm = list(attribute(node, "perm", []))
        if len(perm) >= 4:
            perm[-1], perm[-2] = perm[-2], perm[-1]
            set_attribute(node, "perm", perm)
            return f"perm {perm}"
    if node.op_type == "Einsum":
        text = attribute(node, "equation", b"").decode()
        left, _, right = text.partition("->")
        if len(right) >= 2:
            set_attribute(node, "equation", f"{left}->{right[:-2]}{right[-1]}{right[-2]}")
            return "result transposed"
    return None


def signs(e, node):
    if node.op_type == "Sub":
        node.input[0], node.input[1] = node.input[1], node.input[0]
        return "operands swapped"
    bias = any(i in e.constants and e.rank(i) == 1 for i in node.input)
    if node.op_type == "Add" and e.is_float(node.output[0]) and not bias:
        node.op_type = "Sub"
        return "Sub instead"
    if node.op_type in ("Mul", "Div") and e.is_float(node.output[0]):
        for position in (0, 1):
            if e.scalar(node.input[position]) and change_constant(e, node, position, np.negative):
                return "number negated"
    return None


def functions(e, node):
    if node.op_type not in FUNCTIONS:
        return None
    del node.attribute[:]
    node.op_type = FUNCTIONS[node.op_type]
    return f"{node.op_type} instead"


def pads(e, node):
    if node.op_type == "Conv" and any(attribute(node, "pads", [])):
        padded = list(attribute(node, "pads", []))
        padded[0], padded[-1] = padded[0] + 1, padded[-1] + 1
        padded[len(padded) // 2] -= 1
        padded[len(padded) // 2 - 1] -= 1
        set_attribute(node, "pads", padded)
        return f"pads {padded}"
    if node.op_type == "Pad" and change_constant(e, node, 1, lambda a: a[::-1]):
        return "pads at the other end"
    return None


CHANGES = (masks, scans, axes, signs, functions, pads)


def near_misses(model, rng):
    """Kinds of change take turns, so that the many Transposes do not hide the few masks."""
    sites = []
    for change in CHANGES:
        nodes = rng.permutation(len(model.graph.node))
        turn = 0
        for index in nodes:
            e = Editor(model, rng, "changed")
            node = e.graph.node[int(index)]
            about = change(e, node)
            if about:
                sites.append((turn, rng.random(), f"{node.op_type} {node.name}: {about}", e))
                turn += 1
            if turn >= 3:
                break
    for _, _, about, e in sorted(sites, key=lambda s: s[:2]):
        del e.graph.value_info[:]
        yield about, e.model


def peer_outputs(model, feeds):
    """ONNX Runtime's result for each feed, or None where it refuses or gives NaN only."""
    try:
        onnx.checker.check_model(model, full_check=True)
        session = oracle.session(model.SerializeToString())
        results = [session.run(None, f)[0] for f in feeds]
    except Exception:  # any error of the checker or the peer: not a valid graph
        return None
    return results if all(np.isfinite(r).any() for r in results) else None
