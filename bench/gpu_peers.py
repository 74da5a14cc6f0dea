"""The cases of gpu_cases.py in PyTorch, as its users would write them: fused attention by each of its
back ends, matrix products by cuBLAS, linear attention in chunks, models compiled by torch.compile.

`PEERS[name](torch, tensors, weights, options)` gives functions without arguments by the peer's name.
A peer that this version or device lacks raises when it is called.
"""

from functools import partial


def attention(torch, t, weights, options):
    from torch.nn import attention as kinds
    from torch.nn.functional import scaled_dot_product_attention

    causal = options["causal"]
    shared = t["q"].shape[1] != t["k"].shape[1]

    def fused(backend):
        with kinds.sdpa_kernel(backend):
            return scaled_dot_product_attention(
                t["q"], t["k"], t["v"], is_causal=causal, enable_gqa=shared
            )

    if not t["q"].is_cuda:
        return {"SDPA": partial(fused, kinds.SDPBackend.MATH)}
    from torch.nn.attention import flex_attention as flex

    compiled = torch.compile(flex.flex_attention, dynamic=False)
    mask = None
    if causal:
        n = t["q"].shape[2]
        mask = flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, n, n, device="cuda")
    return {
        "SDPA flash": partial(fused, kinds.SDPBackend.FLASH_ATTENTION),
        "SDPA cuDNN": partial(fused, kinds.SDPBackend.CUDNN_ATTENTION),
        "FlexAttention": lambda: compiled(
            t["q"], t["k"], t["v"], block_mask=mask, enable_gqa=shared
        ),
    }


def product(torch, t, weights, options):
    from torch.nn import functional

    if "bias" not in t:
        return {"cuBLAS": lambda: t["x"] @ t["w"]}
    eager = lambda x, w, b: functional.gelu(torch.addmm(b, x, w), approximate="tanh")  # noqa: E731
    return _both(torch, eager, t["x"], t["w"], t["bias"])


def linear_attention(torch, t, weights, options):
    from torch.nn.functional import elu

    def whole(q, k, v):
        q, k = elu(q) + 1, elu(k) + 1
        return q @ (k.mT @ v) / (q @ k.sum(2, keepdim=True).mT)

    def chunks(q, k, v):
        """Sums of earlier chunks, and the scores inside each."""
        shape, chunk = v.shape, options["chunk"]
        q, k, v = (x.unflatten(2, (-1, chunk)) for x in (elu(q) + 1, elu(k) + 1, v))
        states, keys = (k.mT @ v).float(), k.float().sum(3, keepdim=True)
        before = (states.cumsum(2) - states).to(v.dtype)
        counts = (keys.cumsum(2) - keys).to(v.dtype)
        scores = (q @ k.mT).tril()
        y = scores @ v + q @ before
        return (y / (scores.sum(-1, keepdim=True) + q @ counts.mT)).reshape(shape)

    return _both(torch, chunks if options["causal"] else whole, t["q"], t["k"], t["v"])


def _both(torch, function, *arguments):
    peers = {"eager": lambda: function(*arguments)}
    if arguments[0].is_cuda:
        compiled = torch.compile(function, dynamic=False)
        peers["torch.compile"] = lambda: compiled(*arguments)
    return peers


class Layers:
    """Layers of test/models/language.py in the same order, with the weights of the ONNX file."""

    def __init__(self, torch, weights, config):
        self.torch, self.f, self.config = torch, torch.nn.functional, config
        self.weights = weights

    def start(self):
        self.rest = iter(self.weights)

    def linear(self, x):
        w = next(self.rest)
        return x @ w + next(self.rest)

    def norm(self, x):
        bias, scale = next(self.rest), next(self.rest)
        return self.f.layer_norm(x, x.shape[-1:], scale, bias, 1e-5)

    def embed(self, tokens, start=0):
        words, places = next(self.rest), next(self.rest)
        index = self.torch.arange(start, start + tokens.shape[1], device=tokens.device)
        return words[tokens] + places[index]

    def heads(self, x):
        c = self.config
        parts = [self.linear(x) for _ in range(3)]
        return [p.unflatten(2, (-1, c.head_dim)).transpose(1, 2) for p in parts]

    def join(self, y):
        return self.linear(y.transpose(1, 2).flatten(2))

    def feed_forward(self, x):
        return self.linear(self.f.gelu(self.linear(x)))

    def block(self, x, attend):
        if self.config.norm_first:
            x = x + attend(self.norm(x))
            return x + self.feed_forward(self.norm(x))
        x = self.norm(attend(x) + x)
        return self.norm(self.feed_forward(x) + x)


def encoder(torch, t, weights, options):
    layers, config = Layers(torch, weights, options["config"]), options["config"]

    def attend(mask, x):
        q, k, v = layers.heads(x)
        return layers.join(layers.f.scaled_dot_product_attention(q, k, v, attn_mask=mask))

    def run(tokens, keep):
        layers.start()
        mask = keep.bool()[:, None, None, :]
        x = layers.norm(layers.embed(tokens))
        for _ in range(config.depth):
            x = layers.block(x, partial(attend, mask))
        return x

    return _both(torch, run, t["input_ids"], t["attention_mask"])


def cosformer(torch, t, weights, options):
    layers, config = Layers(torch, weights, options["config"]), options["config"]

    def features(x):
        n = x.shape[2]
        angle = torch.arange(1, n + 1, device=x.device, dtype=torch.float32) * (torch.pi / 2 / n)
        angle = angle[:, None].to(x.dtype)
        y = layers.f.relu(x)
        return torch.cat([y * angle.sin(), y * angle.cos()], -1)

    def attend(x):
        q, k, v = layers.heads(x)
        q, k = features(q), features(k)
        count = q @ k.sum(2, keepdim=True).mT
        return layers.join(q @ (k.mT @ v) / count.clamp(min=1e-3))

    def run(tokens):
        layers.start()
        x = layers.embed(tokens)
        for _ in range(config.depth):
            x = layers.block(x, attend)
        return layers.norm(x)

    return _both(torch, run, t["input_ids"])


def decoder(torch, t, weights, options):
    layers, config = Layers(torch, weights, options["config"]), options["config"]
    caches = [t[f"past.{i}.{n}"] for i in range(config.depth) for n in ("key", "value")]

    def run(tokens, *past):
        layers.start()
        present, before, n = [], past[0].shape[2], tokens.shape[1]
        mask = torch.ones(n, before + n, dtype=torch.bool, device=tokens.device).tril(before)

        def attend(x):
            q, k, v = layers.heads(x)
            k, v = (torch.cat([p, x], 2) for p, x in zip(past[len(present) :][:2], (k, v)))
            present.extend([k, v])
            return layers.join(layers.f.scaled_dot_product_attention(q, k, v, attn_mask=mask))

        x = layers.embed(tokens, before)
        for _ in range(config.depth):
            x = layers.block(x, attend)
        return (x, *present)

    return _both(torch, run, t["input_ids"], *caches)


PEERS = {f.__name__: f for f in (attention, product, linear_attention, encoder, cosformer, decoder)}
