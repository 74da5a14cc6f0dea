"""Evaluators in Python, as users write them, under a real study."""

import json
import subprocess
import sys
from pathlib import Path

import attune_cli
import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python"

SPACE = """
attune-space: 1
fixed: {scale: 10, name: mine}
vars:
  - {name: kind, kind: cat, values: [a, b, c]}
  - {name: width, kind: int, values: [1, 2, 3, 4]}
objectives:
  - {metric: score, goal: max}
strategy: grid
budget: {evals: 12}
"""

EVALUATOR = """
import os, sys
from attune.search.worker import Retry

def evaluate(values, fixed, seed):
    print("to nobody's harm")
    os.system("echo and what children print; cat")
    assert fixed == {"scale": 10, "name": "mine"} and isinstance(seed, int)
    if values["kind"] == "c":
        raise ValueError("no c")
    return {"score": fixed["scale"] * values["width"] + (values["kind"] == "b")}

def early(id, values, report):
    for step in (1, 2, 4):
        report(step, score=values["width"] * step)
    return {"score": values["width"] * 4}

def again(id):
    if not os.path.exists(f"tried-{id}"):
        open(f"tried-{id}", "w").close()
        raise Retry("once more")
    return {"score": id}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    (tmp_path / "mine.py").write_text(EVALUATOR)

    def run(function, extra=""):
        command = json.dumps([sys.executable, "-m", "attune.search.worker", f"mine:{function}"])
        space = tmp_path / "space.yaml"
        space.write_text(SPACE + f"evaluator: {{name: worker, command: {command}}}\n" + extra)
        folder = tmp_path / function
        result = attune_cli.attune("search", space, "-o", folder, check=False)
        lines = map(json.loads, (folder / "study.jsonl").read_text().splitlines()[1:])
        return result, [line for line in lines if "tell" in line]

    return run


def test_evaluate(study, tmp_path):
    result, told = study("evaluate")
    assert result.returncode == 0, result.stderr
    assert "41" in result.stdout
    failed = [t for t in told if t["status"] == "failed"]
    assert len(told) == 12 and len(failed) == 4
    assert all(t["reason"] == "ValueError: no c" for t in failed)
    log = (tmp_path / "evaluate" / "worker-0.log").read_text()
    assert "to nobody's harm" in log and "and what children print" in log and "Traceback" in log


def test_stop(study):
    rungs = "early_stop: {metric: score, rungs: [1, 2], keep: 0.5, after: 4}\nwindow: 1\n"
    result, told = study("early", rungs)
    assert result.returncode == 0, result.stderr
    states = [t["status"] for t in told]
    assert states.count("stopped") > 0 and states.count("ok") + states.count("stopped") == 12


def test_retry(study):
    result, told = study("again")
    assert result.returncode == 0, result.stderr
    assert [t["status"] for t in told] == ["ok"] * 12


def test_no_function():
    command = [sys.executable, "-m", "attune.search.worker", "mine"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE)
    assert result.returncode == 1 and "expects module:function, found `mine`" in result.stderr
