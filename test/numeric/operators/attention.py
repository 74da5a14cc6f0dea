"""Attention 23-24 and rotary embedding."""

from .case import OpCase, bools, f32, i64


def qkv(n=5, m=7, heads=4, kv_heads=4, d=8, batch=2):
    return [f32(batch, heads, n, d), f32(batch, kv_heads, m, d), f32(batch, kv_heads, m, d)]


def attention():
    yield OpCase("Attention", qkv(), opset=23)
    yield OpCase("Attention", qkv(kv_heads=2), opset=23, label="grouped")
    yield OpCase("Attention", qkv(n=7), dict(is_causal=1), opset=23, label="causal")
    yield OpCase("Attention", qkv(n=1, m=1), opset=23, label="one")
    yield OpCase("Attention", qkv(n=33, m=130, d=64), opset=23, label="long")
    yield OpCase("Attention", qkv(), dict(scale=0.3), opset=23, label="scale")
    yield OpCase("Attention", qkv(), dict(softcap=2.0), opset=23, label="softcap")
    mask = bools(5, 7)
    mask[:, 0] = True
    yield OpCase("Attention", [*qkv(), mask], opset=23, label="mask")
    yield OpCase("Attention", [*qkv(), f32(2, 4, 5, 7)], opset=23, label="bias")
    yield OpCase("Attention", [*qkv(), f32(2, 1, 5, 7)], opset=23, label="bias-broadcast")
    flat = [f32(2, 5, 32), f32(2, 7, 16), f32(2, 7, 24)]
    heads = dict(q_num_heads=4, kv_num_heads=2)
    yield OpCase("Attention", flat, heads, opset=23, label="packed-3d", static_only=True)
    cached = [*qkv(n=3, m=3), None, f32(2, 4, 6, 8), f32(2, 4, 6, 8)]
    causal = dict(is_causal=1)
    yield OpCase("Attention", cached, causal, outputs=3, opset=23, label="cache", static_only=True)
    yield OpCase(
        "Attention",
        qkv(),
        dict(qk_matmul_output_mode=0),
        outputs=4,
        left_out=(1, 2),
        opset=23,
        label="scores",
    )
    yield OpCase("Attention", [*qkv(), bools(5, 7)], opset=24, label="empty-rows")


def rotary():
    x, half = f32(2, 4, 6, 8), 4
    cos, sin = f32(10, half), f32(10, half)
    places = i64(2, 6, low=0, high=10)
    yield OpCase("RotaryEmbedding", [x, cos, sin, places], opset=23)
    interleaved = dict(interleaved=1)
    yield OpCase(
        "RotaryEmbedding", [x, cos, sin, places], interleaved, opset=23, label="interleaved"
    )
    yield OpCase(
        "RotaryEmbedding", [x, f32(2, 6, half), f32(2, 6, half)], opset=23, label="own-tables"
    )
    partial = [x, f32(10, 2), f32(10, 2), places]
    yield OpCase(
        "RotaryEmbedding", partial, dict(rotary_embedding_dim=4), opset=23, label="partial"
    )
    flat = [f32(2, 6, 32), cos, sin, places]
    yield OpCase("RotaryEmbedding", flat, dict(num_heads=4), opset=23, label="3d")


def cases():
    yield from attention()
    yield from rotary()
