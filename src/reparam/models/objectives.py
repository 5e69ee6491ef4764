"""Objectives of latent-variable models: bounds, their weightings and penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.model import Distribution, LatentVariable, Loss, positive_count

Penalty = Callable[[Tensor, Tensor, Distribution, Distribution], Tensor]


class Beta(nn.Module):
    """distortion + β · rate; β = 1 is the negative ELBO.

    Args:
        beta: β ≥ 0.

    Shape: distortion (B,) and rates (B, G), both in nats → (B,).

    Reference: Higgins et al. 2017, eq. 4.

    >>> Beta(2.0)(torch.tensor([90.0]), torch.tensor([[3.0, 4.0]]))
    tensor([104.])
    """

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        if beta < 0:
            raise ValueError(f"beta: expected at least 0, got {beta}")
        self.beta = beta

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        """From distortion (B,) and rates (B, G) to the objective per example, (B,)."""
        return torch.add(distortion, rate.sum(1), alpha=self.beta)


class ELBO(nn.Module):
    """Minus the evidence lower bound, the Monte Carlo sum replaced by the KL where it is known.

    objective = mean over rows of weighting(D, R) + Σ penalties, with
    D = −log p(x|z), z ~ q(z|x), and R = KL(q(z|x) ‖ p(z)); the bound is −D − ΣR, in nats per
    example, whatever the weighting.

    Args:
        weighting: from distortion (B,) and rates (B, G) to (B,); None: β = 1.
        penalties: each maps (x, z, q, p) to a scalar that is added to the objective.

    Shape: (model, x (B, *shape), c) → Loss with ``distortion`` (B,), ``rate`` (B, G), ``bound``
        (B,). G is the latent dimension where the KL factorises.

    Reference: Kingma & Welling 2014, eq. 7. (Notes that write −log p(x) + KL(q‖p(z)) mean
    KL(q(z|x)‖p(z|x)); the loss is the *negative* bound.)

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> loss = ELBO()(model, torch.ones(5, 9), None)
    >>> bool(torch.isclose(loss.objective, -loss.terms["bound"].mean()))
    True
    """

    def __init__(
        self, weighting: nn.Module | None = None, penalties: Sequence[Penalty] = ()
    ) -> None:
        super().__init__()
        self.weighting = Beta() if weighting is None else weighting
        self.penalties = tuple(penalties)

    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        q, p = model.posterior(x, c), model.prior(c)
        rate = q.kl(p)
        if rate is None:
            z, log_q = q.rsample_with_log_prob()
            rate = log_q - p.log_prob(z)
        else:
            z = q.rsample()
        likelihood = model.likelihood(z, c)
        distortion = -likelihood.log_prob_sum(x)
        objective = self.weighting(distortion, rate).mean()
        for penalty in self.penalties:
            objective = objective + penalty(x, z, q, p)
        with torch.no_grad():
            bound = -distortion - rate.sum(1)
        terms = {"distortion": distortion, "rate": rate, "bound": bound}
        return Loss(objective, terms, likelihood.statistics(x))


class IWAE(nn.Module):
    """Minus the importance-weighted bound log 1/k Σ w, w = p(x|z) p(z) / q(z|x), z ~ q(z|x).

    The terms ``distortion`` and ``rate`` are means over the k draws; ``bound`` is the bound itself
    and the objective is minus its mean, never a surrogate of the gradient.

    Args:
        k: draws per example.

    Shape: (model, x (B, *shape), c) → Loss with ``distortion`` (B,), ``rate`` (B, G), ``bound``
        (B,).

    Cost: k passes of the decoder, one of the encoder.

    Reference: Burda et al. 2016, eq. 8.

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> terms = IWAE(5)(model, torch.ones(3, 9), None).terms
    >>> bool((terms["bound"] >= -terms["distortion"] - terms["rate"].sum(1)).all())  # by Jensen
    True
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        positive_count("k", k)
        self.k = k

    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        q = model.posterior(x, c).repeat(self.k)
        x, c = x.repeat_interleave(self.k, 0), _repeat(c, self.k)
        z, log_q = self._draw(model, q, x, c)
        likelihood = model.likelihood(z, c)
        distortion = -likelihood.log_prob_sum(x)
        rate = log_q - model.prior(c).log_prob(z)
        log_weights = (-distortion - rate.sum(1)).view(-1, self.k)
        bound = numerics.log_mean_exp(log_weights, 1)
        terms = {
            "distortion": distortion.view(-1, self.k).mean(1),
            "rate": rate.view(-1, self.k, rate.shape[1]).mean(1),
            "bound": bound,
        }
        return Loss(-bound.mean(), terms, likelihood.statistics(x))

    def _draw(
        self, model: LatentVariable, q: Distribution, x: Tensor, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """z ~ q and log q(z), with the gradients of the bound."""
        return q.rsample_with_log_prob()


class DReG(IWAE):
    """The bound of ``IWAE`` with the doubly reparametrised gradient for the encoder.

    The decoder's gradient is Σ w̃ ∇ log w as before; the encoder's is Σ w̃² ∂log w/∂z ∂z/∂φ, whose
    signal does not vanish against its noise as k grows (w̃ are the normalised weights). It costs one
    more pass of the decoder, without gradients.

    Args:
        k: draws per example.

    Shape: as of ``IWAE``.

    Reference: Tucker et al. 2019, eq. 8.

    >>> import reparam as rp
    >>> model = rp.build("iwae", rp.Space((9,), "binary"), k=5, gradient="dreg", latent_dim=2)
    >>> loss = model.loss(torch.ones(3, 9))
    >>> bool(torch.isclose(loss.objective, -loss.terms["bound"].mean()))  # the value of IWAE
    True
    """

    def _draw(
        self, model: LatentVariable, q: Distribution, x: Tensor, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        z = q.rsample()
        fixed = q.detach()
        with torch.no_grad():
            log_w = model.likelihood(z, c).log_prob_sum(x) + model.prior(c).log_prob(z).sum(1)
            log_w = (log_w - fixed.log_prob(z).sum(1)).view(-1, self.k)
            weights = log_w.softmax(1).view(-1, *[1] * (z.ndim - 1))
        # The bound brings one factor w̃ to ∂z; the second comes from here, the value unchanged.
        z = z.detach() + weights * (z - z.detach())
        return z, fixed.log_prob(z)


def _repeat(c: Tensor | None, k: int) -> Tensor | None:
    return None if c is None else c.repeat_interleave(k, 0)
