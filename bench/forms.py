"""Does the compiler take the fastest form? `make bench-forms`, or bench/forms.py --help.

Over a grid of lengths and depths every form of every operator with several forms is compiled and
timed on one thread, and compared with the form that the compiler takes by price. A point decides
where the fastest form is ahead of the next by more than 15 %; there, the choice is right or wrong.
"""

import argparse
import ctypes
import itertools
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "test"))

import attune_ctypes  # noqa: E402

ATTUNE = attune_ctypes.BUILD / "bin" / "attune"
MARGIN, HEADS, STATES = 1.15, 8, 8
LENGTHS, DEPTHS = (16, 48, 96, 160, 320, 640), (16, 32, 64, 128)
PHI = """ {0} {{
  ^bb0(%x{0}: f32):
    %y{0} = math.exp %x{0} : f32
    attune.yield %y{0} : f32
  }}"""


def module(inputs, results, lines):
    """A model of one operator, `%y`, in MLIR."""
    ports = ", ".join(f'%{n}: tensor<{t}> {{attune.name = "{n}"}}' for n, t in inputs.items())
    return (
        f'func.func @main({ports}) -> (tensor<{results}> {{attune.name = "y"}}) {{\n  {lines}\n'
        f"  return %y : tensor<{results}>\n}}\n"
    )


def linear(n, d, attributes, decay=False):
    shape = f"1x{HEADS}x{n}x{d}xf32"
    inputs = dict.fromkeys("qkv", shape)
    gate = ""
    if decay:
        inputs["gate"] = f"1x{HEADS}x{n}xf32"
        gate = f" decay(%gate : tensor<{inputs['gate']}>)"
    line = (
        f"%y = attune.linear_attention ins(%q, %k, %v : tensor<{shape}>, tensor<{shape}>, "
        f"tensor<{shape}>){gate} {{{attributes}}} -> tensor<{shape}>"
    )
    return module(inputs, shape, line + PHI.format("phi_q") + PHI.format("phi_k"))


def average(n, batch, attributes=""):
    shape, coeffs = f"{batch}x{n}x64xf32", f"64x{STATES}xf32"
    types = ", ".join([f"tensor<{coeffs}>"] * 3)
    line = (
        f"%y = attune.ema ins(%x : tensor<{shape}>) coeffs(%a, %b, %c : {types}){attributes} "
        f"-> tensor<{shape}>"
    )
    return module({"x": shape, **dict.fromkeys("abc", coeffs)}, shape, line)


NORM = "norm = #attune.weighting<sum>, eps = 1.0e-6 : f64"
KINDS = {
    "bidirectional": lambda n, d: linear(
        n, d, f"direction = #attune.direction<bidirectional>, {NORM}"
    ),
    "causal": lambda n, d: linear(n, d, NORM),
    "gated": lambda n, d: linear(n, d, "update = #attune.update<gated>", decay=True),
    "average": lambda n, batch: average(n, batch),
    "truncated": lambda n, taps: average(n, 4, f" {{truncation = {taps} : i64}}"),
}
SECOND = {"average": (1, 4, 16, 64), "truncated": (8, 24, 64, 160)}


def grid(options):
    for kind in options.kinds or KINDS:
        for n, d in itertools.product(LENGTHS, SECOND.get(kind, DEPTHS)):
            if kind != "truncated" or d < n:
                yield {"kind": kind, "n": n, "d": d}


