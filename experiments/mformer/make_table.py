"""Trains every candidate of the space with every seed and writes table.jsonl; needs PyTorch.

    PYTHONPATH=python python experiments/mformer/make_table.py --attune build/bin/attune --workers 2

54 trainings of 500 steps of 16 sequences; about 10 seconds of a core each. What is done is kept in
`--parts`, so that a second run goes on where the first was broken off.
"""

import argparse
import concurrent.futures
import itertools
import json
import platform
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from attune.search import standalone
from attune.search.network import Network

from task import sample

HERE = Path(__file__).parent
KINDS, LAYERS, SEEDS = ("softmax", "cosformer", "local8"), 3, 2
METRICS = ("val_acc", "val_loss", "test_acc", "train_loss")
TRAINING = argparse.Namespace(epochs=1, batch=16, rate=6e-3, warmup=60, decay=0.01)
STEPS, HELD_OUT = 500, 1000


def data(seed):
    """Every training sequence is seen once. What is held out is the same for all seeds."""
    given = {}
    counts = {"train": STEPS * TRAINING.batch, "val": HELD_OUT, "test": HELD_OUT}
    for part, count in counts.items():
        stream = [seed, 0] if part == "train" else [0, 1 if part == "val" else 2]
        given[f"x_{part}"], given[f"y_{part}"] = sample(np.random.default_rng(stream), count)
    return given


def train(attune, seed, genes):
    values = {"attn": [KINDS[gene] for gene in genes]}
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        command = [attune, "search", "build", HERE / "space.yaml", "-o", file.name]
        command.append(f"--values={json.dumps(values)}")
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        network = Network(file.name)
    given, ops = data(seed), standalone.back_end("torch")
    start = [seed, *genes, 0]  # of the weights and of the order of samples
    metrics, trainer = standalone.train(network, ops, given, start, TRAINING)
    metrics["test_acc"], _ = standalone.quality(trainer, given["x_test"], given["y_test"])
    return {"seed": seed, "genes": genes, **metrics}


def write(attune, results, output):
    """The header is that of a table of this space by formula, with what is ours."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        command = [attune, "search", "table", HERE / "space.yaml", "--synthetic", "-o", file.name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        header = json.loads(Path(file.name).read_text().splitlines()[0])
    header.update(
        metrics=METRICS,
        costs=[],
        seeds=SEEDS,
        epochs=TRAINING.epochs,
        synthetic=False,
        data="associative recall, experiments/mformer/task.py",
        provenance=f"experiments/mformer/make_table.py, PyTorch on {platform.machine()}, "
        f"{STEPS} steps of {TRAINING.batch} sequences",
        licence="Apache-2.0",
    )
    lines = [header]
    for genes in sorted({tuple(r["genes"]) for r in results}):
        mine = sorted((r for r in results if tuple(r["genes"]) == genes), key=lambda r: r["seed"])
        lines.append({"genes": genes, **{m: [round(r[m], 6) for r in mine] for m in METRICS}})
    output.write_text("".join(json.dumps(line) + "\n" for line in lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attune", default="attune")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--parts", type=Path, default=Path("mformer-parts.jsonl"))
    arguments = parser.parse_args()
    arguments.parts.touch()
    results = [json.loads(line) for line in arguments.parts.read_text().splitlines()]
    done = {(r["seed"], *r["genes"]) for r in results}
    every = itertools.product(range(len(KINDS)), repeat=LAYERS)
    jobs = [(seed, list(genes)) for seed, genes in itertools.product(range(SEEDS), every)]
    jobs = [job for job in jobs if (job[0], *job[1]) not in done]
    with concurrent.futures.ProcessPoolExecutor(arguments.workers) as pool:
        futures = [pool.submit(train, arguments.attune, *job) for job in jobs]
        for future in concurrent.futures.as_completed(futures):
            results.append(future.result())
            with open(arguments.parts, "a") as file:
                file.write(json.dumps(results[-1]) + "\n")
            print(results[-1], flush=True)
    write(arguments.attune, results, HERE / "table.jsonl")


if __name__ == "__main__":
    main()
