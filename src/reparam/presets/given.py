"""The option of presets whose networks are given what is left of x: its degradation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from reparam.degradation import MASKS, Degradation, degradation, mask_name
from reparam.limits import Limited
from reparam.model import Space
from reparam.models.conditional import context_space

WHITE = 127.5  # of 255: what is brighter is given


@dataclass(frozen=True)
class GivenOptions(Limited):
    """What is given of x.

    Args:
        given: what is left of x and given: downscale:FACTOR, subsample:FACTOR, gray,
            mask:FILE|square|half|random or blur:WIDTH, of which the model draws x; none: nothing.
    """

    given: str | None = None

    def degradation(self, space: Space) -> Degradation | None:
        """The degradation of such x; None where nothing is given."""
        return None if self.given is None else degraded(self.given, space)

    def seen(self, space: Space, conditional: bool) -> Space | None:
        """The space of the condition that networks see; None where there is none."""
        found = self.degradation(space)
        if found is not None:
            return context_space(space, found)
        return space if conditional else None


def degraded(given: str, space: Space) -> Degradation:
    """The degradation of that name, of x of a space; masks of files are read.

    Raises:
        ValueError: mixed columns, or what ``degradation`` refuses.
    """
    if space.columns:
        raise ValueError("given: expected images or vectors of one kind, got columns of several")
    return degradation(spelled(given), space.shape)


def spelled(given: str) -> str:
    """The same with what the file of a mask says in place of its name: no file is needed then.

    >>> spelled("downscale:2"), spelled("mask:half")
    ('downscale:2', 'mask:half')
    """
    kind, _, value = given.partition(":")
    if kind != "mask" or value in ("", *MASKS) or not Path(value).exists():
        return given
    white, notes = white_pixels(Path(value))
    for note in notes:
        warnings.warn(f"given: {value}: {note}", stacklevel=2)
    return mask_name(white)


def white_pixels(
    path: Path, size: Sequence[int] | None = None, remedy: str = ""
) -> tuple[torch.Tensor, list[str]]:
    """Which pixels (H, W) of an image are nearer to white than to black, and what to know of it.

    Args:
        path: the image.
        size: that it has to have; None: any.
        remedy: what to do where none is white.

    Raises:
        ValueError: no image, one of another size, or one of which nothing is white or it cannot
            be told.
    """
    from reparam.data.contents import ReadOptions  # here: few presets are built with a picture
    from reparam.data.images.image_folders import read_image

    contents = read_image(path, ReadOptions(background="black"))
    pixels = torch.from_numpy(contents.splits["train"].x)[0].float().mean(0)
    if size is not None and pixels.shape != tuple(size):
        expected, got = ("x".join(map(str, sides)) for sides in (size, pixels.shape))
        raise ValueError(f"mask: expected an image of {expected} (height x width), got {got}")
    white = pixels > WHITE
    lowest = contents.found.get("range", (0,))[0]
    if lowest and not pixels.any():  # of more than 8 bits, its smallest value is read as black
        raise ValueError(
            f"mask: every value is {lowest:.10g}, which may be black or white in an image of more "
            "than 8 bits; save it with 8"
        )
    if not white.any():
        raise ValueError(
            f"mask: nothing of it is white: its brightest is {pixels.max():.3g}, where white is 255"
            f"{remedy}"
        )
    notes = [note for note in contents.notes if "--range" not in note]  # no option of masks
    if ((pixels > 0) & (pixels < 255)).any():
        notes.append(f"It has grays: what is brighter than {WHITE:g} of 255 is given.")
    return white, notes
