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
    return "\n".join(lines + aligned(rows))


def best_peer(result, ours="attune"):
    """(name, ratio) of the fastest other runtime; (None, None) without one."""
    peers = [p for p in result["peers"] if p != ours]
    if ours not in result["peers"] or not peers:
        return None, None
    name = min(peers, key=lambda p: result["peers"][p]["median_ms"])
    return name, ratio(result, name, ours)


def floor_ms(result, roof):
    """The best algorithm's arithmetic at 90 % of the multiply-add peak."""
    return result["floor_gflop"] / (0.9 * roof["fma_gflops"]) * 1e3


def cells(result, roof, ours="attune"):
    _, factor = best_peer(result)
    floor = floor_ms(result, roof)
    mine = result["peers"].get(ours)
    row = [result["model"], str(result["dims"]["length"]), str(result["threads"])]
    for peer in (ours, "onnxruntime", "openvino"):
        data = result["peers"].get(peer)
        row.append(f"{data['median_ms']:.2f}" if data else "-")
    row += [f"{factor:.2f}" if factor else "-", f"{result['aim']:g}", f"{floor:.2f}"]
    return row + [f"{mine['median_ms'] / floor:.2f}" if mine else "-"]


def attention_row(result, roof):
    notes = "".join(f"\n    {reason}" for reason in result["failed"].values())
    return " | ".join(cells(result, roof)) + notes


def attention_table(results, roofs):
    """Per row: medians in ms, best peer / ours and what it should be, floor, ours / floor."""
    lines = []
    for threads, roof in roofs.items():
        rows = [r for r in results if r["threads"] == threads]
        factors = [f for f in (best_peer(r)[1] for r in rows) if f]
        mean = statistics.geometric_mean(factors) if factors else float("nan")
        lines.append(
            f"{threads} thread(s), multiply-add peak {roof['fma_gflops']:.0f} GFLOP/s, memory read "
            f"{roof['read_gbs']:.1f} GB/s: geometric mean of best peer / ours {mean:.2f}; "
            f"{sum(f >= 1 for f in factors)} of {len(rows)} rows at least as fast"
        )
    rows = ["block length threads ours ORT OpenVINO best/ours aim floor ours/floor".split()]
    rows += [cells(r, roofs[r["threads"]]) for r in results]
    lines += aligned(rows)
    reasons = dict.fromkeys(f"{r['model']}: {f}" for r in results for f in r["failed"].values())
    return "\n".join([*lines, *reasons])


def cheap_cells(result, peers, ours="attune"):
    _, factor = best_peer(result)
    row = [result["model"], str(result["threads"])]
    for peer in peers:
        data = result["peers"].get(peer)
        row.append(f"{data['median_ms']:.3f}" if data else "-")
    return row + [f"{factor:.2f}" if factor else "-", f"{result['aim']:g}"]


def cheap_row(result, peers):
    notes = "".join(f"\n    {reason}" for reason in result["failed"].values())
    return " | ".join(cheap_cells(result, peers)) + notes


def cheap_table(results, roofs, peers, ours="attune"):
    """Per row: medians in ms, best peer / ours and what it should be; for rows with an `against`, that
    row's time of ours / this one's."""
    lines = [
        f"{threads} thread(s), multiply-add peak {roof['fma_gflops']:.0f} GFLOP/s, memory read "
        f"{roof['read_gbs']:.1f} GB/s"
        for threads, roof in roofs.items()
    ]
    mine = {
        (r["case"], r["threads"]): r["peers"][ours]["median_ms"]
        for r in results
        if ours in r["peers"]
    }
    rows = [["layer", "threads", *peers, "best/ours", "aim", "floats/ours", "aim"]]
    for result in results:
        row = cheap_cells(result, peers)
        factor, aim = "-", "-"
        if result["against"]:
            other, wanted = result["against"]
            keys = [(other, result["threads"]), (result["case"], result["threads"])]
            if all(k in mine for k in keys):
                factor, aim = f"{mine[keys[0]] / mine[keys[1]]:.2f}", f"{wanted:g}"
        rows.append([*row, factor, aim])
    reasons = dict.fromkeys(f"{r['model']}: {f}" for r in results for f in r["failed"].values())
    return "\n".join([*lines, *aligned(rows), *reasons])


def scaling_table(growth):
    """growth: {graph: [(length, ms, bytes)]}"""
    rows = [["graph", "length", "ms", "time(2n)/time(n)", "intermediate MB", "bytes / length"]]
    for graph, points in growth.items():
        before = None
        for length, ms, size in points:
            factor = f"{ms / before:.2f}" if before else "-"
            rows.append([graph, str(length), f"{ms:.2f}", factor])
            rows[-1] += [f"{size / 1e6:.2f}", f"{size / length:.0f}"]
            before = ms
    return "\n".join(aligned(rows))


def aligned(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    rows = [rows[0], ["-" * w for w in widths], *rows[1:]]
    return ["| " + " | ".join(c.ljust(w) for c, w in zip(r, widths)) + " |" for r in rows]
