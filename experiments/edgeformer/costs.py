"""table.jsonl of networks.jsonl (what training gave) and what the compiler says of every network, as
one call of the encoder and 20 steps of the decoder with a cache that grows. No PyTorch.

    python experiments/edgeformer/costs.py

Stored bytes count shared weights once, streamed bytes and operations every use of them.
"""

import functools
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
os.environ.setdefault("ATTUNE_CALIBRATION", "none")
import network  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import tables  # noqa: E402

STEPS = network.LENGTH
COSTS = ("params", "flops", "stored_mb", "streamed_mb", "peak_mb", "latency_ms")


def told(model, *flags):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        onnx.save(model, file)
        return json.loads(tables.attune("cost", file, "--threads=1", "--json", *flags))


@functools.cache
def decoder():
    """(of all steps, bytes that stay): costs are close to linear in the length of the cache, so
    three lengths give the sum."""
    lengths = [1, STEPS // 2, STEPS - 1]
    at = [told(network.step(), f"--dim=past={length}") for length in lengths]
    sums = {
        key: float(np.interp(range(STEPS), lengths, [one[key] for one in at]).sum())
        for key in ("flops", "streamed_bytes", "latency_ms")
    }
    return sums, at[-1]


def costs(genes):
    prefill = told(network.encoder(genes))
    steps, last = decoder()
    peak = (
        prefill["stored_bytes"]
        + last["stored_bytes"]
        + max(one["peak_mb"] * 2**20 - one["stored_bytes"] for one in (prefill, last))
    )
    return {
        "params": network.parameters(genes),
        "flops": round(prefill["flops"] + steps["flops"]),
        "stored_mb": round((prefill["stored_bytes"] + last["stored_bytes"]) / 2**20, 5),
        "streamed_mb": round((prefill["streamed_bytes"] + steps["streamed_bytes"]) / 2**20, 5),
        "peak_mb": round(peak / 2**20, 5),
        "latency_ms": round(prefill["latency_ms"] + steps["latency_ms"], 5),
    }


def main():
    header, members = tables.members(HERE / "space.yaml")
    trained, *rows = tables.lines(HERE / "networks.jsonl")
    for row in rows:
        found = costs(row["genes"])
        assert found["params"] == row["params"], "the models differ from those that were trained"
        row.update(found)
    header.update({**trained, "epochs": 0, "metrics": ["val_acc", "copy", "reverse", "sort"],
                   "costs": list(COSTS), "licence": "Apache-2.0"})  # fmt: skip
    header["provenance"] += "; costs.py: a typical machine with one thread"
    tables.write(HERE / "table.jsonl", header, rows)


if __name__ == "__main__":
    main()
