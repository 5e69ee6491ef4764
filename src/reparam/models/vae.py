"""The variational autoencoder, a composition of its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.standardization import standardization
from reparam.degradation import Degradation
from reparam.distributions.known import Known
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.posteriors import Posterior
from reparam.distributions.priors import Prior
from reparam.distributions.transformed import Transformed
from reparam.model import (
    Batch,
    Descend,
    Distribution,
    LatentVariable,
    Loss,
    Model,
    Player,
    Solve,
    Space,
    Stage,
)
from reparam.models.conditional import Conditional
from reparam.nets import norm
from reparam.objectives.bounds import DECODER, ELBO, Objective

if TYPE_CHECKING:
    from reparam.inspection import Judgment


class VAE(Conditional, LatentVariable):
    """p(x) = ∫ p(x|z) p(z) dz, learned through q(z|x) by a bound on log p(x).

    Args:
        space: what x is.
        encoder: network from x in network units (levels divided by K−1, real data standardized)
            to ``posterior.parameter_shape``.
        decoder: network from z to ``likelihood.parameter_shape``.
        posterior: module from the encoder's output to q(z|x).
        prior: module from the condition to p(z).
        likelihood: module from the decoder's output to p(x|z).
        objective: what is minimized; None: the negative ELBO.
        conditional: whether encoder and decoder take c as a second argument, class labels or, where
            the data have them, standardized attributes; the model is then p(x|c), and its
            likelihood is not comparable with one of p(x).
        given: the degradation whose y both take, in place of a class; p(x|y) is of the entries that
            y does not say.

    Shape: x (B, *space.shape), z (B, L).

    Likelihood: lower bound, importance weighted at ``samples`` > 1.

    Cost: one pass of encoder and decoder per loss, one of the decoder per importance sample.

    Reference: Kingma & Welling 2014, "Auto-encoding variational Bayes", eq. 7 and 10.
    https://arxiv.org/abs/1312.6114

    >>> import torch
    >>> import reparam as rp
    >>> space = rp.Space((9,), "binary")
    >>> p_x = rp.Bernoulli(space)
    >>> model = rp.VAE(
    ...     space, nn.Linear(9, 4), nn.Linear(2, 9), rp.DiagonalNormal(2), rp.StandardNormal(2), p_x
    ... )
    >>> model.loss(torch.ones(5, 9)).terms["rate"].shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        space: Space,
        encoder: nn.Module,
        decoder: nn.Module,
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        objective: Objective | None = None,
        conditional: bool = False,
        given: Degradation | None = None,
    ) -> None:
        super().__init__(space, conditional, given)
        if likelihood.space != space:
            raise ValueError(f"likelihood: expected one of {space}, got one of {likelihood.space}")
        for takes_condition in {conditional, self.conditional}:  # given takes y, and no labels
            prior.refuse(posterior, takes_condition)
        self.standardize = standardization(space)
        self.takes_missing = space.kind == "mixed"
        self.encoder, self.q_z = encoder, posterior
        self.decoder, self.p_x = decoder, likelihood
        self.p_z, self.layers = prior, prior.layers
        self.objective = ELBO() if objective is None else objective
        self.objective.refuse(space, posterior, prior)
        self.draws = self.objective.draws
        self.surrogate = self.objective.surrogate
        self.keeps, self.judge = self.objective.keeps, self.objective.judge
        self.normalized = norm.has_batch_norm(self)
        coupled = likelihood.couples_rows or self.objective.couples_rows
        self.couples_rows = coupled or self.normalized

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = [Solve("prior", self._start_prior)] if self.p_z.examples else []
        if any(penalty.counts_rows for penalty in self.objective.parts):
            first.append(Solve("training examples", self._count_rows))
        descend = Descend(players=self._players())
        return (*self.standardize.stages, *self.condition_stages, *first, descend)

    def _count_rows(self, model: Model, batches: Iterable[Batch]) -> None:
        rows = sum(batch.x.shape[0] for batch in batches)
        for penalty in self.objective.parts:
            penalty.learn_rows(rows)

    def _start_prior(self, model: Model, batches: Iterable[Batch]) -> None:
        """Give the prior training examples, each as likely as any other to be among them."""
        kept, keys = self.anchor.new_empty(0), self.anchor.new_empty(0)
        for batch in batches:
            x = self.standardize.scaled(self.prepare(batch.x)[0])
            keys = torch.cat([keys, numerics.noise(keys.new_empty(len(x)), "uniform")])
            kept = torch.cat([kept.view(-1, *x.shape[1:]), x])
            chosen = keys.topk(min(self.p_z.examples, len(keys))).indices
            kept, keys = kept[chosen], keys[chosen]
        self.p_z.initialize(kept)

    def _players(self) -> tuple[Player, ...]:
        encoding, decoding = (self.encoder, self.q_z, self.p_z), (self.decoder, self.p_x)
        others = self.objective.players
        if self.objective.decodes_apart:
            return (Player("model", encoding), Player(DECODER, decoding), *others)
        return (Player("model", encoding + decoding), *others) if others else ()

    @property
    def unsettled(self) -> str:
        return self.objective.unsettled

    @property
    def judgment(self) -> Judgment | None:
        return self.objective.judgment(self)

    @property
    def code_space(self) -> Space:
        return Space(self.q_z.event_shape, "real")

    @property
    def counted(self) -> int:
        return self._unknown(self.standardize.count, self.standardize.varies)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        if player != "model":
            return self.objective.play(player, self, x, c)
        loss = self.objective(self, x, c)
        if not (self.normalized and self.training):
            return loss
        return loss._replace(statistics=loss.statistics | norm.statistics(self, x.shape[0]))

    @torch.no_grad()
    def after_step(self, loss: Loss, player: str = "model") -> None:
        if player == "model":
            self.p_x.after_step(loss.statistics)
            if self.normalized and self.training:
                norm.after_step(self, loss.statistics)
        self.objective.after_step(loss.statistics, player)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        x, c = self.prepare(x, c, self.encodes)
        h = self._through(self.encoder, self.standardize.scaled(x), c)
        return self.q_z(h.to(self.anchor.dtype))

    def prior(self, c: Tensor | None = None) -> Distribution:
        return self.p_z(c)

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        c = self._condition(c, z.shape[0])
        h = self._through(self.decoder, z, c)
        p = self.p_x(h.to(self.anchor.dtype))  # probabilities never in bfloat16
        if self.standardize.varying is not None:
            varies = self.standardize.varies
            held = p if varies is None else self.p_x.hold(p, varies)
            p = Transformed(held, self.standardize)
        if self.degradation is None or c is None or not self.degradation.knows:
            return p
        return Known(p, self.degradation.known, self.degradation.pseudo_inverse(c))

    def seen(self, x: Tensor) -> Tensor:
        return self.standardize.scaled(x)
