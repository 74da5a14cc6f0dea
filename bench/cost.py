"""Predictions of the cost model against measurements: `make bench-cost`, or bench/cost.py --help.

Models that calibration has not seen (cost_models.json), at several sizes, on 1 and 2 threads: every
kernel call and every whole model, predicted by `attune cost` and measured through the runtime's
profile. Two baselines predict the same: time in proportion to operations, and a roofline of the
measured peak and memory bandwidth; each gets the factor that suits it best on these very models,
and so do our predictions in a row of their own. Another row has them at the speed of the
calibration: each times what `attune calibrate --check` said around the measurement of its model.
"""

import argparse
import ctypes
import itertools
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "test"))
sys.path.insert(0, str(FOLDER))

import attune_ctypes  # noqa: E402
import heldout  # noqa: E402

ATTUNE = attune_ctypes.BUILD / "bin" / "attune"


class Step(ctypes.Structure):
    _fields_ = [("kind", ctypes.c_uint32), ("kernel", ctypes.c_uint32)]
    _fields_ += [(n, ctypes.c_uint64) for n in ("start_ns", "stop_ns")]
    _fields_ += [(n, ctypes.c_int64) for n in ("flops", "bytes")]


def attune(*arguments):
    result = subprocess.run([ATTUNE, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"attune {arguments[0]}: {result.stderr.strip()}")
    return result.stdout


def prepare(options):
    """Predictions of all cases, and artifacts to measure."""
    rows = []
    for name, path, _, sizes in heldout.models(options.work, options.names):
        artifact = path.with_suffix(".so")
        needed = not options.measured
        if needed and (not artifact.exists() or artifact.stat().st_mtime < ATTUNE.stat().st_mtime):
            attune("compile", path, "-o", artifact)
        for dims in sizes:
            for threads in options.threads:
                flags = [f"--dim={k}={v}" for k, v in dims.items()]
                predicted = json.loads(
                    attune("cost", path, "--json", f"--threads={threads}", *flags)
                )
                row = {"name": name, "dims": dims, "threads": threads, "artifact": str(artifact)}
                rows.append({**row, "predicted": predicted})
        print(f"predicted {name}", file=sys.stderr, flush=True)
    return rows


def kernel_seconds(bound, count):
    """Seconds of one run and of each of its kernel calls."""
    steps = (Step * count)()
    profile = attune_ctypes.Profile(
        size=ctypes.sizeof(attune_ctypes.Profile),
        step_size=ctypes.sizeof(Step),
        step_capacity=count,
        steps=ctypes.cast(steps, ctypes.c_void_p),
    )
    bound.args.profile = ctypes.cast(ctypes.byref(profile), ctypes.c_void_p)
    bound.run()
    bound.args.profile = None
    done = steps[: profile.step_count]
    calls = [(s.stop_ns - s.start_ns) * 1e-9 for s in done if s.kind == 0]
    return profile.total_ns * 1e-9, calls


def reference_ms():
    """What the reference of the calibration takes now, by threads; nothing if there is none."""
    check = subprocess.run(
        [ATTUNE, "calibrate", "--check", "--json"], capture_output=True, text=True
    )
    if check.returncode:
        return {}
    reference = json.loads(check.stdout)["reference"]
    return {r["threads"]: r["ms"] for r in reference}


def measure(rows, options):
    """Adds `measured` (seconds) and `calls`: medians, and `reference_ms` around them. Rounds go
    over all cases, so that a slow phase of the machine hits all of them alike."""
    feeds = {name: make for name, _, make, _ in heldout.models(options.work, options.names)}
    bounds = []
    for row in rows:
        session = attune_ctypes.Session(row["artifact"], threads=row["threads"])
        bounds.append(session.bind(feeds[row["name"]](np.random.default_rng(0), **row["dims"])))
    cases = [(row, bound, [], []) for row, bound in zip(rows, bounds)]
    stop = time.monotonic() + options.seconds
    for round_ in range(options.rounds):
        before = reference_ms()
        for _, model in itertools.groupby(cases, key=lambda case: case[0]["name"]):
            model = list(model)
            for row, bound, sample, _ in model:
                many = len(row["predicted"]["kernels"]) * 4 + 64
                kernel_seconds(bound, many)  # caches hold what the case before left
                begin = time.monotonic()
                while True:
                    sample.append(kernel_seconds(bound, many))
                    if time.monotonic() - begin > 0.04:
                        break
            after = reference_ms()
            for row, _, _, references in model:
                around = [r[row["threads"]] for r in (before, after) if row["threads"] in r]
                if around:
                    references.append(statistics.fmean(around))
            before = after
        if time.monotonic() > stop and round_ >= 2:
            break
    for row, _, sample, references in cases:
        row["measured"] = statistics.median(total for total, _ in sample)
        row["calls"] = [statistics.median(times) for times in zip(*(calls for _, calls in sample))]
        row["reference_ms"] = statistics.median(references) if references else None


def covered(rows, confidence):
    """Percentage of models that take at most what the prediction and its sigma allow."""
    z = statistics.NormalDist().inv_cdf(confidence)
    bounds = ((r["predicted"]["latency_ms"], r["predicted"]["sigma"], r["measured"]) for r in rows)
    return 100 * statistics.fmean(m * 1e3 <= p * (1 + z * sigma) for p, sigma, m in bounds)


def mape(pairs):
    return 100 * statistics.fmean(abs(p / m - 1) for p, m in pairs)


def within(pairs, part):
    return 100 * statistics.fmean(abs(p / m - 1) <= part for p, m in pairs)


def kendall(pairs):
    """tau-a; ties count as neither."""
    agree = total = 0
    for i, (p, m) in enumerate(pairs):
        for q, n in pairs[:i]:
            agree += (p > q) * (m > n) + (p < q) * (m < n) - (p > q) * (m < n) - (p < q) * (m > n)
            total += 1
    return agree / total if total else float("nan")


def scaled(pairs):
    """With the factor that gives the least MAPE: a weighted median."""
    ratios = sorted((m / p, p / m) for p, m in pairs if p > 0)
    half = sum(w for _, w in ratios) / 2
    for ratio, weight in ratios:
        half -= weight
        if half <= 0:
            return [(p * ratio, m) for p, m in pairs]
    return pairs


def predictions(rows, calibration):
    """Pairs (predicted, measured) of whole models, by method."""
    rates = calibration["operations_per_second"]["fma"]
    memory = next(x for x in calibration["levels"] if x["name"] == "DRAM")["bandwidth"]
    flops, roofline, ours = [], [], []
    for row in rows:
        threads, cost = row["threads"], row["predicted"]
        bandwidth = memory[min(threads, len(memory)) - 1]
        ours.append((cost["latency_ms"] / 1e3, row["measured"]))
        flops.append((cost["flops"] / threads, row["measured"]))
        times = (max(k["flops"] / rates / threads, k["bytes"] / bandwidth) for k in cost["kernels"])
        roofline.append((sum(times), row["measured"]))
    methods = {"attune": ours, "attune, scaled": scaled(ours)}
    if all(row["speed"] for row in rows):
        methods["attune, at the speed of the calibration"] = [
            (p * row["speed"], m) for (p, m), row in zip(ours, rows)
        ]
    return {**methods, "operations": scaled(flops), "roofline": scaled(roofline)}


def kernels(rows, at_speed=False):
    """Pairs (predicted, measured) of kernel calls, by emitter."""
    pairs = {}
    for row in rows:
        factor = row["speed"] if at_speed else 1
        for kernel, seconds in zip(row["predicted"]["kernels"], row["calls"]):
            pair = (kernel["latency_ms"] / 1e3 * factor, max(seconds, 1e-9))
            pairs.setdefault(kernel["emitter"], []).append(pair)
    return pairs


def report_kernels(rows):
    by_emitter = kernels(rows)
    every = [pair for pairs in by_emitter.values() for pair in pairs]
    print(f"  kernels: {within(every, 0.2):.0f} % of {len(every)} within 20 %", end="")
    long = [pair for pair in every if pair[1] >= 2e-5]
    if long:
        print(f", of those of 20 us and more {within(long, 0.2):.0f} % of {len(long)}", end="")
    print()
    if all(row["speed"] for row in rows):
        speeds = sorted(row["speed"] for row in rows)
        same = [pair for pairs in kernels(rows, at_speed=True).values() for pair in pairs]
        print(
            f"    at the speed of the calibration {within(same, 0.2):.0f} %; the machine took"
            f" {speeds[0]:.2f} to {speeds[-1]:.2f} times as long as when it was calibrated,"
            f" median {statistics.median(speeds):.2f}"
        )
    for emitter, pairs in sorted(by_emitter.items()):
        print(
            f"    {emitter:18}{len(pairs):5}  within 20 % {within(pairs, 0.2):4.0f} %,"
            f" median ratio {statistics.median(p / m for p, m in pairs):.2f}"
        )


def add_speed(rows, calibration):
    """`speed`: how many times as long as when it was calibrated the machine took for a row."""
    usual = {r["threads"]: r["seconds"] * 1e3 for r in calibration.get("reference", [])}
    for row in rows:
        now, before = row["reference_ms"], usual.get(row["threads"])
        row["speed"] = now / before if now and before else None


def report(rows, calibration):
    print("model                                     threads  measured  predicted   error")
    for row in rows:
        dims = "x".join(map(str, row["dims"].values()))
        predicted, measured = row["predicted"]["latency_ms"], row["measured"] * 1e3
        print(
            f"{row['name'] + ' ' + dims:42}{row['threads']:6}{measured:11.3f}{predicted:11.3f}"
            f"{100 * (predicted / measured - 1):+8.1f} %"
        )
    verdicts = {}
    for threads in sorted({r["threads"] for r in rows}):
        some = [r for r in rows if r["threads"] == threads]
        print(f"\n{f'{threads} thread(s)':41}  MAPE   Kendall tau   within 20 %")
        for method, pairs in predictions(some, calibration).items():
            print(
                f"  {method:39}{mape(pairs):6.1f} %{kendall(pairs):10.3f}{within(pairs, 0.2):13.0f} %"
            )
            verdicts[method, threads] = mape(pairs)
        print(f"  within the bound of 90 % confidence: {covered(some, 0.9):.0f} %")
        report_kernels(some)
    for (method, threads), error in verdicts.items():
        if method.startswith("attune"):
            continue
        plain, factor = (error / verdicts[name, threads] for name in ("attune", "attune, scaled"))
        print(
            f"{threads} thread(s): {plain:.1f}x better than by {method},"
            f" {factor:.1f}x with a factor that suits these measurements, too"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of models (default: all)")
    parser.add_argument("--threads", type=lambda s: [int(x) for x in s.split(",")], default=[1, 2])
    parser.add_argument("--seconds", type=float, default=150, help="to measure, about")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--work", type=Path, default=FOLDER.parent / "build" / "bench" / "cost")
    parser.add_argument("--prepare", action="store_true", help="only predict and compile")
    parser.add_argument("--measured", type=Path, help="measurements of before instead of new ones")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    rows = prepare(options)
    source = rows[0]["predicted"]["calibration"]
    if not source:
        raise SystemExit("this machine is not calibrated: run `attune calibrate` first")
    if options.prepare:
        return
    if options.measured:
        known = {
            (r["name"], str(r["dims"]), r["threads"]): r
            for r in json.loads(options.measured.read_text())
        }
        for row in rows:
            old = known[row["name"], str(row["dims"]), row["threads"]]
            row |= {
                "measured": old["measured"],
                "calls": old["calls"],
                "reference_ms": old.get("reference_ms"),
            }
    else:
        measure(rows, options)
    if options.json:
        options.json.write_text(json.dumps(rows))
    calibration = json.loads(Path(source).read_text())
    add_speed(rows, calibration)
    report(rows, calibration)


if __name__ == "__main__":
    main()
