"""Semantics of the attune operators in numpy, f64: what every lowering is tested against.

Each function states one operator as its page in `dialect/ops` does, in as few lines as possible and
without any care for speed. Region callbacks get `i, j, b, h` as broadcastable index arrays.
"""

import numpy as np

F64 = np.float64


def attention(
    q,
    k,
    v,
    scale=1.0,
    scores=None,
    score=None,
    mask=None,
    weighting="softmax",
    eps=0.0,
    eps_mode="add",
    sink=None,
    q_offset=None,
    kv_len=None,
    empty_row="zero",
):
    """`attune.attention`. Returns result, lse (None unless softmax) and logits."""
    batch, heads, queries = (scores if q is None else q).shape[:3]
    kv_heads, keys = v.shape[1:3]
    group = heads // kv_heads if kv_heads else 1
    b, h, n, m = np.ogrid[:batch, :heads, :queries, :keys]
    i = n + per_batch(q_offset, 0)
    x = np.zeros((batch, heads, queries, keys))
    if q is not None:
        x = scale * np.einsum("bhnd,bhmd->bhnm", q.astype(F64), np.repeat(k, group, 1).astype(F64))
    if scores is not None:
        x = x + scores.astype(F64)
    if score:
        x = score(x, b, h, i, m) + np.zeros_like(x)
    logits = x
    ok = np.ones(x.shape, bool)
    if mask:
        ok &= mask(b, h, i, m)
    v = np.repeat(v, group, 1).astype(F64)
    if kv_len is not None:
        inside = m < per_batch(kv_len, 0)
        ok &= inside
        v = np.where(np.swapaxes(inside, 2, 3), v, 0)
    if weighting == "softmax":
        return *softmax_row(x, ok, v, sink, empty_row), logits
    w = np.where(ok, x, 0)
    numerator = np.einsum("bhnm,bhme->bhne", w, v)
    total = w.sum(-1, keepdims=True)
    if weighting == "sum":
        numerator = numerator / (total + eps if eps_mode == "add" else np.maximum(total, eps))
    if weighting == "count":
        numerator = numerator / np.maximum(ok.sum(-1, keepdims=True), 1)
    return numerator, None, logits


def per_batch(values, default):
    return default if values is None else np.asarray(values).reshape(-1, 1, 1, 1)


def softmax_row(x, ok, v, sink, empty_row):
    x = np.where(ok, x, -np.inf)
    top = x.max(-1, keepdims=True, initial=-np.inf)
    if sink is not None:
        top = np.maximum(top, sink.astype(F64).reshape(1, -1, 1, 1))
    empty = np.isneginf(top)
    shift = np.where(empty, 0, top)
    p = np.exp(x - shift)
    total = p.sum(-1, keepdims=True)
    if sink is not None:
        total = total + np.exp(sink.astype(F64).reshape(1, -1, 1, 1) - shift)
    out = np.einsum("bhnm,bhme->bhne", p, v) / np.where(empty, 1, total)
    out = np.where(empty, np.nan if empty_row == "nan" else 0, out)
    with np.errstate(divide="ignore"):
        lse = shift + np.log(total)
    return out, lse[..., 0]


def norm(x, kind, axis, eps, scale=None, bias=None, groups=1):
    """`attune.norm`. Returns result, mean and 1 / deviation."""
    shape, x = x.shape, x.astype(F64)
    if kind == "group":
        x = x.reshape(shape[0], groups, -1)
        scale, bias = (
            None if t is None else t.reshape((-1,) + (1,) * (len(shape) - 2)) for t in (scale, bias)
        )
        axis = 2
    axes = tuple(range(axis, x.ndim))
    mean = np.zeros(()) if kind == "rms" else x.mean(axes, keepdims=True)
    inverse = 1 / np.sqrt(((x - mean) ** 2).mean(axes, keepdims=True) + eps)
    y = ((x - mean) * inverse).reshape(shape)
    if scale is not None:
        y = y * scale.astype(F64)
    if bias is not None:
        y = y + bias.astype(F64)
    return y, mean, inverse


def scan(x, kind, axis, exclusive=False, reverse=False):
    """`attune.scan`."""
    x = np.flip(x, axis) if reverse else x
    wide = x.astype(F64) if x.dtype.kind == "f" else x
    if exclusive:
        wide = np.insert(wide, 0, 0 if kind == "sum" else 1, axis)
        wide = np.delete(wide, -1, axis)
    y = (np.cumsum if kind == "sum" else np.cumprod)(wide, axis, dtype=wide.dtype)
    return np.flip(y, axis) if reverse else y


def scatter(x, indices, updates, add):
    """`attune.scatter`, of updates that replace or are added."""
    result = x.astype(F64) if add and x.dtype.kind == "f" else x.copy()
    for at in np.ndindex(indices.shape[:-1]):
        place = tuple(indices[at])
        result[place] = result[place] + updates[at] if add else updates[at]
    return result


def dft(x, length, axis, inverse=False, onesided=False):
    """`attune.dft`: last axis (re) or (re, im)."""
    z = x[..., 0].astype(F64) + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
    if onesided and inverse:
        return np.fft.irfft(z, length, axis)[..., None]
    if onesided:
        y = np.fft.rfft(z.real, length, axis)
    else:
        y = (np.fft.ifft if inverse else np.fft.fft)(z, length, axis)
    return np.stack([y.real, y.imag], -1)
