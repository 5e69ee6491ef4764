"""The three ways a model codes x, by what it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from reparam.chain_rule import ChainRule
from reparam.coding.leaves import LEAST, MOST_BINS
from reparam.coding.stack import Drawn, Stack
from reparam.distributions.index_codes import PointMass
from reparam.model import Density, Distribution, LatentVariable, Model, Space
from reparam.space import trusted
from reparam.wording import name_of


class Cost(NamedTuple):
    """Of each row in bits: what is pushed of x and of z, and what came back, with its expectation.

    ``data`` is −log₂ p(x|z), ``latent`` −log₂ P(z), ``back`` −log₂ Q(z) of what was popped, which
    lies around ``expected``, the entropy of Q, if what is popped is as good as random. ``scale`` is
    the smallest scale of a normal entry of q.
    """

    data: Tensor
    latent: Tensor
    back: Tensor
    expected: Tensor
    scale: Tensor


class Way(ABC):
    """How the first rows of a batch of x (B, *shape) are pushed onto a stack, and popped."""

    name: str
    pays_back: bool = False  # whether bits come back, so that the stack has to hold some

    @abstractmethod
    def push(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Cost: ...

    @abstractmethod
    def pop(self, stack: Stack, c: Tensor | None, size: int, rows: int, back: bool) -> Tensor: ...


class Direct(Way):
    """x entry by entry under p(x_i | x before i): −log₂ p(x) bits."""

    name = "direct"

    def __init__(self, model: ChainRule) -> None:
        self.model = model

    def push(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Cost:
        data = stack.push(self.model.distribution(len(x), c), x, rows)
        none = torch.zeros_like(data)
        return Cost(data, none, none, none, none + torch.inf)

    def pop(self, stack: Stack, c: Tensor | None, size: int, rows: int, back: bool) -> Tensor:
        return stack.pop(self.model.distribution(size, c), rows)


class Latent(Way):
    """x under p(x|z), then z under p(z), as every decoder of two parts reads them."""

    def __init__(self, model: LatentVariable) -> None:
        self.model = model

    def push(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Cost:
        z, *taken = self._choose(stack, x, c, rows, back)
        z = z.view(len(x), *self.model.code_space.shape)
        data = stack.push(self.model.likelihood(z, c), x, rows)
        return Cost(data, stack.push(self._prior(c, len(x)), z, rows), *taken)

    def pop(self, stack: Stack, c: Tensor | None, size: int, rows: int, back: bool) -> Tensor:
        z = stack.pop(self._prior(c, size), rows).view(size, *self.model.code_space.shape)
        x = stack.pop(self.model.likelihood(z, c), rows).view(size, *self.model.space.shape)
        if back:
            stack.give_back(self.model.posterior(x, c), z, rows)
        return x

    @abstractmethod
    def _choose(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Drawn:
        """z of x, and what it takes off the stack."""

    def _prior(self, c: Tensor | None, size: int) -> Distribution:
        prior = self.model.prior(c)
        return prior.repeat(size // prior.rows)


class BitsBack(Latent):
    """z is a draw of q(z|x) that is popped: −log₂ p(x|z) − log₂ p(z) + log₂ q(z|x) bits.

    In expectation that is −ELBO. What is popped is the code of the rows before; the first rows have
    none before them and are coded with z in the middle of q.
    """

    name, pays_back = "bits back", True

    def _choose(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Drawn:
        q = self.model.posterior(x, c)
        return stack.draw(q, rows) if back else stack.middle(q, rows)


class TwoParts(Latent):
    """z is the one code of x: −log₂ p(x|z) − log₂ p(z) bits."""

    name = "two parts"

    def _choose(self, stack: Stack, x: Tensor, c: Tensor | None, rows: int, back: bool) -> Drawn:
        none = torch.zeros(rows, dtype=torch.float64)
        return Drawn(self.model.posterior(x, c).center, none, none, none + torch.inf)


def way_of(model: Model) -> Way:
    """How the model codes x, as far as can be told before it does.

    Raises:
        ValueError: it codes nothing; says why.
    """
    name = name_of(model)
    if not isinstance(model, Density):
        raise ValueError(f"{name}: has no likelihood, which would say how long a code is to be")
    if model.space.has_reals:
        mixed = model.space.columns is not None
        what, remedy = (
            ("some columns are", "leave these out, or round them to whole numbers")
            if mixed
            else ("its data are", "give --levels")
        )
        raise ValueError(f"{name}: {what} real, and a density has no code length; {remedy}")
    if (most := most_levels(model.space)) > MOST_BINS:
        raise ValueError(
            f"{name}: its data have up to {most:,} levels, and the probabilities of the coder, of "
            f"{LEAST} bits, leave room for {MOST_BINS:,}; take fewer"
        )
    if isinstance(model, ChainRule):
        return Direct(model)
    if not isinstance(model, LatentVariable):
        raise ValueError(
            f"{name}: its log p(x) is no product of conditionals, and no bound by a posterior from "
            "which bits could come back"
        )
    with torch.no_grad(), trusted():
        point = isinstance(model.posterior(*example(model)), PointMass)
    return (TwoParts if point else BitsBack)(model)


def most_levels(space: Space) -> int:
    """K of the entry that has most; of real ones 1.

    >>> most_levels(Space((4,), "binary"))
    2
    """
    return max(c.count or 1 for c in space.columns) if space.columns else space.level_count or 1


def example(model: Model) -> tuple[Tensor, Tensor | None]:
    """A row of the least values, with a condition as in training."""
    x = model.anchor.new_zeros(1, *model.space.shape)
    for entry, column in enumerate(model.space.columns or ()):
        x[:, entry] = column.low
    c = model.told(x, model.draw_condition(1, torch.Generator().manual_seed(0)))
    return model.prepare(x, c)
