"""Trains the members of space.yaml (networks.jsonl, 2 seeds) and those that the claim about layer
adaptation compares (pairs.jsonl, 3 more seeds); needs torch.

    python experiments/edgeformer/make_table.py networks 0 1   # all; 0 3, 1 3, 2 3: thirds
    python experiments/edgeformer/make_table.py pairs 0 1
    python experiments/edgeformer/make_table.py merge

`costs.py` makes table.jsonl of networks.jsonl and what the compiler says of each network.
"""

import json
import math
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "common"))
import tables  # noqa: E402
from many import Many  # noqa: E402

D, HEADS, LENGTH, SYMBOLS, LIGHT, RANK = 64, 4, 20, 16, 32, 8
TASKS = ("copy", "reverse", "sort")  # tokens 16, 17, 18 in front of the symbols
START, VOCAB = 19, 20
STEPS, BATCH, RATE, VALID = 250, 32, 3e-3, 256
LAYERS, TIE, ADAPT, FFN = (2, 4), ("none", "all"), ("none", "bias", "adapter"), (64, 96)


def members():
    """Genes of the members that differ and meet the conditions of the space."""
    for layers in range(2):
        for tie in range(2):
            for adapt in range(1 if tie == 0 else 3):
                for ffn in range(2 if adapt == 0 else 1):
                    yield [layers, tie, adapt, ffn]


def examples(count, generator):
    """(source with its task in front, target)"""
    symbols = torch.randint(SYMBOLS, (count, LENGTH), generator=generator)
    task = torch.randint(len(TASKS), (count, 1), generator=generator)
    answers = torch.stack([symbols, symbols.flip(1), symbols.sort(1).values])
    return torch.cat([task + SYMBOLS, symbols], 1), answers[task[:, 0], torch.arange(count)]


class Network:
    """As `network.py` writes it, for the seeds of one member at once."""

    def __init__(self, many, genes, count):
        self.many, self.count = many, count
        self.layers, self.tie = LAYERS[genes[0]], TIE[genes[1]]
        self.adapt, self.ffn = ADAPT[genes[2]], FFN[genes[3]]

    def embed(self, name, tokens):
        table = self.many.weight(name, (self.count, VOCAB, D), 0.5)
        places = self.many.weight(name + ".places", (self.count, 1, LENGTH + 1, D), 0.5)
        return table[:, tokens] + places[:, :, : tokens.shape[1]]

    def attention(self, name, x, memory, causal=False):
        q = self.many.product(name + ".q", x, D)
        k, v = self.many.product(name + ".kv", memory, 2 * D).split(D, -1)
        q, k, v = (self.many.heads(part, HEADS) for part in (q, k, v))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.many.product(name + ".out", self.many.join(y, x, HEADS), D)

    def feed_forward(self, name, x, width):
        return self.many.product(
            name + ".down", self.many.product(name + ".up", x, width).relu(), D
        )

    def bias(self, name, x):
        if self.adapt != "bias":
            return x
        return x + self.many.constant(name, (self.count, 1, 1, D), 0)

    def encode(self, source):
        norm, x = self.many.norm, self.embed("source", source)
        for layer in range(self.layers):
            group = 0 if self.tie == "all" else layer
            name, own = f"enc{group}", f"own{layer}"
            y = self.bias(own + ".b1", norm(name + ".n1", x))
            x = x + self.attention(name, y, y)
            y = self.bias(own + ".b2", norm(name + ".n2", x))
            x = x + self.feed_forward(name, y, self.ffn)
            if self.adapt == "adapter":
                x = x + self.feed_forward(own, x, RANK)
        return norm("enc.last", x)

    def decode(self, memory, before):
        """Self attention and cross attention, each followed by the same light product."""
        norm, x = self.many.norm, self.embed("target", before)
        y = norm("dec.n1", x)
        x = x + self.attention("dec.self", y, y, causal=True)
        x = x + self.feed_forward("dec.light", norm("dec.n2", x), LIGHT)
        x = x + self.attention("dec.cross", norm("dec.n3", x), memory)
        x = x + self.feed_forward("dec.light", norm("dec.n4", x), LIGHT)
        return self.many.product("head", norm("dec.last", x), VOCAB)


