"""Compares Attune with other runtimes: `make bench`, or bench/run.py --help.

Every peer lives in a process of its own. Before anything is timed, each peer's outputs are compared
with those of the first one. Then come rounds: in each, every peer takes its turn (in an order that
changes from round to round), so that a slow phase of the machine hits all of them. A ratio is the
median over rounds of (peer's median of the round / ours); the machine's own limits are measured in
the same run.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import case as cases
import report

FOLDER = Path(__file__).resolve().parent
PEERS = ["attune", "onnxruntime", "openvino"]
SETTLE = 0.25  # seconds; threads of OpenMP spin for 200 ms after their work


class PeerError(SystemExit):
    """A peer refused, or its results differ; ends the program unless somebody catches it."""


class Worker:
    def __init__(self, peer, python=sys.executable):
        self.peer = peer
        self.process = subprocess.Popen(
            [python, str(FOLDER / "worker.py"), peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise PeerError(f"{self.peer}: {request['do']}: {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure_roof(threads, work):
    binary = work / "roof"
    if not binary.exists():
        flags = "-O3 -march=native -mprefer-vector-width=512 -ffp-contract=fast -pthread".split()
        subprocess.run(["clang-22", *flags, FOLDER / "roof.c", "-o", binary], check=True)
    text = subprocess.run([binary, str(threads)], check=True, capture_output=True, text=True).stdout
    return json.loads(text)


def outputs_of(worker, case, work):
    feeds, file = work / "inputs.npz", work / f"{worker.peer}.npz"
    np.savez(feeds, **(case["feeds"] if "feeds" in case else cases.inputs(case)))
    worker.ask(do="bind", inputs=str(feeds), outputs=str(file))
    with np.load(file) as data:
        return [data[k] for k in data.files]


def difference(peer, outputs, reference, tolerance):
    """Largest absolute difference to the reference's outputs, unless it is above the tolerance."""
    if len(outputs) != len(reference):
        raise PeerError(f"{peer}: {len(outputs)} outputs, expected {len(reference)}")
    worst = 0.0
    for got, want in zip(outputs, reference):
        if got.shape != want.shape or got.dtype != want.dtype:
            raise PeerError(
                f"{peer}: output is {got.dtype}{got.shape}, expected {want.dtype}{want.shape}"
            )
        gap = np.abs(got.astype(np.float64) - want.astype(np.float64)).max(initial=0.0)
        worst = max(worst, float("inf") if np.isnan(gap) else float(gap))
    if worst > tolerance:
        raise PeerError(f"{peer}: differs by {worst:.3g} (tolerance {tolerance:.3g})")
    return worst


def runs_for(worker, runs, rounds, budget):
    """How many runs of this peer a round may have, and whether one more to warm up is affordable."""
    if budget is None:
        return {"runs": runs}
    ms = worker.ask(do="time", runs=1, warm=False)["ms"][0]
    affordable = int(budget * 1e3 / rounds / ms) - 1
    return {"runs": max(1, min(runs, affordable)), "warm": affordable > 0}


def run_case(
    name, case, peers, threads, rounds, runs, work, strict=True, budget=None, pythons=None
):
    """With `strict` any failure of a peer ends the program; else the peer is left out.

    `budget`: seconds that a peer may take in all rounds; slow ones run less often.
    `pythons`: interpreters of peers that this one does not have.
    """
    workers, loaded, outputs, errors, plans, failed = [], {}, {}, {}, {}, {}

    def attempt(worker, action):
        """False where the peer failed and is out."""
        try:
            action(worker)
        except PeerError as error:
            if strict:
                raise
            failed[worker.peer] = str(error).splitlines()[0]
            worker.close()
            return False
        return True

    def load(worker):
        model = str(cases.model_path(case))
        loaded[worker.peer] = worker.ask(do="load", model=model, threads=threads, work=str(work))
        outputs[worker.peer] = outputs_of(worker, case, work)

    def check(worker):
        reference = outputs["onnxruntime" if "onnxruntime" in outputs else workers[-1].peer]
        errors[worker.peer] = difference(
            worker.peer, outputs[worker.peer], reference, case["tolerance"]
        )
        plans[worker.peer] = runs_for(worker, runs, rounds, budget)

    started = [Worker(p, (pythons or {}).get(p, sys.executable)) for p in peers]
    workers = [w for w in started if attempt(w, load)]
    workers = [w for w in workers if attempt(w, check)]
    order = random.Random(0)
    times = {w.peer: [] for w in workers}
    slow = any(not plan.get("warm", True) for plan in plans.values())
    for _ in range(min(rounds, 3) if slow else rounds):
        for worker in order.sample(workers, len(workers)):
            time.sleep(SETTLE)
            times[worker.peer].append(worker.ask(do="time", **plans[worker.peer])["ms"])
    for worker in workers:
        worker.close()
    return {
        "case": name,
        "model": case["name"],
        "dims": case["dims"],
        "threads": threads,
        "failed": failed,
        "peers": {
            p: {
                "version": loaded[p]["version"],
                "load_ms": loaded[p]["ms"],
                "max_abs_error": errors[p],
                "rounds_ms": times[p],
                **report.summary(times[p]),
            }
            for p in times
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help="file stems in bench/cases (default: all)")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of a peer in a round")
    parser.add_argument("--work", type=Path, default=FOLDER.parent / "build" / "bench")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    peers = options.peers.split(",")

    results, roofs = [], {}
    with tempfile.TemporaryDirectory(dir=options.work) as scratch:
        for threads in map(int, options.threads.split(",")):
            samples = [measure_roof(threads, options.work)]
            for name, case in cases.load(options.cases).items():
                results.append(
                    run_case(
                        name, case, peers, threads, options.rounds, options.runs, Path(scratch)
                    )
                )
                samples.append(measure_roof(threads, options.work))
            roofs[threads] = {k: statistics.median(s[k] for s in samples) for k in samples[0]}
    if options.json:
        options.json.write_text(json.dumps({"roof": roofs, "results": results}, indent=1))
    print(report.table(results, roofs))


if __name__ == "__main__":
    main()
