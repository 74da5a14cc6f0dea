"""How exporters spell what a transformer is made of.

Three classes with the same methods: `Torchscript` (opset 17: shape arithmetic, decomposed norms and
activations, finite masks), `Dynamo` (opset 20: constants in reshapes, square root of the scale on
both factors, boolean masks and a guard for empty rows) and `Native` (opset 23: `Attention`,
`RMSNormalization`, `RotaryEmbedding`). A mask is a boolean tensor that broadcasts to
[batch, heads, queries, keys], true where a key counts.
"""

import numpy as np


class Torchscript:
    name, opset = "torchscript", 17
    lowest = float(np.finfo(np.float32).min)

    def __init__(self, graph):
        self.g = graph

    def size(self, x, axis):
        return self.g.op("Gather", self.g.op("Shape", x), np.int64(axis), axis=0)

    def reshape(self, x, *dims):
        """dims: numbers, scalar values, or (value, axis) for the size of that value's axis."""
        return self.g.op("Reshape", x, self.shape_of(dims))

    def shape_of(self, dims):
        parts = []
        for dim in dims:
            if isinstance(dim, int):
                parts.append(self.g.const(np.array([dim])))
                continue
            dim = self.size(*dim) if isinstance(dim, tuple) else dim
            parts.append(self.g.op("Unsqueeze", dim, np.array([0])))
        return self.g.op("Concat", *parts, axis=0)

    def linear(self, x, inner, outer, bias=True):
        y = self.g.op("MatMul", x, self.g.weight(inner, outer))
        return self.g.op("Add", self.g.weight(outer, name="bias", scale=0.1), y) if bias else y

    def layer_norm(self, x, width, eps=1e-5):
        g = self.g
        centred = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1], keepdims=1))
        square = g.op("Pow", centred, np.float32(2))
        variance = g.op("Add", g.op("ReduceMean", square, axes=[-1], keepdims=1), np.float32(eps))
        y = g.op("Div", centred, g.op("Sqrt", variance))
        y = g.op("Mul", y, self._near_one(width))
        return g.op("Add", y, g.weight(width, name="bias", scale=0.1))

    def rms_norm(self, x, width, eps=1e-6):
        g = self.g
        square = g.op("Pow", x, np.float32(2))
        mean = g.op("Add", self._mean_last(square), np.float32(eps))
        y = g.op("Mul", x, g.op("Reciprocal", g.op("Sqrt", mean)))
        return g.op("Mul", self._near_one(width), y)

    def _mean_last(self, x):
        return self.g.op("ReduceMean", x, axes=[-1], keepdims=1)

    def _near_one(self, width):
        values = 1 + 0.1 * self.g.rng.standard_normal(width)
        return self.g.const(values.astype(np.float32), self.g._unique("weight"))

    def activation(self, x, kind):
        g = self.g
        if kind == "relu":
            return g.op("Relu", x)
        if kind == "silu":
            return g.op("Mul", x, g.op("Sigmoid", x))
        if kind == "quick_gelu":
            return g.op("Mul", x, g.op("Sigmoid", g.op("Mul", x, np.float32(1.702))))
        if kind == "gelu":
            return self._gelu(x)
        assert kind == "gelu_tanh", kind
        return self._gelu_tanh(x)

    def _gelu(self, x):
        g = self.g
        erf = g.op("Erf", g.op("Div", x, np.float32(2**0.5)))
        return g.op("Mul", g.op("Mul", x, g.op("Add", erf, np.float32(1))), np.float32(0.5))

    def _gelu_tanh(self, x):
        g = self.g
        cube = g.op("Mul", g.op("Pow", x, np.float32(3)), np.float32(0.044715))
        inner = g.op("Mul", g.op("Add", x, cube), np.float32((2 / np.pi) ** 0.5))
        tanh = g.op("Add", g.op("Tanh", inner), np.float32(1))
        return g.op("Mul", g.op("Mul", x, np.float32(0.5)), tanh)

    def rotary(self, x, cos, sin):
        """x [batch, heads, n, d]; cos, sin [n, d/2]; the two halves rotate (not interleaved)."""
        g = self.g
        half = g.op("Div", self.size(x, 3), np.int64(2))
        half = g.op("Unsqueeze", half, np.array([0]))
        end = np.array([np.iinfo(np.int64).max])
        low = g.op("Slice", x, np.array([0]), half, np.array([3]))
        high = g.op("Slice", x, half, end, np.array([3]))
        turned = g.op("Concat", g.op("Neg", high), low, axis=-1)
        cos, sin = g.op("Concat", cos, cos, axis=-1), g.op("Concat", sin, sin, axis=-1)
        return g.op("Add", g.op("Mul", x, cos), g.op("Mul", turned, sin))

    def repeat_heads(self, x, heads, kv_heads, head_dim):
        """[batch, kv_heads, n, d] to [batch, heads, n, d], each head repeated in place."""
        if heads == kv_heads:
            return x
        g = self.g
        wide = g.op("Unsqueeze", x, np.array([2]))
        shape = [self.size(x, 0), kv_heads, heads // kv_heads, self.size(x, 2), head_dim]
        wide = g.op("Expand", wide, self.shape_of(shape))
        return self.reshape(wide, (x, 0), heads, (x, 2), head_dim)

    def attention(self, q, k, v, heads, kv_heads, head_dim, mask=None, bias=None):
        g = self.g
        k = self.repeat_heads(k, heads, kv_heads, head_dim)
        v = self.repeat_heads(v, heads, kv_heads, head_dim)
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = g.op("Div", scores, np.float32(head_dim**0.5))
        if bias:
            scores = g.op("Add", scores, bias)
        if mask:
            numbers = g.op("Sub", np.float32(1), g.op("Cast", mask, to=1))
            scores = g.op("Add", scores, g.op("Mul", numbers, np.float32(self.lowest)))
        return g.op("MatMul", g.op("Softmax", scores, axis=-1), v)


class Dynamo(Torchscript):
    name, opset = "dynamo", 20

    def size(self, x, axis):
        shape = self.g.op("Shape", x, start=axis, end=axis + 1)
        return self.g.op("Squeeze", shape, np.array([0]))

    def reshape(self, x, *dims):
        """A dim taken from the same axis of x is a 0; one other unknown dim is a -1."""
        numbers = []
        for position, dim in enumerate(dims):
            if isinstance(dim, int):
                numbers.append(dim)
            elif dim == (x, position):
                numbers.append(0)
            else:
                numbers.append(-1)
        if numbers.count(-1) > 1:
            return super().reshape(x, *dims)
        return self.g.op("Reshape", x, np.array(numbers, np.int64), allowzero=0)

    def layer_norm(self, x, width, eps=1e-5):
        bias = self.g.weight(width, name="bias", scale=0.1)
        return self.g.op("LayerNormalization", x, self._near_one(width), bias, axis=-1, epsilon=eps)

    def _mean_last(self, x):
        return self.g.op("ReduceMean", x, np.array([-1]), keepdims=1)

    def _gelu(self, x):
        return self.g.op("Gelu", x, approximate="none")

    def _gelu_tanh(self, x):
        return self.g.op("Gelu", x, approximate="tanh")

    def attention(self, q, k, v, heads, kv_heads, head_dim, mask=None, bias=None):
        g = self.g
        k = self.repeat_heads(k, heads, kv_heads, head_dim)
        v = self.repeat_heads(v, heads, kv_heads, head_dim)
        root = np.float32(head_dim**-0.25)
        q = g.op("Mul", q, root)
        k = g.op("Mul", g.op("Transpose", k, perm=[0, 1, 3, 2]), root)
        scores = g.op("MatMul", q, k)
        if bias:
            scores = g.op("Add", scores, bias)
        if not mask:
            return g.op("MatMul", g.op("Softmax", scores, axis=-1), v)
        scores = g.op("Add", scores, g.op("Where", mask, np.float32(0), np.float32(-np.inf)))
        weights = g.op("Softmax", scores, axis=-1)
        weights = g.op("Where", g.op("IsNaN", weights), np.float32(0), weights)
        return g.op("MatMul", weights, v)


class Native(Dynamo):
    name, opset = "native", 23

    def rms_norm(self, x, width, eps=1e-6):
        return self.g.op("RMSNormalization", x, self._near_one(width), axis=-1, epsilon=eps)

    def rotary(self, x, cos, sin):
        g = self.g
        batched = [g.op("Unsqueeze", c, np.array([0])) for c in (cos, sin)]
        shape = g.op("Concat", g.op("Shape", x, start=0, end=1), np.array([1, 1]), axis=0)
        return g.op("RotaryEmbedding", x, *[g.op("Expand", c, shape) for c in batched])

    def attention(self, q, k, v, heads, kv_heads, head_dim, mask=None, bias=None):
        g = self.g
        if mask:
            sizes = [g.op("Shape", x, start=i, end=i + 1) for x, i in ((q, 0), (q, 2), (k, 2))]
            shape = g.op("Concat", sizes[0], np.array([1]), *sizes[1:], axis=0)
            mask = g.op("Expand", mask, shape)
        if bias and mask:
            masked = g.op("Where", mask, np.float32(0), np.float32(-np.inf))
            bias = g.op("Add", bias, masked)
        return g.op("Attention", q, k, v, bias or mask or "", scale=float(head_dim**-0.5))


SPELLINGS = {c.name: c for c in (Torchscript, Dynamo, Native)}
