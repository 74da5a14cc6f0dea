"""What a test needs to know about a model: its bytes, its inputs, the sizes to try."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import onnx


@dataclass
class Case:
    name: str
    model: onnx.ModelProto
    # feeds(rng, **dims) gives one value per graph input
    feeds: Callable[..., dict[str, np.ndarray]]
    # values of the dynamic dims; one artifact must serve all of them
    dims: list[dict[str, int]] = field(default_factory=lambda: [{}])
    tolerance: float = 2e-5
    about: str = ""

    def inputs(self, dims, seed=0):
        return self.feeds(np.random.default_rng(seed), **dims)
