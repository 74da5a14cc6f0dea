"""Kernels and models on an NVIDIA GPU against PyTorch's: `make bench-gpu`, or bench/gpu.py --help.

Inputs and results stay on the device. Results are compared before anything is timed; then come
rounds in which all take turns, and every run ends with a wait for the device. Rates are those of the
arithmetic that the case asks for, beside what the tensor cores, or copies, of this GPU reach in the
same call (gpu_roof.py). Without a GPU nothing is measured; `--interpreter` runs the same on tiny
sizes on the PTX interpreter, for a look at results and instruction counts.
"""

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import gpu_cases
import gpu_roof
import numpy as np
import onnx
from gpu_peers import PEERS
from onnx import numpy_helper
from report import aligned

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "test" / "gpu"))
import attune_ctypes  # noqa: E402
from device import DeviceArray, driver  # noqa: E402

ROUND = 0.05  # seconds of a contender's turn
MAJOR, PROCESSORS = 75, 16  # attributes of a device
WEIGHTS = ("weight_", "bias_", "tokens_", "positions_")
NO_GPU = "bench-gpu: skipped, there is no NVIDIA GPU"


class Gpu:
    """The device, its architecture and what it can do."""

    def __init__(self, interpreter):
        self.driver, self.interpreter = driver(), interpreter
        self.arch = "sm_90a" if self.attribute(MAJOR) == 9 else "sm_80"
        name = ctypes.create_string_buffer(256)
        self.driver("cuDeviceGetName", name, 256, 0)
        self.name = name.value.decode()
        blocks, count, repeats = self.attribute(PROCESSORS) * 2, 20000, 7
        nbytes = 1 << 29
        if interpreter:
            blocks, count, repeats, nbytes = 1, 2, 1, 1 << 16
        self.flops = gpu_roof.products(self.driver, self.arch, blocks, count, repeats)
        self.bytes = gpu_roof.copies(self.driver, nbytes, repeats)

    def attribute(self, number):
        value = ctypes.c_int()
        self.driver("cuDeviceGetAttribute", ctypes.byref(value), number, 0)
        return value.value


def import_torch(interpreter):
    """PyTorch where it can take part; on the interpreter its results alone, from the CPU."""
    try:
        import torch
    except ImportError:
        return None
    return torch if interpreter or torch.cuda.is_available() else None


def compiled(case, work, *flags):
    name = "_".join([*case.name.replace("/", " ").split(), *(f[2:] for f in flags)])
    onnx.save(case.model, work / f"{name}.onnx")
    command = [attune_ctypes.BUILD / "bin" / "attune", "compile", work / f"{name}.onnx",
               "-o", work / f"{name}.so", *flags]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{case.name}: {done.stderr.strip()}")
    return attune_ctypes.Session(work / f"{name}.so")


class Attune:
    name = "attune"

    def __init__(self, case, gpu, work):
        self.session = compiled(case, work, "--target=cuda", f"--gpu={gpu.arch}")
        inputs = {n: DeviceArray(x) for n, x in case.feeds.items()}
        shapes = self.session.run(inputs)
        self.results = {n: DeviceArray(np.zeros_like(x)) for n, x in shapes.items()}
        self.bound = self.session.bind(inputs, self.results)
        self.bound.run()

    def run(self):
        status = attune_ctypes.api().session_run(self.session.handle, ctypes.byref(self.bound.args))
        assert not status

    def outputs(self):
        return [x.read() for x in self.results.values()]

    def close(self):
        self.session.close()


class Peer:
    def __init__(self, name, torch, function):
        self.name, self.torch, self.function = name, torch, function
        self.wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
        self.result = function()
        self.wait()

    def run(self):
        self.function()
        self.wait()

    def outputs(self):
        results = self.result if isinstance(self.result, tuple) else [self.result]
        return [x.cpu().numpy() for x in results]

    def close(self):
        pass


