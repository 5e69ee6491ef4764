"""A folder with an image file for each example, with its source's name and size."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from reparam.atomic import write_atomically
from reparam.data.contents import file_and_frame
from reparam.data.images.image_pixels import UnreadableImage, read_headers
from reparam.data.images.image_reading import Reading
from reparam.report.pictures import Brightness
from reparam.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.data import DataRecord, Split

Box = tuple[int, int, int, int]  # left, upper, right, lower, in pixels


class Place(NamedTuple):
    """Where an image goes: its path below the folder, and the file whose size it is to have."""

    name: str
    source: Path | None = None


def places(split: Split) -> list[Place]:
    """Of examples: the name of the file each was read from, with its folders; else its number."""
    if split.files is None:
        return numbered(len(split))
    names = map(name_of, split.files.names)
    return [Place(name, path) for name, path in zip(names, split.files.paths, strict=True)]


def name_of(name: str) -> str:
    """The name of an image's picture, with the number of its frame.

    >>> name_of("a/b.tif"), name_of("a/b.tif[3]")
    ('a/b.png', 'a/b-3.png')
    """
    file, frame = file_and_frame(name)
    path = Path(file).with_suffix(".png")
    return str(path.with_stem(f"{path.stem}-{frame}") if frame else path)


def place_below(name: str, origin: object) -> Place:
    """Of an example whose name stands in a file, which may be anybody's.

    Args:
        name: a path below a folder, as ``Files`` has it.
        origin: what it was read from.

    Raises:
        ValueError: a path that leads out of the folder, or is none.

    >>> place_below("../a.png", "codes.csv")
    Traceback (most recent call last):
    ValueError: codes.csv: expected paths below a folder, got '../a.png'
    """
    for path in (Path(name), Path(file_and_frame(name)[0])):
        if not path.name or path.anchor or ".." in path.parts or "\0" in name:
            raise ValueError(f"{origin}: expected paths below a folder, got {name!r}")
    return Place(name_of(name))


def apart(found: Sequence[Place]) -> list[Place]:
    """Places of which no two are one file, even where case does not count, and none is a folder.

    >>> [place.name for place in apart([Place("a.png"), Place("A.png"), Place("a.png")])]
    ['a.png', 'A-2.png', 'a-3.png']
    """
    taken = {str(parent).casefold() for place in found for parent in Path(place.name).parents}
    numbers: dict[str, Iterator[int]] = defaultdict(lambda: count(2))
    kept = []
    for place in found:
        path = free = Path(place.name)
        while str(free).casefold() in taken:
            free = path.with_stem(f"{path.stem}-{next(numbers[place.name.casefold()])}")
        taken.add(str(free).casefold())
        kept.append(place._replace(name=str(free)))
    return kept


def place_of(split: Split, number: str) -> Place:
    """Of one example: as above, or the number it was asked for by."""
    return Place(f"{number}.png") if split.files is None else places(split)[0]


def numbered(n: int) -> list[Place]:
    """Of what has no source: 00.png, 01.png, …

    >>> [place.name for place in numbered(2)]
    ['0.png', '1.png']
    """
    return [Place(f"{i:0{len(str(n - 1))}d}.png") for i in range(n)]


def several(place: Place, n: int) -> list[Place]:
    """Of n images made of one.

    >>> [place.name for place in several(Place("a/b.png"), 2)]
    ['a/b-0.png', 'a/b-1.png']
    """
    path, numbers = Path(place.name), [number.name[:-4] for number in numbered(n)]
    return [place._replace(name=str(path.with_stem(f"{path.stem}-{i}"))) for i in numbers]


def refuse_sources(path: Path, sources: Iterable[Path]) -> None:
    """Refuse to write over what is read, or below folders of images as more of them."""
    whole = path.resolve()
    for source in sources:
        if source.is_file() and source.resolve() == whole:
            raise ValueError(f"{path}: is read as data; choose another name")
        if source.is_dir() and source.resolve() in (whole, *whole.parents):
            raise ValueError(_read_as_data(path, source))


def _read_as_data(path: Path, folder: Path) -> str:
    return f"{path}: would write in {folder}, whose images are read as data; choose another folder"


def refuse_places(folder: Path, found: Sequence[Place], force: bool) -> None:
    """Refuse names that several images would have, folders of sources and files that exist."""
    counts = Counter(place.name for place in found)
    name, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    if count > 1:
        sources = ", ".join(p.source.name for p in found if p.name == name and p.source)
        raise ValueError(
            f"{folder}: {count} images would be called {name}"
            f"{f' ({sources})' if sources else ''}; rename one of the sources, or write .npz"
        )
    read = {place.source.parent.resolve() for place in found if place.source}
    for parent in {(folder / place.name).parent.resolve() for place in found} & read:
        raise ValueError(_read_as_data(folder, parent))
    _refuse_others(folder, found)
    there = [place.name for place in found if (folder / place.name).exists()]
    if there and not force:
        more = f" and {counted(len(there) - 1, 'other')}" if len(there) > 1 else ""
        raise ValueError(
            f"{folder}: {there[0]}{more} exist already; choose another folder or --force"
        )


def _refuse_others(folder: Path, found: Sequence[Place]) -> None:
    """Refuse to mix what is numbered with what was numbered before, as 00.png beside 0.png."""
    paths = (folder / place.name for place in found if place.source is None)
    new = {path for path in paths if path.stem.isdecimal()}
    for parent in {path.parent for path in new}:
        there = {path for path in parent.glob("*.png") if path.stem.isdecimal()}
        if left := sorted(there - new):
            more = f" with {counted(len(left) - 1, 'other')}" if len(left) > 1 else ""
            raise ValueError(
                f"{parent}: {left[0].name} would stay among the new images{more}; choose another "
                "folder, or empty this one"
            )


def write_folder(folder: Path, x: Tensor, found: Sequence[Place], record: DataRecord) -> list[str]:
    """Images (N, C, H, W) as 8-bit PNG files, and notes on what was decided.

    What was resized when it was loaded gets back the size of its source: without the bars that
    were added, or with black where the model saw nothing of what was cropped.
    """
    fit = (record.source or {}).get("fit_size", "crop")
    lost = cropped = 0
    rows = Brightness(record.low, record.high, record.bands).bytes(x.cpu())
    for pixels, place in zip(rows, found, strict=True):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        size = _source_size(place)
        lost += place.source is not None and size is None
        cropped += fit == "crop" and size is not None and _cropped(image, size)
        _write(folder / place.name, image if size is None else restored(image, size, fit))
    notes = []
    if lost:
        notes.append(f"{lost} have the size that the model gives, for their sources are gone.")
    if cropped:
        notes.append(f"{cropped} are black at the edges, which were cropped before the model.")
    return notes


def _source_size(place: Place) -> tuple[int, int] | None:
    """Width and height of the source, where there is one that can be read."""
    if place.source is None:
        return None
    found = read_headers(place.source, Reading())
    return None if isinstance(found, UnreadableImage) else found[0].size[::-1]


def _cropped(image: Image.Image, size: tuple[int, int]) -> bool:
    return crop_box(size, image.size) != (0, 0, *size)


def restored(image: Image.Image, size: tuple[int, int], fit: str) -> Image.Image:
    """An image in the (width, height) of its source, as ``decode`` brought that to this one's.

    >>> restored(Image.new("L", (4, 4), 255), (8, 4), "pad").size
    (8, 4)
    >>> list(restored(Image.new("L", (2, 2), 255), (8, 4), "crop").tobytes()[:8])
    [0, 0, 255, 255, 255, 255, 0, 0]
    """
    if image.size == size:
        return image
    if fit == "pad":
        return image.crop(crop_box(image.size, size)).resize(size, Image.Resampling.LANCZOS)
    left, upper, right, lower = box = crop_box(size, image.size)
    whole = Image.new(image.mode, size)
    inner = image.resize((right - left, lower - upper), Image.Resampling.LANCZOS)
    whole.paste(inner, box)
    return whole


def crop_box(size: tuple[int, int], proportions: tuple[int, int]) -> Box:
    """The middle part of an image that has the proportions of another: (width, height) each.

    >>> crop_box((8, 4), (1, 1)), crop_box((3, 9), (3, 3))
    ((2, 0, 6, 4), (0, 3, 3, 6))
    """
    scale = min(size[0] / proportions[0], size[1] / proportions[1])
    width, height = (max(1, round(scale * side)) for side in proportions)
    left, upper = round((size[0] - width) / 2), round((size[1] - height) / 2)
    return left, upper, left + width, upper + height


def _write(path: Path, image: Image.Image) -> None:
    file = io.BytesIO()
    image.save(file, "PNG")
    write_atomically(path, lambda name: Path(name).write_bytes(file.getvalue()))
