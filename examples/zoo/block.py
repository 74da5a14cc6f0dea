"""What the systems share: the frame of a block, its sizes, and the register of spellings."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass(frozen=True)
class Config:
    """Sizes of a block. Fields after `length` are read by the systems that they are named after."""

    width: int = 8
    heads: int = 2
    length: int = 12
    kv_heads: int = 2
    window: int = 4
    chunk: int = 4
    grid: tuple[int, int] = (3, 4)
    groups: int = 3
    packed: int = 3  # Luna: rows of the packed sequence
    features: int = 6  # kernelised RPE: random features
    components: int = 3  # Mega: moving averages per channel
    taps: int = 5  # Mega: length of the truncated kernel
    query: int = 8  # Mega: width of queries and keys
    value: int = 24  # Mega: width of the values
    per_head: int = 2  # EIT: inner maps per head

    @property
    def columns(self):
        return self.grid[1]

    @property
    def head(self):
        return self.width // self.heads


@dataclass(frozen=True)
class Spelling:
    make: Callable[[Config], nn.Module]
    # The length is part of the graph (unrolled steps, transforms, grids).
    fixed: bool = False
    # The length must be a multiple of this field of the config.
    multiple: str | None = None
    # What torch's older exporter cannot write.
    dynamo_only: bool = False
    # Opset 24 has one node for it.
    native: bool = False
    # What its example needs to differ from the default sizes.
    sizes: dict = field(default_factory=dict)


ZOO: dict[str, dict[str, Spelling]] = {}


def spelling(system, name, **about):
    """Registers a class, or a function of a config, under a system and a name."""

    def register(make):
        ZOO.setdefault(system, {})[name] = Spelling(make, **about)
        return make

    return register


class Block(nn.Module):
    """Query, key and value projections, `mix` per head, output projection.

    x [batch, length, width] to the same shape; `mix` takes and returns [batch, heads, length, d].
    """

    def __init__(self, config, kv_heads=None):
        super().__init__()
        self.config = config
        kv_width = (kv_heads or config.heads) * config.head
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, kv_width)
        self.value = nn.Linear(config.width, kv_width)
        self.out = nn.Linear(config.width, config.width)

    def split(self, x):
        batch, length, width = x.shape
        head = self.config.head
        return x.reshape(batch, length, width // head, head).transpose(1, 2)

    def join(self, y):
        return y.transpose(1, 2).flatten(2)

    def forward(self, x):
        q, k, v = (self.split(project(x)) for project in (self.query, self.key, self.value))
        return self.out(self.join(self.mix(q, k, v)))


def positions(x):
    """0, 1, ... for the second axis from the end of x, as numbers that an exporter keeps dynamic."""
    return torch.arange(x.shape[-2], device=x.device)


def causal(x):
    """[length, length], true where a key may be seen."""
    place = positions(x)
    return place[None, :] <= place[:, None]
