"""Which cases of a family the compiler refuses, and why: `expected/<family>.txt`.

# there is no converter for the operator
test_affine_grid_2d
test_affine_grid_3d
"""

import collections
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "expected"


def read(family):
    """{case: reason}."""
    path, reasons, reason = FOLDER / f"{family}.txt", {}, ""
    for line in path.read_text().splitlines() if path.exists() else []:
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            reasons[line] = reason
    return reasons


def reason_of(message):
    """A refusal without what is particular to its case."""
    text = re.sub(r"^node '[^']*': ", "", message)
    text = re.sub(r"^node '[^']*' \((\w+), version \d+\)", r"\1", text)
    return re.sub(r"'[^']*'", "'...'", text)


def write(family, known, refused, ran):
    """Keeps what did not run this time."""
    reasons = {case: reason for case, reason in known.items() if case not in ran}
    reasons.update({case: reason_of(message) for case, message in refused.items()})
    groups = collections.defaultdict(list)
    for case, reason in reasons.items():
        groups[reason].append(case)
    text = "\n".join(
        f"# {r}\n" + "".join(f"{c}\n" for c in sorted(groups[r])) for r in sorted(groups)
    )
    (FOLDER / f"{family}.txt").write_text(text)