def peers_of(case, torch):
    """Those that work, and why the others do not."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = {n: torch.from_numpy(x).to(device) for n, x in case.feeds.items()}
    weights = [
        torch.from_numpy(numpy_helper.to_array(w).copy()).to(device)
        for w in case.model.graph.initializer
        if w.name.rsplit("/", 1)[-1].startswith(WEIGHTS)
    ]
    working, failed = [], []
    with torch.no_grad():
        for name, function in PEERS[case.peer](torch, tensors, weights, case.options).items():
            try:
                working.append(Peer(name, torch, function))
            except Exception as error:  # what a version or device lacks, in its own words
                failed.append(f"{name}: {str(error).splitlines()[0]}")
    return working, failed


def gap(got, want):
    """Largest difference, relative to the largest result."""
    worst = 0.0
    for x, y in zip(got, want, strict=True):
        x, y = x.astype(np.float32), y.astype(np.float32)
        difference = np.abs(x - y).max(initial=0) / np.abs(y).max(initial=1)
        worst = max(worst, float("inf") if np.isnan(difference) else float(difference))
    return worst


def timed(contenders, rounds):
    """Medians of the rounds, in seconds, by name."""
    times = {c.name: [] for c in contenders}
    for number in range(rounds):
        for contender in (
            contenders[number % len(contenders) :] + contenders[: number % len(contenders)]
        ):
            contender.run()
            turn, end = [], time.perf_counter() + ROUND
            while len(turn) < 3 or time.perf_counter() < end:
                start = time.perf_counter()
                contender.run()
                turn.append(time.perf_counter() - start)
            times[contender.name].append(statistics.median(turn))
    return times


def counted(contender):
    """Launches, warp instructions and those of them on tensor cores, of one call."""
    with tempfile.NamedTemporaryFile() as file:
        os.environ["ATTUNE_PTX_REPORT"] = file.name
        contender.run()
        del os.environ["ATTUNE_PTX_REPORT"]
        launches = [json.loads(line) for line in Path(file.name).read_text().splitlines()]
    of = lambda key: sum(launch.get(key, 0) for launch in launches)  # noqa: E731
    products = of("opcode:mma") + of("opcode:wgmma")
    return {"launches": len(launches), "instructions": of("instructions"), "products": products}


def measure(case, gpu, torch, rounds, work):
    contenders = [Attune(case, gpu, work)]
    peers, failed = peers_of(case, torch) if torch else ([], [])
    reference = peers[0].outputs() if peers else None
    if gpu.interpreter:
        host = compiled(case, work)
        reference = list(host.run(case.feeds).values())
        host.close()
    contenders += peers
    result = {"case": case.name, "flops": case.flops, "bytes": case.bytes, "failed": failed}
    if reference:
        result["errors"] = {c.name: gap(c.outputs(), reference) for c in contenders}
        wrong = {n: e for n, e in result["errors"].items() if not e <= case.tolerance}
        result["failed"] += [f"{n}: differs by {e:.3g}" for n, e in wrong.items()]
        result["right"] = "attune" not in wrong
        contenders = [c for c in contenders if c.name not in wrong]
    if gpu.interpreter:
        result["counts"] = counted(contenders[0]) if contenders else {}
    elif contenders:
        with torch.no_grad() if torch else contextlib.nullcontext():
            result["seconds"] = timed(contenders, rounds)
    for contender in contenders:
        contender.close()
    return result


def rows_of(result, gpu):
    """case, contender, ms, rate, share of the roof, time / ours, error"""
    ours = result.get("seconds", {}).get("attune")
    for name, times in result.get("seconds", {}).items():
        seconds = statistics.median(times)
        rate, share = "-", "-"
        if result["flops"]:
            achieved = result["flops"] / seconds
            rate, share = f"{achieved / 1e12:.1f} TFLOP/s", f"{achieved / gpu.flops:.0%}"
        elif result["bytes"]:
            achieved = result["bytes"] / seconds
            rate, share = f"{achieved / 1e9:.0f} GB/s", f"{achieved / gpu.bytes:.0%}"
        factor = statistics.median(t / o for t, o in zip(times, ours)) if ours else None
        error = result.get("errors", {}).get(name)
        yield [result["case"], name, f"{seconds * 1e3:.3f}", rate, share,
               f"{factor:.2f}" if factor else "-", "-" if error is None else f"{error:.1e}"]  # fmt: skip


def show(results, gpu):
    if gpu.interpreter:
        print("interpreted: no GPU, so no times; counts are of one call")
        rows = [["case", "launches", "warp instructions", "on tensor cores", "error"]]
        for r in results:
            counts = r["counts"]
            if counts:
                rows.append([r["case"], str(counts["launches"]), str(counts["instructions"]),
                             str(counts["products"]), f"{r['errors']['attune']:.1e}"])  # fmt: skip
    else:
        print(f"{gpu.name}: tensor cores {gpu.flops / 1e12:.0f} TFLOP/s (f16, measured), "
              f"copies {gpu.bytes / 1e9:.0f} GB/s (measured)")  # fmt: skip
        rows = [["case", "who", "median ms", "rate", "of roof", "time / attune", "error"]]
        rows += [row for r in results for row in rows_of(r, gpu)]
    print("\n".join(aligned(rows)))
    for r in results:
        for reason in r["failed"]:
            print(f"{r['case']}: left out: {reason}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of cases (default: all)")
    parser.add_argument("--interpreter", action="store_true", help="tiny sizes, no GPU, no times")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=7, help="no case starts after that")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    if options.interpreter:
        library = attune_ctypes.BUILD / "lib" / "libattune_ptxemu.so"
        os.environ["ATTUNE_CUDA_DRIVER"] = str(library)
    start, results, wrong = time.monotonic(), [], False
    try:
        gpu = Gpu(options.interpreter)
    except (OSError, AssertionError) as error:
        print(f"{NO_GPU} ({error})")
        return 0
    torch = import_torch(options.interpreter)
    if not torch:
        print("bench-gpu: no PyTorch with CUDA in this Python: nothing to compare with")
    with tempfile.TemporaryDirectory() as work:
        for case in gpu_cases.cases(tiny=options.interpreter):
            if options.names and not any(n in case.name for n in options.names):
                continue
            if time.monotonic() - start > options.minutes * 60:
                print(f"{case.name}: left out, {options.minutes:g} minutes are over")
                continue
            results.append(measure(case, gpu, torch, options.rounds, Path(work)))
            wrong |= not results[-1].get("right", True)
    show(results, gpu)
    if options.json:
        options.json.write_text(json.dumps({"gpu": gpu.name, "arch": gpu.arch, "roof_flops": gpu.flops,
                                            "roof_bytes": gpu.bytes, "results": results}))  # fmt: skip
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
