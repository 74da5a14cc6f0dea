"""The four kinds of layers of ShiftAddNAS and the weight sharing between three of them, for many
networks at once (common/many.py)."""

import torch

KINDS = CONV, ATT, SHIFT, ADD = range(4)
SIDE, D, HEADS, CLASSES, LAYERS = 4, 12, 2, 10, 3
BINS = 100


class Distance(torch.autograd.Function):
    """-sum |x - w|, with AdderNet's gradients: x - w for weights, clipped to [-1, 1] for inputs."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return -torch.cdist(x, w.transpose(1, 2).contiguous(), p=1)

    @staticmethod
    def backward(ctx, gradient):
        x, w = ctx.saved_tensors
        of_w = torch.bmm(x.transpose(1, 2), gradient) - w * gradient.sum(1, keepdim=True)
        of_x = torch.zeros_like(x)
        for out in range(w.shape[2]):
            of_x += (w[:, None, :, out] - x).clamp_(-1, 1) * gradient[:, :, out : out + 1]
        return of_x, of_w


def powers(w):
    """Signed powers of two from 2^-14 to 1 (5 bits); the gradient passes as if nothing happened."""
    magnitude = torch.exp2(torch.log2(w.abs().clamp_min(1e-9)).round().clamp(-14, 0))
    return w + (torch.sign(w) * magnitude - w).detach()


def windows(x):
    """[network, image, 16, channel] to the 3x3 windows [network, image * 16, 9 * channel]."""
    count, batch, _, channels = x.shape
    grid = x.reshape(count, batch, SIDE, SIDE, channels)
    grid = torch.nn.functional.pad(grid, (0, 0, 1, 1, 1, 1))
    parts = [grid[:, :, i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3)]
    return torch.cat(parts, -1).reshape(count, batch * SIDE * SIDE, 9 * channels)


def transformed(shared, slopes):
    """T(S): the range of S in equal bins, the values of each times a slope that is learned."""
    flat = shared.flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    bins = ((flat - low) / (high - low + 1e-9) * BINS).long().clamp(0, BINS - 1)
    return (flat * slopes.gather(1, bins.detach())).view_as(shared)


class Layers:
    """`sharing`: separate, naive (one tensor for conv, shift and add) or transformed (T for add)."""

    def __init__(self, many, sharing="separate"):
        self.many, self.sharing, self.used = many, sharing, []

    def weight(self, name, kind, count):
        shape, scale = (count, 9 * D, D), (9 * D) ** -0.5
        if self.sharing == "separate":
            # Sums of distances want weights as large as their inputs.
            own = {CONV: "conv", SHIFT: "shift", ADD: "add"}[kind]
            return self.many.weight(f"{name}.{own}", shape, 0.5 if kind == ADD else scale)
        shared = self.many.weight(f"{name}.shared", shape, scale)
        if self.sharing == "transformed":
            if kind == ADD:
                shared = transformed(shared, self.many.constant(f"{name}.slopes", (count, BINS), 1))
            self.used.append((kind, shared))
        return shared

    def apply(self, name, kind, x):
        count, batch, positions, channels = x.shape
        if kind == ATT:
            y = self.many.softmax(f"{name}.att", x, HEADS)
        else:
            w = self.weight(name, kind, count)
            x = windows(x)
            y = (
                Distance.apply(x, w)
                if kind == ADD
                else torch.bmm(x, powers(w) if kind == SHIFT else w)
            )
            y = y.view(count, batch, positions, channels)
        return self.many.norm(f"{name}.{kind}", y).relu()

    def penalty(self):
        """10 times the divergence of the weights used last from a normal (conv) or a Laplace
        distribution (add): of softmaxed values, both sorted."""
        total = 0.0
        for kind, w in self.used:
            if kind == SHIFT:
                continue
            flat = w.flatten(1)
            generator = self.many.generator
            if kind == CONV:
                sample = torch.randn(flat.shape, generator=generator)
            else:
                u = torch.rand(flat.shape, generator=generator) - 0.5
                sample = -2 * u.sign() * torch.log1p(-2 * u.abs() + 1e-7)
            target = sample.sort(1).values.softmax(1)
            log = flat.sort(1).values.log_softmax(1)
            total = total + torch.nn.functional.kl_div(log, target, reduction="sum")
        self.used = []
        return 10 * total


def network(many, layers, kinds_of):
    """`kinds_of(layer, count)` gives a function that applies the layer to normed activations."""

    def forward(x, count):
        x = many.linear("stem", many.spread(x, count), D)
        x = x + many.weight("positions", (count, 1, SIDE * SIDE, D), 0.02)
        for layer in range(LAYERS):
            x = x + kinds_of(layer)(many.norm(f"{layer}.in", x))
        mean = many.norm("last", x).mean(2, keepdim=True)
        return many.linear("head", mean, CLASSES)[:, :, 0]

    return forward
