"""A transformer drawn afresh: depth, heads, head dim, activation, mask, layout and spelling.

python -m models.fresh SEED FILE.onnx     writes the model of that seed
"""

import random
import sys

import onnx

from .language import Config, encoder
from .spelling import SPELLINGS


def draw(seed):
    dice = random.Random(seed)
    heads, head_dim = dice.choice([1, 2, 3, 4]), dice.randint(32, 80)
    layout = dice.choice(["transpose", "transpose", "einsum"])
    config = Config(
        depth=dice.randint(1, 3),
        heads=heads,
        kv_heads=heads,
        head_dim=head_dim,
        inner=heads * head_dim * dice.choice([1, 2, 4]) + dice.choice([0, 0, 5]),
        activation=dice.choice(["relu", "gelu", "gelu_tanh", "silu", "quick_gelu"]),
        norm_first=dice.random() < 0.5,
        packed=dice.random() < 0.5,
        layout=layout,
    )
    mask = dice.choice(["none", "padding", "causal", "both"])
    spelling = SPELLINGS[dice.choice(sorted(SPELLINGS))]
    if (
        layout == "transpose"
        and mask in ("none", "causal")
        and dice.random() < 0.3
        and heads % 2 == 0
    ):
        config.kv_heads = heads // 2
    case = encoder(spelling, config, seed, mask, name=f"fresh-{seed}")
    sizes = [(1, 1), (dice.randint(1, 3), dice.randint(2, 64)), (2, dice.choice([16, 31, 48, 64]))]
    case.dims = [dict(batch=b, seq=n) for b, n in sizes]
    case.about = f"{config}, mask {mask}, {spelling.name}"
    return case


if __name__ == "__main__":
    drawn = draw(int(sys.argv[1]))
    print(drawn.about)
    onnx.save(drawn.model, sys.argv[2])
