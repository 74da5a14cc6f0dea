"""The claims on the stored table, and that the table is one of this space. No training."""

import itertools
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import claims  # noqa: E402
import run  # noqa: E402


def test_table(tmp_path):
    header, rows = claims.table()
    assert set(rows) == set(itertools.product(range(3), repeat=3))
    assert header["seeds"] >= 2 and header["provenance"] and not header["synthetic"]
    latency, _ = claims.times()
    assert latency.keys() == rows.keys()
    found = run.study(HERE / "space.yaml", tmp_path / "all", "--strategy=grid")
    assert len(found) == len(rows)
    for row in found:
        mean = statistics.mean(rows[run.genes_of(row)]["val_acc"])
        assert abs(float(row["val_acc"]) - mean) < 1e-6
        assert float(row["latency_ms@1"]) > 0


def test_claims():
    """What README.md says of the stored numbers."""
    header, rows = claims.table()
    latency, _ = claims.times()
    softmax, linear, winner = (0, 0, 0), (1, 1, 1), (0, 1, 1)
    for seed in range(header["seeds"]):
        found = {f[0]: f[1:] for f in claims.mixed_against_pure(rows, latency, seed)}
        mixed, alone, together = found[softmax]
        assert mixed == winner and together >= alone
        assert found[linear][0] is None
    limit = run.LIMIT * latency[softmax]["predicted_ms"]
    assert claims.best_within(rows, latency, limit) == winner
    assert latency[winner]["measured_ms"] <= 1.1 * limit


def test_tables_are_made(tmp_path):
    """Two candidates of the space with two variables, for one step of one seed."""
    space, table = tmp_path / "ffn.yaml", tmp_path / "ffn.jsonl"
    shutil.copy(HERE / "ffn.yaml", space)
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1] / "python")}
    command = [sys.executable, HERE / "make_table.py", "--attune", run.BUILD / "bin" / "attune"]
    command += ["--space", space, "--output", table, "--parts", tmp_path / "parts.jsonl"]
    command += ["--backend=numpy", "--steps=1", "--held-out=8", "--seeds=1", "--only=2"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    header, rows = claims.table(table)
    assert header["seeds"] == 1 and not header["synthetic"]
    assert list(rows) == [(0, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 1)]
    for row in rows.values():
        assert all(len(row[metric]) == 1 for metric in header["metrics"])
    found = run.study(space, tmp_path / "study", "--strategy=grid", "--evals=2")
    scores = {row["val_acc"] for row in found if row["status"] == "ok"}
    assert scores == {str(row["val_acc"][0]).removesuffix(".0") for row in rows.values()}
    costs = [float(row["latency_ms@1"]) for row in found[:2]]
    assert costs[0] < costs[1]


def test_kendall():
    assert claims.kendall([(1, 1), (2, 2), (3, 3)]) == 1
    assert claims.kendall([(1, 3), (2, 2), (3, 1)]) == -1
    assert abs(claims.kendall([(1, 1), (1, 2), (2, 3)]) - 2 / 6**0.5) < 1e-12
