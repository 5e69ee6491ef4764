"""Networks of diffusion models: from a noisy state and its time to what is predicted."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reparam.limits import Count, limited
from reparam.model import Space
from reparam.nets.condition import Condition
from reparam.nets.unet import UNet

FREQUENCIES, LOWEST_PERIOD = 32, 1e-3  # of times from 0 to 1
WIDE_FROM, WIDTH = 64, 32  # sides from which a U-Net is twice as wide


class Moment(nn.Module):
    """Time and condition as one vector: sines and cosines of t through two layers, plus c.

    A condition that is dropped adds nothing.

    Args:
        width: of the vector.
        condition: the space of c; None: there is none.

    Shape: t (B,), c (B,) or (B, F), kept (B,) of 0 and 1 → (B, width).

    >>> Moment(8)(torch.tensor([0.0, 1.0])).shape
    torch.Size([2, 8])
    """

    def __init__(self, width: int, condition: Space | None = None) -> None:
        super().__init__()
        periods = torch.logspace(0, math.log10(LOWEST_PERIOD), FREQUENCIES)
        self.register_buffer("rates", 0.5 * math.pi / periods, persistent=False)
        self.rates: Tensor
        first, last = nn.Linear(2 * FREQUENCIES, width), nn.Linear(width, width)
        self.layers = nn.Sequential(first, nn.SiLU(), last)
        self.condition = None if condition is None else Condition(condition, width)

    def forward(self, t: Tensor, c: Tensor | None = None, kept: Tensor | None = None) -> Tensor:
        angles = t.to(self.rates)[:, None] * self.rates
        h = self.layers(torch.cat([angles.sin(), angles.cos()], 1))
        if self.condition is None or c is None:
            return h
        added = self.condition(c)
        return h + (added if kept is None else added * kept.to(added)[:, None])


class _Block(nn.Module):
    """h + W₂ SiLU(W₁ LN(h) · (1 + scale) + shift), scale and shift of the moment."""

    def __init__(self, width: int, inner: int, moment: int) -> None:
        super().__init__()
        self.norm, self.first = nn.LayerNorm(width), nn.Linear(width, inner)
        self.moment, self.last = nn.Linear(moment, 2 * inner), nn.Linear(inner, width)

    def forward(self, h: Tensor, moment: Tensor) -> Tensor:
        scale, shift = self.moment(moment).chunk(2, 1)
        return h + self.last(nn.functional.silu(self.first(self.norm(h)) * (1 + scale) + shift))


class ResidualMLP(nn.Module):
    """Residual blocks over flattened rows; the last layer starts at 0.

    Args:
        shape: of one row.
        width: of what runs through.
        inner: hidden units of a block.
        blocks: how many.
        condition: the space of c; None: there is none.

    Shape: y (B, *shape), t (B,), c, kept (B,) → (B, *shape).

    >>> ResidualMLP((3,), 8, 16, 2)(torch.zeros(5, 3), torch.zeros(5)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        shape: Sequence[int],
        width: int,
        inner: int,
        blocks: int,
        condition: Space | None = None,
    ) -> None:
        super().__init__()
        entries = math.prod(shape)
        given = None if condition is None or condition.given is None else condition
        self.moment = Moment(width, condition if given is None else None)
        self.first = nn.Linear(entries, width)
        self.beside = None if given is None else Condition(given, width)
        self.blocks = nn.ModuleList(_Block(width, inner, width) for _ in range(blocks))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, entries)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.products = sum(p.numel() for p in self.parameters())

    def forward(
        self, y: Tensor, t: Tensor, c: Tensor | None = None, kept: Tensor | None = None
    ) -> Tensor:
        moment = nn.functional.silu(self.moment(t, None if self.beside else c, kept))
        h = self.first(y.flatten(1))
        if self.beside is not None and c is not None:
            added = self.beside(c)
            h = h + (added if kept is None else added * kept.to(added)[:, None])
        for block in self.blocks:
            h = block(h, moment)
        return self.last(nn.functional.silu(self.norm(h))).view_as(y)


@limited
def denoiser(
    shape: Sequence[int],
    network: str = "auto",
    width: Count | None = None,
    hidden: tuple[Count, ...] = (256, 512),
    blocks: Count = 3,
    condition: Space | None = None,
) -> nn.Module:
    """The network of a diffusion model of such x: from y, t, c and which c are kept, to y's shape.

    Args:
        shape: of x.
        network: ``"auto"``, ``"mlp"`` or ``"unet"``; auto is a U-Net for images.
        width: channels of a U-Net on its finest grid; None: 32, and 64 from sides of 64 on.
        hidden: what runs through the MLP, and the inner width of its blocks.
        blocks: of the MLP.
        condition: the space of c, an image where it has ``given``; None: there is none.

    Raises:
        ValueError: a U-Net of vectors, or other than two hidden widths.

    >>> type(denoiser((1, 8, 8))).__name__, type(denoiser((5,))).__name__
    ('UNet', 'ResidualMLP')
    """
    image = len(shape) == 3
    network = ("unet" if image else "mlp") if network == "auto" else network
    if network == "mlp":
        if len(hidden) != 2:
            raise ValueError(f"hidden: expected two widths, of blocks and inside, got {hidden}")
        return ResidualMLP(shape, *hidden, blocks, condition)
    if not image:
        raise ValueError(f"network: unet needs images (C, H, W), got shape {tuple(shape)}")
    width = width or (2 * WIDTH if min(shape[1:]) >= WIDE_FROM else WIDTH)
    given = None if condition is None else condition.given
    return UNet(shape, width, Moment(4 * width, None if given else condition), given)
