"""Copies a study of `attune search` into an Optuna storage, for optuna-dashboard and its plots.

    python scripts/optuna-export.py STUDY sqlite:///study.db      (needs `pip install optuna`)

Every variable becomes a categorical parameter; costs and other metrics become user attributes.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
from pathlib import Path

STATES = {"ok": "COMPLETE", "failed": "FAIL", "stopped": "PRUNED", "pending": "FAIL"}


def number(text):
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", type=Path, help="folder of the study")
    parser.add_argument("storage", help="URL of the storage")
    parser.add_argument("--attune", default="attune", help="the command (default: attune)")
    arguments = parser.parse_args()
    try:
        import optuna
    except ImportError:
        sys.exit("optuna is not installed: pip install optuna")

    command = [arguments.attune, "search", "export", str(arguments.study), "-o", "-"]
    exported = subprocess.run(command, capture_output=True, text=True)
    if exported.returncode:
        sys.exit(exported.stderr)
    rows = list(csv.DictReader(io.StringIO(exported.stdout)))
    with open(arguments.study / "study.jsonl") as journal:
        header = json.loads(journal.readline())
    objectives = [
        (o["name"], {"min": "minimize", "max": "maximize"}[o["goal"]]) for o in header["objectives"]
    ]
    columns = list(rows[0]) if rows else []
    # Genes stand between the fixed columns and the costs.
    first = columns.index("front") + 1 if rows else 0
    last = next(
        (
            i
            for i, c in enumerate(columns)
            if c in header["costs"] or i >= first and c in dict(objectives)
        ),
        -1,
    )
    genes = columns[first:last]
    values = {g: sorted({number(r[g]) for r in rows if r[g]}, key=str) for g in genes}
    spaces = {g: optuna.distributions.CategoricalDistribution(v) for g, v in values.items() if v}

    study = optuna.create_study(
        study_name=arguments.study.name,
        storage=arguments.storage,
        directions=[d for _, d in objectives],
    )
    for row in rows:
        used = {g: number(row[g]) for g in genes if row[g]}
        state = optuna.trial.TrialState[STATES[row["status"]]]
        complete = state == optuna.trial.TrialState.COMPLETE
        attributes = {
            c: number(row[c]) for c in columns[last:] + ["id", "origin", "seconds"] if row[c]
        }
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                params=used,
                distributions={g: spaces[g] for g in used},
                values=[float(row[name]) for name, _ in objectives] if complete else None,
                user_attrs=attributes,
            )
        )
    print(f"{arguments.storage}: {len(rows)} trials of {study.study_name}")


if __name__ == "__main__":
    main()
