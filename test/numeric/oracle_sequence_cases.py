"""Cases of attune.ema, attune.toeplitz and attune.map_mix."""

import numpy as np
import oracle_sequence as oracle
from oracle_cases import Case, attribute_text, operand_text, tensor


def ema_case(name, shape, states=3, element="f32", dynamic=False, skip=False, init=False,
             final=False, **attributes):  # fmt: skip
    """`shape` is (B, L, C)."""
    batch, _, channels = shape
    rows = channels * (2 if attributes.get("bidirectional") else 1)
    x, hidden = (
        tensor(shape, element, dynamic),
        tensor((batch, channels, states), "f32", dynamic, True),
    )
    coefficients = tensor((rows, states), element, dynamic, keep_last=True)
    arguments = {"x": x}
    op = f"attune.ema {operand_text('ins', arguments)}"
    used = {word: coefficients for word in ("decay", "input_weight", "output_weight")}
    arguments = arguments | used
    op += f" {operand_text('coeffs', used)}"
    if skip:
        arguments["skip"] = tensor((channels,), element, dynamic)
        op += f" skip(%skip : {arguments['skip'].type})"
    if init:
        arguments["init_state"] = hidden
        op += f" init_state(%init_state : {hidden.type})"
    op += f"{attribute_text(attributes)} -> {x.type}" + f" final_state({hidden.type})" * final

    def draw(rng):
        values = {key: t.draw(rng) for key, t in arguments.items()}
        values["decay"] = np.tanh(values["decay"]).astype(values["decay"].dtype)
        return values

    def expected(**values):
        y, h = oracle.ema(**values, **attributes)
        return [y] + [h] * final

    return Case(name, op, arguments, [x] + [hidden] * final, draw, expected)


EMAS = [
    ema_case("ema", (2, 9, 5)),
    ema_case("ema_skip", (2, 9, 5), skip=True, final=True),
    ema_case("ema_init", (2, 7, 3), states=1, init=True, final=True),
    ema_case("ema_dynamic", (2, 13, 4), skip=True, init=True, final=True, dynamic=True),
    ema_case("ema_one", (1, 1, 1), states=1),
    ema_case("ema_empty", (2, 0, 3), init=True, final=True, dynamic=True),
    ema_case("ema_empty_static", (2, 0, 3)),
    ema_case("ema_no_channels", (2, 4, 0), dynamic=True),
    ema_case("ema_both", (2, 9, 5), skip=True, bidirectional=True),
    ema_case("ema_both_dynamic", (2, 8, 3), bidirectional=True, dynamic=True),
    ema_case("ema_truncated", (2, 9, 5), skip=True, truncation=4),
    ema_case("ema_truncated_one", (1, 6, 2), truncation=1),
    ema_case("ema_truncated_long", (2, 5, 3), truncation=11, dynamic=True),
    ema_case("ema_truncated_both", (2, 9, 4), truncation=3, bidirectional=True, dynamic=True),
    ema_case("ema_f16", (2, 9, 5), skip=True, element="f16", final=True),
    ema_case("ema_bf16", (2, 9, 5), element="bf16"),
    ema_case("ema_f64", (2, 9, 5), skip=True, element="f64", final=True),
]


def toeplitz_case(
    name, shape, direction, taps=None, element="f32", dynamic=False, per_channel=True
):
    """`shape` is (B, N, M, E); `taps` is K of a causal product."""
    batch, n, m, e = shape
    taps = max(n + m - 1, 0) if taps is None else taps
    arguments = {"c": tensor((taps, e) if per_channel else (taps,), element, dynamic),
                 "x": tensor((batch, m, e), element, dynamic)}  # fmt: skip
    y = tensor((batch, n, e), element, dynamic)
    op = f"attune.toeplitz {operand_text('ins', arguments)}"
    op += f" {{direction = #attune.direction<{direction}>}} -> {y.type}"
    return Case(name, op, arguments, [y], lambda rng: {key: t.draw(rng) for key, t in arguments.items()},
                lambda c, x: [oracle.toeplitz(c, x, n, direction == "causal")])  # fmt: skip


TOEPLITZ = [
    toeplitz_case("tpz_causal", (2, 7, 7, 3), "causal", 7),
    toeplitz_case("tpz_causal_short", (2, 9, 9, 3), "causal", 4, dynamic=True),
    toeplitz_case("tpz_causal_long", (2, 5, 5, 2), "causal", 11, per_channel=False),
    toeplitz_case("tpz_causal_none", (2, 5, 5, 2), "causal", 0, dynamic=True),
    toeplitz_case("tpz_causal_empty", (2, 0, 0, 2), "causal", 3, dynamic=True),
    toeplitz_case("tpz_one", (1, 1, 1, 1), "causal", 1),
    toeplitz_case("tpz_full", (2, 5, 8, 3), "bidirectional"),
    toeplitz_case("tpz_full_tall", (2, 11, 4, 3), "bidirectional", per_channel=False, dynamic=True),
    toeplitz_case("tpz_full_one", (1, 1, 1, 1), "bidirectional"),
    toeplitz_case("tpz_full_no_rows", (1, 0, 3, 2), "bidirectional", dynamic=True),
    toeplitz_case("tpz_full_no_inputs", (1, 3, 0, 2), "bidirectional"),
    toeplitz_case("tpz_f16", (2, 6, 6, 3), "causal", 6, element="f16"),
    toeplitz_case("tpz_f64", (2, 13, 7, 3), "bidirectional", element="f64", dynamic=True),
]

