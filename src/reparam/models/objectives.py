"""Objectives of latent-variable models: bounds, their weightings and penalties."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reparam.model import Distribution, LatentVariable, Loss

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
        distortion = -model.likelihood(z, c).log_prob(x).sum(1)
        objective = self.weighting(distortion, rate).mean()
        for penalty in self.penalties:
            objective = objective + penalty(x, z, q, p)
        with torch.no_grad():
            bound = -distortion - rate.sum(1)
        return Loss(objective, {"distortion": distortion, "rate": rate, "bound": bound})
