"""Dequantization: noise that makes levels x to real numbers y in [x, x + 1), with its density.

It is no bijection: log P(x) = log ∫ p(y) dy over the box of x ≥ E_q [log p(y) − log q(y|x)].
"""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.bijections.base import Bijection
from reparam.model import Space


class Dequantization(nn.Module, ABC):
    """What draws y in [x, x + 1) and brings it back; entries that are real stay as they are.

    Whole numbers count from 0 on, so that float32 has digits for what is drawn.

    Args:
        space: of binary data, of levels, or of a table of these and real columns.

    Raises:
        ValueError: real data, or a column of names, which have no order.

    Shape: x and y (B, *shape), log q (B,).
    """

    context_features: int = 0  # F: numbers (B, F) that it takes for every row

    def __init__(self, space: Space) -> None:
        super().__init__()
        _refuse_names(space)
        top = torch.full(space.shape, (space.level_count or 1) - 1)
        for index, column in enumerate(space.columns or ()):
            top[index] = (column.count or 1) - 1
        self.register_buffer("discrete", ~space.reals, persistent=False)
        self.register_buffer("top", top, persistent=False)
        self.discrete: Tensor
        self.top: Tensor
        if not self.discrete.any():
            raise ValueError("dequantize: expected levels or binary data, got real ones")

    def draw(
        self, x: Tensor, context: Tensor | None = None, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """y with log q(y|x), differentiable in what is learned."""
        u, log_q = self.noise(x, context, generator)
        # x + u can round to x + 1, which is in the next box, or in none.
        return self._moved(x, torch.minimum(x + u, torch.nextafter(x + 1, x))), log_q

    @abstractmethod
    def noise(
        self, x: Tensor, context: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """u in [0, 1], (B, *shape), with log q(u|x)."""

    def middle(self, x: Tensor) -> Tensor:
        """y = x + ½, without noise."""
        return self._moved(x, x + 0.5)

    def quantize(self, y: Tensor) -> Tensor:
        """The x in whose box y is; the next one where y is in none, y itself where infinite."""
        x = torch.clamp(y.floor(), torch.zeros_like(y), self.top.to(y))
        return self._moved(y, torch.where(y.isinf(), y, x))

    def _moved(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.where(self.discrete, y, x)


class Uniform(Dequantization):
    """u uniform on [0, 1): log q = 0, the density of a model is then that of a histogram's boxes.

    Reference: Theis et al. 2016, section 3.1.
    https://arxiv.org/abs/1511.01844

    >>> _ = torch.manual_seed(0)
    >>> box = Uniform(Space((2,), "levels", levels=4))
    >>> y, log_q = box.draw(torch.tensor([[0.0, 3.0]]))
    >>> box.quantize(y).tolist(), log_q.tolist(), box.quantize(torch.tensor([[-1.0, 9.0]])).tolist()
    ([[0.0, 3.0]], [0.0], [[0.0, 3.0]])
    """

    def noise(
        self, x: Tensor, context: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        return numerics.noise(x, "uniform", generator), x.new_zeros(x.shape[0])


class Variational(Dequantization):
    """u = σ(v), v from logistic noise by a flow that sees x: log q(u|x) is learned.

    A flow that is the identity makes u uniform. Of normal noise q would vanish at the edges of a
    box faster than any p, and importance weights p/q have no variance.

    The flow is a bijection of rows with x and v side by side, (2C, H, W) or (2D,), x first and
    scaled to [−1, 1]. It leaves x as it is: couplings do whose split keeps these entries
    (``beside``), and what they compute for v then depends on x.

    Args:
        space: of binary data or of levels, not of tables.
        flow: takes and gives rows of twice as many channels or columns as x has.

    Reference: Ho et al. 2019 (Flow++), section 3.1.
    https://arxiv.org/abs/1902.00275

    >>> from reparam.bijections.base import Chain
    >>> boxes = Variational(Space((2,), "levels", levels=4), Chain())  # v is the noise itself
    >>> y, log_q = boxes.draw(torch.tensor([[0.0, 3.0]]))
    >>> bool((y.floor() == torch.tensor([[0.0, 3.0]])).all()), log_q.shape
    (True, torch.Size([1]))
    """

    def __init__(self, space: Space, flow: Bijection) -> None:
        super().__init__(space)
        if space.columns:
            raise ValueError("dequantize: expected uniform for columns of kinds, got variational")
        both = (2 * space.shape[0], *space.shape[1:])
        if flow.takes not in (None, both) or flow.gives not in (None, both):
            raise ValueError(f"flow: expected rows of {both}, got {flow.takes} to {flow.gives}")
        self.flow, self.context_features = flow, flow.context_features

    def noise(
        self, x: Tensor, context: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        uniform = numerics.noise(x, "uniform", generator)
        tiny = torch.finfo(x.dtype).eps
        noise = torch.logit(uniform.clamp(tiny, 1 - tiny))
        seen = 2 * x / self.top - 1
        own = context if self.context_features else None
        both, ladj = self.flow.inverse(torch.cat([seen, noise], 1), own)
        v = both[:, x.shape[1] :]
        squash = F.logsigmoid(v) + F.logsigmoid(-v)
        log_q = F.logsigmoid(noise) + F.logsigmoid(-noise) - squash
        return torch.sigmoid(v), log_q.flatten(1).sum(1) - ladj


def beside(kept: Tensor) -> Tensor:
    """The split of a coupling of x and v side by side, from that of v: all of x is kept.

    >>> beside(torch.tensor([True, False])).tolist()
    [True, True, True, False]
    """
    return torch.cat([torch.ones_like(kept), kept])


def _refuse_names(space: Space) -> None:
    names = [column.name for column in space.columns or () if column.kind == "category"]
    if names:
        dropped = " ".join(f"--drop {shlex.quote(name)}" for name in names)
        raise ValueError(
            f"{names[0]}: expected numbers, got names, which have no order; make flags of them "
            f"(one_hot=True, --one-hot) or leave them out (drop=…, {dropped})"
        )
