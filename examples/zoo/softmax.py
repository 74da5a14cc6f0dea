"""Softmax attention: the spellings and the variants (masks, positions, shared heads) in use."""

import torch
from block import Block, causal, positions, spelling
from torch.nn.functional import scaled_dot_product_attention as sdpa


@spelling("softmax", "by_hand")
class ByHand(Block):
    def mix(self, q, k, v):
        return self.weights(self.scores(q, k)) @ v

    def scores(self, q, k):
        return q @ k.transpose(-1, -2) * self.config.head**-0.5

    def weights(self, scores):
        return scores.softmax(-1)


@spelling("softmax", "einsum")
class Einsum(ByHand):
    def mix(self, q, k, v):
        weights = torch.einsum("bhnd,bhmd->bhnm", q * self.config.head**-0.5, k).softmax(-1)
        return torch.einsum("bhnm,bhme->bhne", weights, v)


@spelling("softmax", "stable")
class Stable(ByHand):
    """Row maximum, exponential, sum and division, each by itself."""

    def weights(self, scores):
        weights = torch.exp(scores - scores.amax(-1, keepdim=True))
        return weights / weights.sum(-1, keepdim=True)


@spelling("softmax", "sdpa", native=True)
class Sdpa(Block):
    def mix(self, q, k, v):
        return sdpa(q, k, v)


@spelling("softmax", "causal_by_hand")
class CausalByHand(ByHand):
    def scores(self, q, k):
        return super().scores(q, k).masked_fill(~causal(q), -torch.inf)


@spelling("softmax", "causal_sdpa", native=True)
class CausalSdpa(Block):
    def mix(self, q, k, v):
        return sdpa(q, k, v, is_causal=True)


@spelling("softmax", "window")
class Window(ByHand):
    """Each query sees itself and the keys just before it."""

    def scores(self, q, k):
        place = positions(q)
        distance = place[:, None] - place[None, :]
        near = (distance >= 0) & (distance < self.config.window)
        return super().scores(q, k).masked_fill(~near, -1e9)


@spelling("softmax", "window_sdpa", native=True)
class WindowSdpa(Block):
    def mix(self, q, k, v):
        place = positions(q)
        distance = place[:, None] - place[None, :]
        return sdpa(q, k, v, attn_mask=(distance >= 0) & (distance < self.config.window))


@spelling("softmax", "alibi")
class Alibi(ByHand):
    """Scores fall with the distance, for each head at a rate of its own."""

    def __init__(self, config):
        super().__init__(config)
        rates = 2.0 ** (-8 * torch.arange(1, config.heads + 1) / config.heads)
        self.register_buffer("rates", rates[:, None, None])

    def scores(self, q, k):
        place = positions(q)
        distance = (place[None, :] - place[:, None]).to(q.dtype)
        scores = super().scores(q, k) + self.rates * distance
        return scores.masked_fill(~causal(q), -torch.inf)


@spelling("softmax", "relative")
class Relative(ByHand):
    """A learned number per head and distance."""

    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Parameter(torch.randn(config.heads, 2 * config.length - 1))

    def scores(self, q, k):
        place = positions(q)
        distance = place[None, :] - place[:, None] + self.config.length - 1
        return super().scores(q, k) + self.table[:, distance]


@spelling("softmax", "softcap")
class Softcap(ByHand):
    cap = 5.0

    def scores(self, q, k):
        return torch.tanh(super().scores(q, k) / self.cap) * self.cap


@spelling("softmax", "sink")
class Sink(ByHand):
    """A learned score per head that takes weight and gives no value."""

    def __init__(self, config):
        super().__init__(config)
        self.sinks = torch.nn.Parameter(torch.randn(config.heads))

    def weights(self, scores):
        sinks = self.sinks[None, :, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]


GROUPED = {"width": 16, "heads": 4}


@spelling("softmax", "gqa", sizes=GROUPED)
class Gqa(ByHand):
    """Several heads of queries share one of keys and values."""

    def __init__(self, config):
        super().__init__(config, config.kv_heads)

    def mix(self, q, k, v):
        repeat = self.config.heads // self.config.kv_heads
        k, v = (x.repeat_interleave(repeat, 1) for x in (k, v))
        return super().mix(q, k, v)


@spelling("softmax", "gqa_sdpa", dynamo_only=True, native=True, sizes=GROUPED)
class GqaSdpa(Block):
    def __init__(self, config):
        super().__init__(config, config.kv_heads)

    def mix(self, q, k, v):
        return sdpa(q, k, v, is_causal=True, enable_gqa=True)


@spelling("softmax", "rope", native=True)
class Rope(ByHand):
    """Rotary positions: each pair of components turns with the place, then causal attention."""

    def __init__(self, config):
        super().__init__(config)
        rates = 10000.0 ** (-torch.arange(0, config.head, 2) / config.head)
        self.register_buffer("rates", rates)

    def turn(self, x):
        angle = positions(x)[:, None] * self.rates
        cos, sin = (torch.cat([f(angle)] * 2, -1) for f in (torch.cos, torch.sin))
        low, high = x.chunk(2, -1)
        return x * cos + torch.cat([-high, low], -1) * sin

    def mix(self, q, k, v):
        return sdpa(self.turn(q), self.turn(k), v, is_causal=True)
