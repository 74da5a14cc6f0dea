"""Trains every candidate of the space with every seed and writes table.jsonl; needs PyTorch.

    PYTHONPATH=python python experiments/mformer/make_table.py --attune build/bin/attune --workers 2

54 trainings of 500 steps of 16 sequences; about 10 seconds of a core each. What is done is kept in
`--parts`, so that a second run goes on where the first was broken off. `--space ffn.yaml` has the
width of every layer's feed-forward part as a second variable: 216 candidates.
"""

import argparse
import concurrent.futures
import itertools
import json
import math
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from attune.search import standalone
from attune.search.network import Network

from task import sample

HERE = Path(__file__).parent
LAYERS = 3
VARIABLES = {"attn": ("softmax", "cosformer", "local8"), "ffn": (32, 64)}  # one of each per layer
METRICS = ("val_acc", "val_loss", "test_acc", "train_loss")
TRAINING = argparse.Namespace(epochs=1, batch=16, rate=6e-3, warmup=60, decay=0.01)


def data(seed, steps, held_out):
    """Every training sequence is seen once. What is held out is the same for all seeds."""
    given = {}
    counts = {"train": steps * TRAINING.batch, "val": held_out, "test": held_out}
    for part, count in counts.items():
        stream = [seed, 0] if part == "train" else [0, 1 if part == "val" else 2]
        given[f"x_{part}"], given[f"y_{part}"] = sample(np.random.default_rng(stream), count)
    return given


def values_of(genes):
    layers = [genes[i : i + LAYERS] for i in range(0, len(genes), LAYERS)]
    return {
        name: [choices[gene] for gene in part]
        for (name, choices), part in zip(VARIABLES.items(), layers)
    }


def train(options, seed, genes):
    values = values_of(genes)
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        command = [options.attune, "search", "build", options.space, "-o", file.name]
        command.append(f"--values={json.dumps(values)}")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        network = Network(file.name)
    given = data(seed, options.steps, options.held_out)
    ops = standalone.back_end(options.backend)
    start = [seed, *genes, 0]  # of the weights and of the order of samples
    metrics, trainer = standalone.train(network, ops, given, start, TRAINING)
    metrics["test_acc"], _ = standalone.quality(trainer, given["x_test"], given["y_test"])
    return {"seed": seed, "genes": genes, **metrics}


def members(options):
    """The header of a table of the space, and the genes of its candidates in order."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        command = [options.attune, "search", "table", options.space, "--synthetic", "-o", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        header, *rows = map(json.loads, Path(file.name).read_text().splitlines())
    return header, sorted(row["genes"] for row in rows)


def write(options, header, results):
    header.update(
        metrics=METRICS,
        costs=[],
        seeds=options.seeds,
        epochs=TRAINING.epochs,
        synthetic=False,
        data="associative recall, experiments/mformer/task.py",
        provenance=f"experiments/mformer/make_table.py, {options.backend} on {platform.machine()}, "
        f"{options.steps} steps of {TRAINING.batch} sequences",
        licence="Apache-2.0",
    )
    lines = [header]
    for genes in sorted({tuple(r["genes"]) for r in results}):
        mine = sorted((r for r in results if tuple(r["genes"]) == genes), key=lambda r: r["seed"])
        lines.append({"genes": genes, **{m: [round(r[m], 6) for r in mine] for m in METRICS}})
    options.output.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", default="attune")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("mformer-parts.jsonl"))
    parser.add_argument("--space", type=Path, default=HERE / "space.yaml")
    parser.add_argument("--output", type=Path, default=HERE / "table.jsonl")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--held-out", type=int, default=1000, help="sequences to judge by")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", type=int, default=math.inf, help="so many candidates")
    parser.add_argument("--backend", choices=["torch", "numpy"], default="torch")
    arguments = parser.parse_args()
    header, every = members(arguments)
    every = every[: min(arguments.only, len(every))]
    arguments.parts.touch()
    results = [json.loads(line) for line in arguments.parts.read_text().splitlines()]
    done = {(r["seed"], *r["genes"]) for r in results}
    jobs = itertools.product(range(arguments.seeds), every)
    jobs = [job for job in jobs if (job[0], *job[1]) not in done]
    with concurrent.futures.ProcessPoolExecutor(arguments.workers) as pool:
        futures = [pool.submit(train, arguments, *job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            results.append(future.result())
            with open(arguments.parts, "a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(results[-1], flush=True)
    write(arguments, header, results)


if __name__ == "__main__":
    main()
