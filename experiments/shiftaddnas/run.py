"""The checks on the stored results, a search, and the figures of README.md.

python experiments/shiftaddnas/run.py
"""

import itertools
import sys
import tempfile
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
import figures  # noqa: E402
import tables  # noqa: E402

KINDS = ("conv", "att", "shift", "add")
SWITCHES = {
    "energy_eyeriss": "both assumptions off (default)",
    "energy_published": "--assume-onchip-add --shift-word-bits=10",
}


def kendall(a, b):
    """Tau-b."""
    sign = lambda x: (x > 0) - (x < 0)
    pairs = [
        (sign(a[i] - a[j]), sign(b[i] - b[j])) for i, j in itertools.combinations(range(len(a)), 2)
    ]
    both = sum(x * y for x, y in pairs)
    return both / (sum(x != 0 for x, _ in pairs) * sum(y != 0 for _, y in pairs)) ** 0.5


def group(row):
    multiplies = [gene < 2 for gene in row["genes"]]
    return "conv, att" if all(multiplies) else "hybrid" if any(multiplies) else "shift, add"


def name(row):
    return " ".join(KINDS[gene] for gene in row["genes"])


def best(rows):
    return max(rows, key=lambda row: mean(row["val_acc"]))


def taus(rows, supernets):
    """{sharing: tau of every seed} between inherited and stand-alone accuracy."""
    header, *lines = supernets
    of = {tuple(row["genes"]): mean(row["val_acc"]) for row in rows}
    alone = [of[tuple(genes)] for genes in header["members"]]
    result = {}
    for line in lines:
        result.setdefault(line["sharing"], []).append(kendall(line["val_acc"], alone))
    return result


def winners(rows, energy):
    """The best by validation: without multiplications, of convolution and attention only, and of
    hybrids that take no more energy than the second."""
    free, full = (
        best([r for r in rows if group(r) == kind]) for kind in ("shift, add", "conv, att")
    )
    hybrids = [r for r in rows if group(r) == "hybrid" and r[energy] <= full[energy]]
    return free, full, best(hybrids) if hybrids else None


def checks(rows, supernets):
    """(what, found, wanted, whether it holds)"""
    branch = {line["sharing"]: line["branch_params"] for line in supernets[1:]}
    for sharing in ("naive", "transformed"):
        ratio = branch[sharing] / branch["separate"]
        yield (
            f"weights of conv, shift, add: {sharing} over separate",
            ratio,
            "about 1/3",
            0.3 <= ratio <= 0.4,
        )
    tau = taus(rows, supernets)
    better = sum(t > n for t, n in zip(tau["transformed"], tau["naive"]))
    yield "seeds where tau of shared with T exceeds naive", better, ">= 3 of 5", better >= 3
    for energy in SWITCHES:
        free, full, hybrid = winners(rows, energy)
        gain = mean(hybrid["val_acc"]) - mean(free["val_acc"]) if hybrid else -1
        yield (
            f"{energy}: hybrid winner's accuracy minus that without multiplications",
            gain,
            ">= 0",
            gain >= 0,
        )
        share = hybrid[energy] / full[energy] if hybrid else 9
        yield (
            f"{energy}: hybrid winner's energy over that of conv and att",
            share,
            "<= 1",
            share <= 1,
        )


def show_winners(rows):
    for energy, switches in SWITCHES.items():
        print(f"{energy}: {switches}")
        for title, row in zip(("shift, add", "conv, att", "hybrid"), winners(rows, energy)):
            print(f"  {title:10}  {name(row):16}  validation {mean(row['val_acc']):.4f}  test {mean(row['test_acc']):.4f}"
                  f"  {row[energy] / 1000:.3f} uJ  {row['latency_ms']:.4f} ms")  # fmt: skip


def draw(rows, tau):
    for energy in SWITCHES:
        series = {kind: [] for kind in ("shift, add", "hybrid", "conv, att")}
        for row in rows:
            series[group(row)].append((row[energy] / 1000, mean(row["val_acc"])))
        figures.scatter(
            HERE / f"{energy}.svg", series, "modelled energy, microjoules", "validation accuracy"
        )
    series = {way: [(place + 0.1 * (seed - 2), value) for seed, value in enumerate(values)]
              for place, (way, values) in enumerate(tau.items())}  # fmt: skip
    figures.scatter(HERE / "tau.svg", series, "one point for each seed",
                    "tau of inherited and stand-alone accuracy", names=list(tau))  # fmt: skip


def main():
    header, rows = tables.read(HERE / "table.jsonl")
    supernets = tables.lines(HERE / "supernets.jsonl")
    tau = taus(rows, supernets)
    for way, values in tau.items():
        print(f"tau {way}: " + " ".join(f"{value:.3f}" for value in values))
    show_winners(rows)
    for what, found, wanted, holds in checks(rows, supernets):
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {what} {found:.3g}, wanted {wanted}")
    draw(rows, tau)
    with tempfile.TemporaryDirectory() as folder:
        print(tables.attune("search", HERE / "space.yaml", "-o", folder + "/study"))


if __name__ == "__main__":
    main()
