"""Small transformers as ONNX models, spelled the way PyTorch's exporters spell them.

`suite()` gives one of each family in each spelling; `fresh.draw(seed)` gives one that nobody has
seen before. Weights come from a seed, so a name and a seed are a model.
"""

from .case import Case
from .suite import suite

__all__ = ["Case", "suite"]
