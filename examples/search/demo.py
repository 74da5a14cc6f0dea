"""A search from data to a compiled network, in two minutes: `make search-demo`.

Digits of 8 x 8 pixels are read as 16 patches by three layers, each of which is attention, linear
attention or convolution. The limit on latency is 80 % of what attention everywhere would take.
"""

import argparse
import json
import os
import string
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
sys.path[:0] = [str(ROOT / "test"), str(ROOT / "python")]
from attune_ctypes import BUILD, Session  # noqa: E402

ATTUNE = BUILD / "bin" / "attune"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "python"), "ATTUNE": str(ATTUNE)}


def run(*command, show=True, keep=False):
    """A command as a user would type it; its output, if that is kept."""
    if show:
        print("\n$", *(Path(c).name if str(c).startswith("/") else c for c in command), flush=True)
    output = subprocess.PIPE if keep else None
    result = subprocess.run(list(map(str, command)), env=ENVIRONMENT, stdout=output, text=True)
    if result.returncode:
        sys.exit(result.returncode)
    return result.stdout


def write_data(file):
    """Patches of 2 x 2 pixels; 1000 samples to train, 400 to choose by, the rest to report."""
    rows = np.loadtxt(HERE / "digits.csv.gz", delimiter=",")
    rows = np.random.default_rng(0).permutation(rows)
    patches = rows[:, :64].reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
    x, y = np.float32(patches / 16 - 0.3), np.int64(rows[:, 64])
    parts = {"train": slice(1000), "val": slice(1000, 1400), "test": slice(1400, None)}
    data = {f"{k}_{name}": v[part] for name, part in parts.items() for k, v in (("x", x), ("y", y))}
    np.savez(file, **data)
    return data["x_test"], data["y_test"]


def write_space(folder, backend):
    """The space file with a limit for this machine."""
    text = string.Template((HERE / "space.yaml").read_text())
    given = {"python": json.dumps(sys.executable), "backend": backend}
    file = folder / "space.yaml"
    file.write_text(text.substitute(given, limit_ms=1))
    asked, model = {"show": False, "keep": True}, folder / "uniform.onnx"
    predicted = []
    for kind in ("softmax", "linear", "conv"):
        for width in (32, 64):
            values = json.dumps({"attn": [kind] * 3, "ffn": [width] * 3})
            run(ATTUNE, "search", "build", file, f"--values={values}", "-o", model, **asked)
            cost = json.loads(run(ATTUNE, "cost", model, "--threads=1", "--json", **asked))
            predicted.append(cost["latency_ms"])
    bench = json.loads(run(ATTUNE, "bench", model, "--threads=1", "--runs=300", "--json", **asked))
    # A machine that is busy or was not calibrated is slower than predicted.
    slower = max(1, bench["median_ms"] / predicted[-1])
    limit = slower * (min(predicted) + max(predicted)) / 2
    print(
        f"models of one kind: predicted {min(predicted):.4f} to {max(predicted):.4f} ms; ", end=""
    )
    print(f"the limit is {limit:.4f} ms", flush=True)
    file.write_text(text.substitute(given, limit_ms=f"{limit:.5f}"))
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "search-demo")
    parser.add_argument("--backend", choices=["numpy", "torch"], default="numpy")
    arguments = parser.parse_args()
    start, work = time.monotonic(), arguments.work
    work.mkdir(parents=True, exist_ok=True)
    study = work / "study"
    (study / "study.jsonl").unlink(missing_ok=True)
    x, y = write_data(work / "digits.npz")
    space = write_space(work, arguments.backend)

    workers = len(os.sched_getaffinity(0))
    run(ATTUNE, "search", space, "-o", study, f"--workers={workers}")
    run(ATTUNE, "search", "report", study, "--html")
    run(ATTUNE, "search", "finalists", study, "--top=5")
    train = [sys.executable, "-m", "attune.search.standalone", "--winner", study]
    train += ["--data", work / "digits.npz", "--backend", arguments.backend]
    trained = run(*train, "--epochs", "25", "--batch", "20", "--rate", "0.01", keep=True)
    print(trained, end="")
    before = dict(line.split() for line in trained.splitlines())["test_acc"]

    session = Session(study / "winner.so", threads=1)
    (name,) = session.output_names
    right = sum(session.run({"x": sample[None]})[name].argmax() == c for sample, c in zip(x, y))
    print(f"\nAccuracy on {len(y)} digits that nothing was chosen by:")
    print(f"  {arguments.backend} {before}, compiled {right / len(y):.4f}")
    print(f"Front: {study / 'report.html'}    ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
