"""The README's commands are run as they stand there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def shell(script):
    environment = {**os.environ, "JOBS": "2"}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


IN_BUILD = os.environ.get("ATTUNE_BUILD", str(ROOT / "build")) == str(ROOT / "build")
in_build = pytest.mark.skipif(not IN_BUILD, reason="the README speaks of the folder `build`")


@in_build
def test_demo():
    assert BLOCKS[0].strip() == "make demo"
    output = shell(BLOCKS[0])
    difference = float(re.search(r"Largest difference to ONNX Runtime: (\S+)", output)[1])
    assert difference <= 1e-4
    assert len(re.findall(r"times as fast", output)) == 2


@in_build
def test_commands():
    output = shell(BLOCKS[1])
    assert "attention ops raised" in output and "median" in output


def test_all_tests_are_what_ci_runs():
    """This test is part of that run, so that it cannot be started from here."""
    assert BLOCKS[2].strip() == "make test"
    assert "exec make test" in (ROOT / ".ci" / "run").read_text()


def test_links():
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
