"""Markov chains on the code of an x of which a part is given."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.model import Distribution, LatentVariable
from reparam.news import tell
from reparam.space import trusted

# The prior covers whatever there is: with it a chain leaves any z, however narrow q may be.
PRIOR_EVERY = 10
CANDIDATES = 16  # draws of the prior, of which a chain starts at one by p(x_given|z)
FIRST = 3  # steps from there that are taken unseen: what follows does not depend on the start


class Point(NamedTuple):
    """Where the chains are: z, ln p(x_given|z), and ln p(x_seen|z) + ln p(z) − ln q(z|x_seen)."""

    z: Tensor
    evidence: Tensor
    weight: Tensor

    def moved(self, there: Point, moves: Tensor) -> Point:
        """``there`` in the chains that move."""
        of_z = moves.view(-1, *[1] * (self.z.ndim - 1))
        return Point(*map(torch.where, (of_z, moves, moves), there, self))


class LatentChains:
    """Chains on z with p(z | x_given) as their target, for q(z|x) that sees missing entries.

    A step draws z′ ~ q(z|x_given) and moves with probability min(1, w′/w), w = p(x_given|z) p(z) /
    q(z|x_given). Every tenth step z′ ~ p(z), accepted by p(x_given|z′) / p(x_given|z), as the prior
    cancels against the proposal.

    Args:
        model: whose entries of x are independent given z.
        x: (R, *shape), prepared, NaN where nothing is given.
        given: bool (R, *shape).
        c: (R, …), for models that use a condition.
        generator: of all noise.
    """

    def __init__(
        self,
        model: LatentVariable,
        x: Tensor,
        given: Tensor,
        c: Tensor | None,
        generator: torch.Generator | None,
    ) -> None:
        self.model, self.c, self.generator = model, c, generator
        self.x, self.kept, self.given = x, given, given.flatten(1)
        prior = model.prior(c)
        self.prior = prior.repeat(len(x) // prior.rows)

    @torch.no_grad()
    def run(self, steps: int) -> tuple[Tensor, float]:
        """x as drawn at the end, (R, *shape), and the share of proposals of q that were accepted.

        Args:
            steps: of each chain, at least 1.
        """
        with trusted():
            here = self._start()
            accepted = self.x.new_zeros((), dtype=numerics.accumulator(self.x))
            for step in range(1, steps + 1):
                tell(step / steps)
                by_prior = step % PRIOR_EVERY == 0
                there = self._from_prior() if by_prior else self._proposed()
                ratio = there.evidence - here.evidence if by_prior else there.weight - here.weight
                moves = numerics.noise(ratio, "uniform", self.generator).log() < ratio
                here = self._settled(here.moved(there, moves))
                accepted += 0.0 if by_prior else moves.to(accepted).mean()
            share = (accepted / (steps - steps // PRIOR_EVERY)).item()
            return self._drawn(here.z), share

    def _start(self) -> Point:
        self.x = torch.where(self._possible().view_as(self.x), self.x, torch.nan)
        self._propose()
        return self._proposed()

    def _possible(self) -> Tensor:
        """Which entries of x some z can make, (R, D).

        A constant of the data that differs here has probability 0 whatever z is: it says nothing.
        """
        return ~self._law(self.prior.center).log_prob_terms(self.x).isneginf()

    def _propose(self) -> None:
        """Have q(z|x) of the present x, by which the following steps propose."""
        self.proposal = self.model.posterior(self.x, self.c)
        of_batch = self.model.training and self.model.normalized
        if of_batch or self.proposal.kind == "estimate":
            raise ValueError(
                "model: in training its codes are relaxed or depend on the batch; call model.eval()"
            )

    def _proposed(self) -> Point:
        return self._weigh(*self.proposal.rsample_with_log_prob_terms(self.generator))

    def _from_prior(self) -> Point:
        z = self.prior.sample(self.generator)
        return self._weigh(z, self.proposal.log_prob_terms(z))

    def _weigh(self, z: Tensor, log_q: Tensor) -> Point:
        evidence = self.model.likelihood(z, self.c).log_prob(self.x)
        weight = evidence + self.model.prior(self.c).log_prob(z) - log_q.sum(1)
        return Point(z, evidence, weight)

    def _settled(self, here: Point) -> Point:
        """The chains after a step: nothing is left to do."""
        return here

    def _drawn(self, z: Tensor) -> Tensor:
        """x with its missing entries at the end of the chains."""
        return self.model.likelihood(z, self.c).sample(self.generator)

    def _law(self, z: Tensor) -> Distribution:
        law = self.model.likelihood(z, self.c).by_entry
        assert law is not None  # what couples entries has been refused
        return law


class CompletingChains(LatentChains):
    """Chains on (z, x_missing) with p(z, x_missing | x_given) as their target, for any q(z|x).

    Metropolis within Gibbs. z′ ~ q(z|x) of the whole x, given and drawn, is accepted by the ratio
    of w = p(x|z) p(z) / q(z|x), which leaves p(z | x) invariant; then x_missing ~ p(x_missing|z) is
    drawn anew, which leaves p(x_missing | z, x_given) so. Every tenth step the pair is proposed
    from p(z) p(x_missing|z): in the ratio of p(z) p(x_missing|z) p(x_given|z) both cancel, and
    p(x_given|z′) / p(x_given|z) is left, whatever x_missing is.

    A chain starts at one of 16 draws of the prior, chosen by p(x_given|z), and takes its first
    three steps without refusing any, so that it begins where q meets x: wherever it begins, its
    target is the same.

    Reference: Mattei & Frellsen 2018, "Leveraging the exact likelihood of deep latent variable
    models", algorithm 2; Rezende et al. 2014, "Stochastic backpropagation", appendix F, for steps
    that refuse none.
    https://arxiv.org/abs/1802.04826, https://arxiv.org/abs/1401.4082
    """

    def _start(self) -> Point:
        self.counts = self._possible()
        self.given = self.given & self.counts
        z = self._likely()
        for _ in range(FIRST):
            self._complete(z)
            z = self.proposal.sample(self.generator)
        return self._complete(z)

    def _likely(self) -> Tensor:
        """One of so many draws of the prior, chosen with probability ∝ p(x_given|z)."""
        z = self.prior.sample(self.generator)
        best = z.new_full((len(z),), -torch.inf, dtype=numerics.accumulator(z))
        for _ in range(CANDIDATES):
            other = self.prior.sample(self.generator)
            evidence = self._evidence(self._law(other))
            key = evidence + numerics.gumbel_noise(evidence, self.generator)  # the largest is it
            z = torch.where((key > best).view(-1, *[1] * (z.ndim - 1)), other, z)
            best = torch.maximum(key, best)
        return z

    def _evidence(self, law: Distribution) -> Tensor:
        """ln p(x_given|z), (R,)."""
        return self._sums(law.log_prob_terms(self.x))[1]

    def _complete(self, z: Tensor) -> Point:
        """The chains at z with x_missing ~ p(x_missing|z), and q(z|x) of that x."""
        law = self._law(z)
        drawn = law.sample(self.generator).to(self.x)
        self.x = torch.where(self.kept, self.x, drawn)
        self._propose()
        return self._point(z, law, self.proposal.log_prob_terms(z))

    def _weigh(self, z: Tensor, log_q: Tensor) -> Point:
        return self._point(z, self._law(z), log_q)

    def _settled(self, here: Point) -> Point:
        return self._complete(here.z)

    def _drawn(self, z: Tensor) -> Tensor:
        return self.x

    def _point(self, z: Tensor, law: Distribution, log_q: Tensor) -> Point:
        whole, evidence = self._sums(law.log_prob_terms(self.x))
        prior = self.model.prior(self.c).log_prob(z)
        return Point(z, evidence, whole + prior - log_q.sum(1))

    def _sums(self, terms: Tensor) -> tuple[Tensor, Tensor]:
        """ln p(x|z) and ln p(x_given|z), (R,) each."""
        wide = terms.to(numerics.accumulator(terms))
        whole, evidence = (torch.where(of, wide, 0.0).sum(1) for of in (self.counts, self.given))
        return whole, evidence
