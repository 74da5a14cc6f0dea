"""Evolving attention: the scores of one layer feed the next through a residual convolution.

"Evolving Attention with Residual Convolutions", ICML 2021.
"""

import torch
from block import Block, causal, spelling
from torch import nn
from torch.nn.functional import leaky_relu, relu


class Layer(Block):
    def mix(self, q, k, v):
        own = q @ k.transpose(-1, -2) * self.config.head**-0.5
        self.scores = own if self.before is None else self.evolve(own, self.before)
        return self.attend(self.scores, v)

    def attend(self, scores, v):
        return scores.softmax(-1) @ v


class First(Layer):
    before = None


class Next(Layer):
    alpha, beta = 0.3, 0.5

    def __init__(self, config):
        super().__init__(config)
        self.convolve = nn.Conv2d(config.heads, config.heads, 3, padding=1)

    def evolve(self, own, before):
        x = (1 - self.beta) * own + self.beta * before
        return self.alpha * self.activate(self.convolve(x)) + (1 - self.alpha) * x

    def activate(self, x):
        return leaky_relu(x, 0.01)


class NextRelu(Next):
    def activate(self, x):
        return relu(x)


class Causal:
    """The mask comes after the convolution."""

    def attend(self, scores, v):
        return super().attend(scores.masked_fill(~causal(scores), -torch.inf), v)


class FirstCausal(Causal, First):
    pass


class NextCausal(Causal, Next):
    pass


class Evolving(nn.Module):
    """Two layers, each added to its input."""

    def __init__(self, config, first, following):
        super().__init__()
        self.layers = nn.ModuleList([first(config), following(config)])

    def forward(self, x):
        scores = None
        for layer in self.layers:
            layer.before = scores
            x = x + layer(x)
            scores = layer.scores
        return x


@spelling("evolving", "leaky")
def leaky(config):
    return Evolving(config, First, Next)


@spelling("evolving", "relu")
def plain(config):
    return Evolving(config, First, NextRelu)


@spelling("evolving", "causal")
def masked(config):
    return Evolving(config, FirstCausal, NextCausal)
