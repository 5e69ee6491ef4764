"""What models and their parts may tell of their inside, for pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from torch import Generator, Tensor

from reparam.degradation import Degradation
from reparam.distribution import Distribution


@dataclass(frozen=True)
class Noise:
    """What a denoising codec learns to undo: x̃ ~ M(x̃|x) at a level, 0 leaving x as it is.

    Args:
        name: of the corruption.
        unit: what the level counts.
        level: as in training.
        strongest: the largest level there is.
        corrupt: (x, level) → x̃ in data units, drawn from the default generator; entries of x̃ may
            be values that x never takes.
        hides: whether what is corrupted is missing in x̃, NaN.
        parts: into how many x is cut, of which a share, the level, is corrupted; 0 where it is not.

    >>> noise = Noise("scaling", "factor lost", 0.5, 1.0, lambda x, level: x * (1 - level))
    >>> noise.corrupt(4.0, noise.level)
    2.0
    """

    name: str
    unit: str
    level: float
    strongest: float
    corrupt: Callable[[Tensor, float], Tensor]
    hides: bool = False
    parts: int = 0


@dataclass(frozen=True)
class Filters:
    """The weights between x and each entry of the code, where one linear layer is all there is.

    Args:
        weights: (F, *shape), one for each entry of the code, in network units.
        of: ``"decoder"``, what one unit of that entry adds to the output, or ``"encoder"``, the x
            that the entry answers to most.

    >>> import torch
    >>> Filters(torch.eye(2), "decoder").weights.shape
    torch.Size([2, 2])
    """

    weights: Tensor
    of: Literal["decoder", "encoder"]


@dataclass(frozen=True)
class HiddenUnits:
    """Activations in [0, 1] of units that a penalty holds at a mean ρ.

    Args:
        activations: (B, units), the layers side by side.
        target: ρ.
        penalty: of one unit, from mean activations ρ̂, elementwise, in nats.
        weight: of the penalty in the objective.

    >>> import torch
    >>> units = HiddenUnits(torch.ones(3, 2), 0.1, lambda mean: (mean - 0.1).square(), 1.0)
    >>> units.penalty(units.activations.mean(0)).shape
    torch.Size([2])
    """

    activations: Tensor
    target: float
    penalty: Callable[[Tensor], Tensor]
    weight: float


@dataclass(frozen=True)
class Station:
    """Where a member of a flow, on the way from noise to data, has put some points.

    Args:
        name: of the member, or of where the way starts.
        points: (B, *shape) after it.
        ladj: of the member, log |det ∂after/∂before|, (B,).

    >>> import torch
    >>> Station("noise", torch.zeros(4, 2), torch.zeros(4)).points.shape
    torch.Size([4, 2])
    """

    name: str
    points: Tensor
    ladj: Tensor


@dataclass(frozen=True)
class Noised:
    """Where some draws are on their way from noise to data, as pictures show it.

    Args:
        t: the time, from 1, noise, to 0, data.
        state: x_t divided by √(α² + σ²), in data units (B, *shape). So reals vary at all times as
            much as x does; whole numbers are cut to their range, and before time 0 not rounded. At
            time 0 it is x itself.
        x: what x seems to be at that time, in data units; at time 0 x itself.

    >>> import torch
    >>> Noised(0.5, torch.zeros(4, 2), torch.zeros(4, 2)).t
    0.5
    """

    t: float
    state: Tensor
    x: Tensor


@dataclass(frozen=True)
class Spent:
    """Nats of minus a bound that some steps back in time take.

    Args:
        start, end: the times that they lead from and to.
        nats: of each row, (B,).

    >>> import torch
    >>> Spent(0.5, 0.25, torch.ones(3)).nats.mean().item()
    1.0
    """

    start: float
    end: float
    nats: Tensor


@dataclass(frozen=True)
class Judgment:
    """One number that a model gives every x, and that says how far it takes x for data.

    Args:
        name: ``"logit of the critic"`` or ``"energy"``.
        unit: of the number, ``""`` where it has none.
        of: (x, c) → the number (B,), of x in data units, deterministic.
        energy: whether p(x) is proportional to exp(−number), so that data are where it is low, and
            means something at every x; else data are where it is high.

    >>> import torch
    >>> Judgment("energy", "nats", lambda x, c: x.square().sum(1), energy=True).of(
    ...     torch.ones(3, 2), None
    ... )
    tensor([2., 2., 2.])
    """

    name: str
    unit: str
    of: Callable[[Tensor, Tensor | None], Tensor]
    energy: bool = False


Drawn = TypeVar("Drawn", covariant=True)


class FromNoise(Protocol[Drawn]):
    """How a model draws x by undoing noise, step by step, and what else it may tell of that."""

    @property
    def samplers(self) -> dict[str, int | None]:
        """By name the samplers that it may draw by, each with the most steps that it can take."""
        ...

    @property
    def guides(self) -> bool:
        """Whether draws can follow their condition more or less than they would."""
        ...

    @property
    def options(self) -> dict[str, tuple[str, ...]]:
        """By name all samplers there are, each with its options: steps, guidance and its own."""
        ...

    @property
    def usual(self) -> tuple[str, dict[str, Any]]:
        """The sampler that the model draws by, and its options."""
        ...

    def by(self, sampler: str, steps: int, guidance: float = 1.0, **options: Any) -> Drawn:
        """The same model by another sampler in so many steps; guidance 0 does not see c, 1 is
        p(x|c), more exaggerates it."""
        ...

    def path(
        self,
        n: int,
        shares: Sequence[float],
        c: Tensor | None = None,
        generator: Generator | None = None,
    ) -> list[Noised]:
        """What n draws are after such shares, from 0 to 1, of the steps that they take."""
        ...

    def noised(
        self, x: Tensor, times: Sequence[float], generator: Generator | None = None
    ) -> list[Tensor]:
        """x with noise, the same at all times, scaled and cut as the ``state`` of ``Noised``."""
        ...

    def spent(self, x: Tensor, c: Tensor | None, generator: Generator | None = None) -> list[Spent]:
        """Minus the bound of x by time, from noise to data, about halved by each; [] of none.

        The first part is the prior's, at time 1, the last one −log p(x | x_first).
        """
        ...

    def score(self, x: Tensor, t: float) -> Tensor | None:
        """∇ log p_t of real x scaled as ``state``, per data unit; None where x is made of codes."""
        ...

    def flow(self, steps: int) -> Drawn | None:
        """The density of a model in continuous time by an ODE in so many steps; None of others."""
        ...

    @property
    def restores(self) -> str:
        """A sentence on how ``restored`` draws; empty where it does not."""
        ...

    def restored(
        self, given: Degradation, y: Tensor, c: Tensor | None, generator: Generator | None = None
    ) -> Tensor:
        """x of which about y (B, *given.given) is left, by a model that was not trained for it."""
        ...


class SamplesNotFinite(RuntimeWarning):
    """Samples have entries that are infinite or NaN, and which part of the model made them."""


@runtime_checkable
class DrawnByChains(Protocol):
    """A model whose draws are the ends of Markov chains."""

    def chain_path(
        self, n: int, shares: Sequence[float], generator: Generator | None = None
    ) -> dict[int, Tensor]:
        """Where n chains stand in data units after such shares, from 0 to 1, of the sweeps of a
        draw, by the number of sweeps."""
        ...


@runtime_checkable
class FromPrior(Protocol):
    """A model whose draws of x begin with z ~ p(z)."""

    def prior(self, c: Tensor | None = None) -> Distribution:
        """p(z): a single row where it does not depend on c."""
        ...


@runtime_checkable
class LearnsClasses(Protocol):
    """A model that learns from labels, while its density is p(x), of x without one.

    Its ``loss`` takes the labels as c, and ``log_prob`` and ``sample`` need none; of a class that
    is given to them they are log p(x|y) and its draws.
    """

    def refuse_class(self, rows: int) -> None:
        """ValueError where so few training rows of a class cannot determine what is learned."""


@runtime_checkable
class Classifies(Protocol):
    """A model that says how probable each class of x is, without a density of x."""

    def log_class_probs(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """log p(y|x) of every class, (B, classes), in nats."""
        ...


@runtime_checkable
class Layered(Protocol):
    """A distribution over layers of z, coarsest first, whose finer ones can be drawn anew."""

    def resample(self, z: Tensor, kept: int, generator: Generator | None = None) -> Tensor:
        """Other draws that share with z its ``kept`` coarsest layers."""


@runtime_checkable
class Attends(Protocol):
    """A model that looks at x by attention among patches."""

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of the patches of x; frames stand one under another."""
        ...

    def attention(self, x: Tensor) -> Tensor:
        """How much each patch of x reads from each other in the last layer, (B, heads, N, N)."""
        ...


@runtime_checkable
class Assigns(Protocol):
    """A model that assigns x to prototypes, groups that it found itself."""

    def assigned(self, x: Tensor) -> Tensor:
        """How much each x belongs to each of K prototypes, (B, K); rows sum to 1."""
        ...
