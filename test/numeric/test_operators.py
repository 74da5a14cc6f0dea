"""Each operator against ONNX Runtime, or the ONNX reference where that has no kernel.

ATTUNE_TEST_TARGET names what it is compiled for; a device gets the dynamic form of a case only.

Operators are compiled side by side in bundles, since most of the time of a compilation does not
depend on the model; where a bundle fails, its operators are compiled one by one.
"""

import functools
import itertools
import os

import onnx
import onnx.reference
import pytest

import attune_cli as cli
import onnx_oracle as oracle
from attune_ctypes import Session
from operators import all_cases, model_of

BUNDLE = 24
TARGET = os.environ.get("ATTUNE_TEST_TARGET", "cpu")
# Functions that a GPU has neither instructions nor polynomials for.
REFUSED = {
    "cuda": {"Tan", "Atan", "Asin", "Acos", "Sinh", "Cosh", "Exp-f64", "Mod-fmod"}
    | {f"DFT-{kind}" for kind in ("real", "inverse", "onesided", "padded")},
}.get(TARGET, set())
COUNTER = itertools.count()
CASES = {
    case.name + ("-dynamic" if dynamic else ""): (case, dynamic)
    for case in all_cases()
    for dynamic in (
        (False,) if not case.can_be_dynamic else (False, True) if TARGET == "cpu" else (True,)
    )
}


def bundles():
    groups = {}
    for case, dynamic in CASES.values():
        if case.may_refuse or case.name in REFUSED:
            yield [case], dynamic  # would only make its bundle fail
        else:
            groups.setdefault((case.opset, dynamic), []).append(case)
    for (_, dynamic), cases in groups.items():
        for start in range(0, len(cases), BUNDLE):
            yield cases[start : start + BUNDLE], dynamic


BUNDLE_OF = {(c.name, d): (tuple(k.name for k in cs), d) for cs, d in bundles() for c in cs}


@functools.cache
def results(names, dynamic, folder):
    """Outputs of every case of the bundle; an exception in place of those that failed."""
    cases = [CASES[n + ("-dynamic" if dynamic else "")][0] for n in names]
    try:
        path = folder / f"{next(COUNTER)}.onnx"
        onnx.save(model_of(cases, dynamic), path)
        session = Session(
            cli.compile(path, path.with_suffix(".so"), f"--target={TARGET}"), threads=2
        )
        feeds = {}
        for number, case in enumerate(cases):
            feeds.update(case.feeds(f"c{number}_"))
        outputs = session.run(feeds)
    except Exception as error:
        if len(names) == 1:
            return {names[0]: error}
        merged = {}
        for name in names:
            merged.update(results((name,), dynamic, folder))
        return merged
    return {
        case.name: [
            outputs[f"c{number}_y{i}"] for i in range(case.outputs) if i not in case.left_out
        ]
        for number, case in enumerate(cases)
    }


def expected(case):
    model = model_of([case], dynamic=False)
    feeds = case.feeds("c0_")
    try:
        if not case.by_reference:
            return oracle.run(model.SerializeToString(), feeds)
    except Exception:
        pass
    return onnx.reference.ReferenceEvaluator(model).run(None, feeds)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("operators")


@pytest.mark.parametrize("name", CASES)
def test_operator(name, folder):
    case, dynamic = CASES[name]
    got = results(*BUNDLE_OF[case.name, dynamic], folder)[case.name]
    if case.name in REFUSED:
        assert "error: node `c0_" in str(got) and "unsupported: the CUDA back end" in str(got)
        return
    if isinstance(got, Exception):
        if case.may_refuse and "error: unsupported: node 'c0_" in str(got):
            pytest.xfail(str(got).splitlines()[-1])
        raise got
    want = expected(case)
    assert len(got) == len(want)
    for position, (g, w) in enumerate(zip(got, want)):
        assert g.dtype == w.dtype and g.shape == w.shape, (
            f"{g.dtype}{g.shape}, not {w.dtype}{w.shape}"
        )
        error = cli.worst(g, w, relative=True)
        assert error <= case.tolerance, f"output {position} differs by {error}"
