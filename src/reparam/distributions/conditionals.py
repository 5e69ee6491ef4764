"""Likelihoods of autoregressive models: every parameter of an entry is the network's."""

from __future__ import annotations

from torch import Tensor

from reparam import numerics
from reparam.distributions.factorised import NormalDensity
from reparam.distributions.likelihoods import (
    LOG_SCALE_BOUNDS,
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Likelihood,
)
from reparam.model import Space


class ConditionalNormal(Likelihood):
    """N(m, σ²) per entry, both from the network: σ may differ from entry to entry and row to row.

    Shape: (B, 2, *shape), means and log-scales → real x (B, *shape) in standardised units.

    Likelihood: exact.

    Reference: Uria et al. 2013 (RNADE), eq. 7–9, with one component.

    >>> import torch
    >>> p = ConditionalNormal(Space((3,), "real"))(torch.zeros(1, 2, 3))
    >>> round(p.log_prob(torch.zeros(1, 3)).sum().item(), 3)  # −3/2 ln 2π
    -2.757
    """

    kinds = ("real",)

    def __init__(self, space: Space) -> None:
        super().__init__(space, 2)

    def distribution(self, parameters: Tensor) -> NormalDensity:
        mean, log_scale = parameters.unbind(1)
        return NormalDensity(mean, numerics.bound_softly(log_scale, *LOG_SCALE_BOUNDS))


CONDITIONALS: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "discretized-logistic": DiscretizedLogistic,
    "normal": ConditionalNormal,
}


def find_conditional(name: str, space: Space, levels: str = "discretized-logistic") -> Likelihood:
    """The conditional likelihood of that name; ``auto`` is exact for every kind of data.

    Args:
        name: auto, or a key of ``CONDITIONALS``.
        space: what x is.
        levels: what ``auto`` means for levels data.

    Raises:
        ValueError: there is none of that name, or it is none of this kind of data.
    """
    if name == "auto":
        name = {"binary": "bernoulli", "levels": levels, "real": "normal"}[space.kind]
    if name not in CONDITIONALS:
        raise ValueError(f"likelihood: expected auto, {', '.join(CONDITIONALS)}, got {name!r}")
    chosen = CONDITIONALS[name]
    if space.kind not in chosen.kinds:
        fitting = [other for other, kind in CONDITIONALS.items() if space.kind in kind.kinds]
        raise ValueError(
            f"likelihood: {name} is none of {space.kind} data; these are {', '.join(fitting)}"
        )
    return chosen(space)
