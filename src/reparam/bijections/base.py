"""What a bijection is: data → noise with its log-determinant, and back; inverses and chains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

Shape = tuple[int, ...]
Context = Literal["split", "shared"]


class Costs(NamedTuple):
    """What a bijection costs, in words: ``python -m reparam.bijections`` renews a table of them."""

    ladj: str
    forward: str
    inverse: str


OF_ENTRIES = Costs("a sum over entries", "entry by entry", "entry by entry")
OF_MOVES = Costs("0", "moves entries", "moves entries")
OF_PART = Costs("that of its part", "that of its part", "that of its part")
OF_MEMBERS = Costs("the sum of its members", "its members in turn", "its members in turn")


class Bijection(nn.Module, ABC):
    """An invertible map of rows, data → noise; ``ladj`` is log|det J| of the direction taken, (B,).

    A density is evaluated by ``forward`` and sampled by ``inverse``. Posteriors are sampled while
    they are trained: theirs are bijections whose ``inverse`` is the fast way, by nature or turned
    round by ``Inverse``.
    """

    context_features: int = 0  # F: numbers (B, F) that it takes for every row
    takes: Shape | None = None  # the shape of a row of x; None: any, and z has the same
    costs: ClassVar[Costs]
    entrywise: bool = False  # whether each entry is mapped alone, so that there are ``factors``
    learns: bool = False  # whether numbers of it are set by the first training rows

    @property
    def title(self) -> str:
        """What it is called in pictures."""
        return type(self).__name__

    @property
    def gives(self) -> Shape | None:
        """The shape of a row of z; None: that of x, whatever it is."""
        return self.takes

    def members(self, context: Tensor | None = None) -> Iterator[tuple[Bijection, Tensor | None]]:
        """What it is a chain of, from data to noise, each with its part of the context."""
        yield self, context

    def learn(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """z of training rows, after what they set is set: member by member in a ``Chain``."""
        return self(x, context)[0]

    @abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]: ...

    def first_context(self) -> Tensor:
        """Where a row of context (F,) that is learned starts: at the identity, if it can."""
        return torch.zeros(self.context_features)

    @property
    def slope(self) -> Tensor | None:
        """a where x = a·z + b entry by entry, to be broadcast over (B, *shape); None elsewhere."""
        return None

    @property
    def varies(self) -> Tensor | None:
        """Mask (*shape) of the entries that are no constants of x; None: all of them."""
        return None

    def factors(self, log_prob: Tensor, x: Tensor) -> Tensor | None:
        """ln p(x_i | …) of every entry from that of z_i, both (B, *shape); None elsewhere.

        It is there where each entry is mapped alone: ln p(x_i) = ln p(z_i) + ln |dz_i/dx_i|.
        """
        return None


class Inverse(Bijection):
    """A bijection turned round: its forward is the other's inverse.

    >>> from reparam.bijections.shape import Reverse
    >>> Inverse(Reverse())(torch.tensor([[1.0, 2.0]]))[0]
    tensor([[2., 1.]])
    """

    costs = Costs("that of its part, negated", "its part's noise → data", "its part's data → noise")

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        if bijection.learns:
            raise ValueError("Inverse: expected a bijection that sets nothing by the data")
        self.bijection = bijection
        self.context_features = bijection.context_features
        self.takes = bijection.gives

    @property
    def title(self) -> str:
        return self.bijection.title

    @property
    def gives(self) -> Shape | None:
        return self.bijection.takes

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.bijection(z, context)


class Chain(Bijection):
    """Bijections one after the other, first to last from data to noise; ladj is their sum.

    Args:
        bijections: each takes the shape that the one before gives.
        context: ``"split"``: cut into consecutive parts, one for each bijection; ``"shared"``: the
            same for all of them.

    Raises:
        ValueError: shapes, or contexts that are shared, which do not fit.

    >>> from reparam.bijections.shape import Reverse
    >>> Chain(Reverse(), Reverse())(torch.tensor([[1.0, 2.0]]))
    (tensor([[1., 2.]]), tensor([0.]))
    """

    costs = OF_MEMBERS

    def __init__(self, *bijections: Bijection, context: Context = "split") -> None:
        super().__init__()
        self.bijections, self.shared = nn.ModuleList(bijections), context == "shared"
        self.takes, self._gives = _ends(bijections)
        self.learns = any(b.learns for b in bijections)
        features = [b.context_features for b in bijections if b.context_features]
        if self.shared and len(set(features)) > 1:
            raise ValueError(f"Chain: a shared context cannot have {features} numbers at once")
        self.context_features = max(features, default=0) if self.shared else sum(features)

    @property
    def gives(self) -> Shape | None:
        return self._gives

    def members(self, context: Tensor | None = None) -> Iterator[tuple[Bijection, Tensor | None]]:
        for bijection, part in self._parts(context):
            yield from bijection.members(part)

    def learn(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        for bijection, part in self._parts(context):
            x = bijection.learn(x, part)
        return x

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[0])
        for bijection, part in self._parts(context):
            x, ladj = bijection(x, part)
            total = total + ladj
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[0])
        for bijection, part in reversed(self._parts(context)):
            z, ladj = bijection.inverse(z, part)
            total = total + ladj
        return z, total

    def _parts(self, context: Tensor | None) -> list[tuple[Bijection, Tensor | None]]:
        parts: list[tuple[Bijection, Tensor | None]] = []
        start = 0
        for bijection in self.bijections:
            assert isinstance(bijection, Bijection)
            stop = start + bijection.context_features
            part = None if context is None or stop == start else context[:, start:stop]
            stop = start if self.shared else stop
            parts.append((bijection, part))
            start = stop
        return parts


def _ends(bijections: Sequence[Bijection]) -> tuple[Shape | None, Shape | None]:
    """What a chain takes and gives."""
    first: Shape | None = None
    now: Shape | None = None
    before = ""
    for bijection in bijections:
        name = type(bijection).__name__
        if bijection.takes is None:
            before = before or name
            continue
        if now is not None and bijection.takes != now:
            raise ValueError(
                f"Chain: {name} takes rows of {bijection.takes}, and {before} before it gives {now}"
            )
        first = bijection.takes if first is None else first
        now, before = bijection.gives, name
    return first, now


class Frozen(Bijection):
    """A bijection whose parameters get no gradient, while what passes through it does."""

    costs = OF_PART

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.parts = (bijection, Inverse(bijection))  # in a tuple, so that they are no children
        self.context_features, self.takes = bijection.context_features, bijection.takes

    @property
    def gives(self) -> Shape | None:
        return self.parts[0].gives

    @property
    def varies(self) -> Tensor | None:
        return self.parts[0].varies

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(self.parts[0], x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(self.parts[1], z, context)

    def _call(self, part: Bijection, x: Tensor, c: Tensor | None) -> tuple[Tensor, Tensor]:
        fixed = {name: p.detach() for name, p in part.named_parameters()}
        return torch.func.functional_call(part, fixed, (x, c))
