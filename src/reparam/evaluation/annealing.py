"""Annealed importance sampling: log p(x) of a latent-variable model without its posterior."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam.chains.annealing import find_sizes, hamiltonian_runs, ramp
from reparam.chains.kernels import Tempered
from reparam.model import LatentVariable, LogProb, positive_count


@torch.no_grad()
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
    c = None if c is None else c.repeat_interleave(chains, 0)
    prior, betas = model.prior(c), ramp(temperatures)
    first = prior.repeat(len(x) // prior.rows)
    target = Tempered(prior.log_prob, lambda z: -model.likelihood(z, c).log_prob(x))
    pilots = first.sample(generator)
    bounded = "estimate" not in (prior.kind, model.likelihood(pilots, c).kind)
    sizes = find_sizes(target, pilots, betas, step, leapfrogs, generator)
    start = first.sample(generator)
    weights = hamiltonian_runs(target, start, betas, sizes, leapfrogs, generator)
    total = weights.view(-1, chains).logsumexp(1) - math.log(chains)
    return LogProb(total, "lower bound" if bounded else "estimate", chains)
