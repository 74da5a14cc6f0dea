"""`make bench-gpu` where there is no GPU: it says so, and runs tiny sizes on the interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

from faults import needs_interpreter

BENCH = Path(__file__).resolve().parents[2] / "bench" / "gpu.py"


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, BENCH, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )


def test_without_gpu(tmp_path):
    done = bench(ATTUNE_CUDA_DRIVER=str(tmp_path / "none.so"))
    assert done.returncode == 0
    assert done.stdout.startswith("bench-gpu: skipped, there is no NVIDIA GPU")


@needs_interpreter
def test_tiny(tmp_path):
    file = tmp_path / "results.json"
    done = bench("--interpreter", "--json", file, "product", "linear attention hd", "MiniLM")
    assert done.returncode == 0, done.stderr
    assert "no GPU, so no times" in done.stdout
    results = {r["case"]: r for r in json.loads(file.read_text())["results"]}
    assert len(results) == 5
    for name, result in results.items():
        assert result["right"] and result["counts"]["instructions"] > 0, name
        assert "seconds" not in result
    assert results["product bias GELU"]["counts"]["products"] > 0
