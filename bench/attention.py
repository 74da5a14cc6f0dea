"""Attention blocks against other runtimes: `make bench-attention`, or bench/attention.py --help.

A block is the projections to queries, keys and values, the attention, and the output projection, at
width 512 with 8 heads: `attention/cases.json`. Every row is measured as in run.py (results compared
first, rounds interleaved). A peer that refuses a graph, or computes something else than ONNX Runtime,
is left out of the row. Then: how the time grows with the length, and the memory for intermediate
results.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import case as cases
import models
import report
import run

sys.path.insert(0, str(run.FOLDER.parent / "test"))
LENGTHS = [1024, 2048, 4096, 8192, 16384]


def selected(table, names, quick):
    for case in table["cases"]:
        about = f"{case['name']} {case.get('graph') or 'onnx-' + case['rule']}"
        if (not names or any(n in about for n in names)) and (case.get("quick") or not quick):
            yield case


def measure(case, options, threads, work):
    dims = {"batch": 1, "length": case["length"]}
    full = {
        "name": case["name"],
        "dims": dims,
        "inputs": models.feeds(case.get("rule")),
        "model": {"path": str(models.write(case, work, dims))},
        "tolerance": 1e-3,
    }
    result = run.run_case(
        case["name"], full, options.peers.split(","), threads, options.rounds, options.runs, work,
        strict=False, budget=options.budget,
    )  # fmt: skip
    return {**result, "floor_gflop": case["floor_gflop"], "aim": case.get("aim", 1)}


def scaling(graph, work, threads):
    """(median ms, bytes of intermediate results) for each length, with one artifact."""
    from attune_ctypes import Session

    from peers.attune import compiled

    case = {"graph": graph}
    session = Session(compiled(models.write(case, work, {}), work), threads=threads)
    rows = []
    for length in LENGTHS:
        dims = {"batch": 1, "length": length}
        bound = session.bind(cases.inputs({"dims": dims, "inputs": models.feeds(None)}))
        bound.run()
        times = []
        while len(times) < 3 or (sum(times) < 0.3 and len(times) < 15):
            start = time.perf_counter()
            bound.run()
            times.append(time.perf_counter() - start)
            if times[0] > 2:
                break
        rows.append((length, statistics.median(times) * 1e3, bound.arena_bytes()))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of cases (default: all)")
    parser.add_argument("--quick", action="store_true", help="a few cases, no scaling")
    parser.add_argument("--peers", default=",".join(run.PEERS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of a peer in a round")
    parser.add_argument("--budget", type=float, default=1.5, help="seconds for a peer in a case")
    parser.add_argument("--scaling", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--work", type=Path, default=run.FOLDER.parent / "build" / "bench")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    table = json.loads((models.FOLDER / "cases.json").read_text())

    results, roofs, growth = [], {}, {}
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        for threads in map(int, options.threads.split(",")):
            samples = [run.measure_roof(threads, options.work)]
            for case in selected(table, options.names, options.quick):
                results.append(measure(case, options, threads, Path(scratch)))
                print(report.attention_row(results[-1], samples[0]), file=sys.stderr, flush=True)
            samples.append(run.measure_roof(threads, options.work))
            roofs[threads] = {k: statistics.median(s[k] for s in samples) for k in samples[0]}
        if options.scaling and not options.quick and not options.names:
            for graph in table["scaling"]:
                try:
                    growth[graph] = scaling(graph, Path(scratch), threads=1)
                except Exception as error:  # whatever a graph does: the other rows matter too
                    print(f"{graph}: {error}", file=sys.stderr)
    if options.json:
        measured = {"roof": roofs, "results": results, "scaling": growth}
        options.json.write_text(json.dumps(measured, indent=1))
    print(report.attention_table(results, roofs))
    if growth:
        print()
        print(report.scaling_table(growth))


if __name__ == "__main__":
    main()
