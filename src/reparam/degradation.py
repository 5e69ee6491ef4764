"""Degradations y = A x: what is left of an image that is made smaller, gray, blurred or masked."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from reparam import numerics
from reparam.buffers import Float64Buffers

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, as Pillow and television make gray
LEAST_WIDTH = 0.01  # of a blur in pixels: less has no other pixel in float64
WEAKEST = 1e-3  # of the largest singular value of a blur: weaker ones are taken for 0
FORMS = "downscale:FACTOR, subsample:FACTOR, gray, mask:FILE|square|half|random, blur:WIDTH"
MASKS = ("square", "half", "random")
SEED = 0  # of the mask that is drawn


class Degradation(Float64Buffers):
    """y = A x, linear; x and y are in data units, and y is not rounded.

    Args:
        name: as ``degradation`` reads it.
        shape: of x.
        given: of y.
        known: (*shape), the entries of x that y says outright.

    Shape: x (B, *shape), y (B, *given).
    """

    def __init__(
        self, name: str, shape: Sequence[int], given: Sequence[int], known: Tensor
    ) -> None:
        super().__init__()
        self.name, self.shape, self.given = name, tuple(shape), tuple(given)
        self.register_buffer("known", known.bool(), persistent=False)
        self.known: Tensor
        self.knows = bool(known.any())

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀ y, so that ⟨A x, y⟩ = ⟨x, Aᵀ y⟩."""

    @abstractmethod
    def pseudo_inverse(self, y: Tensor) -> Tensor:
        """A⁺ y, the smallest x for which A x is nearest to y."""

    def consistent(self, x: Tensor, y: Tensor) -> Tensor:
        """x + A⁺(y − A x): the nearest to x of which y is left; entries that y says are its own."""
        x = _floating(x)
        nearest = x + self.pseudo_inverse(_floating(y) - self(x))
        return self.keep(nearest, y)

    def keep(self, x: Tensor, y: Tensor) -> Tensor:
        """x with the entries that y says outright, bit for bit."""
        return torch.where(self.known, self.pseudo_inverse(y).to(x), x) if self.knows else x

    def extra_repr(self) -> str:
        return f"{self.name}: {self.shape} -> {self.given}"


class _Axis(NamedTuple):
    """What is done along one axis: its matrix, that one's pseudo-inverse, and what stays."""

    matrix: Tensor  # (side of y, side of x)
    back: Tensor  # (side of x, side of y)
    known: Tensor  # (side of x,)


class Along(Degradation):
    """One matrix for each axis, A = A₁ ⊗ A₂ ⊗ …, whose pseudo-inverse is A₁⁺ ⊗ A₂⁺ ⊗ …

    Args:
        name: as ``degradation`` reads it.
        shape: of x.
        axes: by the number of an axis of one x; the others stay as they are.

    >>> small = degradation("downscale:2", (1, 3, 4))
    >>> x = torch.arange(12.0).view(1, 1, 3, 4)
    >>> small(x).tolist()  # of the last row two pixels are left for a mean
    [[[[2.5, 4.5], [8.5, 10.5]]]]
    """

    def __init__(self, name: str, shape: Sequence[int], axes: dict[int, _Axis]) -> None:
        given, known = list(shape), torch.ones(tuple(shape), dtype=torch.bool)
        for at, axis in axes.items():
            given[at] = len(axis.matrix)
            known &= axis.known.view(-1, *[1] * (len(shape) - 1 - at))
        super().__init__(name, shape, given, known)
        self.axes = tuple(axes)
        for at, axis in axes.items():
            self.register_buffer(f"matrix_{at}", axis.matrix)
            self.register_buffer(f"back_{at}", axis.back)

    def forward(self, x: Tensor) -> Tensor:
        return self._times(x, "matrix", transposed=False)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._times(y, "matrix", transposed=True)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return self._times(y, "back", transposed=False)

    def _times(self, x: Tensor, name: str, transposed: bool) -> Tensor:
        x = _floating(x)
        with numerics.without_autocast(x):  # rounded, entries that y says would be others
            for at in self.axes:
                matrix = self.get_buffer(f"{name}_{at}").to(x)
                matrix = matrix.T if transposed else matrix
                x = torch.tensordot(x, matrix, ([at + 1], [1])).movedim(-1, at + 1)
        return x


