"""Imputation: missing cells drawn from p(x_missing | x_observed)."""

from __future__ import annotations

import torch
from torch import Tensor

from reparam.model import Completer, LatentVariable, Model, positive_count
from reparam.space import as_tensor, check_shape
from reparam.use.missing_part import STEPS, Imputation, rest


@torch.no_grad()
def impute(
    model: Model,
    x: Tensor,
    c: Tensor | None = None,
    *,
    draws: int = 1,
    steps: int = STEPS,
    generator: torch.Generator | None = None,
) -> Imputation:
    """Draw the missing cells of each row given those that are there.

    Models with a closed form, and autoregressive ones where all that is missing comes last, draw
    exactly. VAEs do by Metropolis steps on z alone, a chain for every draw: q(z|x_observed)
    proposes, and z′ replaces z with probability min(1, w′/w), w = p(x_observed|z) p(z) / q(z|x);
    then x_missing ~ p(x_missing|z). Every tenth step the prior proposes instead, accepted with
    probability min(1, p(x_observed|z′) / p(x_observed|z)): it reaches what a q narrower than the
    truth seldom does. A chain starts at a proposal of q; a low acceptance says that more steps are
    needed. A row without any cell is drawn from p(x).

    Args:
        model: one that takes missing cells.
        x: (B, D), in data units, NaN where a cell is missing.
        c: the condition, for models that use one.
        draws: for each row.
        steps: of a chain.
        generator: of the draws.

    Raises:
        ValueError: a model that cannot, or rows in whose order a given cell follows a missing one.

    Reference: Mattei & Frellsen 2018, "Leveraging the exact likelihood of deep latent variable
    models", section 3, here with a proposal that sees no imputed cells, so that the ratio holds
    the observed ones alone.
    https://arxiv.org/abs/1802.04826

    >>> import reparam as rp
    >>> columns = (rp.Column("age", "levels", 90), rp.Column("city", "category", 3))
    >>> model = rp.build("vae", rp.Space((2,), "mixed", columns=columns), seed=0)
    >>> filled = impute(model, torch.tensor([[31.0, torch.nan]]), draws=5)
    >>> filled.x.shape, bool((filled.x[..., 0] == 31).all())
    (torch.Size([1, 5, 2]), True)
    """
    positive_count("draws", draws)
    positive_count("steps", steps)
    x = as_tensor(x)
    check_shape(x, model.space.shape)
    if not model.takes_missing:
        raise ValueError(f"impute: {type(model).__name__} takes no missing cells")
    known, c = model.prepare(x, c)
    given = ~x.isnan()
    if isinstance(model, Completer):
        model.refuse_given(given)
    elif not isinstance(model, LatentVariable):
        raise ValueError(f"impute: {type(model).__name__} has no p(x_missing | x_observed)")
    return rest(model, x, known, given, c, draws, steps, generator)
