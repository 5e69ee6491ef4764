"""Weights of distortion and rate that are learned beside the model, by a player of their own."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.limits import Count, Positive, Whole, limited
from reparam.model import Keeps, Player, Space
from reparam.objectives.weightings import Weighting, steps_left

PLAYER = "weights"
AVERAGED = 50  # steps of which the costs are averaged for the first values


class _Learned(Weighting):
    """Parameters, one for each cost, that are 0 (every weight 1) for ``steps`` steps.

    Then they jump to the optimum for the costs reached, and are learned from there on. Learned from
    an untrained model, whose rate is next to nothing, the rate's weight would be so large as to
    keep it there.
    """

    nonnegative, moves = True, True
    keeps: Keeps = "last"

    @limited
    def __init__(self, costs: int, steps: Whole, lr: Positive) -> None:
        super().__init__()
        self.steps, self.lr = steps, lr
        self.raw = nn.Parameter(torch.zeros(costs))
        self.register_buffer("reached", torch.zeros(costs))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.reached: Tensor
        self.count: Tensor

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player(PLAYER, (self,), lr=self.lr),)

    @property
    def unsettled(self) -> str:
        return steps_left(self.count, self.steps)

    def learned(self) -> Tensor:
        """The parameters as they count: 0, and without gradient, until they are learned."""
        return self.raw * (self.count >= self.steps)

    @abstractmethod
    def costs(self, distortion: Tensor, rate: Tensor) -> Tensor:
        """The mean distortion and rates that are weighted, one for each parameter."""

    @abstractmethod
    def optimum(self, costs: Tensor) -> Tensor:
        """The parameters that minimize the objective at these costs."""

    @abstractmethod
    def project(self) -> None:
        """Bring the parameters back to where they may be."""

    def statistics(self, distortion: Tensor, rate: Tensor) -> dict[str, Tensor]:
        costs = self.costs(distortion, rate).detach() * len(rate)
        return {"costs": costs, "rows": torch.full_like(costs[0], len(rate))}

    @torch.no_grad()
    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:
        if player != PLAYER:
            return
        costs = (statistics["costs"] / statistics["rows"]).to(self.reached)
        finite = costs.isfinite().all()  # not after a skipped step
        self.count += 1
        share = finite / self.count.clamp(max=AVERAGED).to(costs.dtype)
        self.reached.lerp_(torch.where(finite, costs, self.reached), share)
        first = self.count == self.steps
        self.raw.copy_(torch.where(first, self.optimum(self.reached), self.raw))
        self.project()


class LearnedWeights(_Learned):
    """R/σ₀² + K/σ₁² + σ₀² + σ₁², with R the mean distortion and K the mean rate (L-VAE).

    At its optimum σ₀² = √R and σ₁² = √K, so that the effective β = σ₀²/σ₁² is √(R/K) and the
    minimum 2(√R + √K). The parameters are log σ²; from σ = 1 at the model's learning rate they
    would be far from the optimum after thousands of steps, so that they start near it, and have a
    learning rate of their own.

    As √K rises with infinite slope from 0, K = 0 is a local minimum whatever the data, and where R
    is small the lowest (on digits of 8 × 8 it is 20.9 there, and 22.6 or more where z is used):
    1/√K grows without end and holds K there. So σ₁² has a floor f. Up to K = f² the rate costs
    K/f + f instead of 2√K, and β is at most √R/f; above that nothing is changed. With f = 1 digits
    still collapse, with 2 they do not.

    (A published slide subtracts the rate and adds its regularizer; read literally, that has no
    optimum in either direction.) A negative R, which densities of real data can have, would leave
    the objective unbounded: real data are refused.

    Args:
        steps: for which β is 1 before the weights are learned.
        lr: multiple of the model's learning rate.
        floor: f, the least σ₁².

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Mogultay Ozcan, Kalkan & Yarman-Vural 2025, arXiv 2507.02619 (https://arxiv.org/abs/2507.02619).

    >>> weights = LearnedWeights(steps=0)
    >>> _ = weights.raw.data.copy_(weights.optimum(torch.tensor([81.0, 9.0])))
    >>> round(weights(torch.tensor([81.0]), torch.tensor([[4.0, 5.0]])).item(), 4)  # 2 (9 + 3)
    24.0
    >>> round(weights.beta().item(), 4)
    3.0
    """

    @limited
    def __init__(self, steps: int = 1000, lr: float = 10.0, floor: Positive = 2.0) -> None:
        super().__init__(2, steps, lr)
        self.floor = floor

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        log_variances = self.learned()
        weighted = self.costs(distortion, rate) * torch.exp(-log_variances)
        return (weighted + log_variances.exp()).sum()

    def beta(self) -> Tensor:
        log_variances = self.learned().detach()
        return torch.exp(log_variances[0] - log_variances[1])

    def costs(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return torch.stack([distortion.mean(), rate.sum(1).mean()])

    def optimum(self, costs: Tensor) -> Tensor:
        return 0.5 * costs.clamp(min=torch.finfo(costs.dtype).tiny).log()

    @torch.no_grad()
    def project(self) -> None:
        self.raw[1:].clamp_(min=math.log(self.floor))


class DimensionwiseLearnedWeights(_Learned):
    """R·w(σ₀) + Σ_i K_i·w(σ_i) + Σσ², w(σ) = 1/(1 + ln(1 + σ²)), i the factors of z (dL-VAE).

    With s = σ² the optimum is s = 0 where K_i ≤ 1, and (1+s)(1+ln(1+s))² = K_i beyond: a dimension
    that carries at most one nat keeps weight exactly 1. The parameters are t = ln(1+s) ≥ 0, in
    which each summand K/(1+t) + eᵗ − 1 is convex: a σ that starts at 0 would never move, as
    dw/dσ = 0 there, while t leaves 0 as soon as K_i > 1.

    Args:
        factors: G, the columns of the rate: the latent dimensions.
        steps: for which every weight is 1 before they are learned.
        lr: multiple of the model's learning rate.

    Shape: distortion (B,) and rates (B, G), both in nats → ().

    Reference: Mogultay Ozcan, Kalkan & Yarman-Vural 2025, arXiv 2507.02619 (https://arxiv.org/abs/2507.02619).

    >>> weights = DimensionwiseLearnedWeights(2, steps=0)
    >>> _ = weights.raw.data.copy_(weights.optimum(torch.tensor([1.0, 0.9, 9.0])))
    >>> [round(w, 3) for w in weights.weights().tolist()]
    [1.0, 1.0, 0.524]
    """

    by_factor = True

    @limited
    def __init__(self, factors: Count, steps: int = 1000, lr: float = 10.0) -> None:
        super().__init__(1 + factors, steps, lr)
        self.factors = factors

    def forward(self, distortion: Tensor, rate: Tensor) -> Tensor:
        t = self.learned()
        return (self.costs(distortion, rate) / (1 + t) + torch.expm1(t)).sum()

    def weights(self) -> Tensor:
        """w of the distortion and of every factor, (1 + G,)."""
        return 1 / (1 + self.learned().detach())

    def beta(self) -> Tensor:
        weights = self.weights()
        return weights[1:].mean() / weights[0]

    def costs(self, distortion: Tensor, rate: Tensor) -> Tensor:
        return torch.cat([distortion.mean().unsqueeze(0), rate.mean(0)])

    def optimum(self, costs: Tensor) -> Tensor:
        """t ≥ 0 that minimizes K/(1+t) + eᵗ: the root of eᵗ (1+t)² = K, or 0 where K ≤ 1.

        Newton's method on t + 2 ln(1+t) = ln K, which is concave and so approached from below.
        """
        target = costs.clamp(min=1).log()
        t = torch.zeros_like(target)
        for _ in range(30):
            t = t - (t + 2 * torch.log1p(t) - target) / (1 + 2 / (1 + t))
        return t.clamp(min=0)

    @torch.no_grad()
    def project(self) -> None:
        self.raw.clamp_(min=0)

    def refuse(self, space: Space, posterior: Posterior, prior: Prior) -> None:
        super().refuse(space, posterior, prior)
        if posterior.factors != self.factors:
            raise ValueError(
                f"factors: expected {posterior.factors}, those of the posterior, got {self.factors}"
            )
