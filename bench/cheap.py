"""Layers that save multiplications, and stencils, against other runtimes: `make bench-cheap`, or
bench/cheap.py --help.

Every row is measured as in run.py: results compared first, rounds interleaved. A peer that refuses a
graph, or computes something else than ONNX Runtime, is left out of the row. PyTorch and IREE take part
where they are installed, perhaps for another interpreter: `--python torch=/path/to/python`. Rows of
bytes and codes are also compared with our own product of floats of the same shape.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

import cheap_models as graphs
import report
import run

PEERS = ["attune", "onnxruntime", "openvino", "torch", "iree"]
# name: (title, graph, what best peer / ours should be, row of the same shape in floats, and what
# that row / ours should be)
CASES = {
    "adder": ("adder 256²", graphs.adder, 1.8),
    "adder-convolution": ("adder 3x3, 32 of 28²", graphs.adder_convolution, 1.8),
    "product": ("product 256²", graphs.product, 1),
    "adder-bytes": ("adder 256², bytes", graphs.adder_bytes, 1.8, "product", 1.8),
    "shift-sum": ("shift 256², multiply and sum", graphs.shift_sum, 1.5),
    "shift-bits": ("shift 256², integers", graphs.shift_bits, 1.5),
    "shift-product": ("shift 256², product", graphs.shift_product, 1),
    "product-row": ("product 1 x 8192²", lambda: graphs.product(1, 8192), 1),
    "shift-row": ("shift 1 x 8192²", lambda: graphs.shift_product(1, 8192), 1, "product-row", 1.8),
    "evolving": ("evolving attention, n = 512", lambda: graphs.block("evolving"), 1.4),
    "eit": ("head mixing (EIT), n = 512", lambda: graphs.block("eit"), 1.4),
    "convolution": ("convolution 3x3, 64 of 56²", graphs.convolution, 1),
}
QUICK = ["adder", "product", "adder-bytes", "shift-sum"]


def prepare(name, work):
    """The case as run.py wants it; the model is written once."""
    path, feeds = work / f"{name}.onnx", work / f"{name}-inputs.npz"
    if not path.exists():
        model, inputs = CASES[name][1]()
        onnx.save(model, path)
        np.savez(feeds, **inputs)
    with np.load(feeds) as data:
        inputs = dict(data)
    return {
        "name": CASES[name][0],
        "dims": {},
        "feeds": inputs,
        "model": {"path": str(path)},
        "tolerance": 2e-2 if name.endswith("row") else 5e-3,
    }


def measure(name, options, threads, work):
    result = run.run_case(
        name, prepare(name, work), options.peers, threads, options.rounds, options.runs, work,
        strict=False, budget=options.budget, pythons=options.python,
    )  # fmt: skip
    return {**result, "aim": CASES[name][2], "against": CASES[name][3:]}


def assignment(text):
    peer, _, python = text.partition("=")
    if not python:
        raise argparse.ArgumentTypeError(f"{text}: expected PEER=PYTHON")
    return peer, python


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"rows (default: all): {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="a few rows")
    parser.add_argument("--peers", type=lambda text: text.split(","), default=PEERS)
    parser.add_argument(
        "--python", type=assignment, action="append", default=[], metavar="PEER=PYTHON",
        help="the interpreter that has a peer",
    )  # fmt: skip
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=20, help="timed runs of a peer in a round")
    parser.add_argument("--budget", type=float, default=1, help="seconds for a peer in a row")
    parser.add_argument("--work", type=Path, default=run.FOLDER.parent / "build" / "bench")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    unknown = set(options.names) - set(CASES)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}; rows: {', '.join(CASES)}")
    options.python = dict(options.python)
    options.work.mkdir(parents=True, exist_ok=True)
    names = options.names or (QUICK if options.quick else list(CASES))

    results, roofs = [], {}
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        for threads in map(int, options.threads.split(",")):
            roofs[threads] = run.measure_roof(threads, options.work)
            for name in names:
                results.append(measure(name, options, threads, Path(scratch)))
                print(report.cheap_row(results[-1], options.peers), file=sys.stderr, flush=True)
    if options.json:
        options.json.write_text(json.dumps({"roof": roofs, "results": results}, indent=1))
    print(report.cheap_table(results, roofs, options.peers))


if __name__ == "__main__":
    main()
