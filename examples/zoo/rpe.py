"""Kernelised attention with relative positions: weights exp(b[j - i]) phi(q).phi(k).

"Stable, Fast and Accurate: Kernelized Attention with Relative Positional Encoding", NeurIPS 2021.
phi: positive random features of normalised queries and keys.
"""

import torch
from block import Block, causal, positions, spelling
from torch import nn
from torch.nn.functional import normalize


class Rpe(Block):
    eps = 1e-6

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("random", torch.randn(config.head, config.features))
        self.bias = nn.Parameter(0.5 * torch.randn(config.heads, 2 * config.length - 1))

    def features(self, x):
        x = normalize(x, dim=-1)
        square = x.square().sum(-1, keepdim=True) / 2
        return torch.exp(x @ self.random - square) * self.config.features**-0.5

    def mix(self, q, k, v):
        return self.attend(self.features(q), self.features(k), v)


@spelling("rpe", "quadratic")
class Quadratic(Rpe):
    def gains(self, q):
        place = positions(q)
        return torch.exp(self.bias)[:, place[None, :] - place[:, None] + self.config.length - 1]

    def attend(self, q, k, v):
        weights = q @ k.transpose(-1, -2) * self.gains(q)
        return weights @ v / (weights.sum(-1, keepdim=True) + self.eps)


@spelling("rpe", "causal")
class Causal(Quadratic):
    def gains(self, q):
        return super().gains(q).masked_fill(~causal(q), 0)


@spelling("rpe", "skewed", fixed=True)
class Skewed(Quadratic):
    """The table of distances becomes a matrix by padding and cutting, without an index."""

    def gains(self, q):
        length = self.config.length
        rows = torch.exp(self.bias)[:, None].expand(-1, length, -1)
        rows = nn.functional.pad(rows, (0, 1)).flatten(1)[:, : length * (2 * length - 1)]
        return rows.unflatten(1, (length, 2 * length - 1))[:, :, length - 1 :]


@spelling("rpe", "fft", fixed=True, dynamo_only=True)
class Fft(Rpe):
    """A convolution along the length for every pair of a feature and a value."""

    def attend(self, q, k, v):
        length = self.config.length
        ones = torch.ones_like(v[..., :1])
        pairs = torch.einsum("bhnf,bhne->bhfen", k, torch.cat([v, ones], -1))
        gains = torch.exp(self.bias).flip(-1)
        circle = torch.cat([gains[:, length - 1 :], gains[:, :1] * 0, gains[:, : length - 1]], -1)
        spectrum = torch.fft.rfft(pairs, n=2 * length) * torch.fft.rfft(circle[:, None, None])
        sums = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
        y = torch.einsum("bhnf,bhfen->bhne", q, sums)
        return y[..., :-1] / (y[..., -1:] + self.eps)
