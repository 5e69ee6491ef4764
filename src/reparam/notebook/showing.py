"""``show``: examples as a notebook shows them, images as one picture, rows as a small table."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from markupsafe import Markup
from torch import Tensor

from reparam.atomic import check_place, write_atomically
from reparam.data import Data
from reparam.data.tables.column_text import as_written
from reparam.limits import positive_count
from reparam.model import Model
from reparam.notebook.elements import element, piece, table
from reparam.report.pictures import LARGEST_TILE, TILE, Brightness, Picture, grid
from reparam.space import Space, as_tensor
from reparam.wording import counted

ACROSS = 10  # images side by side, where nobody says
MOST_IMAGES = 1000  # in one picture
MOST_ROWS, MOST_COLUMNS = 20, 12  # of a table; a file has all
DIGITS = 5  # of a number in a table; a file has those that read back the same


@dataclass(frozen=True, repr=False)
class Rows:
    """Rows of a table as they are written, with the names of its columns.

    >>> Rows(("age", "city"), (("31", "Rome"),))
    1 row of age, city
      31  Rome
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]

    def __repr__(self) -> str:
        few = ["  ".join(map(_short, row)) for row in self.cells[:MOST_ROWS]]
        title = f"{counted(len(self.cells), 'row')} of {', '.join(self.columns)}"
        return "\n  ".join([title, *few])

    def _repr_html_(self) -> str:
        return piece(self.table())

    def table(self) -> Markup:
        """The first rows and columns as HTML, and how many more there are."""
        shown = [[_short(cell) for cell in row[:MOST_COLUMNS]] for row in self.cells[:MOST_ROWS]]
        numeric = {
            i for i, cells in enumerate(zip(*shown, strict=True)) if any(map(_number, cells))
        }
        more = [
            counted(count, what)
            for count, what in (
                (len(self.cells) - MOST_ROWS, "more row"),
                (len(self.columns) - MOST_COLUMNS, "more column"),
            )
            if count > 0
        ]
        below = element("p", element("small", "and " + ", ".join(more))) if more else ""
        return element("div", table(self.columns[:MOST_COLUMNS], shown, numeric), below)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it as ``.csv``."""
        _write(path, ".csv", self._write_csv)

    def _write_csv(self, name: str) -> None:
        with open(name, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([self.columns, *self.cells])


class ShownPicture(Picture):
    """A picture that notebooks show and that can be kept."""

    def __repr__(self) -> str:
        return f"Picture of {self.width} × {self.height} pixels: {self.alt}"

    def _repr_png_(self) -> bytes:
        return self.data

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as ``.png``."""
        _write(path, ".png", lambda name: Path(name).write_bytes(self.data))


def show(
    x: object, like: Data | Model | Space | None = None, columns: int | None = None
) -> ShownPicture | Rows:
    """Examples as a notebook shows them: images as one picture, rows as a small table.

    Args:
        x: one example, several (B, *shape), or several rows of several, (R, B, *shape), as ``edit``
            and ``traverse`` return; a tensor on any device, or an array.
        like: the data or the model that they are of, which say what is black and what is white, the
            channels that are shown, and how cells are written. Real images get the range of the
            training data; like a model, or where nothing is said, that of x itself.
        columns: images side by side; None: those of a row of x, or ten.

    Returns:
        What a notebook shows, with ``save(path)``: ``.png`` of images, ``.csv`` of rows.

    Raises:
        ValueError: x is empty or of another shape, or there are too many images.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> rp.show(data.test.x[:12], data)
    Picture of 696 × 136 pixels: 12 images, 0 is black and 16 white
    >>> rp.show([[0.5, 2.0]])
    1 row of x0, x1
      0.5  2.0
    """
    rows, space, across = _placed(as_tensor(x), _space_of(like))
    if columns is not None:
        positive_count("columns", columns)
        across = columns
    if space is not None and not space.is_image or rows.ndim == 2:
        return table_of(rows, like if isinstance(like, Data) else space)
    return picture_of(rows, _brightness(rows, like), across or min(ACROSS, len(rows)))