def attune(*arguments):
    result = subprocess.run([ATTUNE, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(f"attune {arguments[0]}: {result.stderr.strip()}")
    return result.stdout


def ask(points, work):
    """Gives the points at which there is a choice, with `choice` and `predicted` (milliseconds by
    form)."""
    for point in points:
        path = work / "{kind}-{n}-{d}.mlir".format(**point)
        path.write_text(KINDS[point["kind"]](point["n"], point["d"]))
        decisions = json.loads(attune("explain", path, "--json", "--threads=1"))["decisions"]
        decision = next((d for d in decisions if d["kind"] == "form"), None)
        if not decision:
            continue
        point["choice"] = decision["chosen"]
        point["predicted"] = {a["name"]: a["latency_ms"] for a in decision["alternatives"]}
        yield point


def compile_forms(points, work):
    newest = ATTUNE.stat().st_mtime
    for point in points:
        stem = "{kind}-{n}-{d}".format(**point)
        for form in point["predicted"]:
            artifact = work / f"{stem}.{form}.so"
            if not artifact.exists() or artifact.stat().st_mtime < newest:
                attune("compile", work / f"{stem}.mlir", "-o", artifact, f"--form={form}")


def inputs_of(session):
    rng = np.random.default_rng(0)
    for port in session.inputs:
        shape, name = port.shape[: port.rank], port.name.decode()
        values = rng.uniform(0, 1, shape).astype(np.float32)
        # Gates are logarithms.
        yield name, -values if name == "gate" else values * 0.5


def measure(points, work, seconds):
    """Adds `measured` (milliseconds by form): forms of a point take turns, and so do points."""
    runs = []
    for point in points:
        stem = "{kind}-{n}-{d}".format(**point)
        point["measured"] = {}
        for form in point["predicted"]:
            session = attune_ctypes.Session(work / f"{stem}.{form}.so", threads=1)
            runs.append((point, form, session.bind(dict(inputs_of(session))), []))
    stop = time.monotonic() + seconds
    for round_ in itertools.count():
        for _, _, bound, sample in runs:
            begin = time.monotonic()
            for _ in range(50):
                sample.append(once(bound))
                if time.monotonic() - begin > 0.004:
                    break
        if time.monotonic() > stop and round_ >= 2:
            break
    for point, form, _, sample in runs:
        # What else runs only takes away.
        point["measured"][form] = 1e3 * float(np.quantile(sample, 0.1))


def once(bound):
    profile = attune_ctypes.Profile(size=ctypes.sizeof(attune_ctypes.Profile))
    bound.args.profile = ctypes.cast(ctypes.byref(profile), ctypes.c_void_p)
    bound.run()
    bound.args.profile = None
    return profile.total_ns * 1e-9


def verdict(point):
    """(decides, right, loss): loss is what the choice takes over the fastest."""
    times = sorted(point["measured"].values())
    loss = point["measured"][point["choice"]] / times[0]
    decides = times[1] > MARGIN * times[0] or loss > MARGIN
    return decides, loss <= MARGIN, loss


def report(points):
    print("kind              n    d  choice      loss  measured | predicted, ms")
    for point in points:
        decides, right, loss = verdict(point)
        mark = "" if not decides else "right" if right else "WRONG"
        both = (
            " ".join(f"{form}={value:.4f}" for form, value in point[key].items())
            for key in ("measured", "predicted")
        )
        print(
            f"{point['kind']:14}{point['n']:5}{point['d']:5}  {point['choice']:10}"
            f"{loss:6.2f}  {' | '.join(both)}  {mark}"
        )
    for kind in [*dict.fromkeys(p["kind"] for p in points), "all"]:
        some = [verdict(p) for p in points if kind in ("all", p["kind"])]
        deciding = [right for decides, right, _ in some if decides]
        share = 100 * statistics.fmean(deciding) if deciding else 100
        lost = math.exp(statistics.fmean(math.log(loss) for *_, loss in some))
        print(
            f"{kind:14} right {share:5.1f} % of {len(deciding)} that decide ({len(some)} in all), "
            f"{lost:.3f} times the fastest on average"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)} (default: all)")
    parser.add_argument("--seconds", type=float, default=30, help="to measure, about")
    parser.add_argument("--work", type=Path, default=FOLDER.parent / "build" / "bench" / "forms")
    parser.add_argument("--prepare", action="store_true", help="only predict and compile")
    parser.add_argument("--measured", type=Path, help="measurements of before instead of new ones")
    parser.add_argument("--json", type=Path, help="write everything to this file")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    points = list(ask(grid(options), options.work))
    if options.measured:
        known = {(p["kind"], p["n"], p["d"]): p for p in json.loads(options.measured.read_text())}
        for point in points:
            point["measured"] = known[point["kind"], point["n"], point["d"]]["measured"]
    else:
        compile_forms(points, options.work)
        if options.prepare:
            return
        measure(points, options.work, options.seconds)
    if options.json:
        options.json.write_text(json.dumps(points, indent=1))
    report(points)


if __name__ == "__main__":
    main()
