"""Luna: attention through a short packed sequence that is learned and carried along.

"Luna: Linear Unified Nested Attention", NeurIPS 2021. Keys and values are tied: one projection
serves both, here and in the released code.
"""

import math

import torch
from block import Block, positions, spelling
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as sdpa
from torch.nn.functional import softplus


class Luna(nn.Module):
    split, join = Block.split, Block.join

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.packed = nn.Parameter(torch.randn(1, config.packed, config.width))
        self.pack_query = nn.Linear(config.width, config.width)
        self.pack_key = nn.Linear(config.width, config.width)
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x):
        p = self.split(self.pack_query(self.packed))
        keys = self.split(self.pack_key(x))
        packed = self.key(self.join(self.attend(p, keys, keys)))
        packed = self.split(packed)
        return self.out(self.join(self.attend(self.split(self.query(x)), packed, packed)))


@spelling("luna", "by_hand")
class ByHand(Luna):
    def attend(self, q, k, v):
        return (q @ k.transpose(-1, -2) * self.config.head**-0.5).softmax(-1) @ v


@spelling("luna", "sdpa", native=True)
class Sdpa(Luna):
    def attend(self, q, k, v):
        return sdpa(q.expand(k.shape[0], -1, -1, -1), k, v)


@spelling("luna", "bmm")
class Bmm(Luna):
    """Heads join the batch, as in the released code."""

    def attend(self, q, k, v):
        batch, heads = k.shape[0], self.config.heads
        q = q.expand(batch, -1, -1, -1).flatten(0, 1) * self.config.head**-0.5
        weights = torch.bmm(q, k.flatten(0, 1).transpose(1, 2)).softmax(-1)
        return torch.bmm(weights, v.flatten(0, 1)).reshape(batch, heads, -1, self.config.head)


@spelling("luna", "causal")
class Causal(Block):
    """Two running means: of keys times positive packed scores, then of those scores times values."""

    def __init__(self, config):
        super().__init__(config)
        self.packed = nn.Parameter(torch.randn(1, config.packed, config.width))
        self.pack_query = nn.Linear(config.width, config.width)

    def running(self, q, k, v):
        """q_t . (sum of k_j v_j^T for j <= t) / t"""
        state = (k[..., :, None] * v[..., None, :]).cumsum(2)
        count = (positions(q) + 1).to(q.dtype)[:, None]
        return (q[..., None, :] @ state).squeeze(-2) / count

    def mix(self, q, k, v):
        scale = self.config.head**-0.5
        p = self.split(self.pack_query(self.packed)) * scale
        a = softplus(k @ p.transpose(-1, -2), beta=math.log(2))
        weights = self.running(q * scale, k, a).softmax(-1)
        return self.running(weights, a, v)


@spelling("luna", "causal_quadratic")
class CausalQuadratic(Causal):
    def running(self, q, k, v):
        count = (positions(q) + 1).to(q.dtype)[:, None]
        return (q @ k.transpose(-1, -2)).tril() @ v / count
