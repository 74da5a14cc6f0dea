"""Reference lowering of every attune op against the numpy oracle.

All cases are compiled as one module. Inputs are drawn from ATTUNE_SEED (printed).
"""

import os

import numpy as np
import pytest

import oracle
from oracle_attention import ATTENTION
from oracle_cases import Case, tensor
from oracle_contract_cases import CONTRACTS
from oracle_linear_cases import LINEAR
from oracle_run import Library
from oracle_sequence_cases import SEQUENCES

SEED = int(os.environ.get("ATTUNE_SEED", "20240601"))
# Per output, relative to the largest magnitude of its row.
TOLERANCE = {"f64": 1e-12, "f32": 1e-5, "f16": 2e-3, "bf16": 1e-2, "i32": 0, "i64": 0}


def norm_case(name, shape, kind, axis, scale=None, bias=None, element="f32", dynamic=False, groups=1,
              statistics=False, offset=0.0):  # fmt: skip
    x = tensor(shape, element, dynamic)
    optional = [
        (word, tensor(dims, element)) for word, dims in (("scale", scale), ("bias", bias)) if dims
    ]
    stat = tensor(shape[:axis] + (1,) * (len(shape) - axis), "f32", dynamic)
    stats = [("mean", stat)] * (statistics and kind == "layer") + [("inv_std", stat)] * statistics
    operands = "".join(f" {word}(%{word} : {t.type})" for word, t in optional)
    attrs = f"{{kind = #attune.norm_kind<{kind}>, axis = {axis} : i64, groups = {groups} : i64, eps = 1.0e-5 : f64}}"
    results = " ".join([f"-> {x.type}"] + [f"{word}({t.type})" for word, t in stats])
    op = f"attune.norm ins(%x : {x.type}){operands} {attrs} {results}"

    def inputs(rng):
        values = {"x": x.draw(rng) + np.asarray(offset, x.dtype)}
        return values | {word: t.draw(rng) for word, t in optional}

    def expected(x, scale=None, bias=None):
        y, mean, inverse = oracle.norm(x, kind, axis, 1e-5, scale, bias, groups)
        return (
            [y, mean, inverse] if kind == "layer" and statistics else [y, inverse][: 1 + statistics]
        )

    arguments = {"x": x} | dict(optional)
    return Case(name, op, arguments, [x] + [t for _, t in stats], inputs, expected)


NORMS = [
    norm_case("layer", (3, 5, 17), "layer", 2, (17,), (17,)),
    norm_case(
        "layer_dynamic", (3, 5, 17), "layer", 1, (5, 17), (1, 17), dynamic=True, statistics=True
    ),
    norm_case("layer_axis0", (4, 3), "layer", 0, (4, 1), statistics=True),
    norm_case("layer_offset", (2, 64), "layer", 1, offset=50.0),
    norm_case("layer_no_rows", (0, 8), "layer", 1, (8,)),
    norm_case("layer_f16", (3, 33), "layer", 1, (33,), (33,), element="f16"),
    norm_case("layer_f64", (3, 33), "layer", 1, element="f64"),
    norm_case("rms", (2, 3, 13), "rms", 2, (13,), statistics=True),
    norm_case("rms_one", (7, 1), "rms", 1, (1,), (1,), dynamic=True),
    norm_case("group", (2, 6, 5, 3), "group", 1, (6,), (6,), groups=3),
    norm_case("group_dynamic", (2, 6, 7), "group", 1, (6,), (6,), groups=2, dynamic=True),
    norm_case("instance", (2, 4, 3, 3), "group", 1, (4,), groups=4),
    norm_case("group_no_spatial", (3, 8), "group", 1, groups=2),
]


def scan_case(name, shape, kind, axis, element="f32", dynamic=False, **options):
    x = tensor(shape, element, dynamic)
    words = "".join(f", {word} = true" for word in options)
    op = f"attune.scan %x {{kind = #attune.scan_kind<{kind}>, axis = {axis} : i64{words}}} : {x.type}"
    return Case(name, op, {"x": x}, [x], lambda rng: {"x": x.draw(rng)},
                lambda x: [oracle.scan(x, kind, axis, **options)])  # fmt: skip


SCANS = [
    scan_case("scan_sum", (3, 7, 2), "sum", 1),
    scan_case("scan_exclusive", (3, 7, 2), "sum", 1, exclusive=True, dynamic=True),
    scan_case("scan_reverse", (5,), "sum", 0, reverse=True),
    scan_case("scan_both", (4, 11), "sum", 1, exclusive=True, reverse=True),
    scan_case("scan_prod", (6, 3), "prod", 0, exclusive=True, dynamic=True),
    scan_case("scan_i64", (2, 9), "prod", 1, element="i64"),
    scan_case("scan_f16", (2, 30), "sum", 1, element="f16"),
    scan_case("scan_empty", (2, 0), "sum", 1, exclusive=True, dynamic=True),
    scan_case("scan_one", (1,), "sum", 0, exclusive=True),
]


