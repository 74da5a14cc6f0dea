"""Linear transformer: weights phi(q).phi(k), elu + 1, in the orders that one may multiply.

"Transformers are RNNs: Fast Autoregressive Transformers with Linear Attention", ICML 2020.
"""

import torch
from block import Block, causal, spelling
from torch.nn.functional import elu


class Kernel(Block):
    eps = 1e-6

    def features(self, q, k):
        return elu(q) + 1, elu(k) + 1

    def divide(self, total, norm):
        return total / (norm + self.eps)

    def mix(self, q, k, v):
        return self.attend(*self.features(q, k), v)


class Bidirectional(Kernel):
    def attend(self, q, k, v):
        state = torch.einsum("bhmf,bhme->bhfe", k, v)
        norm = torch.einsum("bhnf,bhf->bhn", q, k.sum(2))
        return self.divide(torch.einsum("bhnf,bhfe->bhne", q, state), norm[..., None])


class BidirectionalMatmul(Kernel):
    def attend(self, q, k, v):
        norm = q @ k.sum(2, keepdim=True).transpose(-1, -2)
        return self.divide(q @ (k.transpose(-1, -2) @ v), norm)


class Quadratic(Kernel):
    def attend(self, q, k, v):
        weights = q @ k.transpose(-1, -2)
        return self.divide(weights @ v, weights.sum(-1, keepdim=True))


class CausalCumsum(Kernel):
    """The state of every step, all at once: [batch, heads, length, features, d]."""

    def attend(self, q, k, v):
        state = torch.einsum("bhnf,bhne->bhnfe", k, v).cumsum(2)
        norm = torch.einsum("bhnf,bhnf->bhn", q, k.cumsum(2))
        return self.divide(torch.einsum("bhnf,bhnfe->bhne", q, state), norm[..., None])


class CausalQuadratic(Kernel):
    def attend(self, q, k, v):
        weights = (q @ k.transpose(-1, -2)).masked_fill(~causal(q), 0)
        return self.divide(weights @ v, weights.sum(-1, keepdim=True))


class CausalChunked(Kernel):
    """Quadratic inside a chunk, a running state across chunks."""

    def attend(self, q, k, v):
        q, k, v = (x.unflatten(2, (-1, self.config.chunk)) for x in (q, k, v))
        weights = (q @ k.transpose(-1, -2)).tril()
        state = k.transpose(-1, -2) @ v
        before = state.cumsum(2) - state
        sums = k.sum(3, keepdim=True)
        norm = weights.sum(-1, keepdim=True) + q @ (sums.cumsum(2) - sums).transpose(-1, -2)
        return self.divide(weights @ v + q @ before, norm).flatten(2, 3)


FORMS = {
    "bidirectional": Bidirectional,
    "bidirectional_matmul": BidirectionalMatmul,
    "quadratic": Quadratic,
    "causal_cumsum": CausalCumsum,
    "causal_quadratic": CausalQuadratic,
}
for name, form in FORMS.items():
    spelling("linear", name)(form)
spelling("linear", "causal_chunked", multiple="chunk")(CausalChunked)
