"""Couplformer: the attention map of a grid as the product of a map of rows and one of columns.

"Couplformer: Rethinking Vision Transformer with Coupling Attention Map", arXiv 2112.05425.
"""

import torch
from block import Block, spelling


class Couplformer(Block):
    def mix(self, q, k, v):
        rows, columns = self.config.grid
        q, k, v = (x.unflatten(2, (rows, columns)) for x in (q, k, v))
        return self.couple(q, k, v).flatten(2, 3)

    def map(self, q, k):
        """q, k [batch, heads, places, others, d]: a weight per pair of places."""
        q, k = q.flatten(3), k.flatten(3)
        return (q @ k.transpose(-1, -2) * self.config.head**-0.25).softmax(-1)


@spelling("couplformer", "matmul", fixed=True)
class Matmul(Couplformer):
    def couple(self, q, k, v):
        across = self.map(q, k)
        down = self.map(q.transpose(2, 3), k.transpose(2, 3))
        y = (across @ v.flatten(3)).unflatten(3, v.shape[3:]).transpose(2, 3)
        return (down @ y.flatten(3)).unflatten(3, (v.shape[2], v.shape[4])).transpose(2, 3)


@spelling("couplformer", "einsum", fixed=True)
class Einsum(Couplformer):
    def couple(self, q, k, v):
        scale = self.config.head**-0.25
        across = (torch.einsum("bhrcd,bhscd->bhrs", q, k) * scale).softmax(-1)
        down = (torch.einsum("bhrcd,bhred->bhce", q, k) * scale).softmax(-1)
        return torch.einsum("bhrs,bhce,bhsed->bhrcd", across, down, v)


@spelling("couplformer", "kronecker", fixed=True)
class Kronecker(Couplformer):
    """The whole map, explicitly."""

    def couple(self, q, k, v):
        across = self.map(q, k)
        down = self.map(q.transpose(2, 3), k.transpose(2, 3))
        weights = across[:, :, :, None, :, None] * down[:, :, None, :, None, :]
        weights = weights.flatten(4, 5).flatten(2, 3)
        return (weights @ v.flatten(2, 3)).unflatten(2, v.shape[2:4])
