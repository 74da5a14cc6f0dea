"""Operators as models of one node: what transformers contain, and the rest by family."""

from . import attention, elementwise, linear, sampling, shapes, vision
from .case import OpCase, model_of

__all__ = ["OpCase", "all_cases", "model_of"]


def all_cases():
    found = {}
    for group in (attention, elementwise, linear, sampling, shapes, vision):
        for case in group.cases():
            assert case.name not in found, case.name
            found[case.name] = case
    return list(found.values())
