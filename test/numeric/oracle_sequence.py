"""Semantics of `attune.ema`, `attune.toeplitz` and `attune.map_mix` in numpy, f64, as their pages state them."""

import numpy as np

F64 = np.float64


def ema(x, decay, input_weight, output_weight, skip=None, init_state=None, bidirectional=False,
        truncation=None):  # fmt: skip
    """Returns result and final state (None if bidirectional or truncated)."""
    x, channels = x.astype(F64), x.shape[2]
    y = np.zeros(x.shape) if skip is None else x * skip.astype(F64)
    coefficients = [t.astype(F64) for t in (decay, input_weight, output_weight)]
    for backward in (False, True)[: 1 + bidirectional]:
        a, b, c = (t[channels:] if backward else t[:channels] for t in coefficients)
        xs = x[:, ::-1] if backward else x
        if truncation:
            part, h = truncated(xs, a, b, c, truncation), None
        else:
            part, h = recurrence(xs, a, b, c, init_state)
        y = y + (part[:, ::-1] if backward else part)
    return y, h


def recurrence(x, a, b, c, init_state):
    h = np.zeros((len(x), *a.shape)) if init_state is None else init_state.astype(F64)
    y = np.zeros(x.shape)
    for t in range(x.shape[1]):
        h = a * h + b * x[:, t, :, None]
        y[:, t] = (h * c).sum(-1)
    return y, h


def truncated(x, a, b, c, truncation):
    y = np.zeros(x.shape)
    for t in range(min(truncation, x.shape[1])):
        y[:, t:] += (c * a**t * b).sum(-1) * x[:, : x.shape[1] - t]
    return y


def toeplitz(coeffs, x, queries, causal):
    """`queries` is N."""
    c, x = coeffs.astype(F64), x.astype(F64)
    y = np.zeros((x.shape[0], queries, x.shape[2]))
    for n in range(queries):
        for m in range(x.shape[1]):
            t = n - m if causal else n - m + x.shape[1] - 1
            if 0 <= t < len(c):
                y[:, n] += c[t] * x[:, m]
    return y


def map_mix(maps, previous, stages, alpha=1.0, beta=0.0):
    """`stages` are (weight, bias, groups, dilation, activation)."""
    x = maps.astype(F64)
    if previous is not None:
        x = (1 - beta) * x + beta * previous.astype(F64)
    y = x
    for weight, bias, groups, dilation, act in stages:
        y = act(
            convolution(y, weight.astype(F64), groups, dilation) + bias.astype(F64)[:, None, None]
        )
    return alpha * y + (1 - alpha) * x if alpha != 1 else y


def convolution(x, weight, groups, dilation):
    outputs, inputs, height, width = weight.shape
    rows, columns = x.shape[2:]
    border = [(extent // 2 * dilation,) * 2 for extent in (height, width)]
    padded = np.pad(x, [(0, 0), (0, 0), *border])
    y = np.zeros((len(x), outputs, rows, columns))
    for o, c, p, q in np.ndindex(weight.shape):
        channel = o // (outputs // groups) * inputs + c
        top, left = p * dilation, q * dilation
        y[:, o] += weight[o, c, p, q] * padded[:, channel, top : top + rows, left : left + columns]
    return y
