"""The stored table, the searches on it, and the readers of the two published tables."""

import json
import sys
from pathlib import Path

import attune_cli
import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]
import run  # noqa: E402
import tables  # noqa: E402

NASBENCH101 = """
attune-space: 1
vars:
  - {{name: edge, kind: bool, repeat: 21}}
  - {{name: op, kind: cat, values: [conv1x1-bn-relu, conv3x3-bn-relu, maxpool3x3], repeat: 5}}
constraints: [{{expr: "sum(edge) <= 9"}}, {{cost: params, le: 7.0e6}}]
objectives: [{{metric: val_acc, goal: max}}]
evaluator: {{name: nasbench101, file: {file}}}
budget: {{evals: 5}}
"""

NASBENCH201 = """
attune-space: 1
vars:
  - {name: op, kind: cat, repeat: 6,
     values: [none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3]}
objectives: [{metric: val_acc, goal: max}]
"""


def test_table():
    header, rows = tables.read(HERE / "table.jsonl")
    assert not header["synthetic"] and header["seeds"] >= 2 and header["licence"]
    assert sorted(row["genes"] for row in rows) == sorted(tables.members(HERE / "space.yaml")[1])
    for row in rows:
        for metric in header["metrics"]:
            assert len(row[metric]) == header["seeds"]
            assert all(0 <= value <= 1 for value in row[metric])


def test_claims_on_the_trained_table():
    told = run.compare("space.yaml", 5, "--top=0.01", "--strategies", run.SMALL)
    assert told["members"] == 256
    found = {what: value for what, value, _, _ in run.checks(told)}
    assert found["worst tau of the ranker"] >= 0.4  # README.md: 0.6 is not reached
    assert found["random's rank over that of tiers"] >= 2


def test_claims_on_the_synthetic_table():
    told = run.compare("synthetic.yaml", 3, "--strategies", "evolution,rank,tiers")
    assert told["members"] == 20736
    assert all(holds for what, _, _, holds in run.checks(told)), list(run.checks(told))


def test_nasbench101(tmp_path):
    space = tmp_path / "space.yaml"
    space.write_text(NASBENCH101.format(file=HERE / "fixtures" / "nasbench101.tfrecord"))
    told = attune_cli.attune("search", space, "-o", tmp_path / "study").stdout
    assert "5 results" in told
    rows = attune_cli.attune("search", "export", tmp_path / "study", "-o", "-").stdout
    assert "val_acc" in rows and "200000" in rows


def test_nasbench201(tmp_path):
    space, table = tmp_path / "space.yaml", tmp_path / "table.jsonl"
    space.write_text(NASBENCH201)
    lines = HERE / "fixtures" / "nasbench201.jsonl"
    attune_cli.attune("search", "table", space, f"--nasbench-201={lines}", "-o", table)
    header, rows = tables.read(table)
    assert (header["metrics"], header["costs"], header["seeds"]) == (["val_acc"], ["flops"], 3)
    first = json.loads(lines.read_text().splitlines()[0])
    assert rows[0]["val_acc"] == pytest.approx(first["val_acc"])
