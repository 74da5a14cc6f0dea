"""Vicinity attention: weights relu(q).relu(k) that fall with the distance on a grid.

"Vicinity Vision Transformer", TPAMI 2023. The cosine of the distance in rows plus that in columns,
as four features per component; the released code clamps sizes at several places.
"""

import math

import torch
from block import Block, spelling


def clamp(x):
    """Sizes between 1e-4 and 1e4, zero stays."""
    return x.sign() * x.abs().clamp(1e-4, 1e4)


class Vicinity(Block):
    eps = 1e-4

    def __init__(self, config):
        super().__init__(config)
        rows, columns = config.grid
        down = (torch.arange(rows) * (math.pi / 2 / rows)).repeat_interleave(columns)
        across = (torch.arange(columns) * (math.pi / 2 / columns)).repeat(rows)
        factors = [down.cos(), down.sin(), across.cos(), across.sin()]
        self.register_buffer("factors", torch.stack(factors)[:, :, None])

    def features(self, q, k):
        return tuple(torch.cat([x * f for f in self.factors], -1) for x in (q.relu(), k.relu()))


@spelling("vicinity", "plain", fixed=True)
class Plain(Vicinity):
    def mix(self, q, k, v):
        q, k = self.features(q, k)
        norm = q @ k.sum(2, keepdim=True).transpose(-1, -2)
        return q @ (k.transpose(-1, -2) @ v) / (norm + self.eps)


@spelling("vicinity", "any_rows", multiple="columns")
class AnyRows(Plain):
    """The number of columns is fixed, that of rows follows from the length."""

    def features(self, q, k):
        columns = self.config.columns
        place = torch.arange(q.shape[2])
        down = (place // columns) * (math.pi / 2) / (q.shape[2] // columns)
        across = (place % columns) * (math.pi / 2 / columns)
        factors = [down.cos(), down.sin(), across.cos(), across.sin()]
        return tuple(torch.cat([x * f[:, None] for f in factors], -1) for x in (q.relu(), k.relu()))


@spelling("vicinity", "einsum", fixed=True)
class Einsum(Vicinity):
    def mix(self, q, k, v):
        q, k = self.features(q, k)
        norm = 1 / (torch.einsum("bhnf,bhf->bhn", q, k.sum(2)) + self.eps)
        state = torch.einsum("bhmf,bhme->bhfe", k, v)
        return torch.einsum("bhnf,bhfe,bhn->bhne", q, state, norm)


@spelling("vicinity", "clamped", fixed=True)
class Clamped(Vicinity):
    def mix(self, q, k, v):
        q, k = self.features(q, k)
        norm = (q * k.sum(2, keepdim=True)).sum(-1, keepdim=True)
        state = clamp(k.transpose(-1, -2) @ v)
        return clamp(clamp(q @ state) * clamp(1 / (norm + self.eps)))

    def forward(self, x):
        return clamp(super().forward(x))


@spelling("vicinity", "weighted", fixed=True)
class Weighted(Vicinity):
    """The weights themselves: quadratic."""

    def mix(self, q, k, v):
        cos_down, sin_down, cos_across, sin_across = self.factors
        near = sum(f @ f.T for f in (cos_down, sin_down, cos_across, sin_across))
        weights = q.relu() @ k.relu().transpose(-1, -2) * near
        return weights @ v / (weights.sum(-1, keepdim=True) + self.eps)
