"""Trains the 256 networks of space.yaml, each with two seeds, and writes table.jsonl; needs torch,
scikit-learn and build/bin/attune (which lists the members of the space).

    for seed in 0 1; do python experiments/nar/make_table.py $seed; done    # or $seed FIRST LAST: groups 0 to 3
    python experiments/nar/make_table.py merge
"""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "common"))
import digits  # noqa: E402
import tables  # noqa: E402
from many import Many, accuracy, apply_by_kind, train  # noqa: E402

LAYERS, D, HEADS, CLASSES = 4, 16, 2, 10
SEEDS, EPOCHS, GROUP, LAST = 2, 8, 64, 3
PARTS = HERE / "parts"
NONE, SOFTMAX, LINEAR, CONV = range(4)


def network(many, ops):
    """`ops`: by layer, the kind of each network."""

    def forward(x):
        count = len(ops[0])
        x = many.linear("stem", many.spread(x, count), D)
        x = x + many.weight("positions", (count, 1, 16, D), 0.02)
        for layer in range(LAYERS):
            name = f"{layer}."
            mix = {
                NONE: lambda y: torch.zeros_like(y),
                SOFTMAX: lambda y: many.softmax(name + "softmax", y, HEADS),
                LINEAR: lambda y: many.linear_attention(name + "linear", y, HEADS),
                CONV: lambda y: many.conv(name + "conv", y),
            }
            x = x + apply_by_kind(many.norm(name + "n1", x), ops[layer], mix)
        mean = many.norm("last", x).mean(2, keepdim=True)
        return many.linear("head", mean, CLASSES)[:, :, 0]

    return forward


def trained(seed, first=0, last=LAST):
    """The groups `first` to `last` of the members; goes on where it was."""
    torch.set_num_threads(1)
    parts = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in digits.patches()]
    wanted = tables.members(HERE / "space.yaml")[1]
    for start in range(GROUP * first, GROUP * (last + 1), GROUP):
        file = PARTS / f"{seed}-{start}.jsonl"
        if file.exists():
            continue
        group = wanted[start : start + GROUP]
        many = Many(seed)
        forward = network(many, list(zip(*group)))
        train(many, forward, parts[0], EPOCHS, seed)
        values = zip(group, accuracy(forward, parts[1]), accuracy(forward, parts[2]))
        PARTS.mkdir(exist_ok=True)
        file.write_text(
            "".join(
                json.dumps({"seed": seed, "genes": genes, "val_acc": v, "test_acc": t}) + "\n"
                for genes, v, t in values
            )
        )


def merge():
    header, members = tables.members(HERE / "space.yaml")
    lines = [line for file in PARTS.glob("*.jsonl") for line in tables.lines(file)]
    of = {(line["seed"], *line["genes"]): line for line in lines}
    rows = [
        {
            "genes": genes,
            **{
                metric: [of[seed, *genes][metric] for seed in range(SEEDS)]
                for metric in ("val_acc", "test_acc")
            },
        }
        for genes in members
    ]
    header.update(
        metrics=["val_acc", "test_acc"],
        costs=[],
        seeds=SEEDS,
        epochs=EPOCHS,
        data="digits of scikit-learn: 900 training, 450 validation, 447 test images",
        provenance="experiments/nar/make_table.py, torch " + torch.__version__,
    )
    tables.write(HERE / "table.jsonl", header, rows)


if __name__ == "__main__":
    if sys.argv[1:] == ["merge"]:
        merge()
    else:
        trained(*map(int, sys.argv[1:]))
