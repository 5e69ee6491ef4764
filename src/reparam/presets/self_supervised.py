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
# Of masked autoencoders on MNIST for four epochs: at 0.001 the error of what is hidden ended 15 %
# higher.
STEADY = TrainConfig(lr=3e-3, betas=(0.9, 0.95), warmup=200, schedule="cosine", weight_decay=0.05)


@dataclass(frozen=True)
class TransformerOptions(Limited):
    """What transformers over patches take.

    Args:
        patch: sides of a patch: 4 or 4x4 of images, entries of vectors, 2x4x4 where channels are
            frames; auto gives 16 to 64 patches.
        width: of the tokens.
        layers: of the encoder.
        heads: of attention, a divisor of the widths.
    """

    patch: Count | str = "auto"
    width: Count = 64
    layers: Count = 4
    heads: Count = 4

    def cut(self, space: Space) -> Patches:
        return Patches(space.shape, parse_patch(str(self.patch), space.shape))


@dataclass(frozen=True)
class MaskingOptions(TransformerOptions):
    """What masked autoencoders take.

    Args:
        ratio: share of patches that are hidden.
        normalize_target: predict each patch up to its own mean and deviation: the output is no
            picture then.
        tubes: where channels are frames, hide the same place in all of them.
    """

    ratio: ProperShare = 0.75
    normalize_target: bool = False
    tubes: bool = True

    def build(
        self,
        space: Space,
        patches: Patches,
        encoder: nn.Module,
        decoder: nn.Module,
        absolute: bool = False,
    ) -> MaskedAutoencoder | MaskedEncoder:
        parts = (space, patches, encoder, decoder, self.width, self.ratio)
        error: PatchError = "absolute" if absolute else "squared"
        if self.normalize_target:
            return MaskedEncoder(*parts, error, normalize_target=True, tubes=self.tubes)
        return MaskedAutoencoder(*parts, error, tubes=self.tubes)


@preset(
    "mae",
    paper="He et al. 2022, Masked autoencoders are scalable vision learners",
    train=STEADY,
    small={"width": 8, "layers": 1, "heads": 2, "decoder_width": 8},
    when="For codes that learn from few labels, and to repair what is hidden.",
    objective="min ‖x_H − x̂_H(x_V)‖², H hidden, V visible",
)
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
