"""Diffusion models: their options, and presets that compose schedule, network and sampler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from reparam.batching import is_small
from reparam.config import TrainConfig
from reparam.diffusion.samplers import SAMPLERS, Sampler
from reparam.diffusion.schedules import VE, VP, Schedule, SubVP, cosine, linear
from reparam.diffusion.steps import Prediction, ReverseVariance
from reparam.limits import Count, Limited, Share, called
from reparam.model import Codec, Space
from reparam.models.diffusion import Diffusion
from reparam.models.two_stage import TwoStage
from reparam.nets import Network
from reparam.nets.denoiser import denoiser
from reparam.presets.autoencoders import AutoencoderOptions, ae
from reparam.presets.given import GivenOptions
from reparam.presets.registry import Accepts, preset
from reparam.presets.second_stages import of_codes
from reparam.presets.vaes import VAEOptions, vae
from reparam.space import ColumnKind

FAMILY = "Diffusion models"
OBJECTIVE = "min E‖ε − ε̂(xₜ, t)‖²"
COLUMNS: tuple[ColumnKind, ...] = ("real", "log", "levels", "binary")  # names have no order
ALL = Accepts(columns=COLUMNS, least=2)
Objective = Literal["simple", "vlb"]
Several = Annotated[int, Meta(ge=2)]
SamplerName = Literal["auto", "ddpm", "ddim", "reverse-sde", "predictor-corrector", "ode"]


def averaged(space: Space) -> TrainConfig:
    """Averages of weights, without which samples are far worse; larger steps for small data."""
    lr = 2e-3 if is_small(space) else 1e-3
    return TrainConfig(batch_size=128, lr=lr, schedule="cosine", clip=1.0, ema=0.999)


@dataclass(frozen=True)
class DiffusionOptions(GivenOptions):
    """What all diffusion models have.

    Args:
        predict: what the network returns: the noise, x, or the velocity between them.
        network: fully connected with residual blocks, a U-Net, or by the shape of the data.
        width: channels of a U-Net; none: 32, and 64 from sides of 64 on.
        hidden: what runs through the fully connected one, and the inner width of its blocks.
        blocks: of the fully connected one.
        conditional: on the class label, or on the attributes where there are any.
        drop_condition: share of rows whose condition is dropped in training, for guidance.
        sampler: auto takes all steps for vectors and small images, 50 without noise for others.
        sampling_steps: of the sampler; none: as many as auto takes.
    """

    predict: Prediction = "noise"
    network: Literal["auto", "mlp", "unet"] = "auto"
    width: Count | None = None
    hidden: tuple[Count, ...] = (256, 512)
    blocks: Count = 3
    conditional: bool = False
    drop_condition: Share = 0.1
    sampler: SamplerName = "auto"
    sampling_steps: Count | None = None

    def compose(
        self,
        space: Space,
        schedule: Schedule,
        objective: Objective = "simple",
        variance: ReverseVariance = "optimal",
    ) -> Diffusion:
        """The model of these parts, with a network by shape."""
        condition = self.seen(space, self.conditional)
        form = (self.network, self.width, self.hidden, self.blocks)
        network = denoiser(space.shape, *form, condition=condition)
        model = Diffusion(
            space,
            network,
            schedule,
            self.predict,
            objective,
            variance,
            None,
            self.conditional,
            self.drop_condition,
            self.degradation(space),
        )
        with called("steps", "sampling_steps"):
            return model.through(self.choose(model.sampler))

    def choose(self, usual: Sampler) -> Sampler:
        """The sampler that is asked for, ``usual`` where none is."""
        kind = type(usual) if self.sampler == "auto" else SAMPLERS[self.sampler]
        steps = self.sampling_steps or usual.steps
        return kind(steps=steps)


@dataclass(frozen=True)
class TimesOptions(Limited):
    """What is of so many times, which is told first.

    Args:
        times: T, how many levels of noise there are.
        schedule: of the noise: cosine, or linear variances.
        objective: simple is the mean squared error, vlb the bound on log p(x) itself.
        variance: of a step back: optimal is measured after the descent and makes the bound tight;
            beta; posterior, which makes it loose, by 0.29 nats a dimension or more on standard
            normal data.
    """

    times: Several = 1000
    schedule: Literal["cosine", "linear"] = "cosine"
    objective: Objective = "simple"
    variance: ReverseVariance = "optimal"


@dataclass(frozen=True)
class DDPMOptions(DiffusionOptions, TimesOptions):
    """All of a diffusion model in discrete time."""

    def build(self, space: Space) -> Diffusion:
        chosen = linear(self.times) if self.schedule == "linear" else cosine(self.times)
        return self.compose(space, chosen, self.objective, self.variance)


@dataclass(frozen=True)
class FirstStageOptions(Limited):
    """What a codec of any kind takes.

    Args:
        latent_dim: entries of the code.
        hidden: widths of the hidden layers of the encoder; the decoder mirrors it.
        network: fully connected, convolutional, or by the size of the data.
    """

    latent_dim: Count = 16
    hidden: tuple[Count, ...] = (512, 256)
    network: Network = "auto"

    def build(self, space: Space, kind: Literal["ae", "vae"]) -> Codec:
        size, hidden, network = self.latent_dim, self.hidden, self.network
        if kind == "ae":
            return ae(space, AutoencoderOptions(size, hidden=hidden, network=network))
        return vae(space, VAEOptions(size, hidden=hidden, network=network))


@preset(
    "ddpm",
    paper="Ho et al. 2020, Denoising diffusion probabilistic models",
    train=averaged,
    # Velocities that start at 0 say that x is near 0, noise that it is as large as can be.
    small={"times": 24, "width": 4, "hidden": (8, 8), "blocks": 1, "predict": "velocity"},
    when="For samples of images and tables that look right, with a bound on log p(x) beside them.",
)
def ddpm(space: Annotated[Space, ALL], options: DDPMOptions) -> Diffusion:
    """Noise is added in T steps, and a network learns to undo each."""
    return options.build(space)


@preset(
    "score-sde",
    paper="Song et al. 2021, Score-based generative modeling through SDEs",
    train=averaged,
    small={
        "width": 4,
        "hidden": (8, 8),
        "blocks": 1,
        "predict": "velocity",
        "sampling_steps": 4,
    },
    when="As ddpm, in continuous time: any number of steps, and log p(x) by an ODE.",
    objective="min E‖σₜ s(xₜ, t) + ε‖²",
)
def score_sde(
    space: Annotated[Space, ALL],
    options: DiffusionOptions,
    *,
    sde: Literal["vp", "sub-vp", "ve"] = "vp",
) -> Diffusion:
    """A network learns the score of the data at every level of noise, in continuous time.

    Args:
        sde: the noise that is added: variance preserving, less of it, or variance exploding.
    """
    chosen = {"vp": VP, "sub-vp": SubVP, "ve": VE}[sde]
    return options.compose(space, chosen())


@preset(
    "latent-diffusion",
    paper="Rombach et al. 2022, High-resolution image synthesis with latent diffusion models",
    train=TrainConfig(batch_size=128, schedule="cosine", clip=1.0, ema=0.999),
    fixed={"generator.network": "mlp", "generator.width": None, "generator.given": None},
    small={
        "codec.latent_dim": 2,
        "codec.hidden": (8,),
        "codec.network": "mlp",
        "generator.times": 24,
        "generator.predict": "velocity",
        "generator.hidden": (8, 8),
        "generator.blocks": 1,
    },
    when="For samples of large images: diffusion of short codes, cheap to draw.",
    objective="min ‖x − g(z)‖², then min E‖ε − ε̂(zₜ, t)‖², z = f(x)",
)
def latent_diffusion(
    space: Space,
    codec_options: FirstStageOptions,
    generator: DDPMOptions,
    *,
    codec: Literal["ae", "vae"] = "ae",
) -> TwoStage:
    """An autoencoder or a VAE, and a diffusion model of its codes; no likelihood.

    Args:
        codec: what makes codes of x, trained first.
    """
    first = codec_options.build(space, codec)
    return TwoStage(first, generator.build(of_codes(first, generator.conditional)))
