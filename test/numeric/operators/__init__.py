"""Every operator that encoder, decoder and vision transformers contain, as models of one node."""

from . import attention, elementwise, linear, shapes, vision
from .case import OpCase, model_of

__all__ = ["OpCase", "all_cases", "model_of"]


def all_cases():
    found = {}
    for group in (attention, elementwise, linear, shapes, vision):
        for case in group.cases():
            assert case.name not in found, case.name
            found[case.name] = case
    return list(found.values())
