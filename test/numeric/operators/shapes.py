"""Operators that move data or compute sizes."""

import numpy as np

from .case import OpCase, bools, f32, i64, ints

END = np.iinfo(np.int64).max


def views():
    x = lambda: f32(2, 3, 4)
    for label, shape in {
        "merge": (6, 4),
        "infer": (2, -1),
        "copy": (0, 0, 2, 2),
        "flat": (-1,),
    }.items():
        yield OpCase("Reshape", [x(), ints(*shape)], constants=(1,), label=label)
    yield OpCase("Reshape", [x(), ints(4, 6)], constants=(1,), label="across")
    yield OpCase(
        "Reshape", [f32(0, 3), ints(3, 0)], dict(allowzero=1), constants=(1,), label="zero"
    )
    for axis in (0, 1, 2, 3, -1):
        yield OpCase("Flatten", [x()], dict(axis=axis), label=f"axis{axis}")
    yield OpCase("Squeeze", [f32(1, 3, 1, 4), ints(0, -2)], constants=(1,))
    yield OpCase("Squeeze", [f32(1, 3, 1, 4)], label="all", static_only=True)
    yield OpCase("Unsqueeze", [f32(3, 4), ints(0, -1)], constants=(1,))
    yield OpCase("Identity", [x()])
    for perm in ((2, 0, 1), (1, 0, 2), (0, 2, 1)):
        yield OpCase("Transpose", [x()], dict(perm=perm), label="".join(map(str, perm)))
    yield OpCase("Transpose", [x()], label="reverse")
    yield OpCase("Transpose", [f32(2, 3, 4, 5)], dict(perm=(0, 2, 1, 3)), label="heads")
    yield OpCase("Transpose", [i64(3, 4)], label="i64")
    yield OpCase("DepthToSpace", [f32(2, 8, 3, 4)], dict(blocksize=2))
    yield OpCase("DepthToSpace", [f32(2, 8, 3, 4)], dict(blocksize=2, mode="CRD"), label="crd")
    yield OpCase("SpaceToDepth", [f32(2, 2, 4, 6)], dict(blocksize=2))


def slices():
    x = lambda: f32(4, 5, 6)
    table = {
        "plain": ((1, 0), (3, 2), (0, 2), None), "negative": ((-3,), (-1,), (-1,), None),
        "open": ((2,), (END,), (1,), None), "step": ((0, 1), (END, 6), (0, 2), (2, 3)),
        "reverse": ((-1,), (-END,), (1,), (-1,)), "back": ((4,), (0,), (2,), (-2,)),
        "empty": ((3,), (3,), (0,), None), "clamped": ((-99,), (99,), (0,), None),
    }  # fmt: skip
    for label, row in table.items():
        rest = [None if r is None else ints(*r) for r in row]
        while rest[-1] is None:
            rest.pop()
        yield OpCase("Slice", [x(), *rest], constants=(1, 2, 3, 4), label=label)
    yield OpCase("Slice", [x(), ints(1, 1), ints(3, 4)], constants=(1, 2), label="no-axes")


def gathers():
    x = lambda: f32(5, 4, 3)
    yield OpCase("Gather", [x(), i64(2, 3, low=0, high=5)])
    yield OpCase("Gather", [x(), ints(-1, 0, -4)], dict(axis=1), label="negative")
    yield OpCase("Gather", [x(), np.int64(2)], dict(axis=-1), label="scalar")
    yield OpCase("Gather", [x(), np.int64(0)], constants=(1,), label="constant")
    yield OpCase(
        "Gather", [f32(97, 16), i64(2, 9, low=0, high=97)], constants=(0,), label="embedding"
    )
    yield OpCase("Gather", [x(), np.array([1, 0], np.int32)], label="i32")
    yield OpCase("Gather", [i64(5), ints(3, 1)], label="i64-data")
    yield OpCase("GatherElements", [f32(4, 3), i64(2, 3, low=-4, high=4)], static_only=True)
    yield OpCase(
        "GatherElements",
        [f32(4, 3), i64(4, 2, low=0, high=3)],
        dict(axis=1),
        label="axis1",
        static_only=True,
    )
    yield OpCase("GatherND", [f32(4, 3, 2), i64(5, 2, low=0, high=3)], static_only=True)
    yield OpCase(
        "GatherND",
        [f32(2, 3, 4), i64(2, 2, 1, low=0, high=3)],
        dict(batch_dims=1),
        label="batch",
        static_only=True,
    )


