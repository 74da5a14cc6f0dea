"""Turns measured rounds into numbers and a table."""

import statistics


def summary(rounds):
    """Median over all runs, and the spread of the rounds' medians as a fraction of it."""
    flat = sorted(t for r in rounds for t in r)
    medians = sorted(statistics.median(r) for r in rounds)
    median = statistics.median(flat)
    return {
        "median_ms": median,
        "p10_ms": flat[len(flat) // 10],
        "p90_ms": flat[len(flat) * 9 // 10],
        "spread": (medians[len(medians) * 9 // 10] - medians[len(medians) // 10]) / median,
    }


def ratio(result, peer, ours):
    """Median over rounds of peer / ours: above 1, ours is faster."""
    pairs = zip(result["peers"][peer]["rounds_ms"], result["peers"][ours]["rounds_ms"])
    return statistics.median(statistics.median(p) / statistics.median(o) for p, o in pairs)


def table(results, roofs, ours="attune"):
    lines = []
    for threads, roof in roofs.items():
        lines.append(
            f"machine, {threads} thread(s): multiply-add peak {roof['fma_gflops']:.0f} GFLOP/s, "
            f"L1 micro-kernel {roof['kernel_gflops']:.0f} GFLOP/s, memory read {roof['read_gbs']:.1f} GB/s"
        )
    header = [
        "model",
        "dims",
        "threads",
        "runtime",
        "median ms",
        "p10",
        "p90",
        "spread",
        "max error",
    ]
    rows = [header + [f"time / {ours}"]]
    for result in results:
        dims = "x".join(str(d) for d in result["dims"].values())
        for peer, data in result["peers"].items():
            factor = f"{ratio(result, peer, ours):.2f}" if ours in result["peers"] else "-"
            rows.append(
                [result["model"], dims, str(result["threads"]), f"{peer} {data['version']}"]
                + [f"{data[k]:.2f}" for k in ("median_ms", "p10_ms", "p90_ms")]
                + [f"{data['spread']:.0%}", f"{data['max_abs_error']:.1e}", factor]
            )
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * w for w in widths])
    lines += ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in rows]
    return "\n".join(lines)
