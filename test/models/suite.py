"""One model of each family in each spelling that differs for it."""

from .language import cached_decoder, decoder, encoder, gqa_decoder
from .spelling import SPELLINGS
from .vision import convnet, swin, vit, windows

FAMILIES = (encoder, decoder, cached_decoder, gqa_decoder, vit, swin, windows, convnet)


def suite():
    return [
        family(spelling)
        for family in FAMILIES
        for spelling in SPELLINGS.values()
        # The convolutional net has the same nodes in the native spelling as in dynamo's.
        if not (family is convnet and spelling.name == "native")
    ]
