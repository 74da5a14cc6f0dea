"""cosFormer: weights relu(q).relu(k) that fall with the distance by a cosine.

"cosFormer: Rethinking Softmax in Attention", ICLR 2022. Positions start at 1, and the sum of the
weights is clamped from below.
"""

import math

import torch
from block import causal, positions, spelling
from linear import FORMS, Kernel


class Cosine:
    """The features of `Kernel`: two per component, so that cos(a - b) = cos a cos b + sin a sin b."""

    def features(self, q, k):
        angle = (positions(q) + 1)[:, None] * (math.pi / 2) / q.shape[2]
        sin, cos = torch.sin(angle), torch.cos(angle)
        return tuple(torch.cat([x * sin, x * cos], -1) for x in (q.relu(), k.relu()))

    def divide(self, total, norm):
        return total / norm.clamp_min(self.eps)


for name in FORMS:
    spelling("cosformer", name)(type(f"Cos{FORMS[name].__name__}", (Cosine, FORMS[name]), {}))


@spelling("cosformer", "weighted")
class Weighted(Kernel):
    """The cosine on the weights themselves: quadratic, and nothing is concatenated."""

    def mix(self, q, k, v):
        place = positions(q)
        angle = (place[:, None] - place[None, :]) * (math.pi / 2) / q.shape[2]
        weights = (q.relu() @ k.relu().transpose(-1, -2)) * torch.cos(angle)
        weights = weights.masked_fill(~causal(q), 0)
        return weights @ v / weights.sum(-1, keepdim=True).clamp_min(self.eps)
