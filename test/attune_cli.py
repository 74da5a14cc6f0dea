"""Runs the command line tools of this build; what scripts of users do, done by tests."""

import os
import subprocess
from pathlib import Path

import numpy as np

from attune_ctypes import BUILD

ATTUNE = BUILD / "bin" / "attune"
# Decisions must not depend on what the user's machine may have been calibrated to.
os.environ.setdefault("ATTUNE_CALIBRATION", "none")
os.environ.setdefault("ATTUNE_TUNING", "none")


def attune(*arguments, check=True, **options):
    """Returns the finished process; with `check`, a failure raises with the tool's own words."""
    command = [str(ATTUNE), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    if check and result.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {result.returncode}\n{result.stderr}")
    return result


def compile(model, output, *flags):
    attune("compile", model, "-o", output, *flags)
    return output


def write_inputs(folder, feeds):
    """`input_0.npy`, ... in the order of the graph's inputs."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for position, value in enumerate(feeds.values()):
        np.save(folder / f"input_{position}.npy", value)
    return folder


def read_outputs(folder):
    files = sorted(Path(folder).glob("output_*.npy"), key=lambda f: int(f.stem.split("_")[1]))
    return [np.load(f) for f in files]


def seed():
    """ATTUNE_SEED, or a new one; printed, so that a failure can be run again."""
    value = int(os.environ.get("ATTUNE_SEED") or int.from_bytes(os.urandom(3), "little"))
    print(f"ATTUNE_SEED={value}")
    return value


def worst(got, want, relative=False):
    """Largest absolute difference; infinite where shape, type, NaNs or infinities differ.

    With `relative`, differences of values above 1 count by the value.
    """
    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    got, want = (x.astype(np.float64) for x in (got, want))
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):
        gap = np.abs(got - want) / (np.maximum(1, np.abs(want)) if relative else 1)
    gap = np.where(same, 0, gap)
    return float("inf") if np.isnan(gap).any() else float(gap.max(initial=0))