def train(genes, seeds):
    many = Many(100 * seeds[0] + 1)
    network, generator = Network(many, genes, len(seeds)), torch.Generator().manual_seed(seeds[0])

    def logits(source, target):
        start = torch.full((len(target), 1), START)
        return network.decode(network.encode(source), torch.cat([start, target[:, :-1]], 1))

    logits(*examples(1, generator))
    optimiser = torch.optim.Adam(list(many.weights.values()), lr=RATE, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda t: min(1, (t + 1) / 50) * (0.5 * (1 + math.cos(math.pi * t / STEPS)) + 0.01),
    )
    for _ in range(STEPS):
        source, target = examples(BATCH, generator)
        wanted = target.expand(len(seeds), -1, -1).reshape(-1)
        loss = torch.nn.functional.cross_entropy(logits(source, target).reshape(-1, VOCAB), wanted)
        optimiser.zero_grad()
        (loss * len(seeds)).backward()
        optimiser.step()
        schedule.step()
    params = sum(w[0].numel() for w in many.weights.values())
    return params, *generate(network, len(seeds))


@torch.no_grad()
def generate(network, count):
    """Symbols that are right when the decoder reads its own output: all, and by task."""
    source, target = examples(VALID, torch.Generator().manual_seed(10**6))
    memory = network.encode(source)
    before = torch.full((count, VALID, 1), START)
    for _ in range(LENGTH):
        step = torch.stack(
            [
                Slice(network, i).decode(memory[i : i + 1], before[i])[0, :, -1].argmax(-1)
                for i in range(count)
            ]
        )
        before = torch.cat([before, step[:, :, None]], 2)
    right = (before[:, :, 1:] == target).float()
    by_task = [right[:, source[:, 0] == SYMBOLS + t].mean((1, 2)) for t in range(len(TASKS))]
    return right.mean((1, 2)).tolist(), [part.tolist() for part in by_task]


def Slice(network, index):
    """One of the networks that were trained together."""
    many = Many(0)
    many.weights = {name: w[index : index + 1] for name, w in network.many.weights.items()}
    part = Network(many, [0, 0, 0, 0], 1)
    part.layers, part.tie, part.adapt, part.ffn = (
        network.layers,
        network.tie,
        network.adapt,
        network.ffn,
    )
    return part


# Tied layers with an adapter, and without but with as many parameters in their products; with a
# bias, and without.
PAIRS = [[1, 1, 2, 0], [1, 1, 0, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
SEEDS = {"networks": [0, 1], "pairs": [2, 3, 4]}


def trained(kind, first, step):
    """Every `step`-th member; goes on where it was."""
    file = HERE / "parts" / f"{kind}-{first}.jsonl"
    file.parent.mkdir(exist_ok=True)
    wanted = (PAIRS if kind == "pairs" else list(members()))[first::step]
    done = len(tables.lines(file)) if file.exists() else 0
    for genes in wanted[done:]:
        params, acc, by_task = train(genes, SEEDS[kind])
        row = {"genes": genes, "params": params, "val_acc": [round(a, 5) for a in acc]}
        for task, values in zip(TASKS, by_task):
            row[task] = [round(a, 5) for a in values]
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")


def merge():
    for kind, wanted in (("networks", list(members())), ("pairs", PAIRS)):
        lines = [row for file in (HERE / "parts").glob(f"{kind}-*") for row in tables.lines(file)]
        of = {tuple(row["genes"]): row for row in lines}
        rows = [of[tuple(genes)] for genes in wanted]
        header = {
            "seeds": len(SEEDS[kind]),
            "steps": STEPS,
            "data": f"random sequences of {LENGTH} of {SYMBOLS} symbols to copy, reverse or sort",
            "provenance": "experiments/edgeformer/make_table.py, torch " + torch.__version__,
        }
        (HERE / f"{kind}.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in [header, *rows])
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "merge":
        merge()
    else:
        trained(sys.argv[1], *map(int, sys.argv[2:]))
