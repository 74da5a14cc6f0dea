"""The stored table, what tying saves, and budgets that hold for all that a search tries."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "common")]
import costs  # noqa: E402
import network  # noqa: E402
import run  # noqa: E402
import tables  # noqa: E402

HEADER, ROWS = tables.read(HERE / "table.jsonl")
OF = {tuple(row["genes"]): row for row in ROWS}


def test_table():
    assert not HEADER["synthetic"] and HEADER["seeds"] >= 2 and HEADER["licence"]
    assert len(ROWS) == 12
    for row in ROWS:
        assert len(row["val_acc"]) == HEADER["seeds"]
        assert row["params"] == network.parameters(row["genes"])


def test_shared_weights_are_stored_once():
    """Two and four layers that are all tied: the same bytes, twice the operations and traffic."""
    two, four, untied = (
        costs.told(network.encoder(g)) for g in ([0, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0])
    )
    assert two["stored_bytes"] == four["stored_bytes"] < 0.5 * untied["stored_bytes"]
    assert four["flops"] == untied["flops"] > 1.8 * two["flops"]
    assert four["streamed_bytes"] == pytest.approx(untied["streamed_bytes"], rel=0.01)


def test_budgets_hold(tmp_path):
    best, tried = run.front(tmp_path)
    assert best and set(best) <= set(tried)
    for genes in tried:
        assert all(OF[genes][key] <= limit for key, limit in run.BUDGETS.items())
    now = costs.costs(list(best[0]))
    for key in ("params", "flops", "peak_mb"):
        assert now[key] == pytest.approx(OF[best[0]][key], rel=1e-3 if key == "flops" else 0.05)


def test_adaptation():
    for params, values in run.differences().values():
        assert params[0] == pytest.approx(params[1], rel=0.01)
        assert len(values) == 5
