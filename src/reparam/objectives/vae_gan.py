"""The objective of the VAE-GAN: distances are those that a critic sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from reparam.bijections.standardization import Standardization
from reparam.inspection import Judgment
from reparam.limits import NonNegative, Positive, limited
from reparam.model import Distribution, LatentVariable, Loss, Player
from reparam.nets.critic import Critic
from reparam.objectives.adversarial_losses import LOGIT, LOSSES, squared_slopes
from reparam.objectives.bounds import DECODER, Objective
from reparam.objectives.latent_penalties import CRITIC
from reparam.objectives.weightings import Beta

COSTS = LOSSES["non-saturating"]
MOVED = 0.01  # share of the last step in the variance of features


class _InUnits(Protocol):
    """What a VAE has: units of its networks, and conditions as these take them."""

    standardize: Standardization

    def network_condition(self, c: Tensor) -> Tensor: ...


class FeatureELBO(Objective):
    """Three losses for three players: encoder, decoder, and a critic x → φ → D.

    With x′ the mean of p(x|z), z ~ q(z|x), and x° that of p(x|z), z ~ p(z), the critic's cost is
    C = softplus(−D(x)) + softplus(D(x′)) + softplus(D(x°)), and the feature error
    F = ½ ‖φ(x) − φ(x′)‖² / s², minus the logarithm of a normal on the critic's features, s² being
    their mean variance over data, as it was in the last steps:

        encoder: β R + F        decoder: γ F − C        critic: C + r1/2 ‖∂D/∂x‖²

    Each loss is descended by its own player only: what it says of the others' weights is not used.
    The terms distortion, rate and bound stay those of the VAE, which nothing here makes good.

    Args:
        critic: from x in network units, and c, to logits.
        beta: β, of the rate.
        gamma: γ.
        r1: of the penalty on the critic's slope at data.
        lr: the critic's learning rate, as a multiple of the model's.

    Shape: (model, x (B, *shape), c) → Loss with ``distortion``, ``bound`` and ``feature_error``
        (B,), ``rate`` (B, G).

    Reference: Larsen et al. 2016, "Autoencoding beyond pixels using a learned similarity metric",
    eq. 7 and 8, algorithm 1; R1 by Mescheder et al. 2018, eq. 9.
    https://arxiv.org/abs/1512.09300, https://arxiv.org/abs/1801.04406

    >>> import reparam as rp
    >>> model = rp.build("vae-gan", rp.Space((9,), "binary"), latent_dim=2)
    >>> sorted(model.loss(torch.ones(5, 9)).terms)
    ['bound', 'distortion', 'feature_error', 'rate']
    """

    decodes_apart = True

    @limited
    def __init__(
        self,
        critic: Critic,
        beta: NonNegative = 1.0,
        gamma: NonNegative = 0.003,
        r1: NonNegative = 0.3,
        lr: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.critic, self.weighting = critic, Beta(beta)
        self.gamma, self.r1, self.lr = gamma, r1, lr
        self.register_buffer("variance", torch.ones(()))  # s²
        self.register_buffer("steps", torch.zeros(()))
        self.variance: Tensor
        self.steps: Tensor

    @property
    def players(self) -> tuple[Player, ...]:
        return (Player(CRITIC, (self.critic,), lr=self.lr),)

    @property
    def keeps(self) -> Literal["last"]:
        return "last"

    def judgment(self, model: LatentVariable) -> Judgment:
        def logits(x: Tensor, c: Tensor | None) -> Tensor:
            x, c = model.prepare(x, c)
            seen = _Seen(model, self.critic, c)
            return seen.logits(seen.units(x))

        return Judgment(LOGIT, COSTS.unit, logits)

    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        q, p = model.posterior(x, c), model.prior(c)
        z, rate = q.rsample_with_rate(p)
        likelihood = model.likelihood(z, c)
        error = self._feature_error(_Seen(model, self.critic, c), x, likelihood)
        with torch.no_grad():
            distortion = -likelihood.log_prob(x)
            bound = -distortion - rate.sum(1)
        terms = {"distortion": distortion, "rate": rate, "bound": bound, "feature_error": error}
        return Loss(self.weighting(error, rate), terms, likelihood.statistics(x))

    def play(self, player: str, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        seen = _Seen(model, self.critic, c)
        with torch.no_grad():
            z, p = model.posterior(x, c).rsample(), model.prior(c)
            fresh = p.repeat(len(z) // p.rows).rsample()
        if player == DECODER:
            return self._decoder_loss(seen, x, model.likelihood(z, c), model.likelihood(fresh, c))
        with torch.no_grad():
            drawn = [seen.units(model.likelihood(one, c).center) for one in (z, fresh)]
        return self._critic_loss(seen, x, drawn)

    def _decoder_loss(
        self, seen: _Seen, x: Tensor, again: Distribution, fresh: Distribution
    ) -> Loss:
        error = self._feature_error(seen, x, again)
        first, second = (COSTS.of_drawn(seen.logits(seen.units(p.center))) for p in (again, fresh))
        cost = first + second  # that of real x is not in its power
        terms = {"feature_error": error, "generator_loss": -cost}
        return Loss((self.gamma * error - cost).mean(), terms)

    def _critic_loss(self, seen: _Seen, x: Tensor, drawn: Sequence[Tensor]) -> Loss:
        y = seen.units(x)
        real, squares = squared_slopes(seen.logits, y)
        again, fresh = (seen.logits(y) for y in drawn)
        cost = COSTS.of_real(real) + COSTS.of_drawn(again) + COSTS.of_drawn(fresh)
        penalty = self.r1 / 2 * squares
        told = {"critic_loss": cost, "critic_real": real, "critic_drawn": fresh, "r1": penalty}
        with torch.no_grad():
            features = seen.features(y)
            sums = {"features": features.sum(0), "squares": features.square().sum(0)}
        return Loss((cost + penalty).mean(), told, sums | {"rows": features.new_full((), len(y))})

    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:
        """The variance of features follows the critic, at first as the mean of all steps."""
        if player != CRITIC:
            return
        mean, square = (statistics[name] / statistics["rows"] for name in ("features", "squares"))
        variance = (square - mean.square()).mean()
        # A batch of one row has none, and one that is not finite is that of a skipped step.
        there = (variance > 0) & variance.isfinite() & (statistics["rows"] > 1)
        self.steps += there
        share = (1 / self.steps).clamp(MOVED, 1)
        self.variance.lerp_(torch.where(there, variance, self.variance), share)

    def _feature_error(self, seen: _Seen, x: Tensor, likelihood: Distribution) -> Tensor:
        found, wanted = (seen.features(seen.units(one)) for one in (likelihood.center, x))
        return 0.5 * (found - wanted).square().sum(1) / self.variance


class _Seen:
    """The critic of a model, under a condition."""

    def __init__(self, model: LatentVariable, critic: Critic, c: Tensor | None) -> None:
        self.model, self.critic = cast(_InUnits, model), critic
        self.c = None if c is None else self.model.network_condition(c)

    def units(self, x: Tensor) -> Tensor:
        return self.model.standardize.scaled(x)

    def features(self, y: Tensor) -> Tensor:
        return self.critic.features(y, self.c)

    def logits(self, y: Tensor) -> Tensor:
        return self.critic(y, self.c)