ACTS = {
    "none": lambda x, slope: x,
    "relu": lambda x, slope: np.maximum(x, 0),
    "leaky_relu": lambda x, slope: np.where(x < 0, slope * x, x),
}


def map_mix_case(name, shape, stages, previous=False, element="f32", dynamic=False, **factors):
    """`shape` is (B, G, N, M); `stages` are (outputs, groups, kernel (P, Q), dilation, act, slope)."""
    batch, channels, n, m = shape
    maps = tensor(shape, element, dynamic)
    arguments = {"maps": maps}
    op = f"attune.map_mix ins(%maps : {maps.type})"
    if previous:
        arguments["previous"] = maps
        op += f" previous(%previous : {maps.type})"
    weights, biases = {}, {}
    for number, (outputs, groups, (p, q), *_) in enumerate(stages):
        weight = tensor((outputs, channels // groups, p, q), element)
        if dynamic:
            weight.type = f"tensor<?x?x{p}x{q}x{element}>"
        weights[f"w{number}"] = weight
        biases[f"b{number}"] = tensor((outputs,), element, dynamic)
        channels = outputs
    op += f" {operand_text('weights', weights)} {operand_text('biases', biases)}"
    column = lambda index: [stage[index] for stage in stages]  # noqa: E731
    numbers = lambda values: ", ".join(str(value) for value in values)  # noqa: E731
    words = [f"{key} = {value} : f64" for key, value in factors.items()]
    words += [f"groups = array<i64: {numbers(column(1))}>", f"dilations = array<i64: {numbers(column(3))}>",
              f"acts = [{numbers(f'#attune.map_act<{act}>' for act in column(4))}]",
              f"slopes = array<f64: {numbers(column(5))}>"]  # fmt: skip
    result = tensor((batch, channels, n, m), element, dynamic)
    op += f" {{{', '.join(words)}}} -> {result.type}"
    arguments |= weights | biases

    def expected(maps, previous=None, **values):
        chain = [(values[f"w{i}"], values[f"b{i}"], groups, dilation, lambda x, a=act, s=slope: ACTS[a](x, s))
                 for i, (_, groups, _, dilation, act, slope) in enumerate(stages)]  # fmt: skip
        return [oracle.map_mix(maps, previous, chain, **factors)]

    return Case(name, op, arguments, [result],
                lambda rng: {key: t.draw(rng) for key, t in arguments.items()}, expected)  # fmt: skip


SMALL = (2, 4, 5, 7)
THREE = (4, 1, (3, 3), 1, "leaky_relu", 0.01)
HEADS = (4, 1, (1, 1), 1, "none", 0.0)
MIXES = [
    map_mix_case("mix_heads", SMALL, [HEADS]),
    map_mix_case("mix_evolving", SMALL, [THREE], previous=True, alpha=0.3, beta=0.5),
    map_mix_case("mix_dynamic", SMALL, [THREE], previous=True, alpha=0.3, beta=0.5, dynamic=True),
    map_mix_case("mix_first", SMALL, [THREE], alpha=0.25),
    map_mix_case("mix_identity", SMALL, [THREE], alpha=0.0),
    map_mix_case("mix_only_previous", SMALL, [THREE], previous=True, beta=1.0),
    map_mix_case("mix_no_previous", SMALL, [THREE], previous=True, beta=0.0),
    map_mix_case("mix_grouped", SMALL, [(6, 2, (3, 1), 1, "relu", 0.0)]),
    map_mix_case("mix_depthwise", SMALL, [(4, 4, (1, 3), 2, "none", 0.0)], dynamic=True),
    map_mix_case("mix_chain", SMALL, [(8, 1, (1, 1), 1, "relu", 0.0), (4, 4, (3, 3), 1, "none", 0.0)],
                 alpha=0.5),
    map_mix_case("mix_chain_dynamic", SMALL, [(8, 2, (1, 1), 1, "relu", 0.0), (4, 1, (3, 3), 3, "none", 0.0)],
                 dynamic=True),
    map_mix_case("mix_one", (1, 1, 1, 1), [(1, 1, (3, 3), 1, "relu", 0.0)], alpha=0.5),
    map_mix_case("mix_two", (1, 2, 2, 2), [(2, 1, (5, 5), 1, "none", 0.0)]),
    map_mix_case("mix_no_rows", (1, 4, 0, 3), [THREE], dynamic=True),
    map_mix_case("mix_no_keys", (1, 4, 3, 0), [THREE]),
    map_mix_case("mix_f16", SMALL, [(4, 4, (3, 3), 1, "relu", 0.0)], alpha=0.5, element="f16"),
    map_mix_case("mix_f64", SMALL, [THREE], element="f64"),
]  # fmt: skip
SEQUENCES = EMAS + TOEPLITZ + MIXES
