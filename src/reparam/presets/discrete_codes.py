"""Presets of models whose codes are indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from msgspec import Meta

from reparam import nets
from reparam.limits import BelowOne, Count, NonNegative, Whole
from reparam.model import Space
from reparam.models.two_stage_density import TwoStageDensity, two_stages
from reparam.models.vq_vae import VQVAE
from reparam.nets.codebook import BelowHalf, Update
from reparam.nets.coder import Coder, OneGrid, TwoGrids
from reparam.nets.grids import GridDecoder, GridEncoder, check_halvings, halved, usual_halvings
from reparam.nets.quantize import (
    AtLeastTwo,
    FiniteScalarQuantizer,
    Gradient,
    Quantizer,
    VectorQuantizer,
)
from reparam.objectives.bounds import ELBO
from reparam.presets.likelihoods import LikelihoodOptions
from reparam.presets.registry import PURE, Accepts, preset
from reparam.presets.second_stages import (
    IndexPriorOptions,
    OfIndices,
    OfVectors,
    VectorPriorOptions,
)
from reparam.presets.steps import quick_where_small, small_steps_of_reals, small_steps_of_tables
from reparam.presets.vaes import VAEOptions

FAMILY = "Models of discrete codes"
OBJECTIVE = "max log p(x|z) − β ‖f(x) − z‖², z the nearest code"
# Options of codes that are learned.
LEARNED = ("codes", "code_dim", "codebook", "decay", "restart", "start", "gradient", "cosine")


@dataclass(frozen=True)
class CoderOptions(LikelihoodOptions):
    """Encoder, quantizer and decoder.

    Args:
        codes: K, how many there are.
        code_dim: D, numbers of a code.
        downsampling: how often images are halved down to the grid of codes; none: once, and until
            the shorter side is at most 8.
        channels: of the convolutions.
        blocks: residual blocks of encoder and decoder.
        tokens: codes of a vector, which has no grid.
        hidden: widths of the hidden layers of the encoder of vectors; the decoder mirrors it.
        beta: weight of the commitment, ‖v − sg[e]‖² summed, per nat.
        codebook: how codes move, by moving averages of what is nearest to them or by gradient.
        decay: of the moving averages.
        restart: codes used less than this share of the fair one are put beside those used most; 0:
            none is.
        start: codes from k-means of training vectors, or at random near 0.
        gradient: to the encoder, the decoder's as it is or rotated and scaled as codes are.
        cosine: whether vectors and codes have length 1; of residual, those of the first level.
        quantizer: nearest of K codes, of several levels of what is left (residual), or every
            coordinate rounded (fsq).
        sizes: levels of each coordinate of fsq, whose product is K.
        depth: levels of residual.
    """

    codes: AtLeastTwo = 512
    code_dim: Count = 64
    downsampling: Count | None = None
    channels: Count = 128
    blocks: Whole = 2
    tokens: Count = 8
    hidden: tuple[Count, ...] = (512, 256)
    beta: NonNegative = 0.25
    codebook: Update = "ema"
    decay: BelowOne = 0.99
    restart: BelowHalf = 0.05
    start: Literal["k-means", "random"] = "k-means"
    gradient: Gradient = "straight-through"
    cosine: bool = False
    quantizer: Literal["vq", "fsq", "residual"] = "vq"
    sizes: Annotated[tuple[AtLeastTwo, ...], Meta(min_length=1)] = (8, 5, 5, 5)
    depth: Count = 4

    def compose(self, space: Space, coder: Coder) -> VQVAE:
        return VQVAE(space, coder, self.p_x(space), self.beta, self.start == "k-means")

    def make_quantizer(self) -> Quantizer:
        self._refuse_unread()
        if self.quantizer == "fsq":
            return FiniteScalarQuantizer(self.sizes)
        return VectorQuantizer(
            self.codes,
            self.code_dim,
            self.depth if self.quantizer == "residual" else 1,
            update=self.codebook,
            decay=self.decay,
            restart=self.restart,
            gradient=self.gradient,
            cosine=self.cosine,
        )

    def _refuse_unread(self) -> None:
        """ValueError for options of another quantizer, which would change nothing."""
        unread = dict.fromkeys(LEARNED if self.quantizer == "fsq" else ("sizes",), "fsq")
        unread |= {} if self.quantizer == "residual" else {"depth": "residual"}
        for name, of in unread.items():
            if getattr(self, name) == getattr(CoderOptions, name):
                continue
            if name == "codes":
                raise ValueError("codes: of fsq they are the product of sizes; set these")
            if name in LEARNED:
                raise ValueError(f"{name}: fsq has no codebook; leave it out")
            raise ValueError(f"{name}: expected with quantizer={of}, got {self.quantizer}")

    def one_grid(self, space: Space) -> OneGrid:
        """Networks by the shape of x: convolutions of images, else fully connected."""
        quantizer, (outputs, *_) = self.make_quantizer(), self.p_x(space).parameter_shape
        width = quantizer.width
        if not space.is_image:
            code, p_x = (width, self.tokens), self.p_x(space)
            columns, hidden = space.columns, self.hidden
            encoder = nets.encoder(space.shape, code, hidden, "mlp", columns=columns)
            decoder = nets.decoder(code, p_x.parameter_shape, space.shape, hidden, "mlp")
            return OneGrid(encoder, quantizer, decoder, (self.tokens,))
        depth, *sides = space.shape
        times = self.halvings(sides)
        encoder = GridEncoder(depth, width, self.channels, self.blocks, times)
        inner = (self.channels, self.blocks, times)
        decoder = GridDecoder(width, outputs * depth, sides, *inner)
        return OneGrid(encoder, quantizer, decoder, [halved(side, times) for side in sides])

    def two_grids(self, space: Space) -> TwoGrids:
        top, bottom = self.make_quantizer(), self.make_quantizer()
        _, *sides = space.shape
        times = self.halvings(sides)
        outputs = self.p_x(space).parameter_shape[0]
        inner = (self.channels, self.blocks, times)
        return TwoGrids(space.shape, outputs, top, bottom, *inner)

    def halvings(self, sides: Sequence[int]) -> int:
        height, width = sides
        times = usual_halvings(height, width) if self.downsampling is None else self.downsampling
        check_halvings(height, width, times)
        return times


@dataclass(frozen=True)
class DiscreteOptions(CoderOptions):
    """What every model of discrete codes takes.

    Args:
        second_stage: prior of the codes, fitted after them; uniform needs no fitting. Of tokens
            it is transformer or made.
        conditional: whether the second stage is conditional on the class label, or on the
            attributes where there are any; the codes themselves are not.
    """

    second_stage: OfIndices = "uniform"
    conditional: bool = False

    def with_prior(self, codec: VQVAE, generator: IndexPriorOptions) -> VQVAE | TwoStageDensity:
        if self.second_stage != "uniform":
            prior = generator.build(codec, self.second_stage, self.conditional)
            return two_stages(codec, prior)
        if self.conditional:
            raise ValueError(
                "conditional: the codes are not, but a prior of them may be; with second_stage="
                f"{'pixel-cnn' if codec.space.is_image else 'transformer'}"
            )
        return codec


SMALL = {
    "codes": 5,
    "code_dim": 3,
    "channels": 16,
    "blocks": 1,
    "tokens": 3,
    "generator.width": 4,
    "generator.layers": 1,
    "generator.first_kernel": 3,
    "generator.heads": 2,
}
USUAL = {name: getattr(CoderOptions, name) for name in (*LEARNED, "depth")}


@preset(
    "vq-vae",
    paper="van den Oord et al. 2017, Neural discrete representation learning",
    train=quick_where_small,
    small=SMALL,
    when="For codes that are whole numbers: to compress, and to learn a strong prior of.",
)
def vq_vae(
    space: Space, options: DiscreteOptions, generator: IndexPriorOptions
) -> VQVAE | TwoStageDensity:
    """A codec whose code is a grid of indices of a learned codebook, and a bound by that code."""
    return options.with_prior(options.compose(space, options.one_grid(space)), generator)


@preset(
    "vq-vae-2",
    paper="Razavi et al. 2019, Generating diverse high-fidelity images with VQ-VAE-2",
    train=quick_where_small,
    small=SMALL,
    when="For larger images: a coarse grid for what is global, a fine one for the rest.",
)
def vq_vae_2(
    space: Annotated[Space, Accepts(PURE, vectors=False, least=16)],
    options: DiscreteOptions,
    generator: IndexPriorOptions,
) -> VQVAE | TwoStageDensity:
    """A VQ-VAE with two grids of indices, the fine one of twice the side of the coarse one."""
    return options.with_prior(options.compose(space, options.two_grids(space)), generator)


@preset(
    "fsq-vae",
    paper="Mentzer et al. 2023, Finite scalar quantization: VQ-VAE made simple",
    train=small_steps_of_tables,
    fixed={**USUAL, "quantizer": "fsq"},
    small={name: v for name, v in SMALL.items() if name not in USUAL} | {"sizes": (65, 64)},
    when="For discrete codes without a codebook that could collapse.",
    objective="max log p(x|z), z = f(x), rounded",
)
def fsq_vae(
    space: Space, options: DiscreteOptions, generator: IndexPriorOptions
) -> VQVAE | TwoStageDensity:
    """A VQ-VAE whose codes are a fixed grid: every coordinate is rounded to one of a few levels."""
    return vq_vae(space, options, generator)


@preset(
    "rq-vae",
    paper="Lee et al. 2022, Autoregressive image generation using residual quantization",
    train=quick_where_small,
    fixed={"quantizer": "residual", "sizes": CoderOptions.sizes},
    small={**SMALL, "depth": 2},
    when="For better reconstructions from few positions: several codes at each.",
)
def rq_vae(
    space: Space, options: DiscreteOptions, generator: IndexPriorOptions
) -> VQVAE | TwoStageDensity:
    """A VQ-VAE with several codes at each position, each of what those before it left."""
    return vq_vae(space, options, generator)


@preset(
    "two-stage-vae",
    paper="Dai & Wipf 2019, Diagnosing and enhancing VAE models",
    train=small_steps_of_reals,
    small={"generator.components": 2, "generator.layers": 1, "generator.hidden": (8,)},
    when="For a VAE whose samples are to be like its codes of data: a prior fitted afterwards.",
    objective="max E_q log p(x|z) − KL(q(z|x) ‖ p(z)), then max E_q log p(z)",
)
def two_stage_vae(
    space: Space,
    options: VAEOptions,
    generator: VectorPriorOptions,
    *,
    second_stage: OfVectors = "mixture",
) -> TwoStageDensity:
    """A VAE, and then a density of draws of its codes as its prior.

    Args:
        second_stage: spline couplings, a Gaussian mixture, or a normal of every entry given those
            before it.
    """
    codec = VAEOptions.build(replace(options, conditional=False), space, ELBO())
    prior = generator.build(codec, second_stage, options.conditional)
    return two_stages(codec, prior)
