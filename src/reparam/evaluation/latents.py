"""Which latent dimensions are used."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.batching import in_batches, rows_at_once
from reparam.data import Split
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.representation import code_features
from reparam.evaluation.scores import Score
from reparam.model import Decoder, LatentVariable, Model

ACTIVE_VARIANCE = 0.01  # of a mean over the data, at most: no active unit
COLLAPSED_NATS = 0.01  # mean rate below which a dimension says nothing
LITTLE = 0.01  # of the largest change of x: what counts as idle in a decoder of noise
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


@torch.no_grad()
def influence(model: Decoder, codes: Tensor, c: Tensor | None = None) -> Axes:
    """How far x moves while one entry of its code goes from −1 to 1 and the others stay.

    For codes that are standard normal noise, which no x has: no rate, and one variance for all. The
    change is a root mean square over codes and entries of x, in standard deviations of x: those of
    each column of a table, and one for all pixels.

    Args:
        model: any decoder of real codes.
        codes: (N, *code_space.shape), draws.
        c: the condition of one row, the same for all.
    """
    flat, shape, rows = codes.flatten(1), codes.shape[1:], rows_at_once(model.space)

    def decoded(flat: Tensor) -> Tensor:
        of_all = None if c is None else c.expand(len(flat), *c.shape[1:])
        found = in_batches(model.decode, rows, flat.unflatten(1, shape), of_all)
        return found.flatten(1).cpu().double()

    variance = decoded(flat).var(0, correction=0)
    variance = variance.mean() if model.space.is_image else variance
    scale, amounts = torch.where(variance > 0, variance, 1.0).sqrt(), []
    for entry in range(flat.shape[1]):
        ends = flat.repeat(2, 1)
        ends[:, entry] = torch.tensor([-1.0, 1.0]).repeat_interleave(len(flat)).to(ends)
        low, high = decoded(ends).chunk(2)
        amounts.append(((high - low) / scale).square().mean().sqrt())
    amount = torch.stack(amounts).float()
    order = (
        "By how far x moves, in its standard deviations, while the entry goes from −1 to 1; idle: "
        f"at most {LITTLE:g} of the largest"
    )
    return Axes(amount, amount > LITTLE * amount.max(), "change of x", order)
