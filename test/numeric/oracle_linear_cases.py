"""Cases of attune.linear_attention: directions, updates, norms, tables, states and shapes."""

import numpy as np
import oracle_linear
from oracle_cases import Case, Map, attribute_text, operand_text, tensor

RELU = Map("%zero = arith.constant 0.0 : {t}\n      %y = arith.maximumf %x, %zero : {t}",
           lambda x: np.maximum(x, 0))  # fmt: skip
ELU1 = Map(
    """%zero = arith.constant 0.0 : {t}
      %one = arith.constant 1.0 : {t}
      %e = math.exp %x : {t}
      %l = arith.addf %x, %one : {t}
      %p = arith.cmpf ogt, %x, %zero : {t}
      %y = arith.select %p, %l, %e : {t}""",
    lambda x: np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))),
)
CLAMP = Map(
    """%low = arith.constant -1.0 : {t}
      %high = arith.constant 1.0 : {t}
      %l = arith.maximumf %x, %low : {t}
      %y = arith.minimumf %l, %high : {t}""",
    lambda x: np.clip(x, -1, 1),
)


def unit(x):
    return x / np.maximum(np.sqrt((x.astype(np.float64) ** 2).sum(-1, keepdims=True)), 1e-3)


# How each operand is drawn, where a plain normal distribution would make a bad test.
DRAW = {
    "decay": lambda x: -np.abs(x),
    "beta": lambda x: 1 / (1 + np.exp(-x)),
    "key_mask": lambda x: (x > -0.5) * 1.0,
    "query_pos": np.abs,
    "key_pos": np.abs,
    "toeplitz": np.abs,
    "init_norm": np.abs,
}


def linear_case(name, shape, phi=None, state=None, element="f32", dynamic=False, terms=0, toeplitz=0,
                gate=None, mask=False, init="", final="", mu=None, step=None, values=None,
                **attributes):  # fmt: skip
    """`shape` is (B, H, Hk, N, M, D, E). `terms` rows in the position tables; `toeplitz` is the rank
    of the coefficients; `gate` is head or feature; `init` and `final` name parts of the state."""
    batch, heads, kv_heads, n, m, d, e = shape
    attributes = {"direction": "causal", "update": "sum", "norm": "none"} | attributes
    update = attributes["update"]
    make = lambda *extents: tensor(extents, element, dynamic)  # noqa: E731
    accum = "f64" if element == "f64" else "f32"
    inner = lambda *extents: tensor(extents, accum, dynamic)  # noqa: E731
    inputs = {"q": make(batch, heads, n, d), "k": make(batch, kv_heads, m, d),
              "v": make(batch, kv_heads, m, e)}  # fmt: skip
    groups = [inputs]
    op = f"attune.linear_attention {operand_text('ins', inputs)}"

    def add(word, **tensors):
        groups.append(tensors)
        return f" {operand_text(word, tensors)}"

    f = d * max(terms, 1)
    if terms:
        op += add("pos", query_pos=make(terms, n), key_pos=make(terms, m))
    if toeplitz:
        length = max(n + m - 1, 0)
        op += add("toeplitz", toeplitz=make(*([heads, length][-toeplitz:])))
    if gate:
        op += add("decay", decay=make(*([batch, kv_heads, m, d][: 4 if gate == "feature" else 3])))
    if "delta" in update:
        op += add("beta", beta=make(batch, kv_heads, m))
    if step is not None:
        op += add("momentum", **({"mu": accum} if mu is not None else {}), step=accum)
    if mask:
        op += add("key_mask", key_mask=make(batch, m))
    parts = {"state": inner(batch, kv_heads, f, e), "norm": inner(batch, kv_heads, f)}
    for part in init.split():
        op += add(f"init_{part}", **{f"init_{part}": parts[part]})
    results = [make(batch, heads, n, e)] + [parts[part] for part in final.split()]
    op += attribute_text(attributes) + f" -> {results[0].type}"
    op += "".join(f" final_{part}({parts[part].type})" for part in final.split())
    for word, map_ in (("phi_q", phi), ("phi_k", phi), ("state", state)):
        op += map_.text(word, accum) if map_ else ""
    arguments = {key: t for group in groups for key, t in group.items()}

    def draw(rng):
        given = {"mu": mu, "step": step}
        if element == "f64":
            given = {key: np.float64(value) for key, value in given.items() if value is not None}
        drawn = {key: given.get(key) if isinstance(t, str) else t.draw(rng)
                 for key, t in arguments.items()}  # fmt: skip
        for key, change in DRAW.items():
            if key in drawn:
                drawn[key] = change(drawn[key]).astype(arguments[key].dtype)
        if attributes["norm"] == "sum" and not phi:
            drawn["q"], drawn["k"] = np.abs(drawn["q"]), np.abs(drawn["k"])
        if "delta" in update:
            drawn["k"] = unit(drawn["k"]).astype(arguments["k"].dtype)
        if values:
            values(drawn)
        return drawn

    def expected(**given):
        maps = {
            "phi_q": phi and phi.value,
            "phi_k": phi and phi.value,
            "state": state and state.value,
        }
        out, s, z = oracle_linear.linear_attention(**given, **maps, **attributes)
        return [out] + [{"state": s, "norm": z}[part] for part in final.split()]

    return Case(name, op, arguments, results, draw, expected)


