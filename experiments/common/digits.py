"""The digits of scikit-learn (UCI Optical Recognition of Handwritten Digits, CC BY 4.0): 1,797
images of 8x8, split once for all experiments."""

import numpy as np

TRAIN, VALID = 900, 450


def patches(seed=0):
    """(x, y) of training, validation and test: 16 patches of 2x2, row by row, in -1 to 1."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    images, labels = images[order] / 8 - 1, labels[order]
    x = images.reshape(-1, 4, 2, 4, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 16, 4)
    cuts = [TRAIN, TRAIN + VALID]
    return list(zip(np.split(x.astype(np.float32), cuts), np.split(labels, cuts)))
