"""Likelihoods of autoregressive models: every parameter of an entry is the network's."""

from __future__ import annotations

from reparam.distributions.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    HeteroscedasticNormal,
    Likelihood,
)
from reparam.model import Space


class ConditionalNormal(HeteroscedasticNormal):
    """N(m, σ²) per entry, both from the network: σ may differ from entry to entry and row to row.

    Shape: (B, 2, *shape), means and log-scales → real x (B, *shape) in standardized units.

    Likelihood: exact; of discrete data it would be a bound, and is refused.

    Reference: Uria et al. 2013 (RNADE), eq. 7–9, with one component.

    >>> import torch
    >>> p = ConditionalNormal(Space((3,), "real"))(torch.zeros(1, 2, 3))
    >>> round(p.log_prob_terms(torch.zeros(1, 3)).sum().item(), 2)  # −3/2 ln 2π
    -2.76
    """

    kinds = ("real",)


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
