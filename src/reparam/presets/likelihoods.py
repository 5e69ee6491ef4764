"""The option ``likelihood`` of presets, and which values it has for which kind of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from reparam.distributions.likelihood_names import (
    CONDITIONALS,
    DEFAULTS,
    LIKELIHOODS,
    make_likelihood,
)
from reparam.distributions.likelihoods import Likelihood
from reparam.limits import Count, Limited
from reparam.model import Space
from reparam.presets.registry import Preset


class HasLikelihood(Limited):
    """Options with a likelihood: what its names mean, and what ``auto`` is by kind of data."""

    choices: ClassVar[Mapping[str, type[Likelihood]]]
    auto: ClassVar[Mapping[str, str]]


@dataclass(frozen=True)
class LikelihoodOptions(HasLikelihood):
    """The likelihood of a VAE.

    Args:
        likelihood: of x given z; auto fits the kind of the data. Normal has one learned scale,
            heteroscedastic-normal one for each entry of each example, from the decoder.
        mixture: components of a discretized-logistic likelihood.
    """

    choices, auto = LIKELIHOODS, DEFAULTS

    likelihood: Literal[
        "auto",
        "bernoulli",
        "categorical",
        "discretized-logistic",
        "discretized-normal",
        "normal",
        "heteroscedastic-normal",
        "mixed",
    ] = "auto"
    mixture: Count = 1

    def p_x(self, space: Space) -> Likelihood:
        return make_likelihood(self.likelihood, space, self.mixture)


@dataclass(frozen=True)
class EntryOptions(HasLikelihood):
    """The likelihood of an entry given those before it.

    Args:
        likelihood: of an entry; auto is Bernoulli, a discretized logistic, or a normal.
    """

    choices, auto = CONDITIONALS, DEFAULTS

    likelihood: Literal[
        "auto", "bernoulli", "categorical", "discretized-logistic", "normal", "mixed"
    ] = "auto"

    def p_x(self, space: Space) -> Likelihood:
        return make_likelihood(self.likelihood, space, choices=self.choices, auto=self.auto)


@dataclass(frozen=True)
class PixelOptions(EntryOptions):
    """The likelihood of a value of a pixel given those before it.

    Args:
        likelihood: of an entry; auto is Bernoulli, categorical, or a normal.
    """

    auto: ClassVar = {**DEFAULTS, "levels": "categorical"}


def likelihoods(preset: Preset) -> dict[str, list[str]]:
    """By kind of data, the values of the parameter ``likelihood``, the one of ``auto`` first.

    Empty for a preset without that parameter.

    >>> from reparam.presets import find_preset
    >>> likelihoods(find_preset("vae"))["binary"]
    ['bernoulli', 'categorical', 'normal', 'heteroscedastic-normal']
    """
    return {
        kind: sorted(
            (name for name, p_x in options.choices.items() if kind in p_x.kinds),
            key=lambda name: name != options.auto[kind],
        )
        for options in preset.options.values()
        if issubclass(options, HasLikelihood)
        for kind in preset.accepts.kinds
    }