class Masked(Degradation):
    """y = m ⊙ x, with 0 in place of what is hidden.

    >>> half = degradation("mask:half", (1, 4, 2))
    >>> half(torch.ones(1, 1, 4, 2)).flatten().tolist()
    [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, name: str, known: Tensor) -> None:
        super().__init__(name, known.shape, known.shape, known)

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(self.known, _floating(x), 0.0)

    def adjoint(self, y: Tensor) -> Tensor:
        return self(y)

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return self(y)


def degradation(name: str, shape: Sequence[int]) -> Degradation:
    """The degradation of that name, of x of a shape.

    Args:
        name: ``downscale:FACTOR``, means of blocks of so many pixels a side, smaller ones at odd
            ends; ``subsample:FACTOR``, every FACTOR-th pixel from the first on; ``gray``, the
            luma of red, green and blue, of other channels their mean; ``mask:square`` (the middle
            is hidden, half as wide and high), ``mask:half`` (the lower half, or the last entries),
            ``mask:random`` (a half of the pixels, always the same) or a mask as ``mask_name``
            writes it; ``blur:WIDTH``, a Gaussian of that standard deviation in pixels, without
            what it weakens to less than a thousandth.
        shape: (C, H, W), or (D,) for all but gray.

    Raises:
        ValueError: another name, a factor that leaves no pixel, gray of one channel, a mask of
            another size.

    >>> degradation("gray", (3, 8, 8)).given
    (1, 8, 8)
    >>> degradation("downscale:9", (1, 8, 8))
    Traceback (most recent call last):
    ValueError: given: downscale:9 leaves no pixel of sides 8 x 8; take a factor of at most 8
    """
    kind, _, value = name.partition(":")
    shape, sides = tuple(shape), range(1 if len(shape) == 3 else 0, len(shape))
    if kind in ("downscale", "subsample"):
        factor = _factor(name, value, [shape[at] for at in sides])
        along = _means if kind == "downscale" else _every
        axes = {} if factor == 1 else {at: along(shape[at], factor) for at in sides}
        return Along(name, shape, axes)
    if kind == "blur":
        width = _width(name, value)
        return Along(name, shape, {at: _blurred(shape[at], width) for at in sides})
    if name == "gray":
        return Along(name, shape, {0: _gray(shape)})
    if kind == "mask":
        return Masked(name, _mask(name, value, shape))
    raise ValueError(f"given: expected {FORMS}, got {name!r}")


def as_seen(given: Degradation, y: Tensor, hidden: float) -> Tensor:
    """y as x's shape: its pixels enlarged, hidden ones of one value, one channel as all.

    >>> as_seen(degradation("subsample:3", (4,)), torch.tensor([[1.0, 2.0]]), 0.0)
    tensor([[1., 1., 1., 2.]])
    """
    kind, _, factor = given.name.partition(":")
    if kind == "mask":
        return torch.where(given.known.to(y.device), y, hidden)
    if kind in ("downscale", "subsample"):  # to squares of pixels, whichever of them it was
        return degradation(f"downscale:{factor}", given.shape).pseudo_inverse(y)
    return y.expand(-1, *given.shape)


def mask_name(white: Tensor) -> str:
    """A mask (H, W) of what is given as a name that says it: sides, and its bits compressed.

    >>> mask_name(torch.eye(4, dtype=torch.bool))[:9]
    'mask:4x4:'
    """
    bits = np.packbits(white.cpu().numpy())
    packed = base64.urlsafe_b64encode(zlib.compress(bits.tobytes(), 9)).decode()
    return f"mask:{'x'.join(map(str, white.shape))}:{packed}"


def brief_name(name: str) -> str:
    """The name, of a mask that a file says with eight digits in place of its bits.

    >>> brief_name(mask_name(torch.eye(4, dtype=torch.bool))), brief_name("downscale:2")
    ('mask:4x4:313391d5', 'downscale:2')
    """
    kind, *parts = name.split(":")
    if kind != "mask" or len(parts) < 2:
        return name
    return f"mask:{parts[0]}:{zlib.crc32(parts[1].encode()):08x}"


def _mask(name: str, value: str, shape: tuple[int, ...]) -> Tensor:
    known = torch.ones(shape[-2:] if len(shape) == 3 else shape, dtype=torch.bool)
    if value == "square":
        middle = tuple(slice(n // 4, n // 4 + max(1, n // 2)) for n in known.shape)
        known[middle] = False
    elif value == "half":
        known[(len(known) + 1) // 2 :] = False
    elif value == "random":
        order = torch.randperm(known.numel(), generator=torch.Generator().manual_seed(SEED))
        known.view(-1)[order[: known.numel() // 2]] = False
    else:
        known = _unpacked(name, value, tuple(known.shape))
    return known.expand(shape).clone()


def _unpacked(name: str, value: str, sides: tuple[int, ...]) -> Tensor:
    size, _, packed = value.partition(":")
    wanted = "x".join(map(str, sides))
    if not packed:
        raise ValueError(
            f"given: expected mask:{'|'.join(MASKS)} or a file that is there, got {name!r}"
        )
    if size != wanted:
        raise ValueError(f"given: expected a mask of {wanted} (height x width), got {size}")
    try:
        compressed = base64.urlsafe_b64decode(packed)
        whole = zlib.decompressobj().decompress(compressed, math.prod(sides))  # and no bomb
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"given: the mask {name[:40]}… is damaged ({error})") from None
    if len(whole) != -(-math.prod(sides) // 8):
        raise ValueError(f"given: the mask {name[:40]}… is damaged")
    bits = np.unpackbits(np.frombuffer(whole, np.uint8), count=math.prod(sides))
    return torch.from_numpy(bits.astype(bool)).view(sides)


def _factor(name: str, value: str, sides: Sequence[int]) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"given: expected a whole factor of at least 1, got {name!r}")
    if int(value) > min(sides):
        shown, most = " x ".join(map(str, sides)), min(sides)
        raise ValueError(
            f"given: {name} leaves no pixel of sides {shown}; take a factor of at most {most}"
        )
    return int(value)


def _width(name: str, value: str) -> float:
    try:
        width = float(value)
    except ValueError:
        width = math.nan
    if not LEAST_WIDTH < width < math.inf:
        raise ValueError(f"given: expected blur:WIDTH of pixels above {LEAST_WIDTH}, got {name!r}")
    return width


def _means(side: int, factor: int) -> _Axis:
    block = torch.arange(side) // factor
    within = torch.nn.functional.one_hot(block).double()  # (side, blocks)
    sizes = within.sum(0)
    return _Axis((within / sizes).T.contiguous(), within, sizes[block] == 1)


def _every(side: int, factor: int) -> _Axis:
    matrix = torch.eye(side, dtype=torch.float64)[::factor].contiguous()
    return _Axis(matrix, matrix.T.contiguous(), torch.arange(side) % factor == 0)


def _gray(shape: tuple[int, ...]) -> _Axis:
    if len(shape) != 3 or shape[0] == 1:
        what = "one channel, which is gray" if len(shape) == 3 else "vectors"
        raise ValueError(f"given: gray needs images of several channels, got {what}")
    channels = shape[0]
    weights = LUMA if channels == 3 else [1 / channels] * channels
    row = torch.tensor([list(weights)], dtype=torch.float64)
    return _Axis(row, row.T / row.square().sum(), torch.zeros(channels, dtype=torch.bool))


def _blurred(side: int, width: float) -> _Axis:
    """Rows of a Gaussian that sum to 1, without what is weakened most: that is lost for good."""
    apart = torch.arange(side, dtype=torch.float64)[:, None] - torch.arange(side)
    kernel = torch.exp(-apart.square() / (2 * width**2))
    u, s, v = torch.linalg.svd(kernel / kernel.sum(1, keepdim=True))
    kept = s > WEAKEST * s[0]
    u, s, v = u[:, kept], s[kept], v[kept]
    return _Axis(u * s @ v, (v.T / s) @ u.T, torch.zeros(side, dtype=torch.bool))


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())
