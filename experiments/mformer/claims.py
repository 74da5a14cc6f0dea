"""The claims of mFormer on the stored table: pure numbers in, sentences out; no build needed."""

import json
import math
from pathlib import Path

HERE = Path(__file__).parent
KINDS = ("softmax", "cosformer", "local8")


def name(genes):
    return " ".join(KINDS[gene] for gene in genes)


def table(file=HERE / "table.jsonl"):
    """(header, {genes: metrics}); a metric is a list with one value per seed."""
    header, *rows = map(json.loads, file.read_text().splitlines())
    return header, {tuple(row["genes"]): row for row in rows}


def times(file=HERE / "latency.json"):
    """{genes: {"predicted_ms", "measured_ms"}}, and what they were measured on."""
    content = json.loads(file.read_text())
    return {tuple(row["genes"]): row for row in content["rows"]}, content["machine"]


def best(candidates, rows, seed, metric="val_acc"):
    """Of equal ones the first."""
    return max(sorted(candidates), key=lambda genes: rows[genes][metric][seed])


def mixed_against_pure(rows, latency, seed, which="measured_ms"):
    """(a): for every pure network the best mixed one that is not slower, chosen on the validation
    set; both with their accuracy on the test set."""
    found = []
    for pure in sorted(g for g in rows if len(set(g)) == 1):
        limit = latency[pure][which]
        mixed = [g for g in rows if len(set(g)) > 1 and latency[g][which] <= limit]
        if not mixed:
            found.append((pure, None, rows[pure]["test_acc"][seed], None))
            continue
        chosen = best(mixed, rows, seed)
        scores = rows[pure]["test_acc"][seed], rows[chosen]["test_acc"][seed]
        found.append((pure, chosen, *scores))
    return found


def best_within(rows, latency, limit, which="predicted_ms"):
    """The best mean accuracy under a limit."""
    legal = [g for g in rows if latency[g][which] <= limit]
    mean = lambda genes: sum(rows[genes]["val_acc"]) / len(rows[genes]["val_acc"])
    return max(sorted(legal), key=mean)


def kendall(pairs):
    """Tau-b of a list of (x, y): ties count on neither side."""
    agree, first, second = 0, 0, 0
    for i, (x, y) in enumerate(pairs):
        for a, b in pairs[:i]:
            agree += (x > a) - (x < a) if y > b else (x < a) - (x > a) if y < b else 0
            first += x != a
            second += y != b
    return agree / math.sqrt(first * second)
