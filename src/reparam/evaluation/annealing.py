"""Annealed importance sampling: log p(x) of a latent-variable model without its posterior."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from reparam import numerics
from reparam.model import Batch, Kind, LatentVariable, LogProb, positive_count


@torch.enable_grad()
def annealed_log_prob(
    model: LatentVariable,
    x: Tensor,
    c: Tensor | None = None,
    *,
    temperatures: int = 200,
    chains: int = 16,
    leapfrogs: int = 8,
    step: float = 0.1,
    generator: torch.Generator | None = None,
) -> LogProb:
    """A lower bound on log p(x) that does not rest on q(z|x): a check of bounds on small models.

    Each chain starts at z ~ p(z) and goes by Hamiltonian steps through the densities
    p(z) p(x|z)^t, t from 0 to 1; its weight is Π p(x|z)^{t_i − t_{i−1}}, whose mean is p(x)
    exactly. Step sizes follow the acceptance of pilot chains, which are then thrown away: steps
    that followed a chain's own past would not leave its densities as they are.

    Args:
        model: with continuous z.
        x: (B, *shape).
        c: the conditions of a conditional model; the bound is then one on log p(x|c).
        temperatures: between prior and posterior, evenly in a sigmoid of t.
        chains: for every row.
        leapfrogs: of each Hamiltonian step.
        step: the pilots' first size.
        generator: of all draws.

    Raises:
        ValueError: z is categorical, so that there are no gradients to follow.

    Cost: twice ``temperatures`` · ``leapfrogs`` gradients of the decoder, for every chain.

    Reference: Neal 2001; Wu et al. 2017, "On the quantitative analysis of decoder-based models".

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,)).eval()
    >>> annealed_log_prob(model, torch.ones(1, 9), temperatures=5).kind
    'lower bound'
    """
    for name, count in (("temperatures", temperatures), ("chains", chains)):
        positive_count(name, count)
    x, c = model.prepare(x, c)
    if not model.prior(c).continuous:
        raise ValueError(
            "model: expected one with continuous z, whose gradients annealing follows, got "
            "categorical z; log_prob with many samples is a bound without gradients"
        )
    x = x.repeat_interleave(chains, 0)
    rows = Batch(x, None if c is None else c.repeat_interleave(chains, 0))
    ramp = torch.sigmoid(torch.linspace(-4, 4, temperatures + 1, dtype=torch.float64))
    schedule = ((ramp - ramp[0]) / (ramp[-1] - ramp[0])).tolist()
    first = model.anchor.new_full((len(rows.x), 1), step)
    _, sizes, _ = _anneal(model, rows, schedule, [first], leapfrogs, generator)
    weights, _, kind = _anneal(model, rows, schedule, sizes, leapfrogs, generator)
    total = weights.view(-1, chains).logsumexp(1) - math.log(chains)
    return LogProb(total, kind, chains)


def _anneal(
    model: LatentVariable,
    rows: Batch,
    schedule: list[float],
    sizes: list[Tensor],
    leapfrogs: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, list[Tensor], Kind]:
    """Log-weights of a chain for each row, step sizes by temperature, and what the weights give.

    A single size is that of a pilot's first step, which its acceptance then moves.
    """
    x, c, pilot = rows.x, rows.c, len(sizes) == 1
    prior, bounded = model.prior(c), True
    z = prior.repeat(len(x) // prior.rows).sample(generator)
    weights = torch.zeros(len(x), dtype=numerics.accumulator(x), device=x.device)
    for index, (before, now) in enumerate(pairwise(schedule)):
        with torch.no_grad():
            likelihood = model.likelihood(z, c)
            weights += (now - before) * likelihood.log_prob(x).to(weights)
            bounded = "estimate" not in (prior.kind, likelihood.kind)
        z, accepted = _hamiltonian(model, rows, z, now, sizes[index], leapfrogs, generator)
        if pilot:  # about five in six are accepted
            sizes.append(sizes[-1] * torch.where(accepted, 1.02, 0.9).unsqueeze(1))
    return weights, sizes, "lower bound" if bounded else "estimate"


def _hamiltonian(
    model: LatentVariable,
    rows: Batch,
    z: Tensor,
    t: float,
    size: Tensor,
    leapfrogs: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """One Metropolis-corrected step that leaves p(z) p(x|z)^t as it is, and who accepted."""

    def energy(at: Tensor) -> tuple[Tensor, Tensor]:
        at = at.detach().requires_grad_()
        log_p_x = model.likelihood(at, rows.c).log_prob(rows.x)
        log_p = model.prior(rows.c).log_prob(at) + t * log_p_x
        (slope,) = torch.autograd.grad(-log_p.sum(), at)
        return -log_p.detach(), slope

    momentum = numerics.noise(z, "normal", generator)
    start, slope = energy(z)
    moved, speed, end = z, momentum, start
    for _ in range(leapfrogs):
        speed = speed - 0.5 * size * slope
        moved = moved + size * speed
        end, slope = energy(moved)
        speed = speed - 0.5 * size * slope
    change = end - start + 0.5 * (speed.square() - momentum.square()).sum(1)
    accepted = numerics.noise(change, "uniform", generator).log() < -change
    return torch.where(accepted.unsqueeze(1), moved, z), accepted
