"""Vision models: ViT, a shifted-window stage, and a convolutional net of any image size."""

import numpy as np

from .builder import Graph
from .case import Case
from .language import Config, block, join, project, self_attention

CLASSES = 10


def images(height=None, width=None):
    def feeds(rng, batch, **dims):
        shape = (batch, 3, dims.get("height", height), dims.get("width", width))
        return {"image": rng.standard_normal(shape).astype(np.float32)}

    return feeds


def vit(spelling, config=Config(norm_first=True, packed=True), seed=4, size=32, patch=8):
    """Patches by a strided convolution, class token, positions, encoder, head."""
    g = Graph("vit", spelling.opset, seed)
    s, count = spelling(g), (size // patch) ** 2
    image = g.input("image", "f32", ["batch", 3, size, size])
    kernel = g.weight(config.width, 3, patch, patch, scale=0.07)
    bias = g.weight(config.width, name="bias", scale=0.1)
    x = g.op("Conv", image, kernel, bias, kernel_shape=[patch] * 2, strides=[patch] * 2)
    x = g.op("Transpose", s.reshape(x, (x, 0), config.width, count), perm=[0, 2, 1])
    one = np.array([0])
    shape = g.op("Concat", g.op("Unsqueeze", s.size(x, 0), one), np.array([1, -1]), axis=0)
    shape = g.op("Where", g.op("Equal", shape, np.array([-1])), np.array([1]), shape)
    token = g.op("Expand", g.weight(1, 1, config.width, name="class_token"), shape)
    x = g.op("Concat", token, x, axis=1)
    x = g.op("Add", x, g.weight(1, count + 1, config.width, name="positions", scale=0.3))
    for layer in range(config.depth):
        with g.scope(f"blocks.{layer}"):
            x = block(s, x, config, lambda y: self_attention(s, y, config, None))
    x = g.op("Gather", s.layer_norm(x, config.width), np.int64(0), axis=1)
    head = g.weight(CLASSES, config.width, scale=0.2)
    logits = g.op("Gemm", x, head, g.weight(CLASSES, name="bias"), transB=1)
    g.output(logits, "logits", shape=["batch", CLASSES])
    dims = [dict(batch=1), dict(batch=3)]
    return Case(f"vit-{spelling.name}", g.finish(), images(size, size), dims)


def window_bias(rng, heads, window):
    """Relative position bias of one window, [1, heads, window^2, window^2]."""
    table = rng.standard_normal(((2 * window - 1) ** 2, heads)).astype(np.float32) * 0.5
    place = np.stack(np.meshgrid(np.arange(window), np.arange(window), indexing="ij"), -1)
    place = place.reshape(-1, 2)
    gap = place[:, None] - place[None] + window - 1
    return table[gap[..., 0] * (2 * window - 1) + gap[..., 1]].transpose(2, 0, 1)[None]


def shift_mask(size, window, shift):
    """[windows, 1, window^2, window^2]: tokens that were neighbours before the shift."""
    region = np.zeros((size, size), int)
    edges = [0, size - window, size - shift, size]
    for i in range(3):
        for j in range(3):
            region[edges[i] : edges[i + 1], edges[j] : edges[j + 1]] = 3 * i + j
    count = size // window
    region = region.reshape(count, window, count, window).transpose(0, 2, 1, 3)
    region = region.reshape(count * count, window * window)
    same = region[:, :, None] == region[:, None, :]
    return np.where(same, 0, -100).astype(np.float32)[:, None]


def roll(g, x, shift):
    """torch.roll over axes 1 and 2 as exporters write it: two slices and a Concat per axis."""
    end = np.array([np.iinfo(np.int64).max])
    for axis in (1, 2):
        at, where = np.array([-shift]), np.array([axis])
        tail = g.op("Slice", x, at, end, where)
        x = g.op("Concat", tail, g.op("Slice", x, np.array([0]), at, where), axis=axis)
    return x


def swin(spelling, config=Config(norm_first=True, head_dim=16), seed=5, size=8, window=4):
    """A plain and a shifted-window block on a [batch, size, size, width] map."""
    g = Graph("swin", spelling.opset, seed)
    s, width, count = spelling(g), config.width, size // window
    x = g.input("map", "f32", ["batch", size, size, width])

    def windows_of(y):
        y = s.reshape(y, (y, 0), count, window, count, window, width)
        y = g.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5])
        return g.op("Reshape", y, np.array([-1, window * window, width]))

    def map_of(y):
        y = g.op("Reshape", y, np.array([-1, count, count, window, window, width]))
        y = g.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5])
        return s.reshape(y, (y, 0), size, size, width)

    def attend(y, shift):
        y = roll(g, y, -shift) if shift else y
        q, k, v = project(s, windows_of(y), config)
        bias = window_bias(g.rng, config.heads, window)
        if not shift:
            z = s.attention(
                q, k, v, config.heads, config.heads, config.head_dim, bias=g.const(bias)
            )
        else:
            z = masked(q, k, v, bias, shift)
        y = map_of(join(s, z, config))
        return roll(g, y, shift) if shift else y

    def masked(q, k, v, bias, shift):
        """The mask differs per window: scores are viewed as [batch, windows, heads, ...]."""
        tokens, heads = window * window, config.heads
        q = g.op("Mul", q, np.float32(config.head_dim**-0.5))
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = g.op("Add", scores, bias)
        scores = g.op("Reshape", scores, np.array([-1, count * count, heads, tokens, tokens]))
        scores = g.op("Add", scores, shift_mask(size, window, shift)[None])
        scores = g.op("Reshape", scores, np.array([-1, heads, tokens, tokens]))
        return g.op("MatMul", g.op("Softmax", scores, axis=-1), v)

    for layer, shift in enumerate((0, window // 2)):
        with g.scope(f"blocks.{layer}"):
            x = block(s, x, config, lambda y: attend(y, shift))
    g.output(x, "map_out", shape=["batch", size, size, width])

    def feeds(rng, batch):
        return {"map": rng.standard_normal((batch, size, size, width)).astype(np.float32)}

    return Case(f"swin-{spelling.name}", g.finish(), feeds, [dict(batch=1), dict(batch=3)])


def windows(spelling, config=Config(heads=2, kv_heads=2), seed=7, window=4):
    """A shifted-window layer on a map of any size that is a multiple of the window."""
    g = Graph("windows", spelling.opset, seed)
    s, width, heads = spelling(g), config.width, config.heads
    x = g.input("map", "f32", ["batch", "height", "width", width])
    rows = g.op("Div", s.size(x, 1), np.int64(window))
    columns = g.op("Div", s.size(x, 2), np.int64(window))
    y = roll(g, s.layer_norm(x, width), -(window // 2))
    y = s.reshape(y, (x, 0), rows, window, columns, window, width)
    y = g.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5])
    y = g.op("Reshape", y, np.array([-1, window * window, width]))
    q, k, v = project(s, y, config)
    y = join(s, s.attention(q, k, v, heads, heads, config.head_dim), config)
    y = s.reshape(y, (x, 0), rows, columns, window, window, width)
    y = g.op("Transpose", y, perm=[0, 1, 3, 2, 4, 5])
    y = s.reshape(y, (x, 0), (x, 1), (x, 2), width)
    x = g.op("Add", x, roll(g, y, window // 2))
    g.output(x, "map_out", shape=["batch", "height", "width", width])

    def feeds(rng, batch, height, width):
        shape = (batch, height, width, config.width)
        return {"map": rng.standard_normal(shape).astype(np.float32)}

    sizes = [(1, 4, 4), (2, 8, 12), (1, 16, 4)]
    dims = [dict(batch=b, height=h, width=w) for b, h, w in sizes]
    return Case(f"windows-{spelling.name}", g.finish(), feeds, dims)


def convolution(g, x, inner, outer, kernel, stride=1, groups=1, norm=True):
    weight = g.weight(
        outer, inner // groups, kernel, kernel, scale=(inner / groups * kernel**2) ** -0.5
    )
    pad = [kernel // 2] * 4
    attributes = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pad, group=groups)
    if not norm:
        return g.op("Conv", x, weight, g.weight(outer, name="bias", scale=0.1), **attributes)
    y = g.op("Conv", x, weight, **attributes)
    rng = g.rng
    numbers = [1 + 0.1 * rng.standard_normal(outer), 0.1 * rng.standard_normal(outer)]
    numbers += [0.1 * rng.standard_normal(outer), 0.5 + rng.random(outer)]
    constants = [n.astype(np.float32) for n in numbers]
    return g.op("BatchNormalization", y, *constants, epsilon=1e-5)


def squeeze_excite(g, x, width, hidden):
    y = g.op("GlobalAveragePool", x)
    y = g.op("Relu", convolution(g, y, width, hidden, 1, norm=False))
    y = g.op("HardSigmoid", convolution(g, y, hidden, width, 1, norm=False), alpha=1 / 6, beta=0.5)
    return g.op("Mul", x, y)


def convnet(spelling, seed=6):
    """Inverted bottlenecks with squeeze-excite; batch, height and width are dynamic."""
    g = Graph("convnet", spelling.opset, seed)
    s = spelling(g)
    x = g.input("image", "f32", ["batch", 3, "height", "width"])
    x = g.op("HardSwish", convolution(g, x, 3, 8, 3, stride=2))
    x = g.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for layer, kernel in enumerate((3, 5)):
        with g.scope(f"blocks.{layer}"):
            y = s.activation(convolution(g, x, 8, 24, 1), "silu")
            y = s.activation(convolution(g, y, 24, 24, kernel, groups=24), "silu")
            y = convolution(g, squeeze_excite(g, y, 24, 6), 24, 8, 1)
            x = g.op("Add", x, y)
    x = g.op("Relu", convolution(g, x, 8, 16, 3, groups=2, stride=2))
    x = g.op("AveragePool", x, kernel_shape=[2, 2], strides=[1, 1], ceil_mode=0)
    x = g.op("Flatten", g.op("GlobalAveragePool", x), axis=1)
    weight = g.weight(16, CLASSES)
    g.output(
        g.op("Gemm", x, weight, g.weight(CLASSES, name="bias")), "logits", shape=["batch", CLASSES]
    )
    sizes = [(1, 32, 32), (2, 33, 47), (1, 64, 20)]
    dims = [dict(batch=b, height=h, width=w) for b, h, w in sizes]
    return Case(f"convnet-{spelling.name}", g.finish(), images(), dims)
