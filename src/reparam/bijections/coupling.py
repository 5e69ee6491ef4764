"""Coupling: some entries stay and tell how the others move."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from reparam.bijections.base import Bijection, Costs, Shape
from reparam.bijections.transforms import Transform


class Coupling(Bijection):
    """Entries that stay, x_A, give the parameters of a transform of the others, z_B = g(x_B; x_A).

    Both directions cost one pass of the network. Its Jacobian is triangular, entries that stay
    first, so that ladj is a sum over the entries that move.

    Args:
        transform: g, entry by entry.
        network: from what stays (B, *kept), of ``coupled_shapes(split)``, and the context (B, F) to
            P numbers for each entry that may move, (B, P · …). Its ``context_features`` is F.
        split: (*shape), True for entries that stay.

    Raises:
        ValueError: a split without entries of both kinds.

    Shape: (B, *shape), context (B, F) → (B, *shape), ladj (B,).

    Reference: Dinh et al. 2014 (NICE), section 3.2; Dinh et al. 2017 (RealNVP), eq. 4 to 9.
    https://arxiv.org/abs/1410.8516, https://arxiv.org/abs/1605.08803

    >>> from reparam.bijections.transforms import Affine
    >>> from reparam.nets.coupling import CouplingMLP
    >>> z, ladj = Coupling(Affine(), CouplingMLP(1, 2 * 2), halves(3))(torch.ones(1, 3))
    >>> z.tolist(), ladj.item()
    ([[1.0, 1.0, 1.0]], 0.0)
    """

    costs = Costs("a sum over what moves", "a pass of its network", "a pass of its network")

    def __init__(self, transform: Transform, network: nn.Module, split: Tensor) -> None:
        super().__init__()
        if split.numel() == 1:
            raise ValueError("split: expected two entries or more, got one; use spline-1d")
        if split.all() or not split.any():
            raise ValueError("split: expected entries that stay and entries that move")
        self.transform, self.network = transform, network
        self.takes = tuple(split.shape)
        self.context_features = int(getattr(network, "context_features", 0))
        self.along_first = _along_first(split)
        self.register_buffer("split", split.clone(), persistent=False)
        self.register_buffer("moved", (~split).flatten().nonzero().squeeze(1), persistent=False)
        self.register_buffer("kept", _of_rows(split).nonzero().squeeze(1), persistent=False)
        self.split: Tensor
        self.moved: Tensor
        self.kept: Tensor

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        part, ladj = self.transform.forward(self._moving(x), self._given(x, context))
        return self._with(x, part), ladj.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        part, ladj = self.transform.inverse(self._moving(z), self._given(z, context))
        return self._with(z, part), ladj.sum(1)

    def _moving(self, x: Tensor) -> Tensor:
        """The entries that move, (B, M)."""
        return x.flatten(1).index_select(1, self.moved)

    def _with(self, x: Tensor, part: Tensor) -> Tensor:
        return x.flatten(1).index_copy(1, self.moved, part).view_as(x)

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Parameters of the entries that move, (B, P, M)."""
        seen = x.index_select(1, self.kept) if self.along_first else x * self.split
        # Whatever the network computes in: a Jacobian summed in bfloat16 is off by up to a nat.
        p = self.network(seen, context).to(x).reshape(x.shape[0], self.transform.parameters, -1)
        return p if self.along_first else p.index_select(2, self.moved)


def coupled_shapes(split: Tensor) -> tuple[Shape, Shape]:
    """The shape of what a network of ``Coupling`` sees, and of what it gives P numbers for.

    Entries of vectors and whole channels are taken out; of other splits of images the network sees
    the image, 0 in place of what moves, and gives numbers for all of it.

    >>> coupled_shapes(halves(5)), coupled_shapes(channels((3, 4, 4)))
    (((2,), (3,)), ((1, 4, 4), (2, 4, 4)))
    >>> coupled_shapes(checkerboard((3, 4, 4)))
    ((3, 4, 4), (3, 4, 4))
    """
    shape = tuple(split.shape)
    if not _along_first(split):
        return shape, shape
    kept = int(_of_rows(split).sum())
    return (kept, *shape[1:]), (shape[0] - kept, *shape[1:])


def _of_rows(split: Tensor) -> Tensor:
    """A split by its first dimension, where it is one."""
    return split.flatten(1)[:, 0] if split.ndim > 1 else split


def _along_first(split: Tensor) -> bool:
    rows = _of_rows(split).view(-1, *[1] * (split.ndim - 1))
    return bool((split == rows).all())


def halves(dimension: int, swapped: bool = False) -> Tensor:
    """The split of a vector whose first half, or last half, stays.

    >>> halves(3), halves(3, swapped=True)
    (tensor([ True, False, False]), tensor([False,  True,  True]))
    """
    return (torch.arange(dimension) < dimension // 2) != swapped


def alternating(dimension: int, odd: bool = False) -> Tensor:
    """The split of a vector whose even, or odd, entries stay.

    >>> alternating(3), alternating(3, odd=True)
    (tensor([ True, False,  True]), tensor([False,  True, False]))
    """
    return (torch.arange(dimension) % 2 == 0) != odd


def checkerboard(shape: Shape, odd: bool = False) -> Tensor:
    """The split of an image whose dark, or light, pixels stay, with all their channels.

    >>> checkerboard((1, 2, 2))
    tensor([[[ True, False],
             [False,  True]]])
    """
    _, height, width = shape
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return (((rows + columns) % 2 == 0) != odd).expand(shape).clone()


def channels(shape: Shape, swapped: bool = False) -> Tensor:
    """The split of an image whose first half, or last half, of channels stays.

    >>> channels((2, 1, 1)).flatten()
    tensor([ True, False])
    """
    first = halves(shape[0], swapped).view(-1, *[1] * (len(shape) - 1))
    return first.expand(shape).clone()
