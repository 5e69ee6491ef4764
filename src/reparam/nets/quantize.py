"""Quantizers: from vectors of an encoder to the nearest of K codes, and back."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor, nn

from reparam.limits import BelowOne, Count, limited
from reparam.nets.codebook import SUMS, BelowHalf, Codebook, Update, straight_through

Gradient = Literal["straight-through", "rotation"]
AtLeastTwo = Annotated[int, Meta(ge=2)]


class Quantized(NamedTuple):
    """Vectors as codes.

    Args:
        vectors: (B, D, *grid) of codes, bit for bit, with the gradient of what was quantized.
        indices: (B, depth, *grid), int64.
        terms: unweighted, by example (B,): ``codebook`` ‖sg[z] − e‖² and ``commitment``
            ‖z − sg[e]‖², summed over the grid and over D, where the quantizer has them.
        statistics: detached sums over vectors, for ``after_step``; none in evaluation.
    """

    vectors: Tensor
    indices: Tensor
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]


class Quantizer(nn.Module, ABC):
    """From vectors (B, D, *grid) to one of K codes for each of ``depth`` levels, and back.

    Nothing in ``forward`` moves a buffer. ``moves`` says whether codes move without gradients.
    """

    codes: int  # K
    width: int  # D
    depth: int = 1
    needs_start: bool = False  # whether ``start`` is to be given vectors

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized: ...

    @abstractmethod
    def lookup(self, indices: Tensor) -> Tensor:
        """The vectors (B, D, *grid) of indices (B, depth, *grid)."""

    @property
    def restarts(self) -> Tensor | None:
        """How many codes were moved so far; None where none ever is."""
        return None

    @property
    def use(self) -> Tensor:
        """Of each codebook that is learned its perplexity and its codes in use, (books, 2)."""
        return torch.empty(0, 2)

    def start(self, vectors: Tensor) -> None:  # noqa: B027
        """First codes from vectors (N, D) of training data."""

    def after_step(self, statistics: dict[str, Tensor]) -> None:  # noqa: B027
        """Move what has no gradient, by sums over all vectors of a step."""


class VectorQuantizer(Quantizer):
    """e_k of the nearest of K learned codes; of several levels, of what is left by those before.

    The vectors are e.detach() + (z − z.detach()), so that the decoder sees codes bit for bit and
    the gradient is the identity. With ``rotation`` it is that of the rotation and scaling that take
    z to e (Fifty et al. 2024, section 4.2).

    Args:
        codes: K.
        width: D, of the vectors and the codes.
        depth: levels; above 1 the vectors are sums of a code of each level (residual VQ).
        update: of the codes, by their gradient ``‖sg[z] − e‖²`` or by moving averages (``ema``) of
            the vectors they are nearest to.
        decay: γ of the averages.
        restart: codes used less than this share of the fair one are put beside those used most; 0:
            none is.
        gradient: to the encoder.
        cosine: whether vectors and codes have length 1, so that the nearest has the largest cosine;
            what a first level leaves has any length, and so have the codes of it.

    Shape: (B, D, *grid) → vectors (B, D, *grid), indices (B, depth, *grid).

    Reference: van den Oord et al. 2017, "Neural discrete representation learning", eq. 1 to 3 and
    appendix A.1; Lee et al. 2022, "Autoregressive image generation using residual quantization",
    eq. 3 to 6; Fifty et al. 2024, "Restructuring vector quantization with the rotation trick".
    https://arxiv.org/abs/1711.00937, https://arxiv.org/abs/2203.01941,
    https://arxiv.org/abs/2410.06424

    >>> quantizer = VectorQuantizer(codes=5, width=2)
    >>> found = quantizer(torch.zeros(3, 2, 4, 4))
    >>> found.indices.shape, torch.equal(found.vectors, quantizer.lookup(found.indices))
    (torch.Size([3, 1, 4, 4]), True)
    """

    needs_start = True

    @limited
    def __init__(
        self,
        codes: AtLeastTwo = 512,
        width: Count = 64,
        depth: Count = 1,
        *,
        update: Update = "ema",
        decay: BelowOne = 0.99,
        restart: BelowHalf = 0.05,
        gradient: Gradient = "straight-through",
        cosine: bool = False,
    ) -> None:
        super().__init__()
        self.codes, self.width, self.depth = codes, width, depth
        self.gradient, self.cosine = gradient, cosine
        self.books = nn.ModuleList(
            Codebook(codes, width, update, decay, restart, unit=cosine and level == 0)
            for level in range(depth)
        )

    @property
    def codebooks(self) -> list[Codebook]:
        """One of each level."""
        return [book for book in self.books if isinstance(book, Codebook)]

    def forward(self, z: Tensor) -> Quantized:
        rows, (flat, grid) = z.shape[0], _as_rows(z)
        whole = nn.functional.normalize(flat, dim=1) if self.cosine else flat
        rest, total = whole, torch.zeros_like(whole)
        indices: list[Tensor] = []
        terms: dict[str, Tensor] = {}
        statistics: dict[str, Tensor] = {}
        for level, book in enumerate(self.codebooks):
            found, vectors = book(rest)
            indices.append(found)
            for name, term in book.terms(rest, vectors).items():
                of_row = term.view(rows, -1).sum(1)
                terms[name] = terms[name] + of_row if name in terms else of_row
            sums = book.statistics(rest.detach(), found) if self.training else {}
            statistics |= {f"{name}_{level}": value for name, value in sums.items()}
            total = total + vectors.detach()
            rest = rest - vectors.detach()
        through = straight_through if self.gradient == "straight-through" else rotated
        vectors = _as_grid(through(total, whole), rows, grid)
        return Quantized(vectors, _stacked(indices, rows, grid), terms, statistics)

    def lookup(self, indices: Tensor) -> Tensor:
        rows, _, *grid = indices.shape
        each = [
            nn.functional.embedding(indices[:, level].reshape(-1), book.vectors)
            for level, book in enumerate(self.codebooks)
        ]
        return _as_grid(sum(each[1:], each[0]), rows, grid)  # in the order of ``forward``

    @property
    def restarts(self) -> Tensor | None:
        moved = [book.restarts for book in self.codebooks if book.restart]
        return torch.stack(moved).sum() if moved else None

    @property
    def use(self) -> Tensor:
        return torch.stack([book.use for book in self.codebooks])

    def start(self, vectors: Tensor) -> None:
        rest = nn.functional.normalize(vectors, dim=1) if self.cosine else vectors
        for book in self.codebooks:
            book.start(rest)
            rest = rest - book(rest)[1].detach()

    def after_step(self, statistics: dict[str, Tensor]) -> None:
        for level, book in enumerate(self.codebooks):
            book.after_step({name: statistics[f"{name}_{level}"] for name in SUMS})


class FiniteScalarQuantizer(Quantizer):
    """Every coordinate rounded to one of a few levels; the codes are the grid of all of them.

    The bound comes before the rounding: b = tanh(z + s) h − o with h = (L − 1)(1 + 10⁻³)/2, and
    for even L the offset o = ½ and s = atanh(o / h), so that z = 0 gives 0. Digits are
    ⌊L/2⌋ + round(b), indices numbers in mixed radix, the first coordinate counting least; there
    are no terms.
    (With 1 − 10⁻³, which is published, two levels would have no real s; of more than 501 levels the
    margin stays at ¼, as from ½ on there would be more than L.)

    Args:
        levels: L of each coordinate, from 2.

    Shape: (B, D, *grid), D = len(levels) → vectors (B, D, *grid), indices (B, 1, *grid).

    Reference: Mentzer et al. 2023, "Finite scalar quantization: VQ-VAE made simple", section 3.1.
    https://arxiv.org/abs/2309.15505

    >>> quantizer = FiniteScalarQuantizer((3, 2))
    >>> quantizer.codes, quantizer(torch.zeros(1, 2, 1)).indices.flatten().tolist()
    (6, [4])
    """

    @limited
    def __init__(self, levels: Sequence[AtLeastTwo] = (8, 5, 5, 5)) -> None:
        super().__init__()
        self.codes, self.width = math.prod(levels), len(levels)
        count = torch.tensor(levels)
        half = (count - 1).double() / 2
        half = half + (1e-3 * half).clamp(max=0.25)  # of a thousand levels it would be one more
        offset = (count % 2 == 0).double() / 2
        basis = torch.tensor([math.prod(levels[:i]) for i in range(len(levels))])
        numbers = {"radius": half, "offset": offset, "shift": torch.atanh(offset / half)}
        for name, value in (numbers | {"count": count, "basis": basis}).items():
            self.register_buffer(name, value, persistent=False)
        self.register_buffer("like", torch.empty(0), persistent=False)  # of the model's dtype
        self.radius: Tensor
        self.offset: Tensor
        self.shift: Tensor
        self.count: Tensor
        self.basis: Tensor
        self.like: Tensor

    def forward(self, z: Tensor) -> Quantized:
        rows, (flat, grid) = z.shape[0], _as_rows(z)
        bounded = torch.tanh(flat + self.shift.to(flat)) * self.radius.to(flat) - self.offset.to(
            flat
        )
        middle = self.count // 2
        digits = bounded.detach().round().long() + middle
        vectors = straight_through(self._vectors(digits, flat), bounded / middle)
        indices = (digits * self.basis).sum(1)
        return Quantized(_as_grid(vectors, rows, grid), _stacked([indices], rows, grid), {}, {})

    def lookup(self, indices: Tensor) -> Tensor:
        rows, _, *grid = indices.shape
        digits = indices.reshape(-1, 1) // self.basis % self.count
        return _as_grid(self._vectors(digits, self.like), rows, grid)

    def _vectors(self, digits: Tensor, like: Tensor) -> Tensor:
        """Whole numbers about 0 as parts of the largest, in [−1, 1]."""
        middle = self.count // 2
        return (digits - middle).to(like.dtype) / middle


def rotated(e: Tensor, z: Tensor) -> Tensor:
    """e (N, D), with the gradient of the rotation and scaling that take z to it, held fixed."""
    with torch.no_grad():
        length, wanted = (v.norm(dim=1, keepdim=True).clamp(min=1e-6) for v in (z, e))
        a, b = z / length, e / wanted
        middle = nn.functional.normalize(a + b, dim=1)
    turned = z - 2 * middle * (z * middle).sum(1, keepdim=True)
    turned = turned + 2 * b * (z * a).sum(1, keepdim=True)
    return straight_through(e, turned * (wanted / length))


def _as_rows(z: Tensor) -> tuple[Tensor, list[int]]:
    """(B, D, *grid) as (N, D), float32 or wider, and the grid."""
    wide = z if z.dtype in (torch.float32, torch.float64) else z.float()
    return wide.movedim(1, -1).flatten(0, -2), list(z.shape[2:])


def _as_grid(flat: Tensor, rows: int, grid: Sequence[int]) -> Tensor:
    return flat.view(rows, *grid, flat.shape[1]).movedim(-1, 1)


def _stacked(indices: Sequence[Tensor], rows: int, grid: Sequence[int]) -> Tensor:
    return torch.stack([found.view(rows, *grid) for found in indices], 1)
