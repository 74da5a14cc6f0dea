"""Training with numpy alone: reverse mode over the few operations that templates need.

Slower than PyTorch on large networks; the same path but for rounding, and nothing to install.
"""

import sys

import numpy as np


class Value:
    """An array, and how a gradient of it goes on to what it was computed from."""

    def __init__(self, array, sources=()):
        self.array, self.sources, self.gradient = array, sources, None
        self.shape = array.shape
        self.needed = any(source.needed for source, _ in sources)


def constant(array):
    return Value(np.asarray(array))


def variable(array):
    value = Value(np.array(array))
    value.needed = True
    return value


def _order(value, seen, order):
    stack = [(value, False)]
    while stack:
        value, done = stack.pop()
        if done:
            order.append(value)
        elif id(value) not in seen and value.needed:
            seen.add(id(value))
            stack.append((value, True))
            stack.extend((source, False) for source, _ in value.sources)
    return order


def backward(value, gradient):
    """Sets the gradients of everything that `value` depends on."""
    order = _order(value, set(), [])
    for node in order:
        node.gradient = None
    value.gradient = gradient
    for node in reversed(order):
        for source, part in node.sources:
            if source.needed:
                add_ = _unbroadcast(part(node.gradient), source.shape)
                source.gradient = add_ if source.gradient is None else source.gradient + add_


def _unbroadcast(gradient, shape):
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(axis=tuple(range(gradient.ndim - len(shape))))
    ones = tuple(i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1)
    return gradient.sum(axis=ones, keepdims=True) if ones else gradient


def add(a, b):
    return Value(a.array + b.array, ((a, lambda g: g), (b, lambda g: g)))


def multiply(a, b):
    return Value(a.array * b.array, ((a, lambda g: g * b.array), (b, lambda g: g * a.array)))


def divide(a, b):
    y = a.array / b.array
    return Value(y, ((a, lambda g: g / b.array), (b, lambda g: -g * y / b.array)))


def matmul(a, b):
    if b.array.ndim == 2:  # one product for the whole batch
        flat = a.array.reshape(-1, a.shape[-1])
        y = (flat @ b.array).reshape(*a.shape[:-1], b.shape[1])
        rows = lambda g: g.reshape(-1, g.shape[-1])
        return Value(
            y,
            (
                (a, lambda g: (rows(g) @ b.array.T).reshape(a.shape)),
                (b, lambda g: flat.T @ rows(g)),
            ),
        )
    turned = lambda x: x.swapaxes(-1, -2)
    return Value(
        a.array @ b.array,
        ((a, lambda g: g @ turned(b.array)), (b, lambda g: turned(a.array) @ g)),
    )


def relu(x):
    return Value(np.maximum(x.array, 0), ((x, lambda g: g * (x.array > 0)),))


def _normal_cdf(x):
    """Abramowitz and Stegun 7.1.26: within 1e-7."""
    t = 1 / (1 + (0.3275911 / np.sqrt(2)) * np.abs(x))
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    tail = 0.5 * series * np.exp(-0.5 * x * x)
    return np.where(x > 0, 1 - tail, tail)


def gelu(x):
    cdf = _normal_cdf(x.array)
    density = lambda: np.exp(-0.5 * x.array * x.array) * np.float32(1 / np.sqrt(2 * np.pi))
    return Value(x.array * cdf, ((x, lambda g: g * (cdf + x.array * density())),))


def reshape(x, shape):
    return Value(x.array.reshape(shape), ((x, lambda g: g.reshape(x.shape)),))


def transpose(x, order):
    return Value(x.array.transpose(order), ((x, lambda g: g.transpose(np.argsort(order))),))


def concatenate(parts, axis):
    ends = np.cumsum([p.shape[axis] for p in parts])[:-1]
    part = lambda i: lambda g: np.split(g, ends, axis)[i]
    arrays = [p.array for p in parts]
    return Value(np.concatenate(arrays, axis), tuple((p, part(i)) for i, p in enumerate(parts)))


def sum(x, axes, keepdims):
    wide = lambda g: g if keepdims else np.expand_dims(g, axes)
    y = x.array.sum(axis=axes, keepdims=keepdims)
    return Value(y, ((x, lambda g: np.broadcast_to(wide(g), x.shape)),))


def mean(x, axes, keepdims):
    count = np.prod([x.shape[a] for a in axes])
    return multiply(sum(x, axes, keepdims), constant(np.float32(1 / count)))


def layer_norm(x, scale, bias, epsilon):
    centred = x.array - x.array.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(epsilon))
    normal = centred * inverse

    def part(g):
        g = g * scale.array
        along = (g * normal).mean(-1, keepdims=True)
        return inverse * (g - g.mean(-1, keepdims=True) - normal * along)

    sources = (x, part), (scale, lambda g: g * normal), (bias, lambda g: g)
    return Value(normal * scale.array + bias.array, sources)


def softmax(x):
    y = np.exp(x.array - x.array.max(-1, keepdims=True))
    y /= y.sum(-1, keepdims=True)
    return Value(y, ((x, lambda g: y * (g - (g * y).sum(-1, keepdims=True))),))


def attention(q, k, v):
    scale = constant(np.float32(q.shape[-1] ** -0.5))
    scores = matmul(multiply(q, scale), transpose(k, (0, 1, 3, 2)))
    return matmul(softmax(scores), v)


def depthwise(x, filters):
    taps, length = filters.shape[2], x.shape[2]
    padded = np.pad(x.array, ((0, 0), (0, 0), (taps // 2, taps // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, 2)  # batch, channel, tap, n
    weights = filters.array[:, 0]

    def part(g):
        wide = np.zeros_like(padded)
        for tap in range(taps):
            wide[:, :, tap : tap + length] += g * weights[:, tap, None]
        return wide[:, :, taps // 2 : taps // 2 + length]

    y = np.einsum("bctn,ct->bcn", windows, weights, optimize=True)
    slope = lambda g: np.einsum("bctn,bcn->ct", windows, g, optimize=True)[:, None]
    return Value(y, ((x, part), (filters, slope)))


class Trainer:
    """Cross entropy and AdamW."""

    def __init__(self, network, weights, decay=0.01):
        self.network, self.decay, self.steps = network, decay, 0
        self.variables = {n: variable(w) for n, w in weights.items()}
        self.moments = {n: (np.zeros_like(w), np.zeros_like(w)) for n, w in weights.items()}

    def step(self, x, y, rate):
        scores = self.network(sys.modules[__name__], self.variables, constant(x))
        chances = softmax(scores).array
        rows = np.arange(len(y))
        loss = -np.log(np.maximum(chances[rows, y], 1e-30)).mean()
        gradient = chances
        gradient[rows, y] -= 1
        backward(scores, gradient / np.float32(len(y)))
        self._update(np.float32(rate))
        return float(loss)

    def _update(self, rate, beta1=0.9, beta2=0.999):
        self.steps += 1
        unbias1, unbias2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        for name, value in self.variables.items():
            first, second = self.moments[name]
            first += np.float32(1 - beta1) * (value.gradient - first)
            second += np.float32(1 - beta2) * (value.gradient * value.gradient - second)
            value.array *= 1 - rate * self.decay
            value.array -= rate * (first / unbias1) / (np.sqrt(second / unbias2) + 1e-8)

    def scores(self, x):
        return self.network(sys.modules[__name__], self.variables, constant(x)).array

    def weights(self):
        return {n: v.array for n, v in self.variables.items()}
