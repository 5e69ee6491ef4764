"""Networks over the pixels of an image, and how their pixels are walked through when drawing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from torch import Tensor

from reparam.nets.autoregressive import AutoregressiveNetwork, Draw
from reparam.nets.causal_conv import Line, wavefronts

MANY = 100  # examples from which pixels are drawn row by row, one by one, not by wavefronts


class Walk(ABC):
    """What a network keeps while it draws: cached activations, the next parameters from them."""

    def begin_row(self, row: int) -> None:  # noqa: B027
        """Row by row only: what all pixels of a row need of the rows above."""

    @abstractmethod
    def step(self, line: Line, channel: int) -> Tensor:
        """The parameters of a channel along a line, (B, n, P), all before it being known."""

    @abstractmethod
    def put(self, line: Line, channel: int, x: Tensor) -> None:
        """Keep the values that were drawn there, (B, n), or (B, C, n) of whole pixels."""


class PixelNetwork(AutoregressiveNetwork):
    """A network of images (C, H, W) in raster order, a pixel's channels one by one or together.

    ``slope`` is the s for which all pixels of equal column + s · row may be drawn together; None
    where there is none. A few examples are drawn along such wavefronts, many row by row.
    """

    slope: int | None = None

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"shape: expected images (C, H, W), got {tuple(shape)}")
        self.channels, self.height, self.width = self.shape = tuple(shape)

    @abstractmethod
    def start(self, rows: int, context: Tensor | None, by_rows: bool) -> Walk:
        """A walk of ``rows`` examples that has drawn nothing yet."""

    def generate(
        self, rows: int, draw: Draw, context: Tensor | None = None, member: int = 0
    ) -> None:
        by_rows = not self._has_wavefronts() or rows >= MANY
        walk = self.start(rows, context, by_rows)
        for line in self._rows() if by_rows else self._wavefronts():
            if by_rows and line.column == 0:
                walk.begin_row(line.row)
            for channel in range(1 if self.whole_pixels else self.channels):
                parameters = walk.step(line, channel).transpose(1, 2)
                plane = channel * self.height * self.width
                walk.put(line, channel, draw(parameters, line.sites(self.width, plane)))

    def _has_wavefronts(self) -> bool:
        """Steeper ones than the image is wide hold one pixel each."""
        return self.slope is not None and self.slope < self.width

    def _rows(self) -> Iterator[Line]:
        return (Line(i, j) for i in range(self.height) for j in range(self.width))

    def _wavefronts(self) -> list[Line]:
        assert self.slope is not None
        return wavefronts(self.height, self.width, self.slope)
