"""Convolution, pooling and resizing."""

from .case import OpCase, f32


def convolutions():
    table = {
        "plain": (dict(), 3, 6, 1), "padded": (dict(pads=[1, 1, 1, 1]), 3, 6, 1),
        "stride": (dict(strides=[2, 3], pads=[1, 0, 2, 1]), 3, 6, 1),
        "dilated": (dict(dilations=[2, 2]), 3, 4, 1), "grouped": (dict(group=2), 4, 6, 2),
        "depthwise": (dict(group=4, pads=[1] * 4), 4, 4, 4),
        "multiplier": (dict(group=4, pads=[1] * 4), 4, 8, 4),
        "same-upper": (dict(auto_pad="SAME_UPPER", strides=[2, 2]), 3, 4, 1),
        "same-lower": (dict(auto_pad="SAME_LOWER", strides=[2, 2]), 3, 4, 1),
        "valid": (dict(auto_pad="VALID"), 3, 4, 1),
    }  # fmt: skip
    for label, (attributes, inner, outer, groups) in table.items():
        values = [f32(2, inner, 9, 11), f32(outer, inner // groups, 3, 3), f32(outer)]
        yield OpCase("Conv", values, attributes, constants=(1, 2), label=label, tolerance=5e-5)
    patch = [f32(2, 3, 16, 16), f32(12, 3, 4, 4)]
    yield OpCase(
        "Conv", patch, dict(strides=[4, 4]), constants=(1,), label="patchify", tolerance=5e-5
    )
    yield OpCase("Conv", [f32(2, 5, 4, 4), f32(7, 5, 1, 1)], constants=(1,), label="pointwise")
    yield OpCase(
        "Conv", [f32(2, 3, 17), f32(4, 3, 5)], dict(pads=[2, 2]), constants=(1,), label="1d"
    )
    cube = [f32(1, 2, 5, 6, 7), f32(3, 2, 2, 3, 2)]
    yield OpCase("Conv", cube, constants=(1,), label="3d")
    yield OpCase(
        "Conv", [f32(2, 3, 6, 6), f32(4, 3, 3, 3)], label="weights-input", static_only=True
    )
    upward = [f32(1, 3, 5, 4), f32(3, 2, 3, 3)]
    yield OpCase(
        "ConvTranspose", upward, dict(strides=[2, 2], pads=[1] * 4), constants=(1,), may_refuse=True
    )


def pools():
    x = lambda: f32(2, 3, 9, 10)
    window = dict(kernel_shape=[3, 2])
    padded = dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for op in ("MaxPool", "AveragePool"):
        yield OpCase(op, [x()], window)
        yield OpCase(op, [x()], padded, label="padded")
        yield OpCase(op, [x()], dict(padded, ceil_mode=1), label="ceil")
        yield OpCase(op, [x()], dict(kernel_shape=[2, 2], dilations=[2, 2]), label="dilated")
        yield OpCase(op, [x()], dict(padded, pads=[0] * 4, auto_pad="NOTSET"), label="stride")
    yield OpCase("AveragePool", [x()], dict(padded, count_include_pad=1), label="include-pad")
    rounded = dict(padded, count_include_pad=1, ceil_mode=1)
    yield OpCase("AveragePool", [x()], rounded, label="include-pad-ceil")
    rounded = dict(window, count_include_pad=1, ceil_mode=1)
    for side in ("SAME_UPPER", "SAME_LOWER"):
        yield OpCase("AveragePool", [x()], dict(rounded, auto_pad=side), label=f"include-{side}")
    yield OpCase("GlobalAveragePool", [x()])
    yield OpCase("GlobalMaxPool", [x()])


def cases():
    yield from convolutions()
    yield from pools()
