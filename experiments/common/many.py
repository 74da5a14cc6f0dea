"""Layers of many small networks at once: every weight has the network as its first axis, every
activation is [network, image, position, channel]. One step of 64 networks costs little more than
one of a single network, which is what makes a table of hundreds of them affordable."""

import math

import torch


class Many:
    """Weights of `count` networks; a layer is asked for by name and made when it is first met."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)
        self.weights = {}

    def weight(self, name, shape, scale):
        if name not in self.weights:
            value = scale * torch.randn(shape, generator=self.generator)
            self.weights[name] = value.requires_grad_()
        return self.weights[name]

    def constant(self, name, shape, value):
        if name not in self.weights:
            self.weights[name] = torch.full(shape, float(value)).requires_grad_()
        return self.weights[name]

    def spread(self, x, count):
        """The images of all networks: the same for each unless they come with their own."""
        return x if x.dim() == 4 else x.expand(count, *x.shape)

    def product(self, name, x, to):
        count, batch, positions, channels = x.shape
        weight = self.weight(name + ".w", (count, channels, to), channels**-0.5)
        return torch.bmm(x.reshape(count, -1, channels), weight).view(count, batch, positions, to)

    def linear(self, name, x, to):
        return self.product(name, x, to) + self.constant(name + ".b", (x.shape[0], 1, 1, to), 0)

    def norm(self, name, x):
        count, channels = x.shape[0], x.shape[-1]
        scale = self.constant(name + ".s", (count, 1, 1, channels), 1)
        shift = self.constant(name + ".t", (count, 1, 1, channels), 0)
        return torch.nn.functional.layer_norm(x, (channels,)) * scale + shift

    def heads(self, x, heads):
        count, batch, positions, channels = x.shape
        x = x.view(count * batch, positions, heads, channels // heads).transpose(1, 2)
        return x.reshape(count * batch * heads, positions, channels // heads)

    def join(self, x, like, heads):
        count, batch, positions, channels = like.shape
        x = x.view(count * batch, heads, positions, channels // heads).transpose(1, 2)
        return x.reshape(count, batch, positions, channels)

    def softmax(self, name, x, heads):
        channels = x.shape[-1]
        q, k, v = (
            self.heads(part, heads)
            for part in self.linear(name + ".qkv", x, 3 * channels).split(channels, -1)
        )
        scores = torch.bmm(q, k.transpose(1, 2)) / math.sqrt(channels // heads)
        y = self.join(torch.bmm(scores.softmax(-1), v), x, heads)
        return self.linear(name + ".out", y, channels)

    def linear_attention(self, name, x, heads):
        channels = x.shape[-1]
        q, k, v = (
            self.heads(part, heads)
            for part in self.linear(name + ".qkv", x, 3 * channels).split(channels, -1)
        )
        q, k = q.relu(), k.relu()
        above = torch.bmm(q, torch.bmm(k.transpose(1, 2), v))
        below = torch.bmm(q, k.sum(1, keepdim=True).transpose(1, 2)) + 1e-6
        return self.linear(name + ".out", self.join(above / below, x, heads), channels)

    def conv(self, name, x, taps=3):
        """Taps per channel along the positions, then a product."""
        count, batch, positions, channels = x.shape
        kernel = self.weight(name + ".k", (count, 1, 1, taps, channels), taps**-0.5)
        padded = torch.nn.functional.pad(x, (0, 0, taps // 2, taps // 2))
        y = sum(padded[:, :, t : t + positions] * kernel[:, :, :, t] for t in range(taps))
        return self.linear(name + ".out", y, channels)


def apply_by_kind(x, kinds, functions):
    """x[i] through functions[kinds[i]], networks of one kind together."""
    groups = {kind: [i for i, k in enumerate(kinds) if k == kind] for kind in sorted(set(kinds))}
    if len(groups) == 1:
        return functions[kinds[0]](x)
    order = torch.tensor(sum(groups.values(), []))
    parts = [functions[kind](x[torch.tensor(members)]) for kind, members in groups.items()]
    return torch.cat(parts)[torch.argsort(order)]


def train(many, forward, data, epochs, seed, batch=32, rate=4e-3, own_order=0, penalty=None):
    """Adam with a cosine schedule. `forward(x)` gives logits [network, image, class]; `own_order`:
    so many networks see the images each in its own order; `penalty()` is added to the loss."""
    (x, y), generator = data, torch.Generator().manual_seed(seed)
    forward(x[:2])  # makes the weights
    optimiser = torch.optim.Adam(list(many.weights.values()), lr=rate)
    steps = epochs * (len(x) // batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01
    )
    for _ in range(epochs):
        orders = [torch.randperm(len(x), generator=generator) for _ in range(max(own_order, 1))]
        order = torch.stack(orders) if own_order else orders[0]
        for start in range(0, len(x) - batch + 1, batch):
            picked = order[..., start : start + batch]
            logits = forward(x[picked])
            target = y[picked].expand(logits.shape[:2]).reshape(-1)
            # A sum over networks: each learns as if it were alone.
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target) * len(logits)
            if penalty:
                loss = loss + penalty()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()


@torch.no_grad()
def accuracy(forward, data):
    x, y = data
    hits = (forward(x).argmax(-1) == y).float().mean(-1)
    return [round(float(value), 5) for value in hits]
