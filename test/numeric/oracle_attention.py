"""Cases of attune.attention: shapes, masks, scores, weightings and options."""

import dataclasses
from collections.abc import Callable

import numpy as np
import oracle
from oracle_cases import Case, attribute_text, tensor


@dataclasses.dataclass
class Region:
    """A region's body in MLIR (it may use %x, %b, %h, %i, %j, %n, %m, %in_CAPTURE) and in numpy."""

    body: str
    value: Callable
    captures: dict = dataclasses.field(default_factory=dict)


CAUSAL = Region("%p = arith.cmpi sle, %j, %i : index", lambda b, h, i, j: j <= i)
SELF = Region("%p = arith.cmpi eq, %j, %i : index", lambda b, h, i, j: j == i)
NOTHING = Region("%p = arith.constant false", lambda b, h, i, j: np.zeros(1, bool))
ANY = Region("%p = arith.constant true", lambda b, h, i, j: np.ones(1, bool))
# Row 1 sees no key, the others see all.
EMPTY_ROW = Region("%one = arith.constant 1 : index\n%p = arith.cmpi ne, %n, %one : index",
                   lambda b, h, i, j: (i != 1) & (j >= 0))  # fmt: skip


def padding(shape):
    """A float mask [B,M] as a captured tensor: key j counts where it is positive."""
    body = """%t = tensor.extract %in_keys[%b, %j] : {type}
      %zero = arith.constant 0.0 : f32
      %p = arith.cmpf ogt, %t, %zero : f32"""
    return lambda dynamic: Region(
        body.format(type=tensor(shape, "f32", dynamic).type),
        lambda b, h, i, j, keys: keys[b, j] > 0, {"keys": tensor(shape, "f32", dynamic)})  # fmt: skip


SOFTCAP = Region(
    """%cap = arith.constant 2.0 : f32
      %r = arith.divf %x, %cap : f32
      %t = math.tanh %r : f32
      %y = arith.mulf %t, %cap : f32""",
    lambda x, b, h, i, j: 2 * np.tanh(x / 2))  # fmt: skip
RELU2 = Region(
    """%zero = arith.constant 0.0 : f32
      %r = arith.maximumf %x, %zero : f32
      %y = arith.mulf %r, %r : f32""",
    lambda x, b, h, i, j: np.maximum(x, 0) ** 2)  # fmt: skip
HUGE = Region("%big = arith.constant 1.0e4 : f32\n%y = arith.mulf %x, %big : f32",
              lambda x, b, h, i, j: 1e4 * x)  # fmt: skip
MINUS_INFINITY = Region("%y = arith.constant 0xFF800000 : f32",
                        lambda x, b, h, i, j: np.full(1, -np.inf))  # fmt: skip
ALIBI = Region(
    """%s = tensor.extract %in_slopes[%h] : tensor<4xf32>
      %d = arith.subi %j, %i : index
      %di = arith.index_cast %d : index to i32
      %df = arith.sitofp %di : i32 to f32
      %bias = arith.mulf %s, %df : f32
      %y = arith.addf %x, %bias : f32""",
    lambda x, b, h, i, j, slopes: x + slopes[h] * (j - i), {"slopes": tensor((4,))})  # fmt: skip
INDICES = "%b: index, %h: index, %i: index, %j: index, %n: index, %m: index"


