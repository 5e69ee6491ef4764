"""Which latent dimensions are used."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from reparam.data import Split
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.representation import code_features
from reparam.evaluation.scores import Score
from reparam.model import LatentVariable, Model

ACTIVE_VARIANCE = 0.01  # of a mean over the data, at most: no active unit
COLLAPSED_NATS = 0.01  # mean rate below which a dimension says nothing
NEGLIGIBLE = 1e-4  # of the largest variance: what counts as idle in a codec without a prior


def active_units(model: LatentVariable, split: Split, name: str = "test") -> Score | None:
    """How many dimensions' posterior means vary by more than 0.01 over the data.

    None of conditional models, whose means may vary with the condition alone, and where codes are
    indices.

    Reference: Burda et al. 2016, section 5 (A_u = Cov_x(E_{q(u|x)}[u]) > 10⁻²).
    """
    if model.conditional or model.code_space.kind != "real":
        return None
    means = code_features(model, split)
    return active(means, name)


def active(means: Tensor, name: str) -> Score:
    """How many entries of means of q(z|x) (N, L) vary over the rows of a split of that name."""
    count = (means.var(0, correction=0) > ACTIVE_VARIANCE).sum().item()
    return Score(float(count), f"of {means.shape[1]} dimensions", len(means), name)


def collapsed(rate: Tensor) -> Tensor:
    """Which columns of the rates (N, G) carry next to nothing on average, (G,)."""
    return rate.cpu().double().mean(0) < COLLAPSED_NATS


@dataclass(frozen=True)
class Axes:
    """The dimensions of a code by importance.

    Args:
        amount: rate or variance of each dimension, (F,).
        alive: which are used; the others are idle.
        unit: of the amounts.
        order: what the order is and who is idle, in words.
    """

    amount: Tensor
    alive: Tensor
    unit: str
    order: str

    def text(self, dimension: int, unit: str = "") -> str:
        """Its name, what it carries, and whether it is idle."""
        idle = "" if self.alive[dimension] else " (idle)"
        return f"z{dimension}: {self.amount[dimension].item():.3g}{unit}{idle}"


def importance(model: Model, split: Split, flat: Tensor, seed: int) -> Axes:
    """Mean KL per dimension where the model has one, the variance of the codes otherwise.

    By rate a dimension is idle where ``diagnosis.idle`` names it. By variance it is where it is no
    active unit, or, in a codec without a prior to give codes a scale, where it hardly varies.
    """
    variance, order = flat.var(0, correction=0), "By the variance of the codes"
    if not isinstance(model, LatentVariable):
        least = NEGLIGIBLE * float(variance.max())
        order += f"; idle: at most {NEGLIGIBLE:g} of the largest"
        return Axes(variance, variance > least, "variance", order)
    rates = bound_terms(model, split, seed)["rate"].flatten(1)
    if rates.shape[1] == flat.shape[1]:
        order = f"By rate, the mean KL(q(z|x) ‖ p(z)) in nats; idle: less than {COLLAPSED_NATS}"
        return Axes(rates.mean(0).float().cpu(), ~collapsed(rates), "nats", order)
    order += f"; idle: at most {ACTIVE_VARIANCE}, no active unit"
    return Axes(variance, variance > ACTIVE_VARIANCE, "variance", order)
