"""Products, reductions, norms and softmax."""

import numpy as np

from .case import OpCase, bools, f32, i64, ints


def products():
    shapes = {
        "matrix": ((7, 13), (13, 5)), "batch": ((2, 3, 7, 13), (2, 3, 13, 5)),
        "weights": ((2, 7, 13), (13, 5)), "broadcast": ((3, 1, 7, 13), (2, 13, 5)),
        "vector-left": ((13,), (13, 5)), "vector-right": ((2, 7, 13), (13,)), "dot": ((13,), (13,)),
        "one-row": ((1, 64), (64, 48)), "empty": ((0, 4), (4, 3)), "no-depth": ((3, 0), (0, 4)),
    }  # fmt: skip
    for label, (a, b) in shapes.items():
        yield OpCase("MatMul", [f32(*a), f32(*b)], label=label)
    for m, k, n in ((1, 96, 40), (5, 33, 17), (130, 70, 50), (17, 384, 64)):
        weights = [f32(2, m, k), f32(k, n)]
        yield OpCase("MatMul", weights, constants=(1,), label=f"packed-{m}x{k}x{n}", tolerance=2e-4)
    yield OpCase("MatMul", [i64(3, 4), i64(4, 5)], label="i64")
    yield OpCase(
        "MatMul", [f32(5, 7).astype(np.float64), f32(7, 3).astype(np.float64)], label="f64"
    )
    for ta in (0, 1):
        for tb in (0, 1):
            a, b = f32(*((13, 7) if ta else (7, 13))), f32(*((5, 13) if tb else (13, 5)))
            yield OpCase("Gemm", [a, b, f32(5)], dict(transA=ta, transB=tb), label=f"{ta}{tb}")
    scaled = dict(alpha=0.5, beta=2.0)
    yield OpCase("Gemm", [f32(7, 13), f32(13, 5), f32(7, 1)], scaled, label="scaled")
    yield OpCase("Gemm", [f32(7, 13), f32(13, 5)], label="no-bias")
    yield OpCase(
        "Gemm", [f32(7, 13), f32(5, 13), f32(5)], dict(transB=1), constants=(1, 2), label="weights"
    )
    equations = {
        "bij,bjk->bik": ((2, 3, 4), (2, 4, 5)), "bnhd,bmhd->bhnm": ((2, 3, 4, 5), (2, 6, 4, 5)),
        "bhnm,bmhd->bnhd": ((2, 4, 3, 6), (2, 6, 4, 5)), "i,j->ij": ((3,), (4,)),
        "...ij,jk->...ik": ((2, 3, 4), (4, 5)), "ij,ij->": ((3, 4), (3, 4)),
        "ij->ji": ((3, 4),), "bij->bi": ((2, 3, 4),), "ii->i": ((4, 4),), "ab,bc": ((3, 4), (4, 5)),
    }  # fmt: skip
    for equation, shapes in equations.items():
        values = [f32(*s) for s in shapes]
        yield OpCase("Einsum", values, dict(equation=equation), label=equation)


def reductions():
    x = lambda: f32(3, 4, 5)
    for op in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp", "LogSum"):
        value = f32(3, 4, 5, low=0.1) if op == "LogSum" else x()
        yield OpCase(f"Reduce{op}", [value, ints(-1)], constants=(1,), label="last")
        keep = dict(keepdims=0)
        yield OpCase(f"Reduce{op}", [value, ints(0, 2)], keep, constants=(1,), label="two")
    yield OpCase("ReduceSum", [x()], label="all")
    yield OpCase("ReduceSum", [x()], dict(noop_with_empty_axes=1), label="noop")
    yield OpCase("ReduceMean", [x(), ints(1)], constants=(1,), label="middle")
    yield OpCase("ReduceSum", [i64(3, 4), ints(1)], constants=(1,), label="i64")
    yield OpCase("ReduceMax", [i64(3, 4), ints(0)], constants=(1,), label="i64")
    yield OpCase("ReduceSum", [f32(3, 0), ints(1)], constants=(1,), label="nothing")
    nan = np.array([[1, np.nan, 3], [4, 5, -np.inf]], np.float32)
    yield OpCase("ReduceMax", [nan, ints(1)], constants=(1,), label="nan", by_reference=True)
    for op in ("ArgMax", "ArgMin"):
        yield OpCase(op, [x()], dict(axis=1), may_refuse=True)
        yield OpCase(op, [i64(4, 6)], dict(axis=-1, keepdims=0), label="ties", may_refuse=True)
    last = dict(axis=-1, select_last_index=1)
    yield OpCase("ArgMax", [i64(4, 6)], last, label="last-tie", may_refuse=True)


def rows():
    for axis in (-1, 0, 1):
        yield OpCase("Softmax", [f32(3, 4, 33)], dict(axis=axis), label=f"axis{axis}")
        yield OpCase("LogSoftmax", [f32(3, 4, 33)], dict(axis=axis), label=f"axis{axis}")
    masked = np.where(bools(4, 9), f32(4, 9), np.float32(-np.inf))
    masked[0], masked[1, 0] = -np.inf, 1.0
    yield OpCase("Softmax", [masked], dict(axis=-1), label="masked")
    yield OpCase("Softmax", [f32(4, 9) * 1e4], dict(axis=-1), label="large")
    yield OpCase("Softmax", [f32(4, 1)], dict(axis=-1), label="one")
    weights = lambda n: [f32(n), f32(n)]
    for shape, axis in (((2, 3, 64), -1), ((2, 3, 5), 1), ((4, 1), -1), ((3, 385), -1)):
        size = shape[1:] if axis == 1 else shape[-1:]
        values = [f32(*shape), f32(*size), f32(*size)]
        label = "x".join(map(str, shape))
        yield OpCase("LayerNormalization", values, dict(axis=axis), label=label, constants=(1, 2))
    yield OpCase(
        "LayerNormalization",
        [f32(2, 7), f32(7)],
        dict(epsilon=1e-3),
        label="no-bias",
        constants=(1,),
    )
    yield OpCase("RMSNormalization", [f32(2, 3, 64), f32(64)], opset=23, constants=(1,))
    yield OpCase(
        "GroupNormalization", [f32(2, 6, 4, 5), *weights(6)], dict(num_groups=3), constants=(1, 2)
    )
    yield OpCase(
        "InstanceNormalization", [f32(2, 3, 4, 5), *weights(3)], constants=(1, 2), may_refuse=True
    )
    constants = [*weights(3), f32(3), f32(3, low=0.1)]
    yield OpCase("BatchNormalization", [f32(2, 3, 4, 5), *constants], constants=(1, 2, 3, 4))
    yield OpCase("LpNormalization", [f32(3, 4)], dict(axis=-1, p=2), may_refuse=True)


def cases():
    for group in (products, reductions, rows):
        yield from group()
