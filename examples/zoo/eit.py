"""EIT: every query head meets every key head, then small networks over the maps find a consensus.

"EIT: Enhanced Interactive Transformer", arXiv 2212.10197.
"""

import torch
from block import Block, spelling
from torch import nn
from torch.nn.functional import relu


class Eit(Block):
    def __init__(self, config):
        super().__init__(config)
        heads, inner = config.heads, config.heads * config.per_head
        self.pairs = nn.Conv2d(heads * heads, inner, 1, groups=heads)
        self.inner = nn.Conv2d(inner, heads, 1, groups=heads)
        self.cross = nn.Conv2d(heads, inner, 1)
        self.back = nn.Conv2d(inner, heads, 1)

    def consensus(self, maps):
        maps = self.inner(relu(self.pairs(maps)))
        return self.back(relu(self.cross(maps)))

    def mix(self, q, k, v):
        maps = self.meet(q * self.config.head**-0.5, k)
        return self.consensus(maps).softmax(-1) @ v


@spelling("eit", "einsum")
class Einsum(Eit):
    def meet(self, q, k):
        return torch.einsum("bgnd,bhmd->bghnm", q, k).flatten(1, 2)


@spelling("eit", "broadcast")
class Broadcast(Eit):
    def meet(self, q, k):
        return (q[:, :, None] @ k[:, None].transpose(-1, -2)).flatten(1, 2)


@spelling("eit", "pairwise")
class Pairwise(Eit):
    """One product for each pair of heads."""

    def meet(self, q, k):
        heads = range(self.config.heads)
        return torch.stack([q[:, g] @ k[:, h].transpose(-1, -2) for g in heads for h in heads], 1)


@spelling("eit", "efficient")
class Efficient(Einsum):
    """One grouped and one full mix."""

    def __init__(self, config):
        super().__init__(config)
        del self.cross, self.inner

    def consensus(self, maps):
        return self.back(relu(self.pairs(maps)))
