"""Autoregressive models: exact densities as products of conditionals, entry by entry."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.batching import rows_at_once, slices
from reparam.bijections.standardization import standardization
from reparam.chain_rule import ChainRule
from reparam.degradation import Degradation
from reparam.distribution import Visit
from reparam.distributions.autoregressive_likelihood import AutoregressiveDistribution
from reparam.distributions.known import Known
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.transformed import Transformed
from reparam.model import (
    Completer,
    Distribution,
    Kind,
    LogProb,
    Loss,
    Space,
    Stage,
)
from reparam.models.conditional import Conditional
from reparam.nets.autoregressive_network import AutoregressiveNetwork
from reparam.space import as_tensor, readable

NUMBERS_AT_ONCE = 2**25  # parameters of conditionals in a pass that needs no gradients


class Autoregressive(Conditional, ChainRule, Completer):
    """p(x) = Π_i p(x_i | x before i), the parameters of every factor from one masked network.

    A network with several members, each with its own order of the entries, is an ensemble: it is
    trained on one member per step in turn, and its density is the mean over members of their
    probabilities, log 1/E Σ_e p_e(x); the mean of their log-probabilities or logits would be none.

    Args:
        space: what x is.
        network: from x in network units (levels divided by K−1, real data standardized) to
            ``likelihood.parameter_shape``.
        likelihood: module from the network's output to the conditionals.
        conditional: whether the network's context is the class label, one-hot, or the standardized
            attributes; the model is then p(x|c), and its likelihood is not comparable with one of
            p(x).
        given: the degradation whose y the network's context is made of. Entries that y says are
            not coded again: p(x|y) is of the others, and draws have them.
        features: network from what is seen of y, an image, to the context (B, F, H, W); of vectors
            the context is y as x.

    Shape: x (B, *space.shape).

    Likelihood: exact if the conditionals are; with missing cells an estimate, unless these come
        last. ``per_dimension`` is log p(x_i | x before i) in nats,
        so that its entries sum to the value; an ensemble has none.

    Cost: one pass of the network per loss, one per member of an ensemble per log-probability;
    a sample costs about one pass, in as many steps as there are entries drawn one after the other,
    a completion by an ensemble two passes per member. Many rows are drawn some hundreds at a time.

    Reference: Larochelle & Murray 2011, eq. 1; Germain et al. 2015, sections 4.2 and 4.3.
    https://arxiv.org/abs/1502.03509

    >>> import reparam as rp
    >>> space = rp.Space((1, 3, 3), "binary")
    >>> network = rp.MADE(space.shape, 1, hidden=(16,))
    >>> model = Autoregressive(space, network, rp.Bernoulli(space))
    >>> images = torch.cartesian_prod(*[torch.arange(2)] * 9).view(512, 1, 3, 3)
    >>> round(model.log_prob(images).value.exp().sum().item(), 5)  # of all there are
    1.0
    """

    def __init__(
        self,
        space: Space,
        network: AutoregressiveNetwork,
        likelihood: Likelihood,
        conditional: bool = False,
        given: Degradation | None = None,
        features: nn.Module | None = None,
    ) -> None:
        super().__init__(space, conditional, given)
        if likelihood.space != space:
            raise ValueError(f"likelihood: expected one of {space}, got one of {likelihood.space}")
        wanted = (space.attributes or space.classes or 0) if conditional else 0
        wanted = wanted if given is None else network.context_features
        if (network.shape, network.context_features) != (space.shape, wanted):
            raise ValueError(
                f"network: expected one of x {space.shape} with a context of {wanted} numbers, "
                f"got one of {network.shape} with {network.context_features}"
            )
        self.standardize = standardization(space)
        self.takes_missing = space.kind == "mixed"
        self.network, self.p_x, self.features = network, likelihood, features
        if network.members > 1:
            self.register_buffer("turn", torch.zeros((), dtype=torch.int64))
            self.turn: Tensor  # the member that the next step trains

    @property
    def counted(self) -> int:
        return self._unknown(self.standardize.count, self.standardize.varies)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (*self.standardize.stages, *self.condition_stages, *super().stages)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        if self.training:
            # Of several members the mean bounds −log of their mean probability from above.
            member = self.turn if self.network.members > 1 else 0
            nll = -self._sum_of_factors(x, self._context(c, x.shape[0]), c, member)
        else:
            nll = -self._members(x, c)[1]
        return Loss(nll.mean(), {"nll": nll})

    @torch.no_grad()
    def after_step(self, loss: Loss, player: str = "model") -> None:
        if self.network.members > 1:
            self.turn.copy_((self.turn + 1) % self.network.members)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        factors, value = self._members(x, c)
        alone = self.network.members == 1
        kind: Kind = "exact"
        if self.takes_missing and (not readable() or self._follows(~x.isnan()).any()):
            kind = "estimate"  # where nobody can look, what is missing may come first
        return LogProb(value, kind, per_dimension=factors if alone else None)

    def refuse_given(self, given: Tensor) -> None:
        refuse_late(self._follows(given), self.space)

    def _follows(self, given: Tensor) -> Tensor:
        """Which entries (B, D) are given though one before them, in the order, is not.

        The product over the cells there are is a normalized density of these, but that of p(x)
        only if no factor would have to be summed over what is missing before it.
        """
        given = given.flatten(1)
        if self.standardize.varies is not None:  # a constant is known
            given = given | ~self.standardize.varies.flatten()
        follows = torch.zeros_like(given)
        for member in range(self.network.members):
            follows = follows | late(given, self.network.ranks_of(member))
        return follows

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        said = self._said_of(c)
        if said is None:
            return self._fill(n, c, generator)
        known, values = said
        drawn = self._fill(n, c, generator, values, known.expand_as(values))
        return self.keep_given(drawn, c)  # without what the way through other units rounds

    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x with the entries outside ``mask`` drawn anew, in order, each given all before it.

        Where the given entries come first in the order (the top rows of an image), this is a draw
        of p(rest | given). Elsewhere a given entry acts on the entries after it only. Of an
        ensemble every member completes every row, and one of these is drawn by how probable that
        member finds the given entries.

        Args:
            x: (B, *shape); the entries outside the mask are not looked at. The result has its type,
                but where that cannot hold what is drawn: then the type of samples.
            mask: bool, (*shape) or (B, *shape): the entries that are given; they stay bit for bit.
            c: the condition, for a conditional model; what is left of x says entries as well.
            generator: of the draws.

        Raises:
            ValueError: the mask is not bool, or of another shape.
        """
        x = as_tensor(x)
        given, mask, c = self.prepare_given(x, mask, c)
        known = torch.where(mask, given, self.keep_given(given, c))
        drawn = self._fill(len(given), c, generator, known, self.said(mask))
        return completed(x, mask, self.keep_given(drawn, c), self.space)

    def walk(self, rows: int, visit: Visit, c: Tensor | None = None, member: int = 0) -> Tensor:
        """x site by site, each as ``visit`` chooses it given what was chosen before it.

        Args:
            rows: B.
            visit: from p(x_i | x before i) of some sites, and which these are, to their values, in
                the likelihood's units: (B, n) of n entries, or (B, C, n) of whole pixels. Real
                entries that are constant in the training data are what they are there.
            c: as ``loss`` takes it, checked.
            member: of an ensemble.
        """
        y = self._given(self._context(c, rows), member).walk(visit)
        return y if self.standardize.varying is None else self.standardize.inverse(y)[0]

    def distribution(self, rows: int, c: Tensor | None = None) -> Distribution:
        if self.network.members > 1:
            raise ValueError(
                "orders: the mean over several orders or masks has no conditionals in one order; "
                "build a model with one of each (orders=1 masks=1)"
            )
        c = self._condition(c, rows)
        p: Distribution = self._given(self._context(c, rows))
        if self.standardize.varying is not None:
            p = Transformed(p, self.standardize)
        said = self._said_of(c)
        return p if said is None else Known(p, *said)

    def seen(self, x: Tensor) -> Tensor:
        return self.standardize.scaled(x)

    def _context(self, c: Tensor | None, rows: int) -> Tensor:
        context = self.context(c)
        if context is not None and self.degradation is not None:
            if self.features is None:
                return context.flatten(1)
            return self.features(context).to(self.anchor.dtype)  # of p(x|c): no bfloat16
        return self.anchor.new_zeros(rows, 0) if context is None else context

    def _given(self, context: Tensor, member: int | Tensor = 0) -> AutoregressiveDistribution:
        """p(x|c) of one member, in the likelihood's units."""
        top, varies = self.standardize.top, self.standardize.varies
        return AutoregressiveDistribution(self.network, self.p_x, context, top, varies, member)

    def _factors(self, x: Tensor, context: Tensor, member: int | Tensor = 0) -> Tensor:
        """log p(x_i | x before i) of one member, (B, *shape), in data units."""
        factors = self._given(context, member).log_prob_terms(self.standardize.observed(x))
        factors = factors.view_as(x)
        return factors if self.standardize.varying is None else self.standardize.factors(factors, x)

    def _sum_of_factors(
        self, x: Tensor, context: Tensor, c: Tensor | None, member: int | Tensor
    ) -> Tensor:
        """log p(x) of one member, (B,), in one sum where every factor is the likelihood's."""
        if self.standardize.varying is None and self.degradation is None:
            return self._given(context, member).log_prob(self.standardize.observed(x))
        return self._coded(self._factors(x, context, member), x, c).flatten(1).sum(1)

    def _said_of(self, c: Tensor | None) -> tuple[Tensor, Tensor] | None:
        """Which entries c says outright, (*shape), and what they are, (B, *shape)."""
        if self.degradation is None or c is None or not self.degradation.knows:
            return None
        values = self.degradation.pseudo_inverse(c)
        values = values if self.space.keeps_precision else values.to(self.anchor.dtype)
        return self.degradation.known, values

    def _coded(self, factors: Tensor, x: Tensor, c: Tensor | None) -> Tensor:
        """The factors of the entries that c does not say, where x agrees with it."""
        if self.degradation is None or c is None or not self.degradation.knows:
            return factors
        agrees = self.degradation.keep(x, c) == x
        said = torch.where(agrees, 0.0, -torch.inf).to(factors)
        return torch.where(self.degradation.known, said, factors)

    def _members(self, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        """The factors of the last member, and log p(x) of all members together, (B,)."""
        context = self._context(c, x.shape[0])
        rows = max(1, NUMBERS_AT_ONCE // math.prod(self.p_x.parameter_shape))
        if torch.is_grad_enabled() or len(x) <= rows:
            return self._members_of_few(x, context, c)
        told = [None] * -(-len(x) // rows) if c is None else c.split(rows)
        parts = zip(x.split(rows), context.split(rows), told, strict=True)
        factors, values = zip(*(self._members_of_few(*part) for part in parts), strict=True)
        return torch.cat(factors), torch.cat(values)

    def _members_of_few(
        self, x: Tensor, context: Tensor, c: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        values = []
        for member in range(self.network.members):
            factors = self._coded(self._factors(x, context, member), x, c)
            values.append(factors.flatten(1).sum(1))
        return factors, numerics.log_mean_exp(torch.stack(values), 0)

    @torch.no_grad()
    def _fill(
        self,
        n: int,
        c: Tensor | None,
        generator: torch.Generator | None,
        given: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """n draws in data units, but for the given entries; so many at once as memory allows."""
        parts = []
        for rows in slices(0, n, rows_at_once(self.space)):
            count, labels = rows.stop - rows.start, None if c is None else c[rows]
            if given is None or mask is None:
                parts.append(self._sample(count, labels, generator))
            else:
                parts.append(self._complete(given[rows], mask[rows], labels, generator))
        return torch.cat(parts)

    def _sample(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Each row by a member at random."""

        def visit(p: Distribution, sites: slice) -> Tensor:
            return p.rsample(generator)

        if self.network.members == 1:
            return self.walk(n, visit, c)
        uniform = numerics.noise(self.anchor.new_empty(n), "uniform", generator)
        chosen = (uniform * self.network.members).long()
        parts = []
        for member in chosen.unique().tolist():
            labels = None if c is None else c[chosen == member]
            parts.append(self.walk(int((chosen == member).sum()), visit, labels, member))
        return torch.cat(parts)[chosen.argsort(stable=True).argsort()]  # where their rows are

    def _complete(
        self, given: Tensor, mask: Tensor, c: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """Rows by a member e drawn with probabilities p_e(given) / Σ p(given), as the mean has it.

        Where given entries come after others, they are as probable as they are given these draws:
        importance resampling of one completion by each member.
        """
        n, layout = given.shape[0], self.network.layout(given.shape[0])
        known = self.standardize.observed(given)
        known, held = known.reshape(layout), mask.reshape(layout)

        def visit(p: Distribution, sites: slice) -> Tensor:
            return p.rsample_rest(known[..., sites], held[..., sites], generator)

        if self.network.members == 1:
            return self.walk(n, visit, c)
        x, highest = given, self.anchor.new_full((n,), -torch.inf)
        for member in range(self.network.members):
            drawn = torch.where(mask, given, self.walk(n, visit, c, member))
            factors = self._factors(drawn, self._context(c, n), member)
            weight = torch.where(mask, factors, 0.0).flatten(1).sum(1)
            score = weight + numerics.gumbel_noise(weight, generator)  # the largest: a draw
            better = (score > highest).view(-1, *[1] * (x.ndim - 1))
            x = torch.where(better, drawn, x) if member else drawn
            highest = score.maximum(highest)
        return x


def late(given: Tensor, ranks: Tensor) -> Tensor:
    """Which entries (B, D) are given though one before them, in the order of ranks (D,), is not.

    >>> late(torch.tensor([[True, False, True]]), torch.arange(3)).tolist()
    [[False, False, True]]
    """
    ranks = ranks.to(given.device)
    first = torch.where(given, len(ranks), ranks).amin(1, keepdim=True)
    return given & (ranks > first)


def refuse_late(follows: Tensor, space: Space) -> None:
    """ValueError with the first of the entries (B, D) that are given too late."""
    if not follows.any():
        return
    row, entry = (int(place) for place in follows.flatten(1).nonzero()[0])
    what = f"column {space.columns[entry].name!r}" if space.columns else f"entry {entry}"
    raise ValueError(
        f"complete: {what} of row {row} is given and comes after one that is not, in whose "
        "draw it would have no say; use a VAE or PCA, or put such columns first in training"
    )


def completed(x: Tensor, mask: Tensor, drawn: Tensor, space: Space) -> Tensor:
    """Draws with the given entries of x bit for bit, in the type of x if that holds what is drawn.

    >>> space = Space((2,), "levels", levels=300)
    >>> x, mask = torch.tensor([[7, 0]], dtype=torch.uint8), torch.tensor([True, False])
    >>> completed(x, mask, torch.tensor([[7.0, 299.0]]), space)
    tensor([[  7., 299.]])
    """
    dtype = x.dtype if _fits(x.dtype, drawn.dtype, space) else drawn.dtype
    return torch.where(mask, x.to(drawn.device, dtype), drawn.to(dtype))


def _fits(dtype: torch.dtype, drawn: torch.dtype, space: Space) -> bool:
    """Whether draws can be of that type: whole numbers hold no real ones, bytes few levels."""
    if space.has_reals:
        return torch.promote_types(dtype, drawn) == dtype
    if dtype.is_floating_point:
        return True
    levels = space.level_count or torch.inf
    return levels <= (2 if dtype == torch.bool else torch.iinfo(dtype).max + 1)
