"""The searches of this experiment on both tables, the checks, and the figures of README.md.

python experiments/nar/run.py [--seeds 20]
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
import figures  # noqa: E402
import tables  # noqa: E402

# On the small table the strategies start with fewer random members than by default.
SMALL = "evolution:population=10:sample=4,rank:initial=15,tiers:initial=20"
LIMITS = {"evolution": 0.3, "rank": 0.3, "tiers": 0.4}


def compare(space, seeds, *flags):
    told = tables.attune("search", "compare", HERE / space, f"--seeds={seeds}", "--json", *flags)
    return json.loads(told)


def named(strategy):
    return strategy.split(":")[0]


def show(title, told):
    random = told["random"]
    print(f"{title}: {told['members']} members, top {told['top']}, budget {told['budget']}")
    print(
        f"  random: {random['until_top']:.0f} evaluations to the top, rank {random['rank']:.0f} (expected)"
    )
    for result in told["strategies"]:
        until = statistics.median(result["until_top"])
        print(f"  {named(result['strategy'])}: {until:.0f} evaluations "
              f"({100 * until / random['until_top']:.0f} % of random's), "
              f"rank {statistics.median(result['rank_in_budget']):.0f}")  # fmt: skip
    print(
        f"  tau after {told['samples']} members: {statistics.median(told['tau']):.3f}, worst {min(told['tau']):.3f}"
    )


def checks(told):
    """(what, found, wanted, whether it holds) on one table."""
    random = told["random"]
    by_name = {named(result["strategy"]): result for result in told["strategies"]}
    yield "worst tau of the ranker", min(told["tau"]), ">= 0.6", min(told["tau"]) >= 0.6
    share = random["rank"] / statistics.median(by_name["tiers"]["rank_in_budget"])
    yield "random's rank over that of tiers", share, ">= 3", share >= 3
    # Where random draws find the top soon, what a search needs to learn from is a large part of it.
    for name, limit in LIMITS.items() if told["members"] >= 10_000 else ():
        share = statistics.median(by_name[name]["until_top"]) / random["until_top"]
        yield f"evaluations of {name} over random's", share, f"<= {limit}", share <= limit


def draw(file, told):
    names = ["random", *(named(result["strategy"]) for result in told["strategies"])]
    series = {"random (expected)": [(0, told["random"]["until_top"])]}
    for place, result in enumerate(told["strategies"], 1):
        count = len(result["until_top"])
        spread = [(i / max(count - 1, 1) - 0.5) * 0.5 for i in range(count)]
        series[named(result["strategy"])] = [
            (place + offset, value) for offset, value in zip(spread, sorted(result["until_top"]))
        ]
    figures.scatter(HERE / file, series, "strategy, one point for each seed",
                    "evaluations until the top", log_y=True, names=names)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    seeds = parser.parse_args().seeds
    true = compare("space.yaml", seeds, "--top=0.01", "--samples=100", "--strategies", SMALL)
    formula = compare("synthetic.yaml", seeds, "--strategies", "evolution,rank,tiers")
    for title, told, file in (
        ("trained table", true, "trained.svg"),
        ("synthetic table", formula, "synthetic.svg"),
    ):
        show(title, told)
        for what, found, wanted, holds in checks(told):
            print(f"  {'holds' if holds else 'DOES NOT HOLD'}: {what} {found:.3g}, wanted {wanted}")
        draw(file, told)


if __name__ == "__main__":
    main()
