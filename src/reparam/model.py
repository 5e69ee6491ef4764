"""The vocabulary: what data, losses, log-probabilities and models are. Read this first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.batching import draws_at_once
from reparam.conditions import condition_of, placed, refuse_unsaid
from reparam.display import Displayed
from reparam.distribution import Distribution as Distribution
from reparam.distribution import Kind as Kind
from reparam.exchange import Batch as Batch
from reparam.exchange import LogPartition as LogPartition
from reparam.exchange import LogProb as LogProb
from reparam.exchange import Loss as Loss
from reparam.inspectable import Inspectable
from reparam.limits import positive_count as positive_count
from reparam.space import Column as Column
from reparam.space import DataKind as DataKind
from reparam.space import (
    Domain,
    as_tensor,
    check_columns,
    check_mask,
    check_shape,
    check_values,
    looked_at,
    trusted,
)
from reparam.space import Space as Space

if TYPE_CHECKING:
    from reparam.inspection import FromNoise, Judgment

Keeps = Literal["best", "last"]
# How log p(x) is had: in closed form or by the chain rule, by a bound, a chain, an ODE solver.
Approximation = Literal["tractable", "variational", "markov chain", "flow solver"]
Draws = Literal["independent", "shared"]  # of each row's own, or the same for all rows


@dataclass(frozen=True)
class Solve:
    """A stage without gradients: ``solve(model, batches)`` over re-iterable training batches.

    >>> Solve("nothing", lambda model, batches: None).name
    'nothing'
    """

    name: str
    solve: Callable[[Model, Iterable[Batch]], None]


@dataclass(frozen=True)
class Player:
    """Who is trained by one loss: its modules, learning-rate multiple, steps in turn, Adam's betas.

    >>> Player("critic", (nn.Linear(2, 1),), steps=5).lr
    1.0
    """

    name: str
    modules: tuple[nn.Module, ...]
    lr: float = 1.0
    steps: int = 1
    betas: tuple[float, float] | None = None  # None: those of the ``TrainConfig``
    rates: tuple[float, ...] = ()  # of each of the modules, a multiple of the learning rate


@dataclass(frozen=True)
class Descend:
    """A stage of stochastic gradient descent; without players, one that moves every parameter.

    >>> Descend().players
    ()
    """

    name: str = "descend"
    players: tuple[Player, ...] = field(default=())
    of: Model | None = None  # the part of the model whose objective it is; None: the whole
    # What its players learn of in place of x, if always the same: where it is made once for all
    # steps, they are named to the loss with ``ENCODED`` behind.
    code: Callable[[Tensor], Tensor] | None = None


Stage = Solve | Descend
ENCODED = ", encoded"
DRAWS_OF_A_ROW = 100  # at a time at most, where the noise is that of each row


class Model(Displayed, nn.Module, ABC):
    """A model of x ∈ ``space``; x, c and everything returned are in the data's own units.

    Methods take arrays and lists where they say tensor; and as c, beside one condition a row, a
    number or the name of a class, which then holds for all rows. What they return has gradients,
    except draws, and log p(x) where it is found by draws; ``torch.no_grad()`` does without.
    """

    conditional: bool = False  # whether it uses c
    couples_rows: bool = False  # whether a row's terms depend on the rest of its batch
    surrogate: bool = False  # whether the objective's gradient is a useful one, not its own
    constant_terms: tuple[str, ...] = ()  # which terms of a loss are the same for all rows
    normalized: bool = False  # whether it has batch normalization and moves its statistics
    keeps: Keeps = "best"  # the weights that training leaves; the last, where its objective moves
    judge: str | None = None  # the unweighted term by which they are the best; None: the likelihood
    chains: tuple[str, ...] = ()  # buffers that are saved with a run, by process, not with a model
    takes_missing: bool = False  # whether x may hold NaN, for entries that are missing
    recipe: dict[str, Any] | None = None  # preset and parameters other than its defaults
    class_names: tuple[str, ...] | None = None  # of the labels it was trained on
    origin: str | None = None  # where on the hub its weights came from, with the commit

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        # Follows .to(...), so that it says the model's dtype and device even without parameters.
        self.register_buffer("anchor", torch.empty(0), persistent=False)
        self.anchor: Tensor

    @property
    def stages(self) -> tuple[Stage, ...]:
        """How the model is trained, in order."""
        return (Descend(),)

    @property
    def counted(self) -> int:
        """How many entries of x bits/dim are counted over: all but the constants of real x."""
        return self.space.dimension

    @property
    def class_frequencies(self) -> Tensor | None:
        """p(c) in training, (classes,); None for a model of which ``log_prob`` takes no labels."""
        return None

    @abstractmethod
    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss: ...

    def forward(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        """The loss of checked data, whose values are not looked at: what training calls."""
        if torch.compiler.is_compiling():
            return self.loss(x, c, player)
        with trusted():
            return self.loss(x, c, player)

    def after_step(self, loss: Loss, player: str = "model") -> None:  # noqa: B027
        """What moves without gradients once per optimizer step; reads ``loss.statistics``.

        It is called without gradients, also after a step that was skipped because its objective was
        not finite: statistics that are not finite are to be left out.
        """

    @property
    def unsettled(self) -> str:
        """What the objective waits for until it is what it stays; to be read at validations."""
        return ""

    def prepare(
        self, x: Tensor, c: Tensor | None = None, domain: Domain = "support"
    ) -> tuple[Tensor, Tensor | None]:
        """x and c on the model's device and dtype; what does not fit is refused here only."""
        x = as_tensor(x)
        check_shape(x, self.space.shape)
        c = self.told(x, c)
        if looked_at() and self.space.columns:
            check_columns(x, self.space.columns, self.takes_missing, domain)
        elif looked_at():
            there = torch.where(x.isnan(), 0, x) if self.takes_missing else x
            check_values(there, self.space.level_count, domain)
        x = x.to(self.anchor.device)
        # Real data keep their precision until they are centered: 1.7e9 ± 10 has none in float32.
        wide = self.space.keeps_precision and numerics.needs_float64(x.dtype)
        x = x.to(torch.float64 if wide else self.anchor.dtype)
        return x, self._condition(c, x.shape[0])

    def told(self, x: Tensor, c: Tensor | None) -> Tensor | None:
        return c  # made of x, where it is what is left of x and not said

    def refuse_rows(self, rows: int) -> None:  # noqa: B027
        """ValueError where so few training examples cannot determine the model."""

    def refuse_other(self, space: Space) -> None:
        """ValueError where data of ``space`` are not what the model is of.

        Labels and attributes matter to models that are conditional on them only.
        """
        mine, theirs = replace(self.space, given=None), space
        if not self.conditional or self.space.given is not None:
            mine, theirs = (replace(s, classes=None, attributes=None) for s in (mine, theirs))
        elif mine.attributes is not None:
            mine, theirs = (replace(s, classes=None) for s in (mine, theirs))
        if mine != theirs:
            raise ValueError(f"data: expected {mine}, got {theirs}")

    def as_codec(self, **options: Any) -> Codec | None:
        """A codec made of this model, at a price that ``options`` set; None where there is none."""
        return None

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        """n conditions as they occur in training; None for a model that uses none."""
        return None

    def _condition(self, c: object, rows: int) -> Tensor | None:
        if not self.conditional:
            if c is not None:
                raise ValueError(f"c: {type(self).__name__} is not conditional, expected None")
            return None
        return placed(condition_of(c, rows, self.space, self.class_names), self.space, self.anchor)


