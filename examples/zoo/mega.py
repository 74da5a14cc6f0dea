"""Mega: one head of gated attention whose queries and keys come from a damped moving average.

"Mega: Moving Average Equipped Gated Attention", ICLR 2023.
"""

import math

import torch
from block import causal, positions, spelling
from torch import nn
from torch.nn.functional import conv1d, silu


class Ema(nn.Module):
    """x'[t] = silu(sum over components of gamma h[t] + omega x[t]), h[t] = a h[t-1] + p beta x[t]."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        size = (config.width, config.components)
        self.alpha, self.delta = (nn.Parameter(torch.randn(size)) for _ in range(2))
        self.beta, self.gamma = (nn.Parameter(torch.randn(size)) for _ in range(2))
        self.omega = nn.Parameter(torch.randn(config.width))

    def coefficients(self):
        p = torch.sigmoid(self.delta)
        gain = self.gamma * self.config.components**-0.5
        return 1 - p * torch.sigmoid(self.alpha), p * self.beta, gain

    def kernel(self, length):
        """[width, length]: how much an input counts after 0, 1, ... steps."""
        a, b, c = self.coefficients()
        steps = torch.arange(length, dtype=a.dtype)
        return torch.einsum("dn,dnt->dt", b * c, torch.exp(steps * torch.log(a)[..., None]))

    def forward(self, x):
        return silu(self.average(x) + x * self.omega)


class EmaFft(Ema):
    def average(self, x):
        length = self.config.length
        x = x.transpose(1, 2).contiguous()
        spectrum = torch.fft.rfft(x, n=2 * length) * torch.fft.rfft(
            self.kernel(length), n=2 * length
        )
        return torch.fft.irfft(spectrum, n=2 * length)[..., :length].transpose(1, 2)


class EmaConvolution(Ema):
    """The kernel cut off after so many taps, as a depthwise convolution."""

    def average(self, x):
        taps = self.config.taps
        x = nn.functional.pad(x.transpose(1, 2), (taps - 1, 0))
        kernel = self.kernel(taps).flip(-1)[:, None]
        return conv1d(x, kernel, groups=self.config.width).transpose(1, 2)


class EmaUnrolled(Ema):
    def average(self, x):
        a, b, c = self.coefficients()
        state, rows = torch.zeros_like(x[:, 0, :, None] * b), []
        for t in range(self.config.length):
            state = a * state + b * x[:, t, :, None]
            rows.append((state * c).sum(-1))
        return torch.stack(rows, 1)


spelling("ema", "fft", fixed=True, dynamo_only=True)(EmaFft)
spelling("ema", "convolution")(EmaConvolution)
spelling("ema", "window", sizes={"components": 2, "taps": 64, "length": 70})(EmaConvolution)
spelling("ema", "unrolled", fixed=True)(EmaUnrolled)


class Mega(nn.Module):
    """u, r gate the update and the attention; z makes queries and keys; v comes from x itself."""

    average = EmaConvolution

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.ema = self.average(config)
        self.sizes = [config.width, config.query, config.value, config.width]
        self.values = nn.Linear(config.width, config.value)
        self.rest = nn.Linear(config.width, sum(self.sizes))
        self.scales, self.shifts = (nn.Parameter(torch.randn(2, config.query)) for _ in range(2))
        self.out = nn.Linear(config.value, config.width)
        self.table = nn.Parameter(torch.randn(2 * config.length - 1))

    def forward(self, x):
        v = silu(self.values(x))
        u, z, r, h = self.rest(self.ema(x)).split(self.sizes, -1)
        q, k = (silu(z) * s + t for s, t in zip(self.scales, self.shifts))
        attended = self.attend(q, k, v) * silu(r)
        return x + torch.sigmoid(u) * (silu(h + self.out(attended)) - x)

    def bias(self, q):
        place = positions(q)
        return self.table[place[None, :] - place[:, None] + self.config.length - 1]


class Softmax(Mega):
    def attend(self, q, k, v):
        scores = q @ k.transpose(-1, -2) * self.config.query**-0.5 + self.bias(q)
        return scores.masked_fill(~causal(q), -torch.inf).softmax(-1) @ v


class Elementwise(Mega):
    """Weights are a function of each score alone, and nothing is normalised."""

    def attend(self, q, k, v):
        seen = causal(q)
        length = (positions(q) + 1)[:, None].to(q.dtype)
        scores = q @ k.transpose(-1, -2) / length + self.bias(q)
        return self.weight(scores).masked_fill(~seen, 0) @ v


class Relu2(Elementwise):
    def weight(self, x):
        return torch.relu(x).square()


class Laplace(Elementwise):
    mean, deviation = math.sqrt(0.5), math.sqrt(0.25 / math.pi)

    def weight(self, x):
        return 0.5 * (1 + torch.erf((x - self.mean) / (self.deviation * math.sqrt(2))))


class LaplaceFull(Laplace):
    """Every query sees every key."""

    def attend(self, q, k, v):
        return self.weight(q @ k.transpose(-1, -2) / q.shape[1] + self.bias(q)) @ v


class Chunked(Softmax):
    """Attention inside chunks; the moving average crosses their borders."""

    def attend(self, q, k, v):
        q, k, v = (x.unflatten(1, (-1, self.config.chunk)) for x in (q, k, v))
        return super().attend(q, k, v).flatten(1, 2)


class SoftmaxFft(Softmax):
    average = EmaFft


class ChunkedFft(Chunked):
    average = EmaFft


spelling("mega", "softmax")(Softmax)
spelling("mega", "relu2")(Relu2)
spelling("mega", "laplace")(Laplace)
spelling("mega", "laplace_full")(LaplaceFull)
spelling("mega", "chunked", multiple="chunk")(Chunked)
spelling("mega", "fft", fixed=True, dynamo_only=True)(SoftmaxFft)
spelling("mega", "chunked_fft", fixed=True, dynamo_only=True)(ChunkedFft)
