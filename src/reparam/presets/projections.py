"""Presets of linear projections."""

from __future__ import annotations

from typing import Annotated

from reparam.limits import Count
from reparam.model import Space
from reparam.models.pca import PCA
from reparam.models.real_pca import REAL_COLUMNS, RealPCA
from reparam.presets.registry import Accepts, preset

FAMILY = "Linear projections"
OBJECTIVE = "max log N(x; μ, W Wᵀ + σ²I), in closed form"


@preset(
    "pca",
    paper="Tipping & Bishop 1999, Probabilistic principal component analysis",
    exact=("real", "mixed"),
    when="The baseline: in no time, and what others have to beat.",
)
def pca(
    space: Annotated[Space, Accepts(columns=REAL_COLUMNS)],
    *,
    latent_dim: Count = 2,
    standardize: bool = False,
) -> PCA:
    """Principal component analysis in closed form; its density is exact on real data, else a bound.

    Rows of real columns may have missing cells; the fit is then expectation maximization.

    Args:
        latent_dim: number of components.
        standardize: columns of real data to unit variance first, for columns in different units.
    """
    return (RealPCA if space.has_reals else PCA)(space, latent_dim, standardize)
