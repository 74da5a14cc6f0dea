"""Attune: the artifact is compiled once, for every size, and loaded through the C interface."""

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test"))
import attune_ctypes  # noqa: E402


def version():
    return attune_ctypes.api().version_text().decode()


def compiled(model, work):
    artifact = Path(work) / f"{Path(model).stem}.so"
    if not artifact.exists():
        command = [attune_ctypes.BUILD / "bin" / "attune", "compile", model, "-o", artifact]
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr.strip().splitlines()[0])
    return artifact


class Session:
    def __init__(self, model, threads, work):
        self.session = attune_ctypes.Session(compiled(model, work), threads=threads)

    def bind(self, feeds):
        self.bound = self.session.bind(feeds)

    def run(self):
        self.bound.run()
        return Outputs(self.bound)


class Outputs:
    """Copied to numpy only where somebody looks: the timed loop does not."""

    def __init__(self, bound):
        self.bound = bound

    def __iter__(self):
        return iter(self.bound.outputs())
