"""One model of each family in each spelling that differs for it."""

from .language import cached_decoder, decoder, encoder, gqa_decoder
from .spelling import SPELLINGS
from .vision import convnet, swin, vit, windows

FAMILIES = (encoder, decoder, cached_decoder, gqa_decoder, vit, swin, windows, convnet)


def suite():
    for family in FAMILIES:
        for spelling in SPELLINGS.values():
            if family is convnet and spelling.name == "native":
                continue  # the same nodes as dynamo
            yield family(spelling)
