"""SReT: attention inside groups of tokens, the second run on permuted tokens.

"Sliced Recursive Transformer", ECCV 2022. The permutation is a constant here: the released code
draws it anew for every call, which no exporter can write.
"""

import torch
from block import Block, spelling
from torch import nn


class Groups(Block):
    def mix(self, q, k, v):
        q, k, v = (x.unflatten(2, (self.config.groups, -1)) for x in (q, k, v))
        weights = (q @ k.transpose(-1, -2) * self.config.head**-0.5).softmax(-1)
        return (weights @ v).flatten(2, 3)


spelling("sret", "groups", multiple="groups")(Groups)


@spelling("sret", "packed", multiple="groups")
class Packed(nn.Module):
    """The released layout: one projection, groups beside the batch, five axes."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x):
        batch, length, width = x.shape
        groups, heads = self.config.groups, self.config.heads
        qkv = self.qkv(x).reshape(batch, groups, length // groups, 3, heads, width // heads)
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5).unbind(0)
        weights = (q @ k.transpose(-2, -1) * self.config.head**-0.5).softmax(-1)
        return self.out((weights @ v).transpose(2, 3).reshape(batch, length, width))


@spelling("sret", "recursive", fixed=True)
class Recursive(nn.Module):
    """The same weights twice, between them and after them a residual; the second run is permuted."""

    def __init__(self, config):
        super().__init__()
        self.block = Groups(config)
        order = torch.randperm(config.length)
        self.register_buffer("order", order)
        self.register_buffer("inverse", order.argsort())

    def forward(self, x):
        x = x + self.block(x)
        return x + self.block(x[:, self.order])[:, self.inverse]
