"""Training with PyTorch (`pip install attune[torch]`)."""

import sys

import numpy as np
import torch
from torch.nn import functional

add, multiply, divide, matmul = torch.add, torch.mul, torch.div, torch.matmul
relu, gelu = functional.relu, functional.gelu
reshape, transpose, sum, mean = torch.reshape, torch.permute, torch.sum, torch.mean
concatenate = torch.cat


def constant(array):
    return torch.from_numpy(np.array(array))


def layer_norm(x, scale, bias, epsilon):
    return functional.layer_norm(x, scale.shape, scale, bias, epsilon)


def softmax(x):
    return torch.softmax(x, -1)


def attention(q, k, v):
    return functional.scaled_dot_product_attention(q, k, v)


def depthwise(x, filters):
    return functional.conv1d(x, filters, padding=filters.shape[2] // 2, groups=x.shape[1])


class Trainer:
    """Cross entropy and AdamW. One thread: studies run as many workers as there are cores."""

    def __init__(self, network, weights, decay=0.01):
        torch.set_num_threads(1)
        self.network = network
        self.variables = {n: constant(w).requires_grad_() for n, w in weights.items()}
        self.optimiser = torch.optim.AdamW(self.variables.values(), weight_decay=decay)

    def step(self, x, y, rate):
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.zero_grad()
        scores = self.network(sys.modules[__name__], self.variables, constant(x))
        loss = functional.cross_entropy(scores, constant(y))
        loss.backward()
        self.optimiser.step()
        return loss.item()

    def scores(self, x):
        with torch.no_grad():
            return self.network(sys.modules[__name__], self.variables, constant(x)).numpy()

    def weights(self):
        return {n: v.detach().numpy() for n, v in self.variables.items()}
