"""x cut into patches, one after the other, and put together again."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

FEWEST, MOST = 16, 64  # patches where nobody says how large they are


class Patches(nn.Module):
    """x as a sequence of patches, each a vector of its entries; sides are padded by zeros.

    An image (C, H, W) is cut into blocks of t × h × w. With t = C they go through all channels;
    else channels are taken for frames, and the sequence has all patches of the first frames first.
    A vector (D,) is cut into groups of entries that stand side by side.

    Args:
        shape: of x.
        patch: (t, h, w), for vectors (1, 1, entries).

    Shape: x (B, *shape) → patches (B, N, P), with N the product of ``grid`` and P = t · h · w.

    Raises:
        ValueError: a patch is larger than x.

    >>> import torch
    >>> patches = Patches((1, 5, 4), (1, 2, 2))
    >>> patches.grid, patches(torch.zeros(7, 1, 5, 4)).shape
    ((1, 3, 2), torch.Size([7, 6, 4]))
    """

    def __init__(self, shape: Sequence[int], patch: Sequence[int]) -> None:
        super().__init__()
        self.shape, self.patch = tuple(shape), tuple(patch)
        self.sides = self.shape if len(self.shape) == 3 else (1, 1, *self.shape)
        if len(self.patch) != 3 or any(
            not 1 <= p <= s for p, s in zip(patch, self.sides, strict=True)
        ):
            raise ValueError(
                f"patch: expected sides of 1 to those of x, {_text(self.sides)}, got "
                f"{_text(self.patch)}"
            )
        self.grid = tuple(
            -(-side // part) for side, part in zip(self.sides, self.patch, strict=True)
        )
        self.count, self.entries = math.prod(self.grid), math.prod(self.patch)

    def forward(self, x: Tensor) -> Tensor:
        (t, h, w), (frames, rows, columns) = self.patch, self.grid
        depth, height, width = self.sides
        x = x.reshape(-1, *self.sides)
        x = F.pad(x, (0, columns * w - width, 0, rows * h - height, 0, frames * t - depth))
        x = x.view(-1, frames, t, rows, h, columns, w)
        return x.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, self.count, self.entries)

    def inverse(self, patches: Tensor) -> Tensor:
        """x of its patches, without what was padded."""
        depth, height, width = self.sides
        x = patches.reshape(-1, *self.grid, *self.patch).permute(0, 1, 4, 2, 5, 3, 6)
        x = x.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        return x[:, :depth, :height, :width].reshape(-1, *self.shape)


def taken(tokens: Tensor, index: Tensor) -> Tensor:
    """Some tokens of each row: (B, N, W) at (B, V) is (B, V, W).

    >>> import torch
    >>> taken(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[2, 0]])).flatten().tolist()
    [3.0, 1.0]
    """
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))


def put(tokens: Tensor, index: Tensor, others: Tensor, count: int) -> Tensor:
    """Where each row's tokens (B, V, W) came from (B, V); at the others of N places ``others``.

    >>> import torch
    >>> put(torch.tensor([[[3.0], [1.0]]]), torch.tensor([[2, 0]]), torch.zeros(1), 3).flatten()
    tensor([1., 0., 3.])
    """
    rows, _, width = tokens.shape
    index = index[..., None].expand(-1, -1, width)
    return others.expand(rows, count, width).scatter(1, index, tokens)


def parse_patch(text: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """A patch as a person writes it: ``4`` or ``4x4`` of images, ``2x4x4`` of frames, ``auto``.

    ``auto`` is the side that gives 16 to 64 patches with the least padding and then a number
    nearest to the middle of these; of smaller x single entries.

    Raises:
        ValueError: no such text.

    >>> parse_patch("auto", (1, 28, 28)), parse_patch("4x2", (3, 8, 8)), parse_patch("3", (9,))
    ((1, 4, 4), (3, 4, 2), (1, 1, 3))
    """
    words = text.lower().replace("×", "x").split("x")
    vector = len(shape) == 1
    if text != "auto" and not (all(map(str.isdecimal, words)) and len(words) <= 3 - 2 * vector):
        expected = "entries, as 4" if vector else "sides, as 4, 4x4 or (frames first) 2x4x4"
        raise ValueError(f"patch: expected auto or {expected}, got {text!r}")
    if vector:
        return 1, 1, _usual_side((1, *shape)) if text == "auto" else int(text)
    if text == "auto":
        side = _usual_side(shape[1:])
        return shape[0], min(side, shape[1]), min(side, shape[2])
    sides = [int(word) for word in words]
    sides = sides * 2 if len(sides) == 1 else sides
    t, h, w = sides if len(sides) == 3 else (shape[0], *sides)
    return t, h, w


def _usual_side(sides: Sequence[int]) -> int:
    """The side of patches of a grid; of vectors, whose first side is 1, how many entries.

    >>> [_usual_side(sides) for sides in ((28, 28), (8, 8), (5, 3), (1, 1000), (64, 64))]
    [4, 2, 1, 25, 16]
    """
    # Of all that make as many patches along each side the smallest pads least.
    smallest = {-(-side // count) for side in sides for count in range(1, MOST + 1)}
    counts = {p: math.prod(-(-side // p) for side in sides) for p in smallest}
    padded = {p: math.prod(-(-side // p) * p for side in sides) for p in counts}
    middle = math.sqrt(FEWEST * MOST)
    if sides[0] == 1:  # its patches are as long as they are
        padded = {p: count * p for p, count in counts.items()}
    usual = [p for p, count in counts.items() if FEWEST <= count <= MOST] or [1]
    return min(usual, key=lambda p: (padded[p], abs(math.log(counts[p] / middle)), -p))


def _text(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))
