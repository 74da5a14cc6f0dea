"""Which exported blocks are raised, and why the others are not.

    ATTUNE_BUILD=build PYTHONPATH=test .venv/bin/python test/zoo/status.py [--write] [part of a name...]

One line for each graph that falls short of what is wanted, with the compiler's reasons; --write
puts what is reached into reached.txt.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import wanted
import zoo


def reached(graph):
    try:
        return zoo.raised(graph.path)
    except AssertionError as error:
        return f"FAILED: {str(error).splitlines()[-1][:200]}"


def main(arguments):
    parts = [a for a in arguments if a != "--write"]
    graphs = [g for g in zoo.GRAPHS if not parts or any(p in g.id for p in parts)]
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(graphs, pool.map(reached, graphs)))
    short = [g for g in graphs if found[g] != wanted.wanted(g)]
    print(f"{len(graphs) - len(short)} of {len(graphs)} raised as wanted\n")
    if "--write" in arguments and not parts:
        wanted.write(found)
    if "--write" in arguments:
        return
    for graph in short:
        print(f"{graph.id}: {found[graph]}, wanted {wanted.wanted(graph)}")
        try:
            reasons = zoo.refusals(graph.path)
        except AssertionError as error:
            reasons = [str(error).splitlines()[-1][:200]]
        for reason in sorted(set(reasons)):
            print(f"    {reason}")


if __name__ == "__main__":
    main(sys.argv[1:])
