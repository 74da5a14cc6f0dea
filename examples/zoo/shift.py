"""Shift layers: weights that are 0 or signed powers of two.

"DeepShift: Towards Multiplication-Less Neural Networks", CVPR-W 2021, and "ShiftAddNAS: Hardware-Inspired
Search for More Accurate and Efficient Neural Networks", ICML 2022.
"""

import math

import torch
from block import spelling
from torch import nn
from torch.nn.functional import conv1d, linear, relu

BITS = 5
POINT = 16  # bits behind the point of an activation


class Powers(nn.Module):
    """DeepShift-Q: float weights that the graph rounds to powers of two."""

    low = -(2 ** (BITS - 1) - 1)

    def __init__(self, *shape):
        super().__init__()
        weight = torch.randn(shape) * 0.4
        weight[0, 0] = 0  # stays 0
        weight[0, -1] = 3.0  # out of range on either side
        weight[-1, -1] = -(2.0**-20)
        weight[-1, 0] = 2.0**-2.5  # between two powers
        self.weight = nn.Parameter(weight)

    def forward(self):
        size = self.weight.abs().clamp(2.0**self.low, 1.0)
        size = torch.where(self.weight == 0, torch.zeros_like(size), size)
        return 2.0 ** torch.round(torch.log(size) / math.log(2)) * torch.sign(self.weight)


class Parts(nn.Module):
    """DeepShift-PS: powers and signs are the parameters."""

    low = -(2 ** (BITS - 1) - 2)

    def __init__(self, *shape):
        super().__init__()
        self.power = nn.Parameter(torch.randn(shape) * 4 - 5)
        self.sign = nn.Parameter(torch.randn(shape))

    def forward(self):
        power = torch.round(self.power.clamp(float(self.low), 0.0))
        return 2.0**power * torch.sign(torch.round(self.sign))


def fixed_point(x):
    """Rounded down to 16 bits behind the point, as DeepShift-Q does with activations."""
    scale, bound = 2.0**-POINT, 2.0 ** (POINT - 1)
    return torch.clamp(torch.floor(x / scale) * scale, -bound, bound - 1)


class Layers(nn.Module):
    """Two layers as in a transformer's feed-forward block."""

    def __init__(self, config, powers=Powers):
        super().__init__()
        inner = 2 * config.width
        self.first, self.second = powers(inner, config.width), powers(config.width, inner)
        self.bias = nn.ParameterList([torch.randn(inner), torch.randn(config.width)])

    def apply_layer(self, x, powers, bias):
        return linear(x, powers(), bias)

    def forward(self, x):
        x = relu(self.apply_layer(x, self.first, self.bias[0]))
        return self.apply_layer(x, self.second, self.bias[1])


@spelling("shift", "quantised")
def quantised(config):
    return Layers(config)


@spelling("shift", "parts")
def parts(config):
    return Layers(config, Parts)


@spelling("shift", "fixed_point")
class FixedPoint(Layers):
    """With rounded activations and biases, as released."""

    def apply_layer(self, x, powers, bias):
        return linear(fixed_point(x), powers(), fixed_point(bias))


class Frozen(nn.Module):
    """The weights as they are stored after training."""

    def __init__(self, *shape):
        super().__init__()
        self.register_buffer("weight", Powers(*shape)().detach())

    def forward(self):
        return self.weight


@spelling("shift", "frozen")
def frozen(config):
    return Layers(config, Frozen)


@spelling("shift", "broadcast")
class Broadcast(Layers):
    """A product and a sum in place of the matrix product."""

    def apply_layer(self, x, powers, bias):
        return (x.unsqueeze(-2) * powers()).sum(-1) + bias


class Integers(nn.Module):
    """What an integer kernel does: activations in fixed point, shifted to the right and added.

    The older exporter divides instead, which rounds negative numbers the other way.
    """

    def __init__(self, config, total=torch.int32):
        super().__init__()
        self.total = total
        shape = (config.width, config.width)
        self.register_buffer("shifts", torch.randint(0, 2 ** (BITS - 1), shape, dtype=torch.int32))
        self.register_buffer("signs", torch.randint(-1, 2, shape, dtype=torch.int32))

    def forward(self, x):
        x = torch.floor(x * 2.0**POINT).to(torch.int32)
        terms = torch.bitwise_right_shift(x.unsqueeze(-2), self.shifts) * self.signs
        return terms.sum(-1, dtype=self.total).to(torch.float32) * 2.0**-POINT


@spelling("shift", "integers", dynamo_only=True)
def integers(config):
    return Integers(config)


@spelling("shift", "integers_wide", dynamo_only=True)
def integers_wide(config):
    return Integers(config, torch.int64)


class Convolution(nn.Module):
    """Along the sequence: an ordinary layer with stride 1, one per channel, and one in groups."""

    def __init__(self, config, powers=Powers):
        super().__init__()
        self.groups = (1, config.width, 2)
        self.filters = nn.ModuleList(
            powers(config.width, config.width // groups, 3) for groups in self.groups
        )

    def forward(self, x):
        x = x.transpose(1, 2)
        for groups, filters in zip(self.groups, self.filters):
            x = relu(conv1d(x, filters(), padding=1, groups=groups))
        return x.transpose(1, 2)


@spelling("shift", "convolution")
def convolution(config):
    return Convolution(config)


@spelling("shift", "convolution_parts")
def convolution_parts(config):
    return Convolution(config, Parts)
