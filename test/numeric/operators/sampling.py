"""Operators that resample, scatter, sort and recur."""

import numpy as np

from .case import OpCase, bools, f32, i64, ints


def resize():
    x = f32(1, 2, 5, 7)
    scales = np.array([1, 1, 1.7, 0.6], np.float32)
    for mode in ("nearest", "linear"):
        for coordinates in ("half_pixel", "align_corners", "asymmetric"):
            attributes = dict(mode=mode, coordinate_transformation_mode=coordinates)
            # ONNX Runtime rounds the size before it aligns corners.
            yield OpCase("Resize", [x, None, scales], attributes, constants=(2,), opset=19,
                         label=f"{mode}-{coordinates}",
                         by_reference=coordinates == "align_corners")  # fmt: skip
    sizes = ints(1, 2, 8, 3)
    yield OpCase("Resize", [x, None, None, sizes], dict(mode="cubic"), opset=19, label="cubic",
                 static_only=True)  # fmt: skip


def grids():
    x, grid = f32(2, 3, 5, 6), f32(2, 4, 3, 2, low=-1.3, high=1.3)
    for mode in ("linear", "nearest", "cubic"):
        for padding in ("zeros", "border", "reflection"):
            # ONNX Runtime moves positions to the border before it weighs with a cubic.
            yield OpCase("GridSample", [x, grid], dict(mode=mode, padding_mode=padding), opset=20,
                         label=f"{mode}-{padding}", tolerance=5e-5,
                         by_reference=mode == "cubic")  # fmt: skip
    yield OpCase("GridSample", [x, grid], dict(align_corners=1), opset=20, label="corners")


def transposed():
    x = f32(2, 4, 5, 6)
    yield OpCase("ConvTranspose", [x, f32(4, 3, 3, 3)], label="plain")
    yield OpCase("ConvTranspose", [x, f32(4, 3, 3, 2), f32(3)], dict(strides=[2, 3]), label="bias")
    yield OpCase("ConvTranspose", [x, f32(4, 3, 3, 3)],
                 dict(pads=[1, 0, 2, 1], dilations=[2, 1], output_padding=[1, 0], strides=[2, 2]),
                 label="padded")  # fmt: skip
    yield OpCase("ConvTranspose", [x, f32(4, 3, 3, 3)], dict(group=2), label="groups",
                 static_only=True)  # fmt: skip


def sorted_values():
    x = f32(3, 11, 5)
    x[0, 2] = x[0, 7]
    for axis in (1, 2):
        for largest in (0, 1):
            yield OpCase("TopK", [x, ints(4)], dict(axis=axis, largest=largest), outputs=2,
                         constants=(1,), label=f"{axis}-{largest}")  # fmt: skip
    # More than are found one after the other, and types of every width; many elements are equal.
    for kind in ("float32", "float64", "int32", "int64", "uint64", "int8"):
        for count in (1, 40):
            y = i64(2, 50, low=0, high=9).astype(kind)
            if kind == "float32":
                y[0, 3], y[0, 5], y[1, 4], y[1, 8] = -0.0, 0.0, np.inf, -np.inf
            elif kind.startswith("int"):
                y[0, 3], y[0, 5] = np.iinfo(kind).min, np.iinfo(kind).max
            for largest in (0, 1):
                yield OpCase("TopK", [y, ints(count)], dict(largest=largest), outputs=2,
                             constants=(1,), static_only=True,
                             label=f"{kind}-{count}-{largest}")  # fmt: skip
    yield OpCase("TopK", [x, ints(3)], dict(axis=1), outputs=2, label="count")
    yield OpCase("TopK", [x, ints(0)], outputs=2, constants=(1,), label="none")
    yield OpCase("NonZero", [i64(4, 6, low=0, high=2)])
    yield OpCase("Compress", [x, bools(11)], dict(axis=1))
    yield OpCase("Compress", [x, bools(20)], label="flat", static_only=True)


