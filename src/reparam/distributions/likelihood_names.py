"""The likelihoods by name, and which of them fits which kind of data."""

from __future__ import annotations

from collections.abc import Mapping

from reparam.distributions.likelihoods import (
    Bernoulli,
    Categorical,
    ConditionalNormal,
    DiscretizedLogistic,
    DiscretizedNormal,
    HeteroscedasticNormal,
    Likelihood,
    Normal,
)
from reparam.distributions.mixed import ConditionalMixed, Mixed
from reparam.model import Space

Likelihoods = Mapping[str, type[Likelihood]]

LIKELIHOODS: Likelihoods = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "discretized-logistic": DiscretizedLogistic,
    "discretized-normal": DiscretizedNormal,
    "normal": Normal,
    "heteroscedastic-normal": HeteroscedasticNormal,
    "mixed": Mixed,
}
DEFAULTS = {
    "binary": "bernoulli",
    "levels": "discretized-logistic",
    "real": "normal",
    "mixed": "mixed",
}
# Of autoregressive models, whose networks give every parameter of an entry.
CONDITIONALS: Likelihoods = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "discretized-logistic": DiscretizedLogistic,
    "normal": ConditionalNormal,
    "mixed": ConditionalMixed,
}


def make_likelihood(
    name: str,
    space: Space,
    mixture: int = 1,
    *,
    choices: Likelihoods = LIKELIHOODS,
    auto: Mapping[str, str] = DEFAULTS,
) -> Likelihood:
    """The likelihood of that name; ``auto`` fits the kind of the data without approximation.

    Args:
        name: auto, or a key of ``choices``.
        space: what x is.
        mixture: components of the discretized logistic; no other likelihood has several.
        choices: which there are, ``LIKELIHOODS`` or ``CONDITIONALS``.
        auto: the name that ``auto`` stands for, by kind of data.

    Raises:
        ValueError: there is none of that name, or it is none of this kind of data, or no mixture.
    """
    name = auto[space.kind] if name == "auto" else name
    chosen = choices.get(name)
    if chosen is None:
        raise ValueError(f"likelihood: expected auto, {', '.join(choices)}, got {name!r}")
    if space.kind not in chosen.kinds:
        fitting = [other for other, made in choices.items() if space.kind in made.kinds]
        raise ValueError(
            f"likelihood: {name} is none of {space.kind} data; these are {', '.join(fitting)}"
        )
    if chosen is DiscretizedLogistic:
        return DiscretizedLogistic(space, mixture)
    if mixture != 1:
        raise ValueError(f"mixture: only discretized-logistic has components, not {name}")
    return chosen(space)
