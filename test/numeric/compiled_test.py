"""Ops through `attune compile`: what the emitters make of them, or the loops of what has none.

All cases are one model, so that it is compiled once. Inputs are drawn from ATTUNE_SEED (printed).
"""

import re

import numpy as np
import pytest

import attune_cli
from attune_ctypes import Session
from oracle_contract_cases import CONTRACTS
from oracle_linear_cases import LINEAR
from oracle_sequence_cases import SEQUENCES
from oracle_test import SEED, check

CASES = LINEAR + SEQUENCES + CONTRACTS


def port(case, name, t):
    """The type and attributes of an argument or result; equal extents of a case are one symbol."""
    if isinstance(t, str):
        return f'tensor<{t}> {{attune.name = "{name}"}}'
    hidden = re.search("<(.*)>", t.type)[1].split("x")
    dims = ", ".join(f'"{case.name}_{extent}"' if kind == "?" else '""'
                     for kind, extent in zip(hidden, t.shape))  # fmt: skip
    return f'{t.type} {{attune.name = "{name}", attune.dims = [{dims}]}}'


def model(cases):
    arguments, results, values, body = [], [], [], []
    for case in cases:
        op = case.op
        for name, t in case.arguments.items():
            full = f"{case.name}_{name}"
            arguments.append(f"%{full}: {port(case, full, t)}")
            if isinstance(t, str):
                body.append(f"%{full}_value = tensor.extract %{full}[] : tensor<{t}>")
                full += "_value"
            op = re.sub(rf"%{name}\b", f"%{full}", op)
        body.append(f"%{case.name}:{len(case.results)} = {op}")
        for number, t in enumerate(case.results):
            results.append(port(case, f"{case.name}_r{number}", t))
            values.append((f"%{case.name}#{number}", t.type))
    returned = f"return {', '.join(v for v, _ in values)} : {', '.join(t for _, t in values)}"
    lines = "\n  ".join([*body, returned])
    return f"func.func @main({', '.join(arguments)}) -> ({', '.join(results)}) {{\n  {lines}\n}}\n"


def draw(number):
    case = CASES[number]
    inputs = case.inputs(np.random.default_rng([SEED, number]))
    typed = {
        name: np.asarray(value, {"f32": np.float32, "f64": np.float64}.get(case.arguments[name]))
        if isinstance(case.arguments[name], str) else value
        for name, value in inputs.items()
    }  # fmt: skip
    return inputs, {f"{case.name}_{name}": value for name, value in typed.items()}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Of a run by one thread, and by two."""
    print(f"ATTUNE_SEED={SEED}")
    folder = tmp_path_factory.mktemp("ops")
    (folder / "ops.mlir").write_text(model(CASES))
    attune_cli.compile(folder / "ops.mlir", folder / "ops.so")
    feeds = {key: value for number in range(len(CASES)) for key, value in draw(number)[1].items()}
    return [Session(folder / "ops.so", threads).run(feeds) for threads in (1, 2)]


@pytest.mark.parametrize("number", range(len(CASES)), ids=[case.name for case in CASES])
def test_compiled(results, number):
    case = CASES[number]
    with np.errstate(invalid="ignore", over="ignore"):
        expected = case.expected(**draw(number)[0])
    for place, (wanted, t) in enumerate(zip(expected, case.results, strict=True)):
        one, two = (run[f"{case.name}_r{place}"] for run in results)
        check(one, np.asarray(wanted), t.element)
        np.testing.assert_array_equal(one, two)


def test_loops_agree(tmp_path):
    """`attune check` compiles the reference lowerings of all ops as loops, and compares."""
    chosen = [number for number in range(len(CASES)) if CASES[number].results[0].element != "bf16"]
    (tmp_path / "ops.mlir").write_text(model([CASES[number] for number in chosen]))
    feeds = {key: value for number in chosen for key, value in draw(number)[1].items()}
    folder = attune_cli.write_inputs(tmp_path / "in", feeds)
    attune_cli.attune("check", tmp_path / "ops.mlir", f"--inputs={folder}")