def dft_case(name, shape, axis, length, element="f32", dynamic=False, **options):
    x = tensor(shape, element, dynamic, keep_last=True)
    one, inverse = options.get("onesided", False), options.get("inverse", False)
    extents = list(shape)
    extents[axis] = length // 2 + 1 if one and not inverse else length
    extents[-1] = 1 if one and inverse else 2
    y = tensor(tuple(extents), element, dynamic, keep_last=True)
    words = "".join(f", {word} = true" for word in options)
    op = f"attune.dft %x length(%n) {{axis = {axis} : i64{words}}} : {x.type} -> {y.type}"
    return Case(name, op, {"x": x, "n": "index"}, [y], lambda rng: {"x": x.draw(rng), "n": length},
                lambda x, n: [oracle.dft(x, n, axis, **options)])  # fmt: skip


DFTS = [
    dft_case("dft_real", (3, 8, 1), 1, 8),
    dft_case("dft_complex", (3, 7, 2), 1, 7, dynamic=True),
    dft_case("dft_axis0", (5, 2, 2), 0, 5),
    dft_case("dft_padded", (2, 5, 1), 1, 9),
    dft_case("dft_cut", (2, 9, 2), 1, 4, dynamic=True),
    dft_case("dft_inverse", (2, 6, 2), 1, 6, inverse=True),
    dft_case("rfft_even", (2, 8, 1), 1, 8, onesided=True),
    dft_case("rfft_odd", (2, 7, 1), 1, 7, onesided=True, dynamic=True),
    dft_case("irfft_even", (2, 5, 2), 1, 8, onesided=True, inverse=True),
    dft_case("irfft_odd", (2, 4, 2), 1, 7, onesided=True, inverse=True, dynamic=True),
    dft_case("irfft_padded", (2, 3, 2), 1, 8, onesided=True, inverse=True),
    dft_case("dft_one", (3, 1, 1), 1, 1),
    dft_case("dft_f64", (2, 31, 2), 1, 31, element="f64"),
]


def scatter_case(name, shape, leading, depth, combine=None, element="f32", dynamic=False):
    x, at = tensor(shape, element, dynamic), tensor((*leading, depth), "i64", dynamic, True)
    updates = tensor((*leading, *shape[depth:]), element, dynamic)
    op = f"attune.scatter ins(%x, %at, %u : {x.type}, {at.type}, {updates.type}) -> {x.type}"
    if combine:
        op += f" combine {{\n    ^bb0(%a: {element}, %b: {element}):\n      %s = arith.{combine} %a, %b : {element}"
        op += f"\n      attune.yield %s : {element}\n  }}"

    def draw(rng):
        places = rng.integers(0, np.maximum(shape[:depth], 1), at.shape)
        return {"x": x.draw(rng), "at": places.astype(np.int64), "u": updates.draw(rng)}

    return Case(name, op, {"x": x, "at": at, "u": updates}, [x], draw,
                lambda x, at, u: [oracle.scatter(x, at, u, bool(combine))])  # fmt: skip


SCATTERS = [
    scatter_case("scatter_rows", (4, 5), (9,), 1),
    scatter_case("scatter_rows_sum", (4, 5), (9,), 1, "addf", dynamic=True),
    scatter_case("scatter_elements", (3, 2), (4, 5), 2, "addi", element="i32"),
    scatter_case("scatter_last_wins", (3,), (20,), 1, element="i64", dynamic=True),
    scatter_case("scatter_planes", (2, 3, 4, 5), (2, 2), 2, dynamic=True),
    scatter_case("scatter_one", (4, 5), (), 1, "addf"),
    scatter_case("scatter_nothing", (4, 5), (0,), 1, dynamic=True),
    scatter_case("scatter_empty_rows", (4, 0), (3,), 1, "addf"),
]
CASES = ATTENTION + LINEAR + SEQUENCES + CONTRACTS + NORMS + SCANS + DFTS + SCATTERS


TILED = ("--attune-tile-state=tile=3", "--attune-decompose")


@pytest.fixture(scope="module")
def library():
    print(f"ATTUNE_SEED={SEED}")
    return Library([case.function() for case in CASES])


@pytest.fixture(scope="module")
def tiled_library():
    print(f"ATTUNE_SEED={SEED}")
    return Library([case.function() for case in ATTENTION], TILED)


def check(got, expected, element, factor=1):
    assert got.shape == np.shape(expected)
    if not got.size:
        return
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(got[~finite], expected[~finite])
    magnitude = np.where(finite, np.abs(expected), 0)
    largest = np.maximum(magnitude.max(-1, keepdims=True) if got.ndim else magnitude, 1)
    error = np.abs(np.where(finite, got, 0) - np.where(finite, expected, 0)) / largest
    assert error.max() <= factor * TOLERANCE[element]


def run(library, number):
    case = CASES[number]
    inputs = case.inputs(np.random.default_rng([SEED, number]))
    results = [(t.element, len(t.shape)) for t in case.results]
    got = library.call(case.name, list(inputs.values()), results)
    with np.errstate(invalid="ignore", over="ignore"):
        expected = case.expected(**inputs)
    for value, wanted, t in zip(got, expected, case.results, strict=True):
        check(value, np.asarray(wanted), t.element)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_reference_lowering(library, number):
    run(library, number)


@pytest.mark.parametrize("number", range(len(ATTENTION)), ids=[case.name for case in ATTENTION])
def test_tiles_with_state(tiled_library, number):
    run(tiled_library, number)


def test_comparison_can_fail():
    with pytest.raises(AssertionError):
        check(np.ones(3, np.float32), np.array([1, 1, 1.0001]), "f32")
