"""Lightweight convolution: every head has one small filter over time, normalised by a softmax.

"Pay Less Attention with Lightweight and Dynamic Convolutions", ICLR 2019; with other terms than
products in "ShiftAddNAS", ICML 2022: `add` sums -|x - w| (AdderNet), `shift` has filters that are
signed powers of two (DeepShift). In front is a gated projection, behind it another one.
"""

import torch
from block import spelling
from torch import nn
from torch.nn.functional import conv1d, glu, pad


class LightweightConvolution(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.taps, self.heads = config.window, config.heads
        self.gate = nn.Linear(config.width, 2 * config.width)
        self.filters = nn.Parameter(torch.randn(self.heads, self.taps))
        self.out = nn.Linear(config.width, config.width)

    before = property(lambda self: self.taps // 2)

    def weights(self):
        return self.filters.softmax(-1)

    def forward(self, x):
        return self.out(self.mix(glu(self.gate(x), dim=-1)))

    def windows(self, x):
        """[batch, length, heads, channels of a head, taps]: slices side by side."""
        batch, length, width = x.shape
        x = pad(x, (0, 0, self.before, self.taps - 1 - self.before))
        x = torch.stack([x[:, tap : tap + length] for tap in range(self.taps)], -1)
        return x.reshape(batch, length, self.heads, width // self.heads, self.taps)


class Unfolding(LightweightConvolution):
    def windows(self, x):
        batch, length, width = x.shape
        x = pad(x, (0, 0, self.before, self.taps - 1 - self.before)).unfold(1, self.taps, 1)
        return x.reshape(batch, length, self.heads, width // self.heads, self.taps)


@spelling("lightconv", "windows")
class Windows(LightweightConvolution):
    """A product of each window with its head's filter, as the released code does for few taps."""

    def mix(self, x):
        y = self.windows(x) @ self.weights()[:, :, None]
        return y.reshape(x.shape)


@spelling("lightconv", "multiply")
class Multiply(LightweightConvolution):
    def mix(self, x):
        return (self.windows(x) * self.weights()[:, None]).sum(-1).reshape(x.shape)


@spelling("lightconv", "unfold", dynamo_only=True)
class UnfoldMultiply(Unfolding, Multiply):
    pass


@spelling("lightconv", "conv1d")
class Conv1d(LightweightConvolution):
    """Channels of a head join the batch, as in the released code."""

    def mix(self, x):
        batch, length, width = x.shape
        x = x.transpose(1, 2).reshape(-1, self.heads, length)
        x = pad(x, (self.before, self.taps - 1 - self.before))
        y = conv1d(x, self.weights()[:, None], groups=self.heads)
        return y.reshape(batch, width, length).transpose(1, 2)


@spelling("lightconv", "causal")
class Causal(Conv1d):
    before = property(lambda self: self.taps - 1)


@spelling("lightconv", "add")
class Add(LightweightConvolution):
    def mix(self, x):
        return -(self.windows(x) - self.weights()[:, None]).abs().sum(-1).reshape(x.shape)


@spelling("lightconv", "add_causal")
class AddCausal(Add):
    before = property(lambda self: self.taps - 1)


@spelling("lightconv", "add_unfold", dynamo_only=True)
class AddUnfold(Unfolding, Add):
    pass


class PowersOfTwo(LightweightConvolution):
    """DeepShift-Q: exponents are rounded, half to even."""

    def weights(self):
        return 2 ** super().weights().log2().round()


@spelling("lightconv", "shift")
class Shift(PowersOfTwo, Conv1d):
    pass


@spelling("lightconv", "shift_windows")
class ShiftWindows(PowersOfTwo, Multiply):
    pass
