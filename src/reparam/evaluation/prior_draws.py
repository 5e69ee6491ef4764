"""log p(x) of a latent-variable model by draws from its prior, and how few of them count."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import draws_at_once
from reparam.model import Kind, LatentVariable, Space, positive_count


@dataclass(frozen=True)
class WeightedLogProb:
    """log of the mean of K weights of each row, and how many of these the mean rests on.

    Args:
        value: log 1/K Σ w_k, (B,), in nats.
        effective_samples: (Σ w)² / Σ w² of each row, (B,), from 1, one draw decides alone, to K,
            all count alike.
        samples: K.
        kind: ``"lower bound"``, in expectation, or ``"estimate"`` where p(x|z) or p(z) is one.

    >>> WeightedLogProb(torch.zeros(2), torch.ones(2), 10).kind
    'lower bound'
    """

    value: Tensor
    effective_samples: Tensor
    samples: int
    kind: Kind = "lower bound"


@torch.no_grad()
def prior_log_prob(
    model: LatentVariable,
    x: Tensor,
    c: Tensor | None = None,
    *,
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> WeightedLogProb:
    """log p(x) by draws from the prior: log 1/K Σ p(x|z_k), z_k ~ p(z).

    The mean of p(x|z_k) is p(x) at every K, so that its logarithm is a lower bound in expectation,
    as that of ``log_prob``, log 1/K Σ p(x|z_k) p(z_k) / q(z_k|x), z_k ~ q(z|x). But hardly any z of
    the prior makes this x: the sum rests on the one draw that comes nearest, the variance is of the
    order of 1 / (K P(z that make x)), and what is told lies far below log p(x) until K is of the
    order of e to the rate, KL(p(z|x) ‖ p(z)).

    Args:
        model: with z of any kind.
        x: (B, *shape).
        c: the conditions of a conditional model; the bound is then one on log p(x|c).
        samples: K, of each row's own.
        generator: of the draws.

    Cost: one pass of the decoder for each draw and row; memory is bounded.

    Reference: Kingma & Welling 2014, eq. 1, for p(x) = ∫ p(x|z) p(z) dz and why it is not summed
    so (https://arxiv.org/abs/1312.6114); Burda et al. 2016, eq. 8, for weights by q(z|x)
    (https://arxiv.org/abs/1509.00519); Wu et al. 2017, "On the quantitative analysis of
    decoder-based generative models", for how far estimators fall short
    (https://arxiv.org/abs/1611.04273).

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,)).eval()
    >>> found = rp.prior_log_prob(model, torch.ones(3, 9), samples=50)
    >>> found.value.shape, bool((found.effective_samples <= 50).all())
    (torch.Size([3]), True)
    """
    x, c = model.prepare(x, c)
    kinds: set[Kind] = set()

    def draw(k: int) -> Tensor:
        rows, many = _repeated(x, c, k)
        prior = model.prior(many)
        z = prior.repeat(len(rows) // prior.rows).sample(generator)
        likelihood = model.likelihood(z, many)
        kinds.add(likelihood.kind)
        return likelihood.log_prob(rows)

    return _weighted(draw, samples, x, model.space, kinds)


@torch.no_grad()
def posterior_log_prob(
    model: LatentVariable,
    x: Tensor,
    c: Tensor | None = None,
    *,
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> WeightedLogProb:
    """The importance-weighted bound of ``log_prob``, with the effective sample sizes.

    Args: as of ``prior_log_prob``.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,)).eval()
    >>> posterior_log_prob(model, torch.ones(3, 9), samples=5).value.shape
    torch.Size([3])
    """
    x, c = model.prepare(x, c)
    posterior = model.posterior(x, c)
    kinds: set[Kind] = {posterior.kind}

    def draw(k: int) -> Tensor:
        rows, many = _repeated(x, c, k)
        z, log_q = posterior.repeat(k).rsample_with_log_prob_terms(generator)
        prior, likelihood = model.prior(many), model.likelihood(z, many)
        kinds.update((prior.kind, likelihood.kind))
        return prior.log_prob(z) + likelihood.log_prob(rows) - log_q.sum(1)

    return _weighted(draw, samples, x, model.space, kinds)


def _repeated(x: Tensor, c: Tensor | None, k: int) -> tuple[Tensor, Tensor | None]:
    return x.repeat_interleave(k, 0), None if c is None else c.repeat_interleave(k, 0)


def _weighted(
    draw: Callable[[int], Tensor], samples: int, x: Tensor, space: Space, kinds: set[Kind]
) -> WeightedLogProb:
    """From k → log-weights of k draws of each row, (B·k,), so many at a time as memory allows."""
    positive_count("samples", samples)
    rows = x.shape[0]
    most = max(1, min(samples, draws_at_once(space, x.device) // max(1, rows)))
    wide = numerics.accumulator(x)
    total = x.new_full((rows,), -math.inf, dtype=wide)
    squares = total.clone()
    for start in range(0, samples, most):
        k = min(most, samples - start)
        weights = draw(k).to(wide).view(rows, k)
        total = torch.logaddexp(total, weights.logsumexp(1))
        squares = torch.logaddexp(squares, (2 * weights).logsumexp(1))
    effective = torch.where(total > -math.inf, (2 * total - squares).exp(), 1.0)
    kind: Kind = "estimate" if "estimate" in kinds else "lower bound"
    return WeightedLogProb(total - math.log(samples), effective, samples, kind)