class Coded(Model):
    """A model with codes, one tensor (B, *code_space.shape)."""

    @property
    @abstractmethod
    def code_space(self) -> Space: ...


class Encoder(Inspectable, Coded):
    """A model that makes codes of x: x → code."""

    encodes: Domain = "range"  # which x have a code; not only data have one

    @property
    def grids(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of the grids that a code is made of, the coarsest first."""
        return (self.code_space.shape,)

    @abstractmethod
    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """The code of x, deterministic: means, not draws. Where it is real it has gradients."""

    def embed(self, code: Tensor) -> Tensor:
        """Codes as vectors (B, E) in which distances mean something.

        They are the code itself where it is real or binary, and one-hot indices where it holds
        indices, unless the model has vectors of its own for them.
        """
        if self.code_space.kind != "levels":
            return code.flatten(1)
        levels = self.code_space.level_count
        assert levels is not None
        return nn.functional.one_hot(code.long(), levels).to(self.anchor.dtype).flatten(1)


class Decoder(Coded):
    """A model that makes x of codes: code → x."""

    @abstractmethod
    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        """The mean of x given its code, in data units (B, *shape)."""

    def prepare_code(self, code: Tensor) -> Tensor:
        """A code on the model's device and dtype; one of another shape is refused here only."""
        shape, code = self.code_space.shape, as_tensor(code, "code")
        if code.ndim == 0 or tuple(code.shape[1:]) != shape:
            got = tuple(code.shape)
            raise ValueError(f"code: expected shape (B, {', '.join(map(str, shape))}), got {got}")
        if looked_at():
            check_values(code, self.code_space.level_count, name="code")
        return code.to(self.anchor)


class Codec(Encoder, Decoder):
    """A model whose codes can be decoded: x → code → x."""

    def as_codec(self, **options: Any) -> Codec | None:
        return self

    def reconstruct(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.encode(x, c := self.told(as_tensor(x), c))
        with trusted():  # a code that is not finite is the model's fault, not the caller's
            return self.decode(code, c)


class Generator(Model):
    """A model that makes new x."""

    passes_per_draw: int = 1  # of a network, one after the other, that a draw of x takes
    pass_cost: int = 1  # of one of these, in passes of a usual network for such x

    def sample(
        self, n: int, c: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """n draws x ~ p(x), (n, *shape); without c under conditions as they occur in training."""
        positive_count("n", n)
        with torch.no_grad():
            c = self._condition(self.draw_condition(n, generator) if c is None else c, n)
            return self.draw(n, c, generator)

    @abstractmethod
    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """What ``sample`` returns, of a checked n and c."""

    @property
    def from_noise(self) -> FromNoise[Generator] | None:
        """How x is drawn by undoing noise, for pictures; None where it is drawn otherwise."""
        return None

    @property
    def judgment(self) -> Judgment | None:
        """The number by which a critic or an energy tells x from data; None where there is none."""
        return None


class Completer(Generator):
    """A model that draws the rest of an x of which a part is given."""

    in_order: bool = True  # whether entries are drawn one by one, each by those before it alone
    approximates: str = ""  # a sentence, where what it draws is not p(rest | given)

    @abstractmethod
    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x with the entries outside ``mask`` (bool) drawn anew; those inside stay bit for bit."""

    @property
    def unsaid(self) -> Tensor | float:
        """What stands where nothing is given, in models that take no missing entries."""
        return 0.0

    def refuse_given(self, given: Tensor) -> None:  # noqa: B027
        """ValueError where ``complete`` draws no p(rest | given) of such masks (B, *shape)."""

    def prepare_given(
        self, x: Tensor, mask: Tensor, c: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """``prepare`` for ``complete``: x as if only the mask of it were there, the mask, and c."""
        x, mask = as_tensor(x), as_tensor(mask, "mask")
        refuse_unsaid(self.space, c)
        check_shape(x, self.space.shape)
        check_mask(mask, x)
        mask = mask.to(x.device)
        unsaid: Tensor | float = torch.nan if self.takes_missing else self.unsaid
        unsaid = unsaid.to(x) if isinstance(unsaid, Tensor) else unsaid
        if self.takes_missing:  # then that is what is not given, as 0 may be no value of it
            x = x.double() if numerics.needs_float64(x.dtype) else x
            mask = mask & ~x.isnan()
        given, c = self.prepare(torch.where(mask, x, unsaid), c)
        return given, mask.to(given.device).expand_as(given), c


class Density(Generator):
    """A model that says how probable x is."""

    approximation: Approximation = "tractable"
    log_prob_draws: bool = False  # whether log p(x) is found by draws, more with more ``samples``
    passes_per_sample: int = 1  # of a usual network over x, that each of the samples takes
    tightens: bool = True  # whether more samples bring the mean nearer to log p(x)

    @property
    def log_partition(self) -> LogPartition | None:
        """log Z of a density that is known up to it, with its error; None of all others."""
        return None

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        nll = -self.density(*self.prepare(x, c), 1, None).value
        return Loss(nll.mean(), {"nll": nll})

    def log_prob(
        self,
        x: Tensor,
        c: Tensor | None = None,
        *,
        samples: int = 1,
        generator: torch.Generator | None = None,
        noise: Draws = "independent",
    ) -> LogProb:
        """log p(x) of each row.

        It has gradients, unless it is found by draws: then it has them where x asks for them
        (``x.requires_grad_()``), for which the graphs of all draws are kept. To train, descend
        ``loss``.

        Args:
            x: (B, *shape), in data units.
            c: the condition, for models that use one.
            samples: draws for each row, where log p(x) is found by draws.
            generator: of the draws.
            noise: ``"independent"`` for every row, so that errors of rows average out;
                ``"shared"``: the same for all rows, so that the value of a row does not depend on
                which others stand beside it, nor their order on luck.
        """
        positive_count("samples", samples)
        if noise not in get_args(Draws):
            raise ValueError(f"noise: expected {' or '.join(get_args(Draws))}, got {noise!r}")
        x, c = self.prepare(x, c)
        if noise == "independent" or not self.log_prob_draws:
            return self.density(x, c, samples, generator)
        device = None if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        most, parts = draws_at_once(self.space, x.device), []
        rows = max(1, most // min(samples, self._draws_of_a_row))
        for start in range(0, x.shape[0], rows):
            block = slice(start, start + rows)
            of_block, same = c if c is None else c[block], torch.Generator().manual_seed(seed)
            with numerics.shared_noise(len(x[block])):
                parts.append(self.density(x[block], of_block, samples, same))
        columns = [p.per_dimension for p in parts if p.per_dimension is not None]
        whole = torch.cat(columns) if columns else None
        return replace(parts[0], value=torch.cat([p.value for p in parts]), per_dimension=whole)

    @property
    def _draws_of_a_row(self) -> int:
        """Draws of a row at a time: by the size of x alone, as its value depends on no other."""
        return min(DRAWS_OF_A_ROW, draws_at_once(self.space))

    def _draws_of_each(self, x: Tensor) -> int:
        """Draws of every row at a time; of noise by example whatever the number of rows."""
        if numerics.noise_is_by_example():
            return self._draws_of_a_row
        return max(1, draws_at_once(self.space, x.device) // x.shape[0])

    @abstractmethod
    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        """What ``log_prob`` returns, of prepared x and c."""


class LatentVariable(Codec, Density):
    """p(x) = ∫ p(x|z) p(z) dz with an approximate posterior q(z|x).

    ``log_prob`` is the importance-weighted bound log 1/K Σ p(x|z) p(z) / q(z|x), z ~ q(z|x)
    (Burda et al. 2016, eq. 8), a lower bound in expectation at every K = ``samples``. The data are
    encoded once, memory is bounded, and the sum over samples is accumulated in float64.
    """

    approximation, log_prob_draws = "variational", True
    layers: tuple[int, ...] = ()  # sizes of the layers of z, coarsest first, where it has several
    draws: int = 1  # of z for each example, of which the terms of a loss are means

    @abstractmethod
    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        """q(z|x); it prepares x and c itself, with ``encodes`` as the domain."""

    @abstractmethod
    def prior(self, c: Tensor | None = None) -> Distribution:
        """p(z): a single row when it does not depend on c."""

    @abstractmethod
    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution: ...

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return self.posterior(x, c).center

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        return self.likelihood(self.prepare_code(code), c).center

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        prior = self.prior(c)
        z = prior.repeat(n // prior.rows).sample(generator)
        return self.likelihood(z, c).sample(generator)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        samples = samples if self.log_prob_draws else 1  # of a point mass all are the same
        bounded, graph = True, torch.is_grad_enabled() and x.requires_grad

        def draw(k: int) -> Tensor:
            nonlocal bounded
            values, bounded = self._log_weights(x, c, posterior, k, generator)
            return values

        with torch.set_grad_enabled(graph), trusted():
            posterior = self.posterior(x, c)
            value = numerics.log_mean_exp_of(draw, samples, self._draws_of_each(x), x)
        return LogProb(value, "lower bound" if bounded else "estimate", samples)

    def _log_weights(
        self,
        x: Tensor,
        c: Tensor | None,
        posterior: Distribution,
        k: int,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, bool]:
        """log p(x|z) p(z) / q(z|x) of k draws a row, (B·k,), and whether no part is an estimate."""
        if k > 1:
            posterior = posterior.repeat(k)
            c = None if c is None else c.repeat_interleave(k, 0)
        z, log_q = posterior.rsample_with_log_prob_terms(generator)
        prior, likelihood = self.prior(c), self.likelihood(z, c)
        log_p = prior.log_prob(z) + likelihood.log_prob(x)
        bounded = "estimate" not in (posterior.kind, prior.kind, likelihood.kind)
        return log_p - log_q.sum(1), bounded
