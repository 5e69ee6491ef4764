"""Which parts of a latent-variable model change with the condition, found by changing it."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam.diagrams.masks import stir
from reparam.model import LatentVariable
from reparam.space import trusted

CONDITIONS = 16  # that are drawn; that all are alike is improbable


@dataclass(frozen=True)
class Dependence:
    """Where the condition c enters: p(z|c), p(x|z, c), q(z|x, c).

    >>> import reparam as rp
    >>> model = rp.build("cvae", rp.Space((9,), "binary", classes=2), latent_dim=2, hidden=(4,))
    >>> dependence_of(model)
    Dependence(prior=False, likelihood=True, posterior=True)
    """

    prior: bool
    likelihood: bool
    posterior: bool


@torch.no_grad()
def dependence_of(model: LatentVariable) -> Dependence:
    """Asked of a copy with random weights: one row, under several conditions."""
    awake = copy.deepcopy(model).double().eval()
    with trusted(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        stir(awake, torch.Generator().manual_seed(0))
        c = awake.draw_condition(CONDITIONS)
        x = awake.anchor.new_zeros(CONDITIONS, *awake.space.shape)
        code = awake.encode(x, c)
        same = code[:1].expand_as(code)
        return Dependence(
            prior=awake.prior(c).rows > 1,  # a single row where it does not depend on c
            likelihood=_varies(awake.likelihood(same, c).log_prob(x)),
            posterior=_varies(code),
        )


def _varies(rows: Tensor) -> bool:
    """Whether rows differ by more than the order of sums does."""
    rows = rows.double()
    return bool(((rows - rows[:1]).abs() > 1e-9 * (1 + rows[:1].abs())).any())