def forget(values):
    """Some gates let everything pass, some nothing."""
    values["decay"][:, :, 1] = 0
    values["decay"][:, :, 3] = -np.inf


def sinking(values):
    values["decay"][:] = -60


def masked(values):
    values["key_mask"][:] = 0


def same_keys(values):
    """Equal products in steps 1 and 2: the change is 0."""
    for key in ("k", "v"):
        values[key][:, :, 2] = values[key][:, :, 1]


SQUARE = (2, 2, 2, 7, 7, 4, 5)
GROUPED = (2, 6, 2, 5, 5, 3, 4)
CROSS = (2, 4, 2, 3, 8, 5, 6)
PRIMES = (1, 3, 1, 13, 13, 11, 7)
ONES = (1, 1, 1, 1, 1, 1, 1)
ADD = {"norm": "sum", "eps": 1e-6}
CLAMPED = {"norm": "sum", "eps": 0.5, "eps_mode": "clamp"}
BOTH = {"direction": "bidirectional"}
case = linear_case
SUMS = [
    case("linear_plain", SQUARE),
    case("linear_elu", SQUARE, phi=ELU1, **ADD),
    case("linear_relu_clamp", GROUPED, phi=RELU, **CLAMPED),
    case("linear_no_eps", SQUARE, phi=ELU1, norm="sum"),
    case("linear_count", SQUARE, norm="count", dynamic=True),
    case("linear_ones", ONES, phi=ELU1, **ADD),
    case("linear_grouped_dynamic", GROUPED, phi=ELU1, dynamic=True, **ADD),
    case("linear_multi_query", (2, 5, 1, 4, 4, 3, 3), dynamic=True),
    case("linear_primes", PRIMES, phi=ELU1, dynamic=True, **ADD),
    case("linear_column", (1, 2, 2, 6, 6, 4, 1), phi=ELU1, **ADD),
    case("linear_empty", (1, 2, 2, 0, 0, 3, 4), phi=ELU1, dynamic=True, **ADD),
    case("linear_empty_static", (1, 2, 2, 0, 0, 3, 4)),
    case("linear_no_batch", (0, 2, 1, 3, 3, 3, 4), dynamic=True),
    case("linear_no_features", (1, 2, 2, 3, 3, 0, 4), dynamic=True),
    case("linear_key_mask", SQUARE, phi=ELU1, mask=True, **ADD),
    case("linear_all_masked", SQUARE, phi=ELU1, mask=True, values=masked, **ADD),
    case("linear_tables", SQUARE, phi=RELU, terms=2, **CLAMPED),
    case(
        "linear_tables_dynamic",
        GROUPED,
        terms=3,
        mask=True,
        dynamic=True,
        final="state norm",
        **ADD,
    ),
    case("linear_state", SQUARE, init="state", final="state"),
    case("linear_state_norm", GROUPED, phi=ELU1, init="state norm", final="state norm", **ADD),
    case(
        "linear_state_dynamic", GROUPED, init="state norm", final="state norm", dynamic=True, **ADD
    ),
    case("linear_state_empty", (1, 2, 1, 0, 0, 3, 4), init="state", final="state", dynamic=True),
    case("linear_state_tables", SQUARE, terms=2, init="state norm", final="state norm", **ADD),
    case("linear_norm_alone", SQUARE, init="norm", final="norm", **ADD),
    case("linear_f16", SQUARE, phi=ELU1, element="f16", final="state norm", **ADD),
    case("linear_bf16", SQUARE, phi=ELU1, element="bf16", **ADD),
    case("linear_f64", GROUPED, phi=ELU1, element="f64", dynamic=True, final="state norm", **ADD),
]
BIDIRECTIONAL = [
    case("bi_plain", CROSS, **BOTH),
    case("bi_elu", CROSS, phi=ELU1, **BOTH, **ADD),
    case("bi_dynamic", CROSS, phi=ELU1, dynamic=True, mask=True, **BOTH, **CLAMPED),
    case("bi_count", CROSS, norm="count", **BOTH),
    case("bi_count_dynamic", CROSS, norm="count", dynamic=True, **BOTH),
    case("bi_tables", CROSS, phi=RELU, terms=2, **BOTH, **ADD),
    case("bi_tables_dynamic", CROSS, terms=4, dynamic=True, **BOTH, **ADD),
    case("bi_state", CROSS, state=CLAMP, **BOTH),
    case("bi_state_tables", CROSS, state=CLAMP, terms=2, dynamic=True, **BOTH, **ADD),
    case("bi_ones", ONES, **BOTH),
    case("bi_no_keys", (1, 2, 2, 3, 0, 4, 4), dynamic=True, **BOTH, **ADD),
    case("bi_no_queries", (1, 2, 2, 0, 3, 4, 4), **BOTH),
    case("bi_f16", CROSS, element="f16", phi=ELU1, **BOTH, **ADD),
    case("toeplitz_both", CROSS, phi=ELU1, toeplitz=1, **BOTH, **ADD),
    case("toeplitz_heads", CROSS, phi=ELU1, toeplitz=2, dynamic=True, **BOTH, **CLAMPED),
    case("toeplitz_causal", SQUARE, toeplitz=1, mask=True, **ADD),
    case("toeplitz_causal_heads", GROUPED, toeplitz=2, norm="count", dynamic=True),
    case("toeplitz_plain", SQUARE, toeplitz=1, den="plain", **ADD),
    case("toeplitz_tables", CROSS, toeplitz=1, terms=2, dynamic=True, **BOTH, **ADD),
    case("toeplitz_tall", (1, 2, 2, 9, 4, 3, 3), toeplitz=1, **BOTH),
    case("toeplitz_ones", ONES, toeplitz=1, **ADD),
    case("toeplitz_no_keys", (1, 1, 1, 3, 0, 2, 2), toeplitz=1, dynamic=True, **BOTH),
    case("toeplitz_nothing", (1, 1, 1, 0, 0, 2, 2), toeplitz=1, dynamic=True, **BOTH),
]
UPDATES = [
    case("gated_head", SQUARE, update="gated", gate="head"),
    case("gated_feature", GROUPED, update="gated", gate="feature", dynamic=True),
    case("gated_sum", SQUARE, phi=ELU1, update="gated", gate="head", final="state norm", **ADD),
    case("gated_feature_sum", SQUARE, update="gated", gate="feature", init="state norm",
         final="state norm", **ADD),
    case("gated_den_plain", SQUARE, phi=ELU1, update="gated", gate="head", den="plain", **ADD),
    case("gated_tables", SQUARE, update="gated", gate="head", terms=2, **ADD),
    case("gated_forget", SQUARE, update="gated", gate="head", values=forget),
    case("gated_forget_feature", SQUARE, update="gated", gate="feature", values=forget),
    case("gated_sinking", SQUARE, update="gated", gate="feature", values=sinking),
    case("gated_f16", SQUARE, update="gated", gate="head", element="f16"),
    case("delta", SQUARE, update="delta", init="state", final="state"),
    case("delta_grouped", GROUPED, update="delta", dynamic=True, final="state"),
    case("delta_masked", SQUARE, phi=ELU1, update="delta", mask=True, norm="count"),
    case("delta_f16", SQUARE, update="delta", element="f16"),
    case("delta_ones", ONES, update="delta"),
    case("gated_delta", GROUPED, update="gated_delta", gate="head", init="state", final="state"),
    case("gated_delta_feature", SQUARE, update="gated_delta", gate="feature", dynamic=True),
    case("momentum", SQUARE, update="momentum", mu=0.5, step=0.75),
    case("momentum_plain", SQUARE, phi=ELU1, update="momentum", mu=0.1, step=0.6, den="plain", **ADD),
    case("momentum_weighted", GROUPED, update="momentum", mu=0.9, step=0.5, dynamic=True, **ADD),
    case("momentum_zero", SQUARE, update="momentum", mu=0.0, step=0.5),
    case("momentum_near_one", PRIMES, update="momentum", mu=0.999, step=0.5),
    case("momentum_tables", SQUARE, update="momentum", mu=0.5, step=0.5, terms=2, mask=True, **ADD),
    case("momentum_f64", SQUARE, update="momentum", mu=0.5, step=0.5, element="f64"),
    case("adaptive", SQUARE, update="adaptive_momentum", step=0.25),
    case("adaptive_plain", GROUPED, phi=ELU1, update="adaptive_momentum", step=0.5, den="plain", **ADD),
    case("adaptive_weighted", GROUPED, update="adaptive_momentum", step=0.5, dynamic=True, **ADD),
    case("adaptive_same", SQUARE, update="adaptive_momentum", step=0.25, values=same_keys),
    case("adaptive_one", ONES, update="adaptive_momentum", step=0.5, **ADD),
    case("adaptive_empty", (1, 1, 1, 0, 0, 2, 2), update="adaptive_momentum", step=0.5, dynamic=True),
]  # fmt: skip
LINEAR = SUMS + BIDIRECTIONAL + UPDATES
