"""Semantics of `attune.linear_attention` in numpy, f64, as its page in `dialect/ops` states them."""

import numpy as np

F64 = np.float64


def linear_attention(q, k, v, phi_q=None, phi_k=None, state=None, query_pos=None, key_pos=None,
                     toeplitz=None, decay=None, beta=None, mu=None, step=None, key_mask=None,
                     init_state=None, init_norm=None, direction="causal", update="sum", norm="none",
                     eps=0.0, eps_mode="add", den="weighted"):  # fmt: skip
    """Returns result, final state and final norm (None unless causal). Maps are callables."""
    group = q.shape[1] // k.shape[1] if k.shape[1] else 1
    u, y = features(q, phi_q, query_pos), features(k, phi_k, key_pos, key_mask)
    v = v.astype(F64)
    causal = direction == "causal"
    s = z = None
    if toeplitz is not None:
        numerator, total = quadratic(u, spread(y, group), spread(v, group), toeplitz, causal)
    elif not causal:
        s, z = np.einsum("bhmf,bhme->bhfe", y, v), y.sum(2)
        s = state(s) if state else s
        numerator, total = u @ spread(s, group), np.einsum("bhnf,bhf->bhn", u, spread(z, group))
        s = z = None
    else:
        numerator, total, s, z = recurrence(u, y, v, group, update, den, decay, beta, mu, step,
                                            init_state, init_norm)  # fmt: skip
    if norm == "sum":
        total = total + eps if eps_mode == "add" else np.maximum(total, eps)
        numerator = numerator / total[..., None]
    if norm == "count":
        numerator = numerator / (np.arange(1, q.shape[2] + 1)[:, None] if causal else k.shape[2])
    return numerator, s, z


def spread(x, group):
    return np.repeat(x, group, 1)


def features(x, phi, table, mask=None):
    x = x.astype(F64)
    x = phi(x) if phi else x
    if mask is not None:
        x = x * mask.astype(F64)[:, None, :, None]
    if table is None:
        return x
    return np.concatenate([x * row[:, None] for row in table.astype(F64)], -1)


def quadratic(u, y, v, toeplitz, causal):
    heads, queries, keys = u.shape[1], u.shape[2], y.shape[2]
    h, n, m = np.ogrid[:heads, :queries, :keys]
    c = toeplitz.astype(F64)
    at = m - n + queries - 1
    w = np.einsum("bhnf,bhmf->bhnm", u, y) * (c[at + 0 * h] if c.ndim == 1 else c[h, at])
    w = w * (m <= n) if causal else w
    return w @ v, w.sum(-1)


def recurrence(u, y, v, group, update, den, decay, beta, mu, step, init_state, init_norm):
    batch, kv_heads, length, width = y.shape
    s = np.zeros((batch, kv_heads, width, v.shape[-1])) if init_state is None else init_state
    z = np.zeros((batch, kv_heads, width)) if init_norm is None else init_norm
    s, z = s.astype(F64), z.astype(F64)
    p, pz = np.zeros_like(s), np.zeros_like(z)
    outer = lambda a, b: a[..., :, None] * b[..., None, :]  # noqa: E731
    numerator, total = np.zeros(u.shape[:3] + v.shape[-1:]), np.zeros(u.shape[:3])
    weighted = den == "weighted"
    for t in range(length):
        yt, vt = y[:, :, t], v[:, :, t]
        if decay is not None:
            gate = np.exp(decay[:, :, t].astype(F64))
            gate = gate if gate.ndim == 3 else gate[..., None]
            s = s * gate[..., None]
            z = z * gate if weighted else z
        if beta is not None:
            vt = beta[:, :, t, None].astype(F64) * (vt - np.einsum("bhfe,bhf->bhe", s, yt))
        if "momentum" in update:
            keep, rate = momentum(update, mu, step, t, y, v, p, outer)
            p = keep[..., None, None] * p - rate * outer(yt, vt)
            pz = keep[..., None] * pz - rate * yt
            s = s - p
            z = z - pz if weighted else z + yt
        else:
            s, z = s + outer(yt, vt), z + yt
        numerator[:, :, t] = np.einsum("bhf,bhfe->bhe", u[:, :, t], spread(s, group))
        total[:, :, t] = (u[:, :, t] * spread(z, group)).sum(-1)
    return numerator, total, s, z


def momentum(update, mu, step, t, y, v, p, outer):
    """What stays of the momentum, [B,Hk], and the step's size."""
    if update == "momentum":
        return np.full(p.shape[:2], mu), step
    if t == 0:
        return np.zeros(p.shape[:2]), 1
    change = np.linalg.norm(outer(y[:, :, t], v[:, :, t]) - outer(y[:, :, t - 1], v[:, :, t - 1]),
                            axis=(2, 3))  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = step * change / np.linalg.norm(p, axis=(2, 3))
        return np.clip((1 - np.sqrt(ratio)) ** 2, 0, 0.9999), step
