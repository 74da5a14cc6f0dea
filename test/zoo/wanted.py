"""What should be raised from each block, and what is: the one table of expectations.

WANTED is the aim. `reached.txt` has a line for each block where less is reached today, with what
is (and with the style of the exporter where styles differ); the tests check it exactly, so that a
better raise shows as a failure: `python test/zoo/status.py --write` writes the file anew.
"""

from pathlib import Path

FILE = Path(__file__).with_name("reached.txt")

ONE, TWO, LINEAR = "attention", "2 attention", "linear_attention"
# So few taps cost less than a recurrence.
TAPS = "toeplitz"

WANTED = {
    "softmax": ONE,
    "linear": LINEAR,
    "cosformer": LINEAR,
    "momentum": LINEAR,
    "luna": TWO,
    "luna/causal": "2 linear_attention",
    "luna/causal_quadratic": "2 linear_attention",
    "couplformer": TWO,
    "ema": "ema",
    "ema/convolution": TAPS,
    "mega": f"{ONE} + {TAPS}",
    "mega/fft": f"{ONE} + ema",
    "mega/chunked_fft": f"{ONE} + ema",
    "rpe": LINEAR,
    "vicinity": LINEAR,
    "evolving": "2 attention + map_mix",
    "eit": "attention + map_mix",
    "sret": ONE,
    "sret/recursive": TWO,
    # Products and convolutions of floats, whose weights are then found to be powers of two.
    "shift": "none",
    "shift/integers": "contract",
    "shift/integers_wide": "contract",
    # Convolutions, or sums of products in windows.
    "lightconv": "none",
    "lightconv/add": "contract",
    "lightconv/add_causal": "contract",
    "lightconv/add_unfold": "contract",
}


def wanted(graph):
    return WANTED.get(graph.name) or WANTED[graph.name.partition("/")[0]]


def read():
    """reached.txt: {system/spelling or system/spelling-style: ops}"""
    lines = [line.split("|") for line in FILE.read_text().splitlines()]
    return {name.strip(): ops.strip() for name, ops in lines}


def expected(graph, table):
    return table.get(graph.id) or table.get(graph.name) or wanted(graph)


def write(found):
    """found: {graph: ops}"""
    lines = []
    for name in sorted({g.name for g in found}):
        graphs = [g for g in found if g.name == name]
        short = {g.id: found[g] for g in graphs if found[g] != wanted(g)}
        if len(short) == len(graphs) and len(set(short.values())) == 1:
            short = {name: next(iter(short.values()))}
        lines += [f"{key} | {ops}" for key, ops in sorted(short.items())]
    FILE.write_text("".join(line + "\n" for line in lines))
