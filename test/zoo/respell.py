"""Rewrites of an ONNX graph that keep what it computes: `respell(model, seed)`.

Each rewrite is a function of an editor that changes a random part of the places where it applies
and returns how many it changed.
"""

import numpy as np
from onnx import helper

from editor import Editor

COMMUTATIVE = ("Add", "Mul", "And", "Or", "Equal")
LETTERS = "abcdefgh"


def shuffle_nodes(e):
    """Any order that defines values before they are used."""
    known = {i.name for i in e.graph.input} | {t.name for t in e.graph.initializer} | {""}
    waiting, order = list(e.graph.node), []
    while waiting:
        ready = [n for n in waiting if known.issuperset(n.input)]
        node = ready[e.rng.integers(len(ready))]
        waiting.remove(node)
        known.update(node.output)
        order.append(node)
    del e.graph.node[:]
    e.graph.node.extend(order)
    e.refresh()
    return len(order)


def rename_values(e):
    fixed = {p.name for p in (*e.graph.input, *e.graph.output)} | {""}
    names = {o for n in e.graph.node for o in n.output} | {t.name for t in e.graph.initializer}
    names = sorted(names - fixed)
    numbers = e.rng.permutation(len(names))
    new = {old: f"v{number}" for old, number in zip(names, numbers)}
    for node in e.graph.node:
        node.name = f"n{e.fresh('name')}"
        for values in (node.input, node.output):
            for position, name in enumerate(values):
                values[position] = new.get(name, name)
    for tensor in e.graph.initializer:
        tensor.name = new[tensor.name]
    e.types = {new.get(name, name): kind for name, kind in e.types.items()}
    e.refresh()
    return len(new)


def commute(e):
    sites = e.some(e.nodes(*COMMUTATIVE))
    for node in sites:
        node.input[0], node.input[1] = node.input[1], node.input[0]
    return len(sites)


def swap_where(e):
    """Where(not c, a, b) for Where(c, b, a)."""
    sites = e.some(e.nodes("Where"))
    for node in sites:
        negated = e.node("Not", [node.input[0]])
        swapped = e.node("Where", [negated.output[0], node.input[2], node.input[1]], node.output[0])
        e.replace(node, [negated, swapped])
    return len(sites)


def turn_comparisons(e):
    """b >= a for a <= b."""
    turned = {"LessOrEqual": "GreaterOrEqual", "Less": "Greater"}
    turned |= {b: a for a, b in turned.items()}
    sites = e.some(e.nodes(*turned))
    for node in sites:
        node.op_type = turned[node.op_type]
        node.input[0], node.input[1] = node.input[1], node.input[0]
    return len(sites)


def constants_to_initialisers(e):
    sites = e.some(n for n in e.nodes("Constant") if n.attribute[0].name == "value")
    for node in sites:
        tensor = e.graph.initializer.add()
        tensor.CopyFrom(node.attribute[0].t)
        tensor.name = node.output[0]
        e.graph.node.remove(node)
    e.refresh()
    return len(sites)


def initialisers_to_constants(e):
    sites = e.some(e.graph.initializer)
    for tensor in sites:
        node = helper.make_node("Constant", [], [tensor.name], name=e.fresh("node"), value=tensor)
        e.graph.node.insert(0, node)
        e.graph.initializer.remove(tensor)
    e.refresh()
    return len(sites)


def matmul_to_einsum(e):
    """Only where no axis is broadcast."""

    def applies(node):
        a, b = (e.dims(i) for i in node.input)
        if not a or not b or len(a) < 2 or len(b) < 2 or len(a) > 6:
            return False
        return len(b) == 2 or (len(a) == len(b) and None not in a + b and a[:-2] == b[:-2])

    sites = e.some(n for n in e.nodes("MatMul") if applies(n))
    for node in sites:
        left, right = (e.rank(i) for i in node.input)
        batch = LETTERS[: left - 2]
        equation = f"{batch}ij,{batch if right > 2 else ''}jk->{batch}ik"
        e.replace(node, [e.node("Einsum", list(node.input), node.output[0], equation=equation)])
    return len(sites)


