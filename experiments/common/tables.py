"""Stored tables (`attune-table v1`, docs/search.md) from Python, without any package."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("ATTUNE_BUILD", ROOT / "build"))
LICENCE = "Apache-2.0; the digits are CC BY 4.0 (UCI, E. Alpaydin and C. Kaynak)"


def attune(*arguments):
    """Standard output of the command line tool; fails with its own words."""
    command = [str(BUILD / "bin" / "attune"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def members(space):
    """(header, genes of every member) of a space, as the search core orders them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "members.jsonl"
        attune("search", "table", space, "--synthetic", "-o", file)
        header, rows = read(file)
    return {"attune-table": 1, "space": header["space"], "synthetic": False}, [
        row["genes"] for row in rows
    ]


def lines(file):
    return list(map(json.loads, Path(file).read_text().splitlines()))


def read(file):
    header, *rows = lines(file)
    return header, rows


def write(file, header, rows):
    header.setdefault("licence", LICENCE)
    Path(file).write_text("".join(json.dumps(line) + "\n" for line in [header, *rows]))
