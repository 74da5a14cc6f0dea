"""A search under the budgets, its results compiled and timed, the claim about layer adaptation, and
the figures of README.md.

    python experiments/edgeformer/run.py
"""

import csv
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
import costs  # noqa: E402
import figures  # noqa: E402
import network  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import tables  # noqa: E402

BUDGETS = {"params": 1.0e5, "flops": 2.0e7, "peak_mb": 0.5, "latency_ms": 1.0}  # of space.yaml
# Genes of pairs that the claim compares: with adaptation, and without.
PAIRS = {
    "an adapter in each of 4 tied layers, and wider products without": ((1, 1, 2, 0), (1, 1, 0, 1)),
    "a bias in each of 4 tied layers, and none": ((1, 1, 1, 0), (1, 1, 0, 0)),
}


def title(genes):
    choices = (network.LAYERS, network.TIE, network.ADAPT, network.FFN)
    layers, tie, adapt, ffn = (values[gene] for values, gene in zip(choices, genes))
    return f"{layers} layers, tied {tie}, adaptation {adapt}, ffn {ffn}"


def front(folder):
    """Genes of the candidates that a search ends with, and of all that it evaluated."""
    tables.attune("search", HERE / "space.yaml", "-o", folder / "study")
    text = tables.attune("search", "export", folder / "study", "-o", "-")
    rows = list(csv.DictReader(text.splitlines()))

    def genes(row):
        tie, adapt = network.TIE.index(row["tie"]), network.ADAPT.index(row["adapt"])
        ffn = network.FFN.index(int(float(row["ffn"]))) if row["ffn"] else 0
        return (network.LAYERS.index(int(float(row["layers"]))), tie, adapt, ffn)

    return [genes(row) for row in rows if row["front"] == "1"], [genes(row) for row in rows]


def measured(genes, folder):
    """Milliseconds of the encoder and of 20 steps, compiled and timed with one thread."""

    def bench(model, name, *flags):
        file = folder / f"{name}.onnx"
        onnx.save(model, file)
        return json.loads(
            tables.attune("bench", file, "--threads=1", "--runs=200", "--json", *flags)
        )

    lengths = [1, costs.STEPS // 2, costs.STEPS - 1]
    steps = [bench(network.step(), "step", f"--dim=past={n}")["median_ms"] for n in lengths]
    return bench(network.encoder(genes), "encoder")["median_ms"] + float(
        np.interp(range(costs.STEPS), lengths, steps).sum()
    )


def differences():
    """{pair: (parameters of both, accuracy with adaptation minus without, seed by seed)}"""
    rows = {}
    for name in ("networks", "pairs"):
        for row in tables.lines(HERE / f"{name}.jsonl")[1:]:
            rows.setdefault(tuple(row["genes"]), (row["params"], []))[1].extend(row["val_acc"])
    result = {}
    for what, (adapted, plain) in PAIRS.items():
        (a, with_it), (b, without) = rows[adapted], rows[plain]
        result[what] = (a, b), [x - y for x, y in zip(with_it, without)]
    return result


def draw(rows):
    series = {"untied": [], "tied": [], "tied, bias": [], "tied, adapter": []}
    for row in rows:
        _, tie, adapt, _ = row["genes"]
        name = "untied" if tie == 0 else "tied" + ("", ", bias", ", adapter")[adapt]
        series[name].append((row["params"] / 1000, mean(row["val_acc"])))
    figures.scatter(
        HERE / "parameters.svg", series, "parameters, thousands", "symbols that are right"
    )
    for name in series:
        series[name] = []
    for row in rows:
        _, tie, adapt, _ = row["genes"]
        name = "untied" if tie == 0 else "tied" + ("", ", bias", ", adapter")[adapt]
        series[name].append((row["stored_mb"], row["streamed_mb"]))
    figures.scatter(HERE / "bytes.svg", series, "stored, MB", "streamed by one call, MB")


def main():
    rows = tables.read(HERE / "table.jsonl")[1]
    of = {tuple(row["genes"]): row for row in rows}
    with tempfile.TemporaryDirectory() as name:
        best, tried = front(Path(name))
        broken = [
            genes for genes in tried if any(of[genes][k] > limit for k, limit in BUDGETS.items())
        ]
        print(
            f"{len(tried)} evaluated of {len(rows)}, {len(broken)} of them over a budget; the front:"
        )
        for genes in best:
            row, now = of[genes], costs.costs(list(genes))
            exact = all(now[key] <= BUDGETS[key] for key in ("params", "flops", "peak_mb"))
            time = measured(list(genes), Path(name))
            print(f"  {title(genes)}: accuracy {mean(row['val_acc']):.3f}, {row['params']} parameters, "
                  f"{row['flops'] / 1e6:.2f} MFLOP, {row['peak_mb']:.3f} MB, "
                  f"predicted {row['latency_ms']:.3f} ms, measured {time:.3f} ms: "
                  f"{'within' if exact and time <= BUDGETS['latency_ms'] else 'OVER'} the budgets")  # fmt: skip
    for what, (params, values) in differences().items():
        print(f"{what} ({params[0]} and {params[1]} parameters): "
              f"mean difference {mean(values):+.4f}; " + " ".join(f"{v:+.3f}" for v in values))  # fmt: skip
    draw(rows)


if __name__ == "__main__":
    main()
