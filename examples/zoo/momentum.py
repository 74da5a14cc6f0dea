"""Momentum transformer: linear attention whose state is updated with momentum.

"Momentum Transformer: Closing the Performance Gap Between Self-attention and Its Linearization",
MSML 2022. P = mu P - step k v^T; S = S - P; the normaliser has no momentum.
"""

import torch
from block import causal, positions, spelling
from linear import CausalCumsum, Kernel


class Momentum(Kernel):
    mu, step = 0.6, 0.9


@spelling("momentum", "recurrent", fixed=True)
class Recurrent(Momentum):
    """The definition, step by step."""

    def attend(self, q, k, v):
        push = torch.zeros_like(k[:, :, 0, :, None] * v[:, :, 0, None, :])
        state, norm, rows = push, torch.zeros_like(k[:, :, 0]), []
        for t in range(self.config.length):
            outer = k[:, :, t, :, None] * v[:, :, t, None, :]
            push = self.mu * push - self.step * outer
            state = state - push
            norm = norm + k[:, :, t]
            total = (q[:, :, t, None, :] @ state).squeeze(2)
            rows.append(total / ((q[:, :, t] * norm).sum(-1, keepdim=True) + self.eps))
        return torch.stack(rows, 2)


@spelling("momentum", "quadratic")
class Quadratic(Momentum):
    """The closed form: key j counts step (1 - mu^(i-j+1)) / (1 - mu) for query i."""

    def attend(self, q, k, v):
        place, seen = positions(q), causal(q)
        distance = (place[:, None] - place[None, :]).clamp_min(0).to(q.dtype)
        gain = self.step * (1 - self.mu ** (distance + 1)) / (1 - self.mu)
        weights = (q @ k.transpose(-1, -2)).masked_fill(~seen, 0)
        return (weights * gain) @ v / (weights.sum(-1, keepdim=True) + self.eps)


@spelling("momentum", "chunked", multiple="chunk")
class Chunked(Momentum):
    """Two running states across chunks: one that keeps all, one that forgets at the rate mu."""

    def attend(self, q, k, v):
        size = self.config.chunk
        chunks = torch.arange(q.shape[2] // size)
        q, k, v = (x.unflatten(2, (-1, size)) for x in (q, k, v))
        place = torch.arange(size)
        distance = (place[:, None] - place[None, :]).clamp_min(0).to(q.dtype)
        gain = self.step * (1 - self.mu ** (distance + 1)) / (1 - self.mu)
        weights = (q @ k.transpose(-1, -2)).tril()
        state = k.transpose(-1, -2) @ v
        fading = (k * self.mu ** (size - 1 - place)[:, None]).transpose(-1, -2) @ v
        kept = state.cumsum(2) - state
        apart = (chunks[:, None] - chunks[None, :] - 1).to(q.dtype)
        decay = torch.where(apart >= 0, self.mu ** (apart * size).clamp_min(0), 0)
        faded = torch.einsum("ij,bhjfe->bhife", decay, fading)
        before = q @ kept - self.mu ** (place + 2)[:, None] * (q @ faded)
        total = (weights * gain) @ v + before * (self.step / (1 - self.mu))
        sums = k.sum(3, keepdim=True)
        norm = weights.sum(-1, keepdim=True) + q @ (sums.cumsum(2) - sums).transpose(-1, -2)
        return (total / (norm + self.eps)).flatten(2, 3)


@spelling("momentum", "parallel")
class Parallel(Momentum, CausalCumsum):
    """The released training form: another function, plain linear attention with scaled keys."""

    def attend(self, q, k, v):
        left = (k.shape[2] - positions(k)).to(k.dtype)
        gain = self.step * (1 - self.mu**left) / (1 - self.mu)
        state = torch.einsum("bhnf,bhne->bhnfe", k * gain[:, None], v).cumsum(2)
        norm = torch.einsum("bhnf,bhnf->bhn", q, k.cumsum(2))
        return self.divide(torch.einsum("bhnf,bhnfe->bhne", q, state), norm[..., None])
