"""Priors of codes that are fitted after a codec: their options, and the networks they choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reparam.distributions.likelihoods import Categorical
from reparam.limits import Count, Limited, Share, Whole
from reparam.model import Density, Encoder, Space
from reparam.models.autoregressive import Autoregressive
from reparam.models.gaussian_mixture import GaussianMixture
from reparam.nets.autoregressive_network import AutoregressiveNetwork
from reparam.nets.grid_pair import GridPair
from reparam.nets.masked import MADE
from reparam.nets.pixelcnn import GatedPixelCNN, PixelCNN
from reparam.nets.transformer import CausalTransformer
from reparam.presets.autoregressive import AutoregressiveOptions, made
from reparam.presets.flows import FlowOptions, spline_coupling

OfIndices = Literal["uniform", "pixel-cnn", "gated-pixel-cnn", "transformer", "made"]
OfVectors = Literal["flow", "mixture", "autoregressive"]


def of_codes(codec: Encoder, conditional: bool) -> Space:
    """The codes as a space of their own, with the conditions of x where these are asked for."""
    space, code = codec.space, codec.code_space
    if not conditional:
        return code
    if space.classes is None and space.attributes is None:
        raise ValueError("conditional: expected data with labels or attributes, got none")
    return replace(code, classes=space.classes, attributes=space.attributes)


@dataclass(frozen=True)
class IndexPriorOptions(Limited):
    """What an autoregressive prior of indices takes.

    Args:
        width: units of every layer; of made ``hidden`` says it.
        layers: of pixel-cnn and gated-pixel-cnn after the first one, blocks of transformer.
        kernel: width of the windows of convolutions after the first.
        first_kernel: width of the first one's.
        heads: of attention.
        dropout: share of units dropped in training, of transformer.
        hidden: widths of the hidden layers of made.
    """

    width: Count = 64
    layers: Whole = 4
    kernel: Count = 3
    first_kernel: Count = 5
    heads: Count = 4
    dropout: Share = 0.0
    hidden: tuple[Count, ...] = (500,)

    def build(self, codec: Encoder, name: OfIndices, conditional: bool) -> Autoregressive:
        """p(indices), which are those of one grid, of two, or of tokens."""
        space = of_codes(codec, conditional)
        context = (space.attributes or space.classes or 0) if conditional else 0
        assert space.levels is not None
        if len(codec.grids) == 1:
            network = self.network(name, space.shape, space.levels, context)
        else:
            top, bottom = codec.grids
            networks = (
                self.network(name, top, space.levels, context),
                self.network(name, bottom, space.levels, self.width + context),
            )
            network = GridPair(*networks, codes=space.levels, features=self.width)
        return Autoregressive(space, network, Categorical(space), conditional)

    def network(
        self, name: OfIndices, shape: Sequence[int], codes: int, context: int
    ) -> AutoregressiveNetwork:
        if len(shape) != 3 and name in ("pixel-cnn", "gated-pixel-cnn"):
            raise ValueError(
                f"second_stage: {name} is of grids, and the codes of vectors are tokens in a row; "
                "take transformer or made"
            )
        if name == "transformer":
            blocks = (self.layers, self.heads, self.dropout)
            return CausalTransformer(
                shape, codes, self.width, *blocks, context=context, codes=codes
            )
        if name == "made":
            return MADE(shape, codes, self.hidden, context=context, codes=codes)
        stack = PixelCNN if name == "pixel-cnn" else GatedPixelCNN
        return stack(
            shape,
            codes,
            self.width,
            self.layers,
            kernel=self.kernel,
            first_kernel=self.first_kernel,
            context=context,
            codes=codes,
        )


@dataclass(frozen=True)
class VectorPriorOptions(Limited):
    """What a prior of real codes takes.

    Args:
        components: of a mixture.
        layers: of a flow, spline couplings.
        hidden: widths of the networks of a flow, or of an autoregressive prior.
    """

    components: Count = 10
    layers: Count = 4
    hidden: tuple[Count, ...] = (128, 128)

    def build(self, codec: Encoder, name: OfVectors, conditional: bool) -> Density:
        space = of_codes(codec, conditional)
        if name == "flow" and space.dimension == 1:
            raise ValueError(
                "second_stage: flow needs latent_dim of 2 or more, got 1; take mixture or "
                "autoregressive"
            )
        if name == "flow":
            options = FlowOptions(conditional=conditional)
            return spline_coupling(space, options, layers=self.layers, hidden=self.hidden)
        if name == "autoregressive":
            return made(space, AutoregressiveOptions(conditional=conditional), hidden=self.hidden)
        if conditional:
            raise ValueError("conditional: a mixture takes no condition; take flow, autoregressive")
        return GaussianMixture(space, self.components)
