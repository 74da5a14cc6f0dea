"""Repeats the experiment on the stored table: `python experiments/mformer/run.py`.

Measures all networks through the compiler with `--measure` (latency.json is written again, some
minutes, on a machine that does nothing else), and checks the claims.
"""

import argparse
import csv
import itertools
import json
import os
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path

import claims

HERE = Path(__file__).parent
BUILD = Path(os.environ.get("ATTUNE_BUILD", HERE.parents[1] / "build"))
SEEDS, SHARE, NEAR, LIMIT = 20, 0.25, 0.01, 0.8


def attune(*arguments):
    command = [str(BUILD / "bin" / "attune"), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr}")
    return result.stdout


def study(space, folder, *arguments):
    """The rows of a study, as `attune search export` writes them."""
    attune("search", space, "-o", folder, *arguments)
    return list(csv.DictReader(attune("search", "export", folder, "-o", "-").splitlines()))


def genes_of(row):
    return tuple(claims.KINDS.index(row[f"attn.{layer}"]) for layer in range(3))


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.machine()


def prepare(folder):
    """{genes: (predicted ms, compiled file)} of every network."""
    prepared = {}
    for genes in itertools.product(range(len(claims.KINDS)), repeat=3):
        model = folder / f"{'-'.join(map(str, genes))}.onnx"
        values = json.dumps({"attn": [claims.KINDS[gene] for gene in genes]})
        attune("search", "build", HERE / "space.yaml", f"--values={values}", "-o", model)
        cost = json.loads(attune("cost", model, "--threads=1", "--json"))
        attune("compile", model, "-o", model.with_suffix(".so"))
        prepared[genes] = cost["latency_ms"], model.with_suffix(".so")
    return prepared


def measure(prepared, rounds=15):
    """Writes latency.json. In turn, so that what disturbs the machine disturbs all."""
    times = {genes: [] for genes in prepared}
    for _ in range(rounds):
        for genes, (_, file) in prepared.items():
            result = json.loads(attune("bench", file, "--threads=1", "--runs=40", "--json"))
            times[genes].append(result["median_ms"])
    lines = []
    for genes, (predicted, _) in prepared.items():
        row = {"genes": genes, "predicted_ms": round(predicted, 5)}
        lines.append(json.dumps({**row, "measured_ms": round(statistics.median(times[genes]), 5)}))
    text = f'{{"machine": {json.dumps(f"{processor()}, 1 thread")}, "rows": [\n'
    (HERE / "latency.json").write_text(text + ",\n".join(lines) + "\n]}\n")


def searches(folder, header, rows):
    """(c): the share of searches that come near the best of the table with a quarter of it."""
    text = (HERE / "space.yaml").read_text()
    text = "".join(
        line
        for line in text.splitlines(True)
        if "latency_ms" not in line and "template" not in line
    )
    space = folder / "accuracy.yaml"
    space.write_text(text.replace("table.jsonl", str(HERE / "table.jsonl")))
    evals = int(SHARE * len(rows))
    mean = {genes: statistics.mean(row["val_acc"]) for genes, row in rows.items()}
    goal = max(mean.values()) * (1 - NEAR)
    print(
        f"\n(c) {SEEDS} searches, until within {NEAR:.0%} of the best ({max(mean.values()):.4f}):"
    )
    for strategy in ("rank", "evolution", "random"):
        needed = []
        for seed in range(SEEDS):
            given = [] if strategy == "rank" else [f"--strategy={strategy}"]
            found = study(space, folder / f"{strategy}{seed}", f"--seed={seed}", *given)
            good = [mean[genes_of(row)] >= goal for row in found]
            needed.append(good.index(True) + 1 if any(good) else len(rows) + 1)
        within = sum(n <= evals for n in needed)
        print(
            f"  {strategy}: median {statistics.median(needed):.0f} of {len(rows)} candidates; ",
            end="",
        )
        print(f"{within} of {SEEDS} searches within {evals}")


def report(rows, latency, machine, seeds):
    pairs = [(latency[g]["predicted_ms"], latency[g]["measured_ms"]) for g in rows]
    error = statistics.mean(abs(p / m - 1) for p, m in pairs)
    print(f"latency on {machine}: predicted within {error:.1%} on average, Kendall's tau ", end="")
    print(f"{claims.kendall(pairs):.3f}\n\n(a) the best mixed network that is not slower:")
    for seed in range(seeds):
        for pure, mixed, alone, together in claims.mixed_against_pure(rows, latency, seed):
            against = "none" if mixed is None else f"{claims.name(mixed)}, {together:.3f}"
            print(f"  seed {seed}: {claims.name(pure)}, {alone:.3f}; {against}")
    softmax = (0, 0, 0)
    limit = LIMIT * latency[softmax]["predicted_ms"]
    winner = claims.best_within(rows, latency, limit)
    measured = latency[winner]["measured_ms"]
    print(
        f"\n(b) limit {limit:.4f} ms, {LIMIT:.0%} of what softmax everywhere is predicted to take:"
    )
    print(f"  {claims.name(winner)} takes {measured:.4f} ms, {measured / limit:.2f} of the limit")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="time all networks again")
    arguments = parser.parse_args()
    header, rows = claims.table()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.measure:
            measure(prepare(Path(folder)))
        report(rows, *claims.times(), header["seeds"])
        searches(Path(folder), header, rows)


if __name__ == "__main__":
    main()
