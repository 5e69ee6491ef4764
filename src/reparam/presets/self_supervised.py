"""Presets that learn codes by prediction: of hidden parts of x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import nn

from reparam.config import TrainConfig
from reparam.limits import Count, Limited, ProperShare
from reparam.model import Space
from reparam.models.masked_patches import MaskedAutoencoder, MaskedEncoder, PatchError
from reparam.nets.patches import Patches, parse_patch
from reparam.nets.vision_transformer import MaskTokenEncoder, PatchDecoder, VisibleEncoder
from reparam.presets.registry import PURE, Accepts, preset

FAMILY = "Self-supervised encoders"
# Of masked autoencoders on MNIST for four epochs: at 0.001 hidden patches were found 15 % worse.
STEADY = TrainConfig(lr=3e-3, betas=(0.9, 0.95), warmup=200, schedule="cosine", weight_decay=0.05)


def mae(
    space: Annotated[Space, Accepts(PURE)],
    options: MaskingOptions,
    *,
    decoder_width: Count = 32,
    decoder_layers: Count = 1,
) -> MaskedAutoencoder | MaskedEncoder:
    """A transformer that sees a quarter of the patches, and a small decoder that finds the others.

    Args:
        decoder_width: of the decoder's tokens.
        decoder_layers: of the decoder.
    """
    patches = options.cut(space)
    encoder = VisibleEncoder(patches, options.width, options.layers, options.heads)
    small = (options.width, decoder_width, decoder_layers, options.heads)
    return options.build(space, patches, encoder, PatchDecoder(patches, *small))


@preset(
    "simmim",
    paper="Xie et al. 2022, SimMIM: a simple framework for masked image modeling",
    train=STEADY,
    defaults={"ratio": 0.6},
    small={"width": 8, "layers": 1, "heads": 2},
    when="For codes to be tuned to a task: hidden patches are tokens of the encoder itself.",
    objective="min |x_H − x̂_H(x_V)|, H hidden, V visible",
)
def simmim(
    space: Annotated[Space, Accepts(PURE)], options: MaskingOptions
) -> MaskedAutoencoder | MaskedEncoder:
    """A transformer over visible patches and tokens of hidden ones; its head is a linear layer."""
    patches = options.cut(space)
    encoder = MaskTokenEncoder(patches, options.width, options.layers, options.heads)
    head = nn.Linear(options.width, patches.entries)
    return options.build(space, patches, encoder, head, absolute=True)
