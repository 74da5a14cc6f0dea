"""Trains what the experiment needs, once; needs torch and scikit-learn.

    for seed in 0 1; do python experiments/shiftaddnas/make_table.py alone $seed; done
    for way in separate naive transformed; do python experiments/shiftaddnas/make_table.py supernet $way; done
    python experiments/shiftaddnas/make_table.py merge   # networks.jsonl, supernets.jsonl

`costs.py` then makes table.jsonl of networks.jsonl and what the compiler says of each network.
"""

import itertools
import json
import random
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "common"))
import digits  # noqa: E402
import tables  # noqa: E402
from layers import KINDS, LAYERS, Layers, network  # noqa: E402
from many import Many, accuracy, apply_by_kind, train  # noqa: E402

ALONE_EPOCHS, ALONE_SEEDS = 10, 2
SUPERNET_EPOCHS, SUPERNET_SEEDS = 60, 5
MEMBERS = list(itertools.product(KINDS, repeat=LAYERS))
WAYS = ("separate", "naive", "transformed")
PARTS = HERE / "parts"


def alone(seed, parts):
    many = Many(seed)
    layers = Layers(many)

    def by_kind(layer):
        kinds = [genes[layer] for genes in MEMBERS]
        functions = {k: lambda x, k=k: layers.apply(f"{layer}.", k, x) for k in KINDS}
        return lambda x: apply_by_kind(x, kinds, functions)

    forward = network(many, layers, by_kind)
    call = lambda x: forward(x, len(MEMBERS))
    train(many, call, parts[0], ALONE_EPOCHS, seed)
    values = zip(MEMBERS, accuracy(call, parts[1]), accuracy(call, parts[2]))
    write(
        PARTS / f"alone-{seed}.jsonl",
        [{"genes": genes, "val_acc": v, "test_acc": t} for genes, v, t in values],
    )


def supernet(sharing, parts):
    """Every step trains one path. The seeds are trained together: own weights and own order of
    images, the same sequence of paths."""
    many = Many(0)
    layers, choose = Layers(many, sharing), random.Random(0)
    path = [0] * LAYERS
    forward = network(
        many, layers, lambda layer: lambda x: layers.apply(f"{layer}.", path[layer], x)
    )

    def sampled(x):
        layers.used = []
        path[:] = [choose.choice(KINDS) for _ in range(LAYERS)]
        return forward(x, SUPERNET_SEEDS)

    def inherited(x):
        return forward(x, SUPERNET_SEEDS)

    for kind in KINDS:  # makes all weights
        path[:] = [kind] * LAYERS
        inherited(parts[0][0][:2])
    train(
        many,
        sampled,
        parts[0],
        SUPERNET_EPOCHS,
        0,
        own_order=SUPERNET_SEEDS,
        penalty=layers.penalty if sharing == "transformed" else None,
    )
    by_member = []
    for genes in MEMBERS:
        path[:] = genes
        by_member.append(accuracy(inherited, parts[1]))
    shared = sum(
        w[0].numel()
        for name, w in many.weights.items()
        if name.split(".")[-1] in ("conv", "shift", "add", "shared", "slopes")
    )
    total = sum(w[0].numel() for w in many.weights.values())
    write(
        PARTS / f"{sharing}.jsonl",
        [
            {
                "sharing": sharing,
                "seed": seed,
                "branch_params": shared,
                "params": total,
                "val_acc": [values[seed] for values in by_member],
            }
            for seed in range(SUPERNET_SEEDS)
        ],
    )


def merge():
    header = {
        "data": "digits of scikit-learn: 900 training, 450 validation, 447 test images",
        "provenance": "experiments/shiftaddnas/make_table.py, torch " + torch.__version__,
    }
    rows = [{"genes": genes, "val_acc": [], "test_acc": []} for genes in MEMBERS]
    for seed in range(ALONE_SEEDS):
        for row, line in zip(rows, tables.lines(PARTS / f"alone-{seed}.jsonl")):
            row["val_acc"].append(line["val_acc"])
            row["test_acc"].append(line["test_acc"])
    write(
        HERE / "networks.jsonl", [{**header, "seeds": ALONE_SEEDS, "epochs": ALONE_EPOCHS}, *rows]
    )
    lines = [line for way in WAYS for line in tables.lines(PARTS / f"{way}.jsonl")]
    write(
        HERE / "supernets.jsonl",
        [{**header, "epochs": SUPERNET_EPOCHS, "members": MEMBERS}, *lines],
    )


def write(file, lines):
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "merge":
        merge()
        sys.exit()
    tensors = [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in digits.patches()]
    if sys.argv[1] == "alone":
        alone(int(sys.argv[2]), tensors)
    else:
        supernet(sys.argv[2], tensors)
