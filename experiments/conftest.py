"""Experiments have modules of the same names (run, costs, network). In a test run over several of
them every test file imports those of its own folder."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def pytest_collectstart(collector):
    if not isinstance(collector, pytest.Module):
        return
    kept = {HERE, HERE / "common", collector.path.parent}
    for name, module in list(sys.modules.items()):
        folder = Path(getattr(module, "__file__", None) or "/").parent
        if folder.parent == HERE and folder not in kept:
            del sys.modules[name]
