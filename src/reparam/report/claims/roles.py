"""Which models a claim is about, by what they can do and how they were made, not by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from reparam.model import (
    Codec,
    Completer,
    Density,
    Descend,
    Encoder,
    Generator,
    LatentVariable,
    Model,
)
from reparam.models.invertible import Invertible
from reparam.presets.registry import find_preset

Role = Callable[[Model], bool]
AUTOENCODERS = "Autoencoders"
UNPENALIZED = ("Variational autoencoders", "VAEs of several layers")  # rate and distortion alone


def family(model: Model) -> str:
    """The family of the preset that made it; ``""`` of a model of one's own.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> family(build("ae", Space((9,), "real")))
    'Autoencoders'
    """
    return "" if model.recipe is None else find_preset(str(model.recipe["preset"])).family


def parameter(model: Model, name: str) -> Any:
    """A parameter of the preset that made it; None where it has no such one."""
    if model.recipe is None:
        return None
    preset = find_preset(str(model.recipe["preset"]))
    return preset.complete(model.recipe["parameters"]).get(name)


def autoencoder(model: Model) -> bool:
    """A codec of real codes that says nothing of how probable x or a code is in its training."""
    real = isinstance(model, Codec) and model.code_space.kind == "real"
    return real and not isinstance(model, Density) and family(model) in ("", AUTOENCODERS)


def plain_autoencoder(model: Model) -> bool:
    return autoencoder(model) and isinstance(model, Codec) and model.noise is None


def denoising(model: Model) -> bool:
    return autoencoder(model) and isinstance(model, Codec) and model.noise is not None


def generator_of_codes(model: Model) -> bool:
    """An autoencoder with a density fitted to its codes, of which it draws."""
    return autoencoder(model) and isinstance(model, Generator)


def vae(model: Model) -> bool:
    """Codes are drawn of q(z|x), and the family is one of VAEs."""
    drawn = isinstance(model, LatentVariable) and model.log_prob_draws
    return drawn and (family(model) == "" or family(model).startswith(("VAE", "Variational")))


def weight_of_rate(model: Model) -> float | None:
    """β, 1 of a VAE without it; None of other objectives, and where it moves in training."""
    if not vae(model) or family(model) not in UNPENALIZED:
        return None
    beta = parameter(model, "beta")
    return 1.0 if beta is None else float(beta)


def plain_vae(model: Model) -> bool:
    return weight_of_rate(model) == 1


def adversarial(model: Model) -> bool:
    """A generator that a critic judges, without a density and without codes."""
    judged = isinstance(model, Generator) and model.judgment is not None
    return judged and not isinstance(model, Density | Encoder)


def autoregressive(model: Model) -> bool:
    """A tractable density that draws entry after entry."""
    in_order = isinstance(model, Density) and isinstance(model, Completer) and model.in_order
    return in_order and model.approximation == "tractable" and not isinstance(model, Encoder)


def flow(model: Model) -> bool:
    return isinstance(model, Invertible)


def diffusion(model: Model) -> bool:
    """A generator that undoes noise, in more steps or fewer."""
    return isinstance(model, Generator) and model.from_noise is not None


def descends(model: Model) -> bool:
    """Whether it is trained by gradients, and not solved."""
    return any(isinstance(stage, Descend) for stage in model.stages)


class Wanted(NamedTuple):
    """A model that a claim is about: of the first of these roles that one has, and who has it."""

    preset: str
    roles: tuple[Role, ...]


AUTOENCODER = Wanted("ae", (plain_autoencoder,))
VAE = Wanted("vae", (plain_vae, vae))
AUTOREGRESSIVE = Wanted("made", (autoregressive,))
FLOW = Wanted("real-nvp", (flow,))
GAN = Wanted("gan", (adversarial,))
DIFFUSION = Wanted("ddpm", (diffusion,))
BY_LIKELIHOOD = Wanted("ddpm", (diffusion, plain_vae))