def scattered():
    data, updates = f32(4, 6), f32(3, 6)
    indices = np.stack([np.random.default_rng(k).permutation(4)[:3] for k in range(6)], 1)
    yield OpCase("ScatterElements", [data, indices, updates], opset=18)
    for kind in ("add", "mul", "max", "min"):
        yield OpCase("ScatterElements", [data, i64(3, 6, low=-4, high=4), updates],
                     dict(reduction=kind), opset=18, label=kind)  # fmt: skip
        yield OpCase("ScatterND", [data, i64(5, 1, low=0, high=4), f32(5, 6)], dict(reduction=kind),
                     opset=18, label=kind)  # fmt: skip
    yield OpCase("ScatterND", [data, np.array([[1, 2], [3, -1]]), f32(2)], label="elements",
                 static_only=True)  # fmt: skip
    image = f32(3, 5, 7)
    yield OpCase("ScatterND", [image, i64(2, 3, 2, low=-3, high=3), f32(2, 3, 7)],
                 dict(reduction="max"), opset=18, label="lines", static_only=True)  # fmt: skip
    yield OpCase("ScatterElements", [image, i64(2, 4, 7, low=0, high=5), f32(2, 4, 7)],
                 dict(axis=1, reduction="add"), opset=18, label="part")  # fmt: skip
    for name, (rows, columns) in dict(window=(3, slice(2, 5)), whole=(3, slice(0, 7))).items():
        places = np.stack(np.mgrid[:rows, :5, columns], -1)
        yield OpCase("ScatterND", [image, places, f32(*places.shape[:-1])], constants=(1,),
                     label=name)  # fmt: skip
    yield OpCase("ScatterND", [image, np.empty((0, 1), np.int64), f32(0, 5, 7)], label="nothing",
                 static_only=True)  # fmt: skip


def recurrent():
    x, batch = f32(5, 3, 4), 3
    for op, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for direction, d in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            w, r, b = f32(d, gates * 6, 4), f32(d, gates * 6, 6), f32(d, gates * 12)
            lengths = np.array([5, 2, 4], np.int32)
            states = [f32(d, batch, 6)] * (2 if op == "LSTM" else 1)
            yield OpCase(op, [x, w, r, b, lengths, *states], dict(hidden_size=6, direction=direction),
                         outputs=len(states) + 1, label=direction, static_only=True)  # fmt: skip
    gru = [x, f32(1, 18, 4), f32(1, 18, 6), f32(1, 36)]
    yield OpCase("GRU", gru, dict(hidden_size=6, linear_before_reset=1), outputs=2, label="linear",
                 static_only=True)  # fmt: skip


def axes():
    x = f32(3, 4, 5)
    for keep in (0, 1):
        yield OpCase("ReduceSum", [x, ints(-1, 0)], dict(keepdims=keep), label=f"axes-{keep}",
                     static_only=True)  # fmt: skip
        yield OpCase("ReduceMax", [x, ints(1)], dict(keepdims=keep), label=f"axes-{keep}")
    yield OpCase("CumSum", [x, np.array(1)], label="axis", static_only=True)
    yield OpCase("Slice", [x, ints(3, -1), ints(0, -9), ints(1, 2), ints(-2, -1)], label="steps",
                 static_only=True)  # fmt: skip
    yield OpCase("Unsqueeze", [x, ints(-1, 0)], label="axes", static_only=True)
    yield OpCase("Squeeze", [f32(3, 1, 5, 1), ints(-1, 1)], label="axes", static_only=True)


def others():
    x = f32(2, 5, 4, 3)
    yield OpCase("Hardmax", [x], dict(axis=1))
    yield OpCase("LpNormalization", [x], dict(axis=1, p=1), label="1")
    yield OpCase("LpNormalization", [x], dict(axis=-1, p=2), label="2")
    yield OpCase("LRN", [x], dict(size=3))
    yield OpCase("LpPool", [x], dict(kernel_shape=[2, 2], p=3))
    yield OpCase("EyeLike", [f32(4, 6)], dict(k=-1))
    yield OpCase("Det", [f32(3, 4, 4)], tolerance=1e-4, static_only=True)
    yield OpCase("ReverseSequence", [f32(5, 3, 2), np.array([5, 1, 3])])
    yield OpCase("MaxPool", [x], dict(kernel_shape=[2, 2]), outputs=2, label="indices")
    a, b = i64(4, 6, low=0, high=256), i64(6, 3, low=0, high=256)
    bytes_ = [a.astype(np.uint8), b.astype(np.uint8), np.uint8(3), np.uint8(7)]
    yield OpCase("MatMulInteger", bytes_)


def cases():
    for group in (resize, grids, transposed, sorted_values, scattered, recurrent, axes, others):
        yield from group()
