"""Posteriors and priors of codes by flows or entry by entry, which few VAEs have."""

from __future__ import annotations

from collections.abc import Sequence

from reparam.bijections.autoregressive import AutoregressiveTransform
from reparam.bijections.base import Bijection, Chain, Inverse
from reparam.bijections.masked_affine import MaskedAffine
from reparam.bijections.planar import Planar, Radial
from reparam.bijections.shape import Reverse
from reparam.bijections.transforms import Spline
from reparam.distributions.posteriors import FlowPosterior
from reparam.distributions.priors import AutoregressivePrior, FlowPrior
from reparam.nets.masked import MADE


def flow_posterior(kind: str, latent_dim: int, flows: int) -> FlowPosterior:
    """A normal whose draws go through so many planar, radial, iaf or spline layers."""
    if kind in ("planar", "radial"):
        layer = Planar if kind == "planar" else Radial
        return FlowPosterior(latent_dim, Chain(*(layer(latent_dim) for _ in range(flows))))
    one = MaskedAffine if kind == "iaf" else _masked_spline
    maps = [Inverse(one(latent_dim, (64,), 2 * latent_dim)) for _ in range(flows)]
    return FlowPosterior(latent_dim, Chain(*_reversed_between(maps)))


def flow_prior(kind: str, latent_dim: int) -> FlowPrior:
    """A standard normal behind four autoregressive maps, flow-affine or flow-spline."""
    one = MaskedAffine if kind == "flow-affine" else _masked_spline
    maps = [one(latent_dim) for _ in range(4)]
    return FlowPrior(latent_dim, Chain(*_reversed_between(maps)))


def autoregressive_prior(latent_dim: int) -> AutoregressivePrior:
    """A normal of every entry given those before it, near the standard normal at first."""
    return AutoregressivePrior(MADE((latent_dim,), 2, (64,), gain=0.1))


def _masked_spline(
    latent_dim: int, hidden: Sequence[int] = (64,), context: int = 0
) -> AutoregressiveTransform:
    """What ``MaskedAffine`` is, of splines; the identity at first."""
    spline = Spline()
    network = MADE((latent_dim,), spline.parameters, hidden, context=context, gain=0.0)
    return AutoregressiveTransform(spline, network)


def _reversed_between(maps: Sequence[Bijection]) -> list[Bijection]:
    """The maps with the entries reversed between each two, so that none is always the first."""
    return [part for one in maps for part in (one, Reverse())][:-1]
