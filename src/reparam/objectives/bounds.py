"""Objectives of latent-variable models: bounds on log p(x) that weightings and penalties change."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.limits import Count, limited
from reparam.model import (
    Distribution,
    Keeps,
    LatentVariable,
    Loss,
    Player,
    Space,
)
from reparam.objectives.weightings import Beta, Weighting

if TYPE_CHECKING:
    from reparam.inspection import Judgment
    from reparam.objectives.latent_penalties import LatentPenalty

DECODER = "decoder"  # the player of an objective that trains it apart


class Objective(nn.Module, ABC):
    """What a latent-variable model minimizes: (model, x, c) → Loss.

    Its terms ``distortion`` (B,), ``rate`` (B, G) and ``bound`` (B,) are unweighted whatever its
    ``weighting``; where that moves, ``beta`` (B,) is the weight of the rate it has reached.
    """

    weighting: Weighting
    couples_rows: bool = False  # whether a row's terms depend on the rest of its batch
    draws: int = 1  # of z for each example
    surrogate: bool = False  # whether its gradient is that of the value on average only
    decodes_apart: bool = False  # whether the decoder is a player of its own

    @abstractmethod
    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss: ...

    @property
    def parts(self) -> tuple[LatentPenalty, ...]:
        """The penalties that are added to the bound."""
        return ()

    @property
    def players(self) -> tuple[Player, ...]:
        """Who is trained beside the model's own parts."""
        added = (player for penalty in self.parts for player in penalty.players)
        return (*self.weighting.players, *added)

    @property
    def keeps(self) -> Keeps:
        """The last weights where weighting or a penalty follow them, else the best by ``judge``."""
        words = (self.weighting.keeps, *(penalty.keeps for penalty in self.parts))
        return "last" if "last" in words else "best"

    @property
    def judge(self) -> str:
        """The bound; the distortion where the rate has no weight and grows without end."""
        return "bound" if self.weighting.weighs_rate else "distortion"

    @property
    def unsettled(self) -> str:
        return self.weighting.unsettled

    def judgment(self, model: LatentVariable) -> Judgment | None:
        """The number by which a critic of x tells it from data; None where there is none."""
        return None

    def play(self, player: str, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        """The loss of one of ``players``, whose gradient reaches that player only."""
        for penalty in self.parts:
            if any(one.name == player for one in penalty.players):
                with torch.no_grad():
                    z, p = model.posterior(x, c).rsample(), model.prior(c)
                return Loss(penalty.play(z, p), {})
        with torch.no_grad():
            terms = self(model, x, c).terms
        costs = terms["distortion"], terms["rate"]
        return Loss(self.weighting(*costs), {}, self.weighting.statistics(*costs))

    def after_step(self, statistics: dict[str, Tensor], player: str) -> None:
        self.weighting.after_step(statistics, player)

    def refuse(self, space: Space, posterior: Posterior, prior: Prior) -> None:
        """ValueError where the objective means nothing for such parts."""
        self.weighting.refuse(space, posterior, prior)
        for penalty in self.parts:
            penalty.refuse(posterior, prior)

    def _add_beta(self, terms: dict[str, Tensor]) -> None:
        beta = self.weighting.beta()
        if self.weighting.moves and beta is not None:
            terms["beta"] = beta.detach().expand_as(terms["bound"])


class ELBO(Objective):
    """Minus the evidence lower bound, the Monte Carlo sum replaced by the KL where it is known.

    objective = weighting(D, R) + Σ weight · penalty, with D = −log p(x|z), z ~ q(z|x), and
    R = KL(q(z|x) ‖ p(z)); the bound is −D − ΣR, in nats per example, whatever the weighting.

    Args:
        weighting: from distortion (B,) and rates (B, G) to a scalar; None: β = 1.
        penalties: what else is added; each is also a term of its own, unweighted.

    Shape: (model, x (B, *shape), c) → Loss with ``distortion`` (B,), ``rate`` (B, G), ``bound``
        (B,). G is the latent dimension where the KL factorizes.

    Reference: Kingma & Welling 2014, eq. 7. (Notes that write −log p(x) + KL(q‖p(z)) mean
    KL(q(z|x)‖p(z|x)); the loss is the *negative* bound.)
    https://arxiv.org/abs/1312.6114

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> loss = ELBO()(model, torch.ones(5, 9), None)
    >>> bool(torch.isclose(loss.objective, -loss.terms["bound"].mean()))
    True
    """

    def __init__(
        self, weighting: Weighting | None = None, penalties: Sequence[LatentPenalty] = ()
    ) -> None:
        super().__init__()
        self.weighting = Beta() if weighting is None else weighting
        self.penalties = nn.ModuleList(penalties)
        self.couples_rows = any(penalty.couples_rows for penalty in penalties)

    @property
    def parts(self) -> tuple[LatentPenalty, ...]:
        return cast("tuple[LatentPenalty, ...]", tuple(self.penalties))

    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        q, p = model.posterior(x, c), model.prior(c)
        z, rate = q.rsample_with_rate(p)
        likelihood = model.likelihood(z, c)
        distortion = -likelihood.log_prob(x)
        objective = self.weighting(distortion, rate)
        with torch.no_grad():
            bound = -distortion - rate.sum(1)
        terms = {"distortion": distortion, "rate": rate, "bound": bound}
        self._add_beta(terms)
        for penalty in self.parts:
            objective = penalty.add(penalty(x, z, q, p), objective, terms)
        statistics = likelihood.statistics(x) | self.weighting.statistics(distortion, rate)
        return Loss(objective, terms, statistics)


class IWAE(Objective):
    """Minus the importance-weighted bound log 1/k Σ w, w = p(x|z) p(z) / q(z|x), z ~ q(z|x).

    The terms ``distortion`` and ``rate`` are means over the k draws; ``bound`` is the bound itself
    and the objective is minus its mean, never a surrogate of the gradient. Under a weighting β the
    objective has log w = −D − βR, as warm-ups need it; the terms remain unweighted.

    Args:
        k: draws per example.
        weighting: one of the form D + βR; None: β = 1. Others have no place within a sum over draws
            and are refused.

    Shape: (model, x (B, *shape), c) → Loss with ``distortion`` (B,), ``rate`` (B, G), ``bound``
        (B,).

    Cost: k passes of the decoder, one of the encoder.

    Reference: Burda et al. 2016, eq. 8.
    https://arxiv.org/abs/1509.00519

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> terms = IWAE(5)(model, torch.ones(3, 9), None).terms
    >>> bool((terms["bound"] >= -terms["distortion"] - terms["rate"].sum(1)).all())  # by Jensen
    True
    """

    @limited
    def __init__(self, k: Count, weighting: Weighting | None = None) -> None:
        super().__init__()
        self.k = self.draws = k
        self.weighting = Beta() if weighting is None else weighting
        if not self.weighting.linear:
            raise ValueError(
                f"weighting: importance weights take distortion + β · rate draw by draw, got "
                f"{type(self.weighting).__name__}, which weighs the means of many draws"
            )

    def forward(self, model: LatentVariable, x: Tensor, c: Tensor | None) -> Loss:
        q = model.posterior(x, c).repeat(self.k)
        x, c = x.repeat_interleave(self.k, 0), _repeat(c, self.k)
        z, log_q = self._draw(model, q, x, c)
        likelihood = model.likelihood(z, c)
        distortion = -likelihood.log_prob(x)
        rate = numerics.rate_columns(log_q, model.prior(c).log_prob_terms(z))
        bound = numerics.log_mean_exp((-distortion - rate.sum(1)).view(-1, self.k), 1)
        terms = {
            "distortion": distortion.view(-1, self.k).mean(1),
            "rate": rate.view(-1, self.k, rate.shape[1]).mean(1),
            "bound": bound,
        }
        self._add_beta(terms)
        statistics = likelihood.statistics(x) | self.weighting.statistics(
            terms["distortion"], terms["rate"]
        )
        return Loss(self._objective(bound, distortion, rate), terms, statistics)

    def refuse(self, space: Space, posterior: Posterior, prior: Prior) -> None:
        super().refuse(space, posterior, prior)
        if posterior.relaxed:
            raise ValueError(
                f"objective: {type(self).__name__} needs the density of every draw, got "
                f"{type(posterior).__name__}, whose draws are relaxed in training"
            )

    def _objective(self, bound: Tensor, distortion: Tensor, rate: Tensor) -> Tensor:
        beta = self._weight()
        if isinstance(beta, float) and beta == 1:
            return -bound.mean()
        log_weights = (-distortion - beta * rate.sum(1)).view(-1, self.k)
        return -numerics.log_mean_exp(log_weights, 1).mean()

    def _weight(self) -> Tensor | float:
        if isinstance(self.weighting, Beta):
            return self.weighting.coefficient
        beta = self.weighting.beta()
        assert beta is not None  # a linear weighting has one
        return beta.detach()

    def _draw(
        self, model: LatentVariable, q: Distribution, x: Tensor, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """z ~ q and log q(z), with the gradients of the bound."""
        return q.rsample_with_log_prob_terms()


class DReG(IWAE):
    """The bound of ``IWAE`` with the doubly reparametrized gradient for the encoder.

    The decoder's gradient is Σ w̃ ∇ log w as before; the encoder's is Σ w̃² ∂log w/∂z ∂z/∂φ, whose
    signal does not vanish against its noise as k grows (w̃ are the normalized weights). It costs one
    more pass of the decoder, without gradients. Under a weighting β the factor w̃² is
    w̃ (1 − β (1 − w̃)).

    Args:
        k: draws per example.
        weighting: as of ``IWAE``.

    Shape: as of ``IWAE``.

    Reference: Tucker et al. 2019, eq. 8.
    https://arxiv.org/abs/1810.04152

    >>> import reparam as rp
    >>> model = rp.build("iwae", rp.Space((9,), "binary"), k=5, gradient="dreg", latent_dim=2)
    >>> loss = model.loss(torch.ones(3, 9))
    >>> bool(torch.isclose(loss.objective, -loss.terms["bound"].mean()))  # the value of IWAE
    True
    """

    surrogate = True

    def _draw(
        self, model: LatentVariable, q: Distribution, x: Tensor, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        z = q.rsample()
        fixed, beta = q.detach(), self._weight()
        with torch.no_grad():
            rate = fixed.log_prob(z) - model.prior(c).log_prob(z)
            log_w = model.likelihood(z, c).log_prob(x) - beta * rate
            weights = log_w.view(-1, self.k).softmax(1).view(-1, *[1] * (z.ndim - 1))
            factor = 1 - beta * (1 - weights)
        # The bound brings one factor w̃ to ∂z; the second comes from here, the value unchanged.
        z = z.detach() + factor * (z - z.detach())
        return z, fixed.log_prob_terms(z)


def _repeat(c: Tensor | None, k: int) -> Tensor | None:
    return None if c is None else c.repeat_interleave(k, 0)