def einsum_to_matmul(e):
    """Two operands; at most one axis of each kind beside the common ones."""

    def split(node):
        equation = helper.get_node_attr_value(node, "equation")
        equation = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
        terms, _, result = equation.partition("->")
        terms = terms.split(",")
        if len(terms) != 2 or "." in equation:
            return None
        a, b = terms
        batch = [x for x in result if x in a and x in b]
        rows = [x for x in a if x not in b]
        columns = [x for x in b if x not in a]
        inner = [x for x in a if x in b and x not in result]
        distinct = all(len(set(t)) == len(t) for t in (a, b))
        kept = all(x in result for x in rows + columns)
        if not distinct or not kept or max(map(len, (rows, columns, inner))) > 1:
            return None
        return a, b, result, batch, rows, columns, inner

    def arrange(value, term, batch, last):
        """Transposed to the batch axes and `last`, with axes of size 1 where one is missing."""
        order = batch + [x for part in last for x in part]
        new = [e.node("Transpose", [value], perm=[term.index(x) for x in order])]
        missing = [len(batch) + i for i, part in enumerate(last) if not part]
        if missing:
            new.append(e.axes("Unsqueeze", new[-1].output[0], missing))
        return new

    sites = e.some(n for n in e.nodes("Einsum") if split(n))
    for node in sites:
        a, b, result, batch, rows, columns, inner = split(node)
        new = arrange(node.input[0], a, batch, [rows, inner])
        left = new[-1].output[0]
        new += arrange(node.input[1], b, batch, [inner, columns])
        new.append(e.node("MatMul", [left, new[-1].output[0]]))
        missing = [len(batch) + i for i, part in enumerate((rows, columns)) if not part]
        if missing:
            new.append(e.axes("Squeeze", new[-1].output[0], missing))
        order = batch + rows + columns
        perm = [order.index(x) for x in result]
        new.append(e.node("Transpose", [new[-1].output[0]], node.output[0], perm=perm))
        e.replace(node, new)
    return len(sites)


def insert_pairs(e):
    """Transpose and its inverse, or Reshape to one axis and back, behind random values."""
    fixed = {o.name for o in e.graph.output}
    sites = [
        n
        for n in e.graph.node
        if len(n.output) == 1 and n.output[0] not in fixed
        and e.is_float(n.output[0]) and (e.rank(n.output[0]) or 0) >= 2
        and n.op_type not in ("Constant", "ConstantOfShape")
    ]  # fmt: skip
    picked = e.some(sites)[:6]
    for node in picked:
        value, position = node.output[0], list(e.graph.node).index(node)
        end = e.fresh("pair")
        e.rename_value(value, end, users_only=True)
        if e.rng.random() < 0.6:
            perm = list(map(int, e.rng.permutation(e.rank(value))))
            first = e.node("Transpose", [value], perm=perm)
            back = list(map(int, np.argsort(perm)))
            new = [first, e.node("Transpose", [first.output[0]], end, perm=back)]
        else:
            shape = e.node("Shape", [value])
            flat = e.node("Reshape", [value, e.const(np.array([-1], np.int64))])
            new = [shape, flat, e.node("Reshape", [flat.output[0], shape.output[0]], end)]
        for offset, extra in enumerate(new):
            e.graph.node.insert(position + 1 + offset, extra)
        e.types[end] = e.types[value]
    e.refresh()
    return len(picked)


def weight_of(e, node):
    """The constant right factor of a projection, or None."""
    array = e.value(node.input[1])
    return array if array is not None and array.ndim == 2 and array.dtype == np.float32 else None


