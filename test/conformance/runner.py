"""Runs ONNX's backend test suite through the compiler and keeps count.

    runner.py [--family NAME]... [--match REGEX] [--jobs N] [--update]

Every case is compiled by `attune compile` and run through the runtime; results must have the exact
type and shape, and the values within the case's tolerance. `expected/<family>.txt` names the cases
that are refused, by reason; a listed case that passes and another one that does not are both
failures, so that counts never fall. `--update` rewrites those files from what the run found; a wrong
result or a crash is never written.
"""

import argparse
import collections
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import onnx

import expectations
import suite
from attune_cli import ATTUNE
from attune_ctypes import RuntimeFault, Session

LIMIT_S = 300


class Refused(Exception):
    """The compiler does not take the model, and says so."""


class Wrong(Exception):
    """Something that must never happen: another result, a crash, an internal error."""


def compare(got, want, case):
    if not isinstance(want, np.ndarray | np.generic):
        raise Wrong(f"a tensor where the suite has {type(want).__name__}")
    want = np.asarray(want)
    if got.dtype != want.dtype or got.shape != want.shape:
        raise Wrong(f"{got.dtype}{list(got.shape)}, not {want.dtype}{list(want.shape)}")
    if want.dtype.kind not in "fcV":  # V: the types of ml_dtypes
        differing = int(np.count_nonzero(got != want))
        if differing:
            raise Wrong(f"{differing} of {want.size} elements differ")
        return
    # The suite's own measure: two units in the last place of bfloat16.
    rtol = max(case.rtol, 2**-6) if want.dtype.name == "bfloat16" else case.rtol
    if want.dtype.kind != "c":
        got, want = got.astype(np.float64), want.astype(np.float64)
    close = np.isclose(got, want, rtol=rtol, atol=case.atol, equal_nan=True)
    if not close.all():
        with np.errstate(invalid="ignore"):
            gap = np.nanmax(np.abs(got - want))
        raise Wrong(f"{int((~close).sum())} of {want.size} elements differ, by at most {gap:.3g}")


def check(case, folder):
    model = case.model()
    path, artifact = folder / "model.onnx", folder / "model.so"
    onnx.save(model, path)
    done = subprocess.run(
        [ATTUNE, "compile", path, "-o", artifact],
        capture_output=True,
        text=True,
        errors="replace",
    )
    message = " ".join(done.stderr.split())
    if done.returncode == 1 and "unsupported: " in message:
        raise Refused(message.partition("unsupported: ")[2])
    if done.returncode:
        raise Wrong(f"attune compile: exit {done.returncode}: {message[-300:]}")
    session = Session(artifact, threads=1)
    names = [v.name for v in suite.inputs_of(model)]
    for inputs, outputs in case.data_sets(model):
        try:
            results = session.run(dict(zip(names, map(np.asarray, inputs))))
        except RuntimeFault as error:
            raise Wrong(f"run: {error}") from error
        for info, want in zip(model.graph.output, outputs, strict=True):
            compare(results[info.name], want, case)
    session.close()


def attempt(case, folder):
    """("pass" | "refused" | "wrong", message)."""
    try:
        check(case, folder)
    except Refused as error:
        return "refused", str(error)
    except Wrong as error:
        return "wrong", str(error)
    except Exception as error:
        return "wrong", f"{type(error).__name__}: {error}"
    return "pass", ""


def work(cases, pipe, folder):
    while (position := pipe.recv()) is not None:
        signal.alarm(LIMIT_S)  # whoever hangs is killed
        pipe.send(attempt(cases[position], folder))


class Worker:
    """A forked process, so that a crash costs one case."""

    def __init__(self, cases, folder):
        self.case, self.cases, self.folder = None, cases, folder
        folder.mkdir(exist_ok=True)
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(cases, theirs, folder), daemon=True)
        self.process.start()
        theirs.close()

    def give(self, position):
        self.case = position
        self.pipe.send(position)

    def answer(self):
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.__init__(self.cases, self.folder)
            return "wrong", f"the process running the model ended with {code}"


def run(cases, jobs):
    """One outcome for every case."""
    outcomes = [None] * len(cases)
    order = iter(range(len(cases)))
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(cases, Path(folder, str(i))) for i in range(jobs)]
        busy = {}
        for worker in workers:
            if (position := next(order, None)) is not None:
                worker.give(position)
                busy[worker.pipe] = worker
        while busy:
            for pipe in wait(list(busy)):
                worker = busy.pop(pipe)
                position = worker.case
                outcomes[position] = worker.answer()
                if (following := next(order, None)) is not None:
                    worker.give(following)
                    busy[worker.pipe] = worker
        for worker in workers:
            worker.pipe.send(None)
            worker.process.join()
    return outcomes


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", action="append", choices=suite.FAMILIES)
    parser.add_argument("--match", default="", help="regular expression on the case's name")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--update", action="store_true", help="rewrite the lists of refusals")
    args = parser.parse_args()
    families = args.family or suite.FAMILIES
    cases = [c for c in suite.load() if c.family in families and re.search(args.match, c.name)]
    start = time.monotonic()
    outcomes = run(cases, args.jobs)

    known = {family: expectations.read(family) for family in families}
    failures = 0
    counts = collections.defaultdict(collections.Counter)
    for case, (outcome, message) in zip(cases, outcomes):
        counts[case.family][outcome] += 1
        listed = case.name in known[case.family]
        failed = outcome == "wrong" or (not args.update and (outcome == "pass") == listed)
        failures += failed
        if outcome == "pass" and failed:
            message = "passes, but is listed as refused: take it off the list"
        if failed:
            print(f"FAIL {case.family}/{case.name}: {message}")
    if args.update:
        for family in families:
            found = [(c, m) for c, (o, m) in zip(cases, outcomes) if c.family == family]
            refused = {
                c.name: m for c, m in found if m and outcomes[cases.index(c)][0] == "refused"
            }
            ran = {c.name for c, _ in found}
            expectations.write(family, known[family], refused, ran)
    for family, count in counts.items():
        print(f"{family:20}" + ", ".join(f"{count[o]} {o}" for o in ("pass", "refused", "wrong")))
    total = sum(counts.values(), collections.Counter())
    seconds = time.monotonic() - start
    print(f"{total['pass']} passed, {len(cases) - total['pass']} failed ({seconds:.0f} s)")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