def attention_case(name, shape, score=None, mask=None, element="f32", dynamic=False, scale=0.5,
                   scores=False, inputs=True, sink=False, q_offset=None, kv_len=None, lse=False,
                   logits=False, poison=None, **attributes):  # fmt: skip
    """`shape` is (B, H, Hk, N, M, D, E); `poison(values)` changes inputs after they are drawn."""
    batch, heads, kv_heads, n, m, d, e = shape
    make = lambda *extents, element=element: tensor(extents, element, dynamic)  # noqa: E731
    mask = mask(dynamic) if mask and not isinstance(mask, Region) else mask
    arguments = {"q": make(batch, heads, n, d), "k": make(batch, kv_heads, m, d)} if inputs else {}
    arguments["v"] = make(batch, kv_heads, m, e)
    used = ", ".join(f"%{key}" for key in arguments)
    op = f"attune.attention ins({used} : {', '.join(t.type for t in arguments.values())})"
    if inputs and scale is not None:
        arguments["c"] = "f32"
        op = f"attune.attention ins({used} : {', '.join(t.type for t in list(arguments.values())[:3])}) scale(%c : f32)"
    extra = {}
    if scores:
        extra["scores"] = make(batch, heads, n, m)
    if sink:
        extra["sink"] = tensor((heads,), "f32")
    if q_offset is not None:
        extra["q_offset"] = tensor((len(q_offset),), "i64", dynamic)
    if kv_len is not None:
        extra["kv_len"] = tensor((len(kv_len),), "i32", dynamic)
    op += "".join(f" {word}(%{word} : {t.type})" for word, t in extra.items())
    captures = (score.captures if score else {}) | (mask.captures if mask else {})
    if captures:
        types = ", ".join(t.type for t in captures.values())
        op += f" captures({', '.join('%' + word for word in captures)} : {types})"
    results = {"": make(batch, heads, n, e)}
    if lse:
        results["lse"] = tensor((batch, heads, n), "f32", dynamic)
    if logits:
        results["logits"] = tensor((batch, heads, n, m), "f32", dynamic)
    op += attribute_text(attributes) + " -> "
    op += " ".join(f"{word}({t.type})" if word else t.type for word, t in results.items())
    op += region_text("score", "%x: f32, " + INDICES, score, captures, "%y : f32")
    op += region_text("mask", INDICES, mask, captures, "%p : i1")
    arguments |= extra | captures

    def draw(rng):
        values = {key: scale if t == "f32" else t.draw(rng) for key, t in arguments.items()}
        for word, given in (("q_offset", q_offset), ("kv_len", kv_len)):
            if given is not None:
                values[word] = np.array(given, arguments[word].dtype)
        if poison:
            poison(values)
        return values

    def expected(
        v, q=None, k=None, c=1.0, scores=None, sink=None, q_offset=None, kv_len=None, **caught
    ):
        bind = lambda r: r and (lambda *a: r.value(*a, *(caught[word] for word in r.captures)))  # noqa: E731
        options = {key: attributes[key] for key in attributes}
        out, log, raw = oracle.attention(q, k, v, c, scores, bind(score), bind(mask), sink=sink,
                                         q_offset=q_offset, kv_len=kv_len, **options)  # fmt: skip
        return [out] + [log] * lse + [raw] * logits

    return Case(name, op, arguments, list(results.values()), draw, expected)


def region_text(word, arguments, region, captures, yielded):
    if region is None:
        return ""
    arguments += "".join(f", %in_{name}: {t.type}" for name, t in captures.items())
    return f" {word} {{\n    ^bb0({arguments}):\n      {region.body}\n      attune.yield {yielded}\n  }}"


def poison_query(values):
    values["q"][0, 0, 1, 0] = np.nan


def poison_cache(values):
    values["k"][:, :, 3:] = np.nan
    values["v"][:, :, 3:] = np.inf