def merge_projections(e):
    """Products of one value with several weights: one product and a Split."""
    groups = {}
    for node in e.nodes("MatMul"):
        if weight_of(e, node) is not None:
            groups.setdefault(node.input[0], []).append(node)
    merged = 0
    for value, nodes in groups.items():
        if len(nodes) < 2 or (rank := e.rank(value)) is None:
            continue
        weights = [weight_of(e, n) for n in nodes]
        sizes = e.const(np.array([w.shape[1] for w in weights], np.int64))
        product = e.node("MatMul", [value, e.const(np.concatenate(weights, 1))])
        outputs = [n.output[0] for n in nodes]
        split = e.node("Split", [product.output[0], sizes], outputs=outputs, axis=rank - 1)
        e.replace(nodes[0], [product, split])
        for node in nodes[1:]:
            e.graph.node.remove(node)
        e.refresh()
        merged += 1
    return merged


def split_projections(e):
    """A product, with the bias added if there is one, cut into two that are put together again."""
    sites = e.some(
        n for n in e.nodes("MatMul")
        if weight_of(e, n) is not None and weight_of(e, n).shape[1] % 2 == 0
    )  # fmt: skip
    for node in sites:
        halves = np.split(weight_of(e, node), 2, 1)
        parts = [e.node("MatMul", [node.input[0], e.const(w)]) for w in halves]
        joined = e.node("Concat", [p.output[0] for p in parts], node.output[0], axis=-1)
        e.replace(node, [*parts, joined])
    return len(sites)


def move_scale(e):
    """A number that multiplies a product multiplies one of its factors, or the other way round."""
    moved = 0
    for node in e.some(e.nodes("Mul")):
        number = next((i for i in node.input if e.scalar(i) is not None), None)
        other = next((i for i in node.input if i != number), None)
        if number is None or other is None or (e.rank(number) or 0) > 0 and e.rank(number) > 1:
            continue
        maker = e.maker.get(other)
        if maker is not None and maker.op_type == "MatMul" and e.users[other] == 1:
            side = int(e.rng.integers(2))
            scaled = e.node("Mul", [maker.input[side], number])
            factors = list(maker.input)
            factors[side] = scaled.output[0]
            product = e.node("MatMul", factors, node.output[0])
            e.graph.node.remove(maker)
            e.replace(node, [scaled, product])
            moved += 1
    for node in e.some(e.nodes("MatMul")):
        for side in (0, 1):
            maker = e.maker.get(node.input[side])
            if maker is None or maker.op_type != "Mul" or e.users[node.input[side]] != 1:
                continue
            number = next((i for i in maker.input if e.scalar(i) is not None), None)
            if number is None or e.rank(number) > 1 or list(maker.input).count(number) == 2:
                continue
            factors = list(node.input)
            factors[side] = next(i for i in maker.input if i != number)
            product = e.node("MatMul", factors)
            scaled = e.node("Mul", [product.output[0], number], node.output[0])
            e.graph.node.remove(maker)
            e.replace(node, [product, scaled])
            moved += 1
            break
    return moved


def divide_for_multiply(e):
    """x / (1/c) for x * c."""
    sites = e.some(
        n for n in e.nodes("Mul")
        if any(e.scalar(i) and np.isfinite(1 / e.scalar(i)) for i in n.input)
    )  # fmt: skip
    for node in sites:
        number = next(i for i in node.input if e.scalar(i))
        other = next(i for i in node.input if i != number)
        inverse = e.const((1 / e.value(number)).astype(np.float32))
        e.replace(node, [e.node("Div", [other, inverse], node.output[0])])
    return len(sites)


REWRITES = (
    einsum_to_matmul,
    matmul_to_einsum,
    split_projections,
    merge_projections,
    move_scale,
    divide_for_multiply,
    swap_where,
    turn_comparisons,
    commute,
    insert_pairs,
    constants_to_initialisers,
    initialisers_to_constants,
    rename_values,
    shuffle_nodes,
)


def respell(model, seed, rewrites=None):
    """(the respelled model, what was changed); without `rewrites`, some are drawn."""
    rng = np.random.default_rng(seed)
    if rewrites is None:
        rewrites = [r for r in REWRITES if rng.random() < 0.6]
    changed = []
    for rewrite in rewrites:
        editor = Editor(model, rng, rewrite.__name__)
        count = rewrite(editor)
        model = editor.finish()
        if count:
            changed.append(f"{rewrite.__name__} x{count}")
    return model, ", ".join(changed)
