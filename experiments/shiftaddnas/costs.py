"""table.jsonl of networks.jsonl (what training gave) and what the compiler says of every network:
modelled energy of a row-stationary array (both assumptions of the published scripts off, and on), of
a CPU by two tables of unit energies, and predicted latency on a typical machine. No PyTorch.

    python experiments/shiftaddnas/costs.py
"""

import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
os.environ["ATTUNE_CALIBRATION"] = "none"
import network  # noqa: E402
import onnx  # noqa: E402
import tables  # noqa: E402

# Energies in nanojoules a call.
ENERGIES = {
    "energy_eyeriss": ["--energy-table=eyeriss-rs"],
    "energy_published": [
        "--energy-table=eyeriss-rs", "--assume-onchip-add", "--shift-word-bits=10",
    ],
    "energy_cpu32": ["--energy-table=shiftaddnas-32"],
    "energy_cpu8": ["--energy-table=shiftaddnas-8"],
}  # fmt: skip


def costs(kinds, folder):
    file = Path(folder) / "network.onnx"
    onnx.save(network.model(kinds), file)
    result = {}
    for name, flags in ENERGIES.items():
        told = json.loads(tables.attune("cost", file, "--threads=1", "--json", *flags))
        result[name] = round(told["energy_mj"] * 1e6, 4)
        result["latency_ms"] = round(told["latency_ms"], 6)
    return result


def main():
    header, members = tables.members(HERE / "space.yaml")
    trained, *rows = tables.lines(HERE / "networks.jsonl")
    of = {tuple(row["genes"]): row for row in rows}
    with tempfile.TemporaryDirectory() as folder:
        lines = [
            {**of[tuple(genes)], **costs([network.KINDS[g] for g in genes], folder)}
            for genes in members
        ]
    header.update(
        {**trained, "metrics": ["val_acc", "test_acc"], "costs": [*ENERGIES, "latency_ms"]}
    )
    header["provenance"] += (
        "; costs.py: energies in nJ, latency of a typical machine with one thread"
    )
    tables.write(HERE / "table.jsonl", header, lines)


if __name__ == "__main__":
    main()
