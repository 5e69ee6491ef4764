"""Diffusion models: x of noise, step by step, with a bound or an estimate of log p(x)."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.batching import affordable, cost, draws_at_once, in_batches, spread_rows
from reparam.bijections.units import Units
from reparam.degradation import Degradation
from reparam.diffusion.bound import Bound
from reparam.diffusion.completion import complete
from reparam.diffusion.flow import (
    EXACT_TRACE,
    Field,
    log_density,
    passes_of_density,
    velocity_of,
)
from reparam.diffusion.samplers import DDPM, Sampler, State, check_sampler, usual_sampler
from reparam.diffusion.schedules import VE, DiscreteSchedule, Schedule
from reparam.diffusion.steps import (
    Estimate,
    Prediction,
    Process,
    ReverseVariance,
    at,
    clipped,
    estimate,
    guess,
    target,
)
from reparam.inspection import FromNoise
from reparam.limits import Count, Share, limited
from reparam.model import (
    Batch,
    Codec,
    Completer,
    Density,
    Descend,
    Generator,
    LogProb,
    Loss,
    Model,
    Solve,
    Space,
    Stage,
    positive_count,
)
from reparam.models.conditional import Conditional
from reparam.models.diffusion_codec import DiffusionCodec
from reparam.models.undoing import Undoing
from reparam.space import looked_at

LEAST_OF_A_TIME, ROWS_OF_A_TIME = 4, 64  # at most, on average, by which variances are measured
ROWS_OF_THE_LAST = 512  # by which its scale is
DISTANCES = 2000  # rows between which the largest distance is looked for
PRODUCTS = 1400  # for each unit of ``cost``, of a network that counts as one pass
ODE_STEPS, COMPLETING = 100, 200  # of densities, and of completions by samplers of all steps


class Diffusion(Conditional, Density, Completer):
    """x_t = α(t) x + σ(t) ε; a network learns to tell x from ε, and draws x by undoing noise.

    Args:
        space: what x is, without columns of names.
        network: from a state of about unit variance (B, *shape), its time (B,), c and which c are
            kept (B,) to what it predicts (B, *shape).
        schedule: α and σ; of T times, or continuous.
        prediction: what the network returns, ``"noise"``, ``"x"`` or ``"velocity"``. Each can be
            turned into the others: the choice changes how errors are weighed in ``"simple"``, not
            what can be expressed.
        objective: ``"simple"``, the mean squared error of the prediction at a time drawn at random,
            or ``"vlb"``, minus the bound itself.
        variance: of a step back, ``"beta"``, ``"posterior"`` (β̃) or ``"optimal"``, which is
            measured after the descent. The bound needs β or the optimal ones: with β̃ it is loose
            by γ/2 = 0.29 nats a dimension and more on standard normal data, at any T. While
            ``"vlb"`` descends, the variances are β.
        sampler: how x is drawn; None: all steps for vectors and for images of up to 8 × 8, 50
            deterministic ones for others.
        conditional: whether the network takes c.
        drop_condition: share of training rows whose c is dropped, so that the network also learns
            p(x), which guidance needs.
        given: the degradation whose y the network takes in place of a class; what it says is in
            draws as it is, no part of the bound, and no noise of it reaches the network.

    Shape: x (B, *space.shape).

    Likelihood: with T times a lower bound in expectation; ``samples`` is the number of times at
        which a row is measured, all at T and above. In continuous time an estimate by an ODE
        solver, above 32 dimensions of its divergence as well; binary and levels data are then
        dequantized. Columns of whole numbers in a table are dequantized in both. Gradients are
        there where x asks for them.

    Cost: a pass of the network for the loss, one for each time of the bound, one for each step of a
        draw (several with some samplers).

    Reference: Ho et al. 2020, "Denoising diffusion probabilistic models", eq. 4 to 14; Song et al.
    2021, "Score-based generative modeling through SDEs"; guidance by Ho & Salimans 2022, eq. 6.
    https://arxiv.org/abs/2006.11239, https://arxiv.org/abs/2011.13456,
    https://arxiv.org/abs/2207.12598

    >>> import reparam as rp
    >>> model = rp.build("ddpm", rp.Space((2,), "real"), times=10)
    >>> model.log_prob(torch.zeros(1, 2), samples=10).kind, model.sample(3).shape
    ('lower bound', torch.Size([3, 2]))
    """

    in_order, tightens = False, False
    approximates = (
        "These are no draws of p(rest | given), but an approximation: given entries are put in "
        "the place of drawn ones in every step, and steps are repeated until both agree."
    )

    @limited
    def __init__(
        self,
        space: Space,
        network: nn.Module,
        schedule: Schedule,
        prediction: Prediction = "noise",
        objective: Literal["simple", "vlb"] = "simple",
        variance: ReverseVariance = "optimal",
        sampler: Sampler | None = None,
        conditional: bool = False,
        drop_condition: Share = 0.1,
        given: Degradation | None = None,
    ) -> None:
        super().__init__(space, conditional, given)
        discrete = isinstance(schedule, DiscreteSchedule)
        if objective == "vlb" and not discrete:
            raise ValueError("objective: vlb needs a schedule of T times, got a continuous one")
        if objective == "vlb" and variance == "posterior":
            warnings.warn(
                "variance: posterior makes the bound that vlb trains loose, by 0.29 nats a "
                "dimension or more on standard normal data; expected optimal or beta",
                stacklevel=2,
            )
        self.network, self.schedule = network, schedule
        self.prediction, self.objective, self.variance = prediction, objective, variance
        self.drop_condition = drop_condition
        known = None if given is None else given.known
        self.units = Units(space, not discrete, known)
        self.bound = Bound(schedule, self.units) if isinstance(schedule, DiscreteSchedule) else None
        self.approximation = "variational" if discrete else "flow solver"
        self.judge = None if objective == "vlb" else "objective"
        self.couples_rows = True  # the times of a batch in training are drawn together
        self.sampler = self._checked(sampler or usual_sampler(space, schedule))

    @property
    def stages(self) -> tuple[Stage, ...]:
        widest = [Solve("largest noise", self._widen)] if isinstance(self.schedule, VE) else []
        measured = [] if self.bound is None else [Solve("reverse variances", self._measure)]
        first = (*self.units.stages, *self.condition_stages, *widest)
        return (*first, Descend(), *measured)

    @property
    def counted(self) -> int:
        return self.units.counted

    @property
    def log_prob_draws(self) -> bool:  # type: ignore[override]
        large = self.space.dimension > EXACT_TRACE
        return self.bound is not None or self.units.dequantizes or large

    @property
    def passes_per_sample(self) -> int:  # type: ignore[override]
        if self.bound is not None:
            return self.pass_cost
        return self.pass_cost * passes_of_density(ODE_STEPS, "heun", self.space.dimension)

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return self.sampler.passes(self.schedule.times)

    @property
    def pass_cost(self) -> int:  # type: ignore[override]
        numbers = sum(p.numel() for p in self.network.parameters())
        products = int(getattr(self.network, "products", numbers))
        return max(1, round(products / (PRODUCTS * cost(self.space))))

    def refuse_rows(self, rows: int) -> None:
        if isinstance(self.schedule, VE) and rows < 2:
            raise ValueError(
                f"data: expected 2 training rows or more for sde=ve, whose largest noise is the "
                f"largest distance between them, got {rows}"
            )

    def through(self, sampler: Sampler) -> Self:
        """The same model, with the same weights, drawn by another sampler.

        Raises:
            ValueError: guidance of a model without a condition, or more steps than it has times.

        >>> import reparam as rp
        >>> model = rp.build("ddpm", rp.Space((2,), "real"))
        >>> model.through(rp.DDIM(steps=20)).passes_per_draw
        20
        """
        other = copy.copy(self)
        other.sampler = self._checked(sampler)
        return other

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        y, ladj = self.units(x)
        t, noise = self._times(y), numerics.noise(y)
        level = at(self.schedule(t), y)
        state = level.signal * y + level.noise * noise
        output = self._output(state / level.norm, t, self._seen_of(c), self._kept(y))
        if self.objective == "vlb":
            bound = ladj - self._one_time(x, y, t, estimate(self.prediction, output, state, level))
            return Loss(-bound.mean(), {"bound": bound})
        wanted = target(self.prediction, y, noise, level)
        error = self.units.sum((output - wanted).square()) / max(self.counted, 1)
        if self.prediction == "noise":
            return Loss(error.mean(), {"noise_error": error})
        found = estimate(self.prediction, output, state, level).noise
        of_noise = self.units.sum((found - noise).square()) / max(self.counted, 1)
        return Loss(error.mean(), {"noise_error": of_noise})

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        found = self._density(x, c, samples, generator)
        return replace(found, value=found.value + self.log_agreement(x, c))

    def _density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        with torch.set_grad_enabled(torch.is_grad_enabled() and x.requires_grad):
            if self.bound is not None:
                return LogProb(self._bound(x, c, samples, generator), "lower bound", samples)
            y, ladj = self.units(x, generator)
            way = self.schedule, y, self.schedule.grid(ODE_STEPS)
            drawn = samples, generator, self.counted
            value = log_density(self.velocity(c), *way, "heun", *drawn)
            return LogProb(value + ladj, "estimate", samples)

    def velocity(self, c: Tensor | None) -> Field:
        """dy/dφ of the probability flow, without what clips x̂; constants of real data stay 0."""
        field = velocity_of(self.schedule, partial(self._estimate, c=self._seen_of(c)))
        entries = self.units.entries
        return lambda y, t: entries(field(entries(y), t))

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        for one in self.states(n, c, generator):  # noqa: B007
            pass
        return self.keep_given(self.units.back(one.state), c)

    def seen(self, x: Tensor) -> Tensor:
        return self.units(x, middle=True)[0]

    def walk(
        self,
        noise: Tensor,
        c: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Iterator[State]:
        """The states of the sampler from noise down to x_0, in the units of noise."""
        return self.sampler.walk(self.process(c, self.sampler.guidance), noise, generator)

    def states(
        self, n: int, c: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Iterator[State]:
        """What n draws go through from noise, x_1, to x_0, in the units of noise.

        The last step of ``DDPM`` is the one that the bound counts: it draws x_0 around x̂.
        """
        positive_count("n", n)
        c = self._condition(self.draw_condition(n, generator) if c is None else c, n)
        noise = numerics.noise(self.anchor.new_empty(n, *self.space.shape), "normal", generator)
        for one in self.walk(noise, c, generator):
            if one.x is None and self.bound is not None and isinstance(self.sampler, DDPM):
                yield one._replace(state=self.bound.draw_last(one.state, generator))
            else:
                yield one

    @torch.no_grad()
    def path(
        self,
        n: int,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> list[State]:
        """What a draw of n rows goes through, x_1 first, with x̂ in data units; for pictures.

        States stay in the units of noise; the last one is x_0, which of whole numbers is not yet
        rounded.
        """
        return [
            one._replace(x=None if one.x is None else self.units.mean(one.x))
            for one in self.states(n, c, generator)
        ]

    @property
    def unsaid(self) -> Tensor:
        return self.units.some_value

    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        resamplings: Count = 10,
    ) -> Tensor:
        """x with the entries outside ``mask`` drawn anew, of any mask.

        These are no draws of p(rest | given) but an approximation: in every step the given entries
        are replaced by noised ones, which the rest has not been drawn with. Adding noise again and
        repeating the step, ``resamplings`` times, lets both agree, and the error becomes small.
        """
        with torch.no_grad():
            given, mask, c = self.prepare_given(x, mask, c)
            if looked_at() and mask.all():
                raise ValueError("mask: expected an entry that is not given, got all given")
            known = torch.where(mask, given, self.keep_given(given, c))
            y, _ = self.units(known, generator, middle=True)
            steps = self.sampler.steps or min(self.schedule.times or COMPLETING, COMPLETING)
            times = self.schedule.grid(steps)
            process = self.process(c, self.sampler.guidance)
            drawn = complete(process, y, self.said(mask), times, resamplings, generator)
            return torch.where(mask, given, self.keep_given(self.units.back(drawn).to(given), c))

    def as_codec(self, **options: Any) -> Codec | None:
        """The model as a ``Codec`` and ``Density`` by its probability-flow ODE: codes are noise.

        Args:
            sampling_steps: of the solver, each way; by default 100, or all of fewer times.
            method: heun by default, ddim, or rk4 in continuous time.
        """
        return DiffusionCodec(self, **options)

    @property
    def from_noise(self) -> FromNoise[Generator]:
        return Undoing(self)

    def process(self, c: Tensor | None, guidance: float = 1.0) -> Process:
        """What samplers need of the model under a condition."""
        seen = self._seen_of(c)  # once for all steps

        def estimated(state: Tensor, t: Tensor) -> Estimate:
            return self._clipped(self._estimate(state, t, seen, guidance), state, t)

        error = torch.ones_like if self.bound is None else self.bound.error
        kind: ReverseVariance = "beta" if self.bound is None else self.variance
        return Process(self.schedule, estimated, kind, error)

    def _estimate(
        self, state: Tensor, t: Tensor, c: Tensor | None, guidance: float = 1.0
    ) -> Estimate:
        """x and ε in x_t at times (B,), with the guidance asked for; c as networks take it."""
        t = t.clamp(min=self.schedule.first)
        level = at(self.schedule(t), state)
        unit = state / level.norm
        if c is None or guidance == 1:
            output = self._output(unit, t, c, None)
            return estimate(self.prediction, output, state, level)
        kept = unit.new_ones(len(unit))
        if guidance == 0:
            output = self._output(unit, t, c, 0 * kept)
            return estimate(self.prediction, output, state, level)
        both = torch.cat([unit, unit]), torch.cat([t, t]), torch.cat([c, c])
        outputs = self._output(*both, torch.cat([kept, 0 * kept])).chunk(2)
        with_c, without = (estimate(self.prediction, o, state, level) for o in outputs)
        noise = without.noise + guidance * (with_c.noise - without.noise)
        return Estimate((state - level.noise * noise) / level.signal, noise)

    def _clipped(self, found: Estimate, state: Tensor, t: Tensor) -> Estimate:
        """x̂ within [−1, 1] where x is of whole numbers, else within the range of training data.

        The latter only where noise outweighs x: there the mean of x given x_t cannot lie outside,
        but x̂ may by far, as errors of ε̂ count σ/α times. Nearer to x an outlier may lie outside.
        Constants are known at any noise, and nothing trains what a network says of them.
        """
        level = at(self.schedule(t), state)
        within = clipped(found, state, level, self.units.low, self.units.high)
        if self.units.discrete:
            return within
        outweighed = level.noise > level.signal
        known = outweighed | (self.units.entries(torch.ones_like(state)) == 0)
        parts = zip(within, found, strict=True)
        return Estimate(*(torch.where(known, part, free) for part, free in parts))

    def _seen_of(self, c: Tensor | None) -> Tensor | None:
        return None if c is None else self.network_condition(c)

    def _output(self, unit: Tensor, t: Tensor, c: Tensor | None, kept: Tensor | None) -> Tensor:
        unit = self.units.hidden(unit)
        if self.conditional:
            output = self.network(unit, t, c, kept)
        else:
            output = self.network(unit, t)
        return output.to(self.anchor.dtype)

    def _times(self, y: Tensor) -> Tensor:
        """A time for each row: of a batch in training spread evenly from one offset."""
        rows = y.shape[0]
        if self.training:
            offset = numerics.noise(y.new_empty(1), "uniform")
            places = (torch.arange(rows, device=y.device) + offset) / rows
        else:
            places = numerics.noise(y.new_empty(rows), "uniform")
        times, first = self.schedule.times, self.schedule.first
        if times is None:
            return first + places * (1 - first)
        return ((places * times).floor().clamp(max=times - 1) + 1) / times

    def _kept(self, y: Tensor) -> Tensor | None:
        """Which rows keep their condition in training, as 0 and 1."""
        if not self.conditional or not self.training or self.drop_condition == 0:
            return None
        return (numerics.noise(y.new_empty(y.shape[0]), "uniform") >= self.drop_condition).to(y)

    def _one_time(self, x: Tensor, y: Tensor, t: Tensor, found: Estimate) -> Tensor:
        """Minus the bound by one time of each row, drawn evenly, with variances β, (B,)."""
        assert self.bound is not None
        times = self.bound.times
        last = t * times < 1.5
        later = torch.where(last, 2 / times, t)
        step = self.bound.of_step(y, found.x, later, "beta")
        end = self.bound.of_last(x, y, found.x, measured=False)
        return self.bound.of_prior(y) + times * torch.where(last, end, step)

    def _bound(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> Tensor:
        """Each row at so many times, spread from an offset of its own; the ends always."""
        assert self.bound is not None
        rows = x.shape[0]
        most = self._draws_of_each(x)
        y, ladj = self.units(x, generator)
        offset = numerics.noise(y.new_empty(rows), "uniform", generator)
        index, weights = self.bound.chosen_times(samples, offset.to(numerics.accumulator(y)))
        first = torch.full((rows,), self.schedule.first, device=y.device)
        found = guess(self.process(c), y, first, generator)
        total = (ladj - self.bound.of_prior(y) - self.bound.of_last(x, y, found)).to(weights)
        for times, weight in zip(index.split(most, 1), weights.split(most, 1), strict=True):
            each, t = times.shape[1], times.flatten() / self.bound.times
            many = y.repeat_interleave(each, 0)
            c_each = None if c is None else c.repeat_interleave(each, 0)
            estimated = guess(self.process(c_each), many, t.to(y), generator)
            step = self.bound.of_step(many, estimated, t, self.variance)
            total = total - (weight * step.to(weight).view(rows, each)).sum(1)
        return total

    @torch.no_grad()
    def _measure(self, model: Model, batches: Iterable[Batch]) -> None:
        """The mean squares of x − x̂ at every time, and the scale of the last step."""
        assert self.bound is not None
        rows = spread_rows(batches, ROWS_OF_THE_LAST)
        x, c = self.prepare(rows.x, rows.c)
        y, _ = self.units(x)
        passes = self.passes_per_sample * 400  # a part of what an evaluation may cost
        each = affordable(self.space, self.bound.times, passes)
        each = min(ROWS_OF_A_TIME, max(LEAST_OF_A_TIME, each))
        counts = self.bound.rows_of_times(each, ROWS_OF_THE_LAST).to(y.device)
        index = torch.repeat_interleave(counts)
        chosen = torch.arange(len(index), device=y.device) % len(y)
        errors = torch.zeros(len(counts), dtype=torch.float64, device=y.device)
        for part in torch.arange(len(index), device=y.device).split(draws_at_once(self.space)):
            of, t = y[chosen[part]], index[part] / self.bound.times
            c_each = None if c is None else c[chosen[part]]
            found = guess(self.process(c_each), of, t.to(y))
            squares = self.units.sum((of - found).square()).double()
            errors.index_add_(0, index[part], squares)
        self.bound.errors.copy_(errors / (counts.clamp(min=1) * max(self.counted, 1)))
        first = torch.full((len(y),), self.schedule.first, device=y.device)
        found = in_batches(
            lambda y, t, c: guess(self.process(c), y, t), draws_at_once(self.space), y, first, c
        )
        self.bound.measure_last(x, y, found)

    @torch.no_grad()
    def _widen(self, model: Model, batches: Iterable[Batch]) -> None:
        """The largest noise of ``VE``: the largest distance between rows, of 2 000 at most."""
        assert isinstance(self.schedule, VE)
        rows = spread_rows(batches, DISTANCES // 2)
        y = self.units(self.prepare(rows.x, rows.c)[0], middle=True)[0].flatten(1)
        largest = torch.cdist(y, y).max().item()
        if not largest > 0:
            raise ValueError("data: expected rows that differ for sde=ve, got all the same")
        self.schedule.largest.fill_(max(largest, 1.0))

    def _checked(self, sampler: Sampler) -> Sampler:
        """The sampler; ValueError where the model has not what it needs."""
        check_sampler(sampler, self.schedule, self.conditional, self.drop_condition)
        return sampler
