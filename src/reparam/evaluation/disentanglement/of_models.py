"""Codes, rates and factors of a model's examples, as the metrics of disentanglement take them."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.data import Data, Split
from reparam.evaluation.disentanglement import cheap_scores
from reparam.evaluation.disentanglement.following import FactorInformation
from reparam.evaluation.disentanglement.inputs import Coded, UnmeasurableError, read
from reparam.evaluation.likelihood import bound_terms
from reparam.evaluation.representation import codes
from reparam.evaluation.rows import subset
from reparam.evaluation.scores import Scores
from reparam.model import Encoder, LatentVariable

MOST_ROWS = 10_000  # of a split, drawn at random; on a core each metric takes seconds of so many
MOST_LATENTS = 100  # of codes that ``evaluate`` scores; those of flows are as many as x has


class RatedCodes(NamedTuple):
    """Codes (N, L) in float64, and the mean KL of each latent in nats, (L,), where there is one."""

    z: Tensor
    rates: Tensor | None


def refuse_codes(model: Encoder) -> None:
    """ValueError where codes have no axes of their own, or know more than x."""
    name = type(model).__name__
    if model.code_space.kind != "real":
        raise UnmeasurableError(f"codes: those of {name} are indices, not real numbers")
    if model.conditional:
        raise UnmeasurableError(
            f"codes: those of a conditional {name} already contain the condition"
        )


def rated_codes(model: Encoder, split: Split, seed: int = 0) -> RatedCodes:
    """Codes of the rows of a split in their order, and rates of the dimensions of a VAE."""
    z = codes(model, split)
    if not isinstance(model, LatentVariable):
        return RatedCodes(z, None)
    with torch.no_grad():
        rates = bound_terms(model, split, seed)["rate"].flatten(1)
    fits = rates.shape[1] == z.shape[1]
    return RatedCodes(z, rates.cpu().double().mean(0) if fits else None)


def factor_scores(model: Encoder, data: Data, name: str, seed: int = 0) -> Scores:
    """The cheap metrics on at most 10 000 rows of a split; none where nothing can be said.

    Args:
        model: any encoder.
        data: perhaps with known factors.
        name: of the split.
        seed: of the rows, the halves and the bootstrap.
    """
    read_codes = _read_codes(model, data, name, seed)
    if read_codes is None:
        return {}
    found = cheap_scores(read_codes[0], seed)
    return {title: dataclasses.replace(score, split=name) for title, score in found.items()}


def factor_information(
    model: Encoder, data: Data, name: str, seed: int = 0
) -> FactorInformation | None:
    """What latents tell of factors, of the rows of ``factor_scores``; None where it has none."""
    read_codes = _read_codes(model, data, name, seed)
    if read_codes is None:
        return None
    coded, rates = read_codes
    return FactorInformation.of(coded, rates, level_names=data.level_names, seed=seed)


def _read_codes(
    model: Encoder,
    data: Data,
    name: str,
    seed: int,
) -> tuple[Coded, Tensor | None] | None:
    """Codes and factors of some rows of a split, and rates; None where nothing can be said."""
    split = data.splits[name]
    if split.factors is None or model.code_space.dimension > MOST_LATENTS:
        return None
    rows = subset(split, MOST_ROWS, seed)
    try:
        refuse_codes(model)
        z, rates = rated_codes(model, rows, seed)
        return read(z, rows.factors, data.factor_kinds, data.factor_names, rates), rates
    except UnmeasurableError:
        return None
