"""Associative recall for a classifier: which value was beside the key that is asked for?

The first half of a sequence shows 8 keys in random order, each for 8 positions beside its value
(8 classes, drawn anew for every sequence); the second half shows one of the keys alone. Everything is
one-hot under noise. A network must carry values over the sequence by content; means are not enough.
"""

import numpy as np

KEYS, CLASSES, RUN, NOISE = 8, 8, 8, 0.3


def sample(rng, count):
    """Inputs [count, 128, 16] and classes [count]."""
    keys = rng.permuted(np.tile(np.arange(KEYS), (count, 1)), axis=1)
    values = rng.integers(0, CLASSES, (count, KEYS))  # of the keys in the order of `keys`
    asked = rng.integers(0, KEYS, count)
    rows = np.arange(count)
    shown = np.zeros((count, KEYS, KEYS + CLASSES), np.float32)
    shown[rows[:, None], np.arange(KEYS), keys] = 1
    shown[rows[:, None], np.arange(KEYS), KEYS + values] = 1
    query = np.zeros((count, 1, KEYS + CLASSES), np.float32)
    query[rows, 0, keys[rows, asked]] = 1
    x = np.concatenate([shown.repeat(RUN, 1), query.repeat(KEYS * RUN, 1)], 1)
    x += NOISE * rng.standard_normal(x.shape, np.float32)
    return x, values[rows, asked]
