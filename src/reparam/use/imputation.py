"""Imputation: missing cells drawn from p(x_missing | x_observed)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import draws_at_once
from reparam.model import Completer, LatentVariable, Model, positive_count
from reparam.space import as_tensor, check_shape, trusted

# The prior covers whatever there is: with it a chain leaves any z, however narrow q may be.
PRIOR_EVERY = 10


@dataclass(frozen=True)
class Imputation:
    """Rows whose missing cells are filled.

    Args:
        x: (B, draws, D); cells that were given are as they were.
        steps: of each Markov chain; None: draws are exact.
        acceptance: the share of the proposals of q that the chains accepted.
    """

    x: Tensor
    steps: int | None = None
    acceptance: float | None = None


@torch.no_grad()
def impute(
    model: Model,
    x: Tensor,
    c: Tensor | None = None,
    *,
    draws: int = 1,
    steps: int = 100,
    generator: torch.Generator | None = None,
) -> Imputation:
    """Draw the missing cells of each row given those that are there.

    Models with a closed form, and autoregressive ones where all that is missing comes last, draw
    exactly. VAEs do by Metropolis steps on z alone, a chain for every draw: q(z|x_observed)
    proposes, and z′ replaces z with probability min(1, w′/w), w = p(x_observed|z) p(z) / q(z|x);
    then x_missing ~ p(x_missing|z). Every tenth step the prior proposes instead, accepted with
    probability min(1, p(x_observed|z′) / p(x_observed|z)): it reaches what a q narrower than the
    truth seldom does. A chain starts at a proposal of q; a low acceptance says that more steps are
    needed.

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
    _, c = model.prepare(x, c)
    repeated = None if c is None else c.repeat_interleave(draws, 0)
    if isinstance(model, Completer):
        given = ~x.isnan()
        model.refuse_given(given)
        drawn = model.complete(
            x.repeat_interleave(draws, 0),
            given.repeat_interleave(draws, 0),
            repeated,
            generator=generator,
        )
        return Imputation(_filled(x, drawn, draws))
    if not isinstance(model, LatentVariable):
        raise ValueError(f"impute: {type(model).__name__} has no p(x_missing | x_observed)")
    parts, accepted, tried = [], 0.0, 0
    rows = max(1, draws_at_once(model.space, model.anchor.device) // draws)
    for start in range(0, len(x), rows):
        block = slice(start * draws, (start + rows) * draws)
        of_block = None if repeated is None else repeated[block]
        drawn, share = _by_chains(model, x[start : start + rows], of_block, draws, steps, generator)
        parts.append(drawn)
        accepted, tried = accepted + share * len(drawn), tried + len(drawn)
    return Imputation(_filled(x, torch.cat(parts), draws), steps, accepted / tried)


def _filled(x: Tensor, drawn: Tensor, draws: int) -> Tensor:
    """Draws in the missing cells, and what is given as it is, (B, draws, D)."""
    dtype = torch.promote_types(x.dtype, drawn.dtype)
    given = x.repeat_interleave(draws, 0).to(drawn.device, dtype)
    filled = torch.where(given.isnan(), drawn.to(dtype), given)
    return filled.unflatten(0, (len(x), draws))


def _by_chains(
    model: LatentVariable,
    x: Tensor,
    c: Tensor | None,
    draws: int,
    steps: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, float]:
    """A draw of each of so many chains per row, (B·draws, D), and the share of accepted steps."""
    own = c if c is None else c[::draws]
    x, _ = model.prepare(x, own)
    with trusted():
        proposal = model.posterior(x, own).repeat(draws)
        x = x.repeat_interleave(draws, 0)
        prior = model.prior(c)
        prior = prior.repeat(len(x) // prior.rows)
        here = _weigh(model, x, c, *proposal.rsample_with_log_prob_terms(generator))
        accepted = x.new_zeros((), dtype=numerics.accumulator(x))
        for step in range(1, steps + 1):
            if step % PRIOR_EVERY:
                there = _weigh(model, x, c, *proposal.rsample_with_log_prob_terms(generator))
                ratio = there.weight - here.weight
            else:
                z = prior.sample(generator)
                there = _weigh(model, x, c, z, proposal.log_prob_terms(z))
                ratio = there.evidence - here.evidence  # p(z) cancels: it proposed
            moves = numerics.noise(ratio, "uniform", generator).log() < ratio
            here = here.moved(there, moves)
            if step % PRIOR_EVERY:
                accepted += moves.to(accepted).mean()
        drawn = model.likelihood(here.z, c).sample(generator)
    return drawn, (accepted / (steps - steps // PRIOR_EVERY)).item()


class _Point(NamedTuple):
    """Where the chains are: z, ln p(x_observed|z), and that + ln p(z) − ln q(z|x_observed)."""

    z: Tensor
    evidence: Tensor
    weight: Tensor

    def moved(self, there: _Point, moves: Tensor) -> _Point:
        """``there`` in the chains that move."""
        of_z = moves.view(-1, *[1] * (self.z.ndim - 1))
        return _Point(*map(torch.where, (of_z, moves, moves), there, self))


def _weigh(model: LatentVariable, x: Tensor, c: Tensor | None, z: Tensor, log_q: Tensor) -> _Point:
    evidence = model.likelihood(z, c).log_prob(x)
    return _Point(z, evidence, evidence + model.prior(c).log_prob(z) - log_q.sum(1))