def joins():
    yield OpCase("Concat", [f32(2, 3), f32(2, 4)], dict(axis=1))
    yield OpCase("Concat", [f32(2, 3), f32(1, 3), f32(4, 3)], dict(axis=-2), label="three")
    yield OpCase("Concat", [f32(2, 3), f32(0, 3)], dict(axis=0), label="empty")
    yield OpCase("Concat", [i64(3), i64(2)], dict(axis=0), label="i64")
    yield OpCase("Split", [f32(2, 9), ints(2, 3, 4)], dict(axis=1), outputs=3, constants=(1,))
    yield OpCase(
        "Split",
        [f32(6, 2)],
        dict(axis=0, num_outputs=3),
        outputs=3,
        label="equal",
        static_only=True,
    )
    yield OpCase(
        "Split",
        [f32(7, 2)],
        dict(axis=0, num_outputs=3),
        outputs=3,
        label="uneven",
        static_only=True,
    )
    yield OpCase("Expand", [f32(3, 1), ints(2, 3, 4)], constants=(1,))
    yield OpCase("Expand", [f32(3, 1), ints(1, 4)], constants=(1,), label="keeps")
    yield OpCase("Tile", [f32(2, 3), ints(2, 2)], constants=(1,))
    pads = ints(1, 0, 2, 3)
    for mode in ("constant", "edge", "reflect", "wrap"):
        yield OpCase("Pad", [f32(4, 5), pads], dict(mode=mode), constants=(1,), label=mode)
    yield OpCase("Pad", [f32(4, 5), pads, np.float32(7)], constants=(1, 2), label="value")
    yield OpCase("Pad", [f32(4, 5), ints(-1, 0, 0, -2)], constants=(1,), label="crop")
    yield OpCase("Pad", [f32(2, 4, 5), ints(1, 2), None, ints(1)], constants=(1, 3), label="axes")
    values = np.array([0.0, 1.0], np.float32)
    yield OpCase(
        "OneHot", [i64(3, 2, low=0, high=5), np.int64(5), values], constants=(1, 2), may_refuse=True
    )


def sizes():
    yield OpCase("Shape", [f32(2, 3, 4)])
    yield OpCase("Shape", [f32(2, 3, 4)], dict(start=1, end=-1), label="part")
    yield OpCase("Size", [f32(2, 3, 4)])
    yield OpCase("Range", [np.int64(2), np.int64(11), np.int64(3)], constants=(0, 1, 2))
    yield OpCase("Range", [np.int64(9), np.int64(-2), np.int64(-4)], label="down", may_refuse=True)
    yield OpCase(
        "Range", [np.float32(0), np.float32(2), np.float32(0.3)], label="f32", may_refuse=True
    )
    yield OpCase("ConstantOfShape", [ints(2, 3)], constants=(0,))
    yield OpCase("CumSum", [f32(3, 7), np.int64(1)], constants=(1,))
    yield OpCase(
        "CumSum", [f32(3, 7), np.int64(0)], dict(exclusive=1), constants=(1,), label="exclusive"
    )
    yield OpCase(
        "CumSum", [f32(3, 7), np.int64(-1)], dict(reverse=1), constants=(1,), label="reverse"
    )
    both = dict(exclusive=1, reverse=1)
    yield OpCase("CumSum", [i64(3, 7), np.int64(1)], both, constants=(1,), label="both-i64")
    for label, attributes, k in (("upper", {}, 0), ("lower", dict(upper=0), 1), ("band", {}, -2)):
        yield OpCase("Trilu", [f32(2, 5, 4), np.int64(k)], attributes, constants=(1,), label=label)
    yield OpCase("Trilu", [bools(5, 5)], dict(upper=0), label="bool")
    # Inputs: signal, length, axis.
    dft = dict(constants=(2,), static_only=True)
    yield OpCase("DFT", [f32(2, 7, 1), None, np.int64(1)], label="real", **dft)
    yield OpCase("DFT", [f32(2, 8, 2), None, np.int64(1)], dict(inverse=1), label="inverse", **dft)
    yield OpCase(
        "DFT", [f32(2, 8, 1), None, np.int64(1)], dict(onesided=1), label="onesided", **dft
    )
    yield OpCase(
        "DFT",
        [f32(5, 3, 1), np.int64(8), np.int64(0)],
        constants=(1, 2),
        label="padded",
        static_only=True,
    )


def cases():
    for group in (views, slices, gathers, joins, sizes):
        yield from group()