def picture_of(
    x: Tensor, brightness: Brightness, columns: int, sides: tuple[int, int] = (TILE, LARGEST_TILE)
) -> ShownPicture:
    """Images (N, C, H, W) in data units; ``sides`` are the smallest and the largest, in pixels."""
    if len(x) > MOST_IMAGES:
        raise ValueError(
            f"x: expected at most {MOST_IMAGES} images, got {len(x)}; give some of them"
        )
    black_and_white = f"{brightness.low:.4g} is black and {brightness.high:.4g} white"
    alt = f"{counted(len(x), 'image')}, {black_and_white}"
    drawn = grid(x, brightness, min(columns, len(x)), alt, tile=sides)
    return ShownPicture(**vars(drawn))


def table_of(x: Tensor, like: Data | Space | None) -> Rows:
    """Rows (N, D) as a table has them, with the names of their columns where these are known."""
    space = like.space if isinstance(like, Data) else like
    names = like.columns if isinstance(like, Data) else None
    if space is not None and space.columns:
        names = tuple(column.name for column in space.columns)
    real = space or Space((x.shape[1],), "real")
    cells = as_written(x.numpy(), real)
    return Rows(names or tuple(f"x{i}" for i in range(x.shape[1])), tuple(map(tuple, cells)))


def _space_of(like: object) -> Space | None:
    if like is None or isinstance(like, Space):
        return like
    if isinstance(like, Data | Model):
        return like.space
    raise ValueError(
        f"like: expected data or a model, got {type(like).__name__}; give what load_data or build "
        "returned"
    )


def _placed(x: Tensor, space: Space | None) -> tuple[Tensor, Space | None, int | None]:
    """x as (N, *shape) on the CPU, and how many of it are in a row of several."""
    x = x.detach().cpu().to_dense()
    x = x.float() if x.dtype in (torch.bool, torch.bfloat16, torch.float16) else x
    if x.numel() == 0:
        raise ValueError(f"x: expected at least one example, got none: {tuple(x.shape)}")
    shape = _shape_of(x) if space is None else space.shape
    extra = x.ndim - len(shape)
    if extra not in (0, 1, 2) or tuple(x.shape[extra:]) != tuple(shape):
        named = ", ".join(map(str, shape))
        raise ValueError(
            f"x: expected (B, {named}), or one example, ({named}), got {tuple(x.shape)}; of codes "
            "give model.decode(code)"
        )
    return x.reshape(-1, *shape), space, int(x.shape[1]) if extra == 2 else None


def _shape_of(x: Tensor) -> Sequence[int]:
    """Of one example, where nobody says: images have channels, vectors have one axis."""
    if x.ndim == 3 and x.shape[0] not in (1, 3):
        raise ValueError(
            f"x: expected images (B, C, H, W), got {tuple(x.shape)}, which may be "
            f"{x.shape[0]} gray images or channels; give x[:, None] or x[None], or say like=data"
        )
    if x.ndim not in (1, 2, 3, 4):
        raise ValueError(f"x: expected 1 to 4 axes, got {tuple(x.shape)}; say like=data")
    return x.shape[-3:] if x.ndim >= 3 else x.shape[-1:]


def _brightness(x: Tensor, like: Data | Model | Space | None) -> Brightness:
    if isinstance(like, Data):
        return Brightness.of(like)
    space = _space_of(like)
    if space is not None and space.level_count is not None:
        return Brightness(0.0, float(space.level_count - 1))
    there = x[x.isfinite()].double()
    low, high = (float(end) for end in there.aminmax()) if len(there) else (0.0, 1.0)
    return Brightness(low, high if high > low else low + 1)


def _short(cell: str) -> str:
    return f"{float(cell):.{DIGITS}g}" if _number(cell) and len(cell) > DIGITS else cell


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _write(path: str | os.PathLike[str], suffix: str, write: Callable[[str], object]) -> None:
    place = Path(path)
    if place.suffix.lower() != suffix:
        raise ValueError(f"path: expected a name ending in {suffix}, got {str(path)!r}")
    check_place(place)
    write_atomically(place, write)
