"""Trains each candidate of a template from scratch, as a worker of `attune search`:

    evaluator:
      name: worker
      command: [python3, -m, attune.search.standalone, --space, space.yaml, --data, digits.npz]

and, when the study has ended and `attune search finalists` has found the winner, trains that one:

    python -m attune.search.standalone --winner STUDY --data digits.npz --epochs 60

What is trained is the graph that the compiler gets (`attune search build`). The data is an .npz with
`x_train` [samples, seq, features], `y_train` [samples], `x_val`, `y_val`, and `x_test`, `y_test` if
there is a part that no choice depends on. Metrics: val_acc, val_loss, train_loss.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

# Studies run as many workers as there are cores: one thread each.
for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import numpy as np  # noqa: E402

from attune.search import worker  # noqa: E402
from attune.search.network import Network  # noqa: E402


def back_end(name):
    try:
        return importlib.import_module(f"attune.search.{name}_ops")
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: pip install attune[torch], or --backend=numpy")


def quality(trainer, x, y, batch=256):
    """Accuracy and mean cross entropy."""
    scores = np.concatenate([trainer.scores(x[i : i + batch]) for i in range(0, len(x), batch)])
    scores = scores.astype(np.float64) - scores.max(1, keepdims=True)
    loss = np.log(np.exp(scores).sum(1)) - scores[np.arange(len(y)), y]
    return float((scores.argmax(1) == y).mean()), float(loss.mean())


def train(network, ops, data, seed, options, rungs=(), report=None):
    """Trains from a random start, a warm-up and a linear fall of the rate. Metrics and trainer."""
    rng = np.random.default_rng(seed)
    trainer = ops.Trainer(network, network.initial(rng), options.decay)
    x, y, done = data["x_train"], data["y_train"], 0
    batches = max(1, len(x) // options.batch)
    total = options.epochs * batches
    warm = min(options.warmup, total // 4)
    for epoch in range(options.epochs):
        losses = []
        for part in np.array_split(rng.permutation(len(x)), batches):
            done += 1
            share = done / warm if done < warm else (total - done + 1) / (total - warm + 1)
            losses.append(trainer.step(x[part], y[part], options.rate * share))
        if report and epoch + 1 in rungs:
            accuracy, loss = quality(trainer, data["x_val"], data["y_val"])
            report(epoch + 1, val_acc=accuracy, val_loss=loss, train_loss=np.mean(losses))
    accuracy, loss = quality(trainer, data["x_val"], data["y_val"])
    return {"val_acc": accuracy, "val_loss": loss, "train_loss": float(np.mean(losses))}, trainer


def read_data(path):
    with np.load(path) as file:
        data = {name: file[name] for name in file}
    for name in data:
        data[name] = data[name].astype(np.float32 if name.startswith("x_") else np.int64)
    if missing := {"x_train", "y_train", "x_val", "y_val"} - data.keys():
        sys.exit(f"{path} has no {', '.join(sorted(missing))}")
    return data


def attune(command, *arguments):
    result = subprocess.run([command, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{command} {arguments[0]}: {result.stderr.strip()}")


def evaluator(options):
    data, ops = read_data(options.data), back_end(options.backend)

    def evaluate(values, seed, rungs, report):
        with tempfile.TemporaryDirectory() as folder:
            file = f"{folder}/candidate.onnx"
            given = f"--values={json.dumps(values)}"
            attune(options.attune, "search", "build", options.space, given, "-o", file)
            network = Network(file)
        return train(network, ops, data, seed, options, rungs, report)[0]

    return evaluate


def train_winner(study, options):
    """Puts trained weights into STUDY/winner.onnx and compiles it again. Metrics."""
    model, data = Path(study) / "winner.onnx", read_data(options.data)
    network = Network(model)
    metrics, trainer = train(network, back_end(options.backend), data, options.seed, options)
    if "x_test" in data:
        metrics["test_acc"], metrics["test_loss"] = quality(trainer, data["x_test"], data["y_test"])
    network.save(model, trainer.weights())
    attune(options.attune, "compile", model, "-o", model.with_suffix(".so"))
    return metrics


def main():
    parser = argparse.ArgumentParser(
        prog="attune.search.standalone",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--space", help="the space file of the study")
    parser.add_argument("--winner", metavar="STUDY", help="train the winner of this study instead")
    parser.add_argument("--data", required=True)
    parser.add_argument("--backend", choices=["torch", "numpy"], default="torch")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=3e-3, help="largest rate of learning")
    parser.add_argument("--warmup", type=int, default=50, help="steps until the rate is reached")
    parser.add_argument("--decay", type=float, default=0.01, help="decay of weights")
    parser.add_argument("--seed", type=int, default=0, help="of the winner's training")
    parser.add_argument("--attune", default=os.environ.get("ATTUNE", "attune"), help="the command")
    options = parser.parse_args()
    if bool(options.space) == bool(options.winner):
        parser.error("expects --space or --winner")
    if options.winner:
        for name, value in train_winner(options.winner, options).items():
            print(f"{name} {value:.4f}")
    else:
        worker.serve(evaluator(options))


if __name__ == "__main__":
    # Under its real name, so that there is one class `Stopped`.
    importlib.import_module("attune.search.standalone").main()