SQUARE = (2, 4, 4, 5, 5, 8, 8)
CROSS = (2, 4, 2, 3, 7, 5, 6)
case = attention_case
ATTENTION = [
    case("plain", SQUARE),
    case("no_scale", SQUARE, scale=None),
    case("ones", (1, 1, 1, 1, 1, 1, 1), lse=True),
    case("primes_dynamic", (3, 2, 2, 13, 17, 11, 7), dynamic=True, lse=True, logits=True),
    case("gqa", CROSS, mask=CAUSAL),
    case("gqa_dynamic", CROSS, mask=CAUSAL, dynamic=True),
    case("mqa", (2, 6, 1, 4, 4, 3, 3), mask=CAUSAL, lse=True),
    case("no_keys", (1, 2, 2, 3, 0, 4, 4), dynamic=True, lse=True),
    case("no_keys_static", (1, 2, 2, 3, 0, 4, 4)),
    case("no_keys_nan", (1, 2, 2, 3, 0, 4, 4), dynamic=True, empty_row="nan"),
    case("no_queries", (1, 2, 2, 0, 3, 4, 4), dynamic=True),
    case("no_batch", (0, 2, 1, 3, 3, 4, 4), dynamic=True),
    case("no_head_dim", (1, 2, 2, 3, 3, 0, 4), dynamic=True),
    case("causal_wide", (1, 2, 2, 3, 9, 4, 4), mask=CAUSAL),
    case("causal_tall", (1, 2, 2, 9, 3, 4, 4), mask=CAUSAL, lse=True),
    case("only_self", (1, 2, 2, 6, 4, 4, 4), mask=SELF, dynamic=True, lse=True),
    case("all_masked", SQUARE, mask=NOTHING, lse=True),
    case("all_masked_nan", SQUARE, mask=NOTHING, empty_row="nan"),
    case("all_allowed", SQUARE, mask=ANY),
    case("empty_row", SQUARE, mask=EMPTY_ROW, lse=True),
    case("empty_row_nan", SQUARE, mask=EMPTY_ROW, empty_row="nan"),
    case("padding", CROSS, mask=padding((2, 7))),
    case("padding_dynamic", CROSS, mask=padding((2, 7)), dynamic=True),
    case("minus_infinity", SQUARE, score=MINUS_INFINITY, empty_row="nan", lse=True),
    case("minus_infinity_zero", SQUARE, score=MINUS_INFINITY),
    case("softcap", CROSS, score=SOFTCAP, mask=CAUSAL, logits=True),
    case("alibi", CROSS, score=ALIBI, mask=CAUSAL),
    case("huge_scores", CROSS, score=HUGE),
    case("sink", CROSS, mask=CAUSAL, sink=True, lse=True),
    case("sink_all_masked", SQUARE, mask=NOTHING, sink=True, lse=True),
    case("sink_no_keys", (1, 2, 2, 3, 0, 4, 4), sink=True, empty_row="nan"),
    case("q_offset", CROSS, mask=CAUSAL, q_offset=[4, 0]),
    case("q_offset_shared", CROSS, mask=CAUSAL, q_offset=[2], dynamic=True),
    case("q_offset_negative", CROSS, mask=CAUSAL, q_offset=[-2, 1], lse=True),
    case("kv_len", CROSS, kv_len=[3, 7]),
    case("kv_len_dynamic", CROSS, kv_len=[3, 7], mask=CAUSAL, dynamic=True),
    case("kv_len_zero", CROSS, kv_len=[0, 9], lse=True),
    case("kv_len_garbage", CROSS, kv_len=[3], poison=poison_cache),
    case("kv_len_garbage_none", CROSS, kv_len=[3], poison=poison_cache, weighting="none"),
    case("nan_query", SQUARE, mask=CAUSAL, poison=poison_query),
    case("scores", CROSS, scores=True, logits=True),
    case("scores_alone", CROSS, inputs=False, scores=True, mask=CAUSAL),
    case("scores_alone_dynamic", CROSS, inputs=False, scores=True, dynamic=True, lse=True),
    case("none", CROSS, score=RELU2, mask=CAUSAL, weighting="none"),
    case("none_plain", CROSS, weighting="none", dynamic=True),
    case("sum_add", CROSS, score=RELU2, mask=CAUSAL, weighting="sum", eps=1e-3),
    case(
        "sum_clamp", CROSS, score=RELU2, mask=EMPTY_ROW, weighting="sum", eps=0.5, eps_mode="clamp"
    ),
    case("count", CROSS, score=RELU2, mask=CAUSAL, weighting="count"),
    case("count_empty", SQUARE, mask=EMPTY_ROW, weighting="count", dynamic=True),
    case("count_no_mask", CROSS, weighting="count"),
    case("f16", CROSS, mask=CAUSAL, element="f16", lse=True),
    case("f64", CROSS, element="f64", dynamic=True),
]
