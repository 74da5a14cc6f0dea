"""A study on a local Ray cluster of two workers, one of which is killed on the way."""

import csv
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import attune_cli
import pytest

pytest.importorskip("ray", reason="ray is not installed: the Ray executor is not tested")

PACKAGE = Path(__file__).resolve().parents[2] / "python"

SPACE = """
attune-space: 1
vars:
  - {name: kind, kind: cat, values: [a, b, c], repeat: 3}
  - {name: width, kind: int, values: [1, 2, 3, 4], repeat: 3}
costs:
  - {name: size, expr: "sum(width)"}
objectives:
  - {metric: score, goal: max}
  - {cost: size, goal: min}
strategy: nsga2
budget: {evals: 60}
seed: 4
"""

EVALUATOR = """
import os, signal

def evaluate(id, genes):
    if id == 20 and os.path.exists("kill"):
        os.remove("kill")
        os.kill(os.getpid(), signal.SIGKILL)
    if genes[0] == 2 and genes[1] == 2:
        raise ValueError("no two c")
    return {"score": sum((i + 1) * gene for i, gene in enumerate(genes))}

def early(id, genes, report):
    for step in (1, 2, 4):
        report(step, score=genes[0] * step)
    return {"score": genes[0] * 4}
"""


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster that ends with the tests."""
    # Paths of sockets have at most 107 characters, of which Ray adds some 70.
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))
    command = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--port=0"]
    command += ["--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [*command, f"--temp-dir={folder}"], stdout=log, stderr=subprocess.STDOUT
        )
    address = folder / "ray_current_cluster"
    while not address.exists() or "--address" not in (folder / "log").read_text():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.1)
    yield address.read_text().strip()
    process.terminate()
    process.wait(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(PACKAGE))
    (tmp_path / "mine.py").write_text(EVALUATOR)

    def run(name, module, *arguments, extra=""):
        command = json.dumps([sys.executable, "-m", f"attune.search.{module}", *arguments])
        space = tmp_path / f"{name}.yaml"
        space.write_text(SPACE + f"evaluator: {{name: worker, command: {command}}}\n" + extra)
        result = attune_cli.attune("search", space, "-o", tmp_path / name, "--workers=2")
        assert "; nsga2, seed 4" in result.stdout
        rows = attune_cli.attune("search", "export", tmp_path / name, "-o", "-").stdout
        rows = list(csv.DictReader(rows.splitlines()))
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    return run


def test_killed_actor(cluster, study, tmp_path):
    local = study("local", "worker", "mine:evaluate")
    (tmp_path / "kill").touch()
    remote = study("remote", "ray", "--address", cluster, "mine:evaluate")
    assert not (tmp_path / "kill").exists()
    assert remote == local
    assert any(row["reason"] == "ValueError: no two c" for row in remote)


def test_early_stop(cluster, study):
    extra = "early_stop: {metric: score, rungs: [1, 2], keep: 0.5, after: 4}\nwindow: 1\n"
    rows = study("early", "ray", "--address", cluster, "mine:early", extra=extra)
    assert any(row["status"] == "stopped" for row in rows)
