"""Normalizing flows: exact densities by an invertible map to a known one."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import spread_rows
from reparam.bijections.autoregressive import AutoregressiveTransform
from reparam.bijections.base import Bijection, Chain
from reparam.bijections.coupling import Coupling
from reparam.bijections.dequantization import Dequantization
from reparam.bijections.logit import Rescale
from reparam.bijections.multiscale import MultiScale
from reparam.bijections.shape import Flatten
from reparam.bijections.standardization import standardization
from reparam.distributions.priors import Prior
from reparam.inspection import Station
from reparam.model import (
    Batch,
    Distribution,
    LogProb,
    Loss,
    Model,
    Solve,
    Space,
    Stage,
)
from reparam.models.conditional import Conditional
from reparam.models.invertible import Invertible, Members

PRODUCTS = 1400
LEARNED = 512  # rows at least, where there are as many, from which layers are set


class Flow(Conditional, Invertible):
    """x = f⁻¹(z) with z ~ base: log p(x) = log p_base(f(x)) + log|det ∂f/∂x|.

    f goes from data to noise; lectures often write x = f(z) for its inverse. Real data are
    standardized first. Binary and levels data are dequantized, y = (x + u)/K with u in [0, 1):
    log p(x) ≥ E_q(u|x) log p(y) K^−D / q(u|x), of which ``log_prob`` takes the mean inside of the
    logarithm over ``samples`` draws of u, a lower bound as well. Real entries that are constant in
    training are no part of the density: f sees noise in their place, whose density is divided
    out, so that log p(x) is a lower bound then, too.

    ``encode`` is z whole, with u = ½ and no noise, and ``decode`` undoes it.

    Args:
        space: what x is.
        bijection: f, from rows of ``space.shape``, standardized or in [0, 1), to rows whose
            entries are z; its context is the condition, where the model is conditional.
        base: of z, flat.
        dequantization: of binary and levels data; None of real data.
        conditional: whether f and the base take the condition.

    Shape: x (B, *space.shape), code (B, D), the coarsest scale first where f has several.

    Likelihood: exact for real data, a lower bound for binary and levels data.

    Cost: a pass of f for the loss; a pass of its inverse for a sample.

    Raises:
        ValueError: parts that do not fit each other.

    Reference: Rezende & Mohamed 2015, eq. 5 to 7; Dinh et al. 2017, eq. 2 and 3; dequantization
    by Ho et al. 2019, eq. 5.
    https://arxiv.org/abs/1505.05770, https://arxiv.org/abs/1605.08803

    >>> import reparam as rp
    >>> model = Flow(rp.Space((2,), "real"), Chain(), rp.StandardNormal(2))
    >>> round(model.log_prob(torch.zeros(1, 2)).value.item(), 4)  # −ln 2π
    -1.8379
    """

    def __init__(
        self,
        space: Space,
        bijection: Bijection,
        base: Prior,
        dequantization: Dequantization | None = None,
        conditional: bool = False,
    ) -> None:
        super().__init__(space, conditional)
        if (dequantization is None) != bool(space.reals.all()):
            what = "none for real data" if dequantization else f"one for {space.kind} data"
            raise ValueError(f"dequantization: expected {what}")
        if bijection.takes not in (None, space.shape):
            raise ValueError(
                f"bijection: expected one of rows of {space.shape}, got one of {bijection.takes}"
            )
        if base.event_shape != (space.dimension,):
            raise ValueError(f"base: expected one of {space.dimension} entries, got {base}")
        self.dequantization, self.base = dequantization, base
        self.standardize = standardization(space) if space.level_count is None else None
        before = [] if space.level_count is None else [Rescale(space.level_count)]
        shape = bijection.gives or space.shape
        after = [] if len(shape) == 1 else [Flatten(shape)]
        self.bijection = Chain(*before, bijection, *after, context="shared")

    @property
    def code_space(self) -> Space:
        return Space((self.space.dimension,), "real")

    @property
    def layers(self) -> tuple[int, ...]:
        """Sizes of the scales in a code, coarsest first; (): there is but one."""
        scales = (p.layers for p in self.bijection.modules() if isinstance(p, MultiScale))
        return next(scales, ())

    @property
    def counted(self) -> int:
        return self.space.dimension if self.standardize is None else self.standardize.count

    @property
    def log_prob_draws(self) -> bool:  # type: ignore[override]
        return self.dequantization is not None or self._constants is not None

    @property
    def passes_per_sample(self) -> int:  # type: ignore[override]
        """By the products of its networks, of which a default VAE has 1 400 per entry of x.

        Ten times as many: more draws of u tell less than draws of z, and small operations cost.
        """
        found = 0
        for part in self.bijection.modules():
            if isinstance(part, Coupling | AutoregressiveTransform) and part.takes is not None:
                pixels = math.prod(part.takes[1:])  # of convolutions; 1 of vectors
                found += pixels * sum(p.numel() for p in part.network.parameters())
        return max(1, 10 * found // (PRODUCTS * self.space.dimension))

    @property
    def stages(self) -> tuple[Stage, ...]:
        before = () if self.standardize is None else self.standardize.stages
        learned = (Solve("actnorm", self._learn),) if self.bijection.learns else ()
        return (*before, *self.condition_stages, *learned, *super().stages)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        nll = -self._log_weights(x, c, None)
        return Loss(nll.mean(), {"nll": nll})

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        if not self.log_prob_draws:
            return LogProb(self._log_weights(x, c, generator), "exact")

        def draw(k: int) -> Tensor:  # several at once: passes of few rows take as long as of many
            c_each = None if c is None else c.repeat_interleave(k, 0)
            return self._log_weights(x.repeat_interleave(k, 0), c_each, generator)

        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            value = numerics.log_mean_exp_of(draw, samples, self._draws_of_each(x), x)
        return LogProb(value, "lower bound", samples)

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        return self.bijection(self._middle(x), self.context(c))[0]

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.prepare_code(code)
        return self.carry(code, self._condition(c, code.shape[0]))

    def p_z(self, c: Tensor | None, rows: int) -> Distribution:
        """The base, a row for each of so many."""
        base = self.base(c)
        return base.repeat(rows // base.rows)

    def passage(self, x: Tensor, c: Tensor | None = None) -> tuple[Tensor, Members]:
        x, c = self.prepare(x, c, self.encodes)
        return self._middle(x), list(self.bijection.members(self.context(c)))

    def log_slope(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """log |det ∂z/∂x| of real x, (B,), from the data's units to the noise's."""
        x, c = self.prepare(x, c)
        y, ladj = self._units(x)
        return self.bijection(y, self.context(c))[1] + ladj

    def stations(self, code: Tensor, c: Tensor | None = None) -> list[Station]:
        code = self.prepare_code(code)
        context = self.context(self._condition(c, code.shape[0]))
        found = [Station("noise", code, code.new_zeros(code.shape[0]))]
        for member, part in reversed(list(self.bijection.members(context))):
            code, ladj = member.inverse(code, part)
            found.append(Station(member.title, code, ladj))
        y = code.view(-1, *self.space.shape)
        ladj = code.new_zeros(code.shape[0])
        if self.standardize is not None:
            y, ladj = self.standardize.inverse(y)
        return [*found, Station("data", y, ladj)]

    @property
    def _constants(self) -> Tensor | None:
        """Mask (*shape) of the entries of real x that never vary; None: there are none."""
        varies = None if self.standardize is None else self.standardize.varies
        return None if varies is None else ~varies

    def _units(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x standardized, whole numbers from 0 on, and log |det| of that."""
        if self.standardize is None:
            return x, x.new_zeros(x.shape[0])
        return self.standardize(x)

    def _middle(self, x: Tensor) -> Tensor:
        """x as f takes it, without noise."""
        y = self._units(x)[0]
        return y if self.dequantization is None else self.dequantization.middle(y)

    def _noisy(
        self, x: Tensor, context: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """x as f takes it, with noise where it has to be, and the log-density of that noise."""
        y, ladj = self._units(x)
        log_q, constants = -ladj, self._constants
        if self.dequantization is not None:
            y, of_noise = self.dequantization.draw(y, context, generator)
            log_q = log_q + of_noise
        if constants is None:
            return y, log_q
        noise = numerics.noise(y, "normal", generator)
        of_noise = torch.where(constants, numerics.standard_normal_log_prob(noise), 0.0)
        return torch.where(constants, noise, y), log_q + of_noise.flatten(1).sum(1)

    def _log_weights(
        self, x: Tensor, c: Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        """log p(x, noise) − log q(noise|x), (B,); log p(x) itself where there is no noise."""
        context = self.context(c)
        y, log_q = self._noisy(x, context, generator)
        z, ladj = self.bijection(y, context)
        return self.base(c).log_prob(z) + ladj - log_q

    def carry(self, z: Tensor, c: Tensor | None) -> Tensor:
        y, ladj = self.bijection.inverse(z, self.context(c))
        # A member that squashes would hide that one before it overflowed.
        y = torch.where(ladj.isfinite()[:, None], y.flatten(1), math.nan)
        y = y.view(-1, *self.space.shape)
        y = y if self.dequantization is None else self.dequantization.quantize(y)
        return y if self.standardize is None else self.standardize.inverse(y)[0]

    @torch.no_grad()
    def _learn(self, model: Model, batches: Iterable[Batch]) -> None:
        """Set what the first rows set, of as many rows spread over the training data."""
        rows = spread_rows(batches, LEARNED)
        x, c = self.prepare(rows.x, rows.c)
        context = self.context(c)
        self.bijection.learn(self._noisy(x, context, None)[0], context)
