"""Examples that are coded: what reading them would change is refused, by the name of the file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reparam.cli.examples import examples_of
from reparam.cli.runs import OpenRun
from reparam.cli.tables import show_notes
from reparam.wording import typed

if TYPE_CHECKING:
    from reparam.data import DataRecord, Split
    from reparam.data.images.image_pixels import ImageHeader
    from reparam.data.images.image_reading import Reading

OF_PIXELS = 256  # levels of a file's pixels: of as many nothing is lost
# What reading does to examples in a way that no decoder turns back, by the argument that asks.
LOSSES = {
    "binarize": "binarized ({})",
    "size": "brought to {}",
    "range": "of more than 8 bits brought to 8 ({})",
    "rare": "rare names as one (below {})",
}


def examples_to_code(
    sources: Sequence[str], run: OpenRun, label: str | None, n: int | None, part: str
) -> Split:
    """The first n rows of given examples, or of a split, all of which come back as they are read.

    Args:
        sources: nothing, for a split; else what ``examples_of`` reads, or several image files.
        run: what they are of.
        label: column of labels, of a table.
        n: how many; None: all.
        part: the split.

    Raises:
        ValueError: an image of another size, in color for a run of gray ones, of other levels or
            one that cannot be read; or a missing cell.
    """
    from reparam.model import positive_count

    if n is not None:
        positive_count("n", n)
    source = (list(sources) if len(sources) > 1 else sources[0]) if sources else None
    found = examples_of(source, run, label, None, part=part)
    if source is not None:
        _refuse_unread(source, found)
        _refuse_changed(found, run.record)
    _refuse_missing(found, run, sources[0] if sources else part)
    show_notes(losses(run.record))
    return found if n is None or n >= len(found) else found.take(slice(0, n))


def losses(record: DataRecord) -> list[str]:
    """A note on what the run's reading changes, as it did in training; nothing where it does not.

    >>> from reparam.data import DataRecord, load_data, record_json
    >>> digits = load_data("digits", binarize=0.5)
    >>> losses(DataRecord.from_json(record_json(digits), digits.space))
    ['What the run reads is coded, and comes back: binarized (0.5). The sources keep more.']
    """
    recipe = record.source or {}
    said = [text.format(_shown(recipe[name])) for name, text in LOSSES.items() if recipe.get(name)]
    if not said:
        return []
    return [
        f"What the run reads is coded, and comes back: {', '.join(said)}. The sources keep more."
    ]


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _refuse_unread(source: str | list[str], found: Split) -> None:
    """ValueError where an image of a folder is not among the examples."""
    from reparam.data.images.image_files import decode_all
    from reparam.data.images.image_reading import Reading
    from reparam.data.images.image_trees import image_places

    folder = Path("" if isinstance(source, list) else source).expanduser()
    if isinstance(source, list) or not folder.is_dir() or found.files is None:
        return
    places, read = image_places(folder)[0], {*found.files.paths}
    used = "test" if any(place.split == "test" for place in places) else "train"
    for path, split, label in places:
        if split == used and path not in read:
            decode_all(path, [path], Reading())  # which says why
            raise ValueError(
                f"{path}: is of class {label!r}, which training left out; move it elsewhere"
            )


def _refuse_changed(found: Split, record: DataRecord) -> None:
    """ValueError for the first file whose pixels are no values of the run's data."""
    from dataclasses import fields

    from reparam.data.images.image_pixels import UnreadableImage, read_headers
    from reparam.data.images.image_reading import Reading

    if found.files is None or not record.space.is_image:
        return
    recipe = record.source or {}
    kept = {each.name: recipe[each.name] for each in fields(Reading) if each.name in recipe}
    reading = Reading(**kept)
    rows: Mapping[Path, list[int]] = defaultdict(list)
    for row, path in enumerate(found.files.paths):
        rows[path].append(row)
    for path, own in rows.items():
        headers = read_headers(path, reading)
        if isinstance(headers, UnreadableImage):
            raise ValueError(f"{path}: cannot be read as an image: {headers.reason}")
        for header in headers:
            _refuse_header(path, header, record, recipe)
        resized = any(header.size != record.space.shape[1:] for header in headers)
        if not resized and not recipe.get("binarize"):
            _refuse_values(path, found, own, record, reading)


def _refuse_header(
    path: Path, header: ImageHeader, record: DataRecord, recipe: Mapping[str, Any]
) -> None:
    channels, *size = record.space.shape
    if header.size != tuple(size) and not recipe.get("size"):
        expected, got = _shown(size), _shown(header.size)
        raise ValueError(
            f"{path}: expected {expected} pixels (height x width), as the run's images are, got "
            f"{got}; bring it to that size first"
        )
    if channels == 1 and header.color:
        raise ValueError(f"{path}: expected a gray image, as the run's are, got one in color")
    if header.deep and not recipe.get("range"):
        raise ValueError(
            f"{path}: expected 8 bits, as the run's images have, got more; save it with 8"
        )


def _refuse_values(
    path: Path, found: Split, rows: list[int], record: DataRecord, reading: Reading
) -> None:
    """ValueError unless the pixels of a file are levels, as they are or stretched to 0 … 255."""
    import numpy as np

    from reparam.data.images.image_pixels import UnreadableImage, decode
    from reparam.report.pictures import Brightness

    levels = record.space.level_count
    if levels is None or levels >= OF_PIXELS:
        return
    x = found.x[rows]
    pixels = np.zeros(tuple(x.shape), np.uint8)
    if isinstance(failure := decode(path, pixels, reading), UnreadableImage):
        raise ValueError(f"{path}: cannot be read as an image: {failure.reason}")
    stretched = np.moveaxis(Brightness(record.low, record.high).bytes(x), 3, 1)
    if (pixels == x.numpy()).all() or (pixels == stretched).all():
        return
    value = int(pixels[pixels != stretched][0])
    raise ValueError(
        f"{path}: expected levels 0 to {levels - 1}, as they are or stretched to 0 to 255, got "
        f"{value}, which would not come back; round the pixels first"
    )


def _refuse_missing(found: Split, run: OpenRun, source: str) -> None:
    """ValueError where a cell is missing, of which there is nothing to code."""
    if not found.x.is_floating_point() or not bool((absent := found.x.isnan()).any()):
        return
    row, *place = absent.nonzero()[0].tolist()
    columns = run.record.columns
    where = f"column {columns[place[0]]!r}, " if columns else ""
    raise ValueError(
        f"{source}: {where}row {row}: the cell is missing, and only whole rows are coded; leave "
        f"such rows out, or draw their cells first: reparam complete {typed(run.path)}"
    )
