"""The command that brings back what ``compress`` wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reparam.cli.compress import SUFFIX
from reparam.cli.examples import Attributes, ClassName, asked_condition
from reparam.cli.options import PATH, Force
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import show, show_notes, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reparam.cli.folders import Place
    from reparam.cli.outputs import Target
    from reparam.coding import Decompressed
    from reparam.coding.file import Contents

RpzFile = Annotated[Path, PATH, Parameter(metavar="FILE.rpz", help="What compress wrote.")]
Back = Annotated[
    str, Parameter(alias="-o", metavar="PATH", help="A folder of PNG images, .npz or .csv.")
]
PNG_LEVELS, PNG_CHANNELS = 256, (1, 3)


def decompress(
    run: Run,
    file: RpzFile,
    /,
    *,
    out: Back,
    label: ClassName = None,
    attribute: Attributes = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Bring back the examples in a file of compress, value for value, by the run that made it.

    Images keep their names in a folder, as PNG; .npz has the values as x, with label and path
    beside it; .csv the columns and names that the run knows. Of damaged blocks the rows are named
    and all others written.
    """
    from time import perf_counter

    from reparam.cli.code_lengths import rate
    from reparam.cli.outputs import Target
    from reparam.coding import decode
    from reparam.coding.leaves import coder
    from reparam.progress import bar
    from reparam.wording import counted, listed

    coder()
    opened = where.open(run)
    target = Target.of(out, force, opened.record, file)
    _refuse_target(target, opened)
    content = _read(file)
    header = _header(file, content)
    _refuse_labels(file, header, opened)
    places = _places(file, header, target)
    c = asked_condition(opened.model, label, attribute, header.n, opened.record)
    started = perf_counter()
    with bar("decompressing") as watch:
        try:
            decoded = decode(opened.model, content, c, watch)
        except ValueError as error:
            raise ValueError(f"{file}: {str(error).removeprefix('file: ')}") from error
    seconds = perf_counter() - started
    lost = listed(decoded.damaged, 3)
    if lost and c is not None and header.c is None:
        lost += ", or its rows were coded with other conditions than those given"
    if not len(decoded.rows):
        raise ValueError(f"{file}: {lost}; nothing was written")
    _write(opened, decoded, target, places)
    what = "images" if opened.record.space.is_image else "rows"
    count = len(decoded.rows)
    show(f"{count} {what} in {told(target.name)}, decoded at {rate(count, seconds)} a second")
    show_notes(_notes(opened, decoded, target))
    if lost:
        raise ValueError(
            f"{file}: {lost}; the other {counted(count, 'row')} of {decoded.count} are in "
            f"{target.name}"
        )


def _refuse_target(target: Target, run: OpenRun) -> None:
    """ValueError where what is asked for cannot hold every value."""
    space = run.record.space
    if target.picture:
        raise ValueError(
            f"{target.path}: a picture of all images in rows is none of them; write a folder, as "
            f"{target.path.with_suffix('')}/, .npz or .csv"
        )
    if target.folder and (
        space.shape[0] not in PNG_CHANNELS or (space.level_count or 0) > PNG_LEVELS
    ):
        raise ValueError(
            f"{target.path}: PNG files hold 1 or 3 channels of at most {PNG_LEVELS} levels, and "
            f"the run's images have {space.shape[0]} of {space.level_count}; write .npz"
        )


def _read(file: Path) -> bytes:
    if not file.is_file():
        raise ValueError(
            f"{file}: no such file; expected one that reparam compress wrote ({SUFFIX})"
        )
    return file.read_bytes()


def _header(file: Path, content: bytes) -> Contents:
    from reparam.coding.file import read

    try:
        return read(content)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _refuse_labels(file: Path, header: Contents, run: OpenRun) -> None:
    """ValueError where labels are none of the run's classes: weights are told apart, these not."""
    names, labels = run.record.class_names, header.labels or [0]
    if names and not 0 <= min(labels) <= max(labels) < len(names):
        raise ValueError(
            f"{file}: expected labels 0 to {len(names) - 1}, got others; give the run that made it"
        )


def _places(file: Path, header: Contents, target: Target) -> Sequence[Place]:
    """The files of a folder, by the names in the header; refused before anything is decoded."""
    from reparam.cli.folders import apart, numbered, place_below

    if not target.folder:
        return []
    if header.names is None:
        return target.claim(numbered(header.n))
    found = apart([place_below(name, file) for name in header.names])
    root = target.path.resolve()
    for parent in {(target.path / place.name).parent for place in found}:
        if not parent.resolve().is_relative_to(root):  # by a link that lies there
            raise ValueError(f"{file}: {parent} leads out of {target.path}; choose another folder")
    return target.claim(found)


def _write(run: OpenRun, decoded: Decompressed, target: Target, places: Sequence[Place]) -> None:
    """x, and beside it what the header keeps, in files that hold it."""
    from reparam.cli.outputs import Result, emit

    record = replace(run.record, bands=None)  # of which pictures would show some
    kept = [places[row] for row in decoded.rows.tolist()] if places else []
    arrays = {"x": decoded.x, **_beside(run, decoded, target)}
    emit(Result(arrays, record.columns, places=kept), target, record)


def _beside(run: OpenRun, decoded: Decompressed, target: Target) -> dict[str, Any]:
    """Classes, attributes, paths, and the numbers of rows where some are lost."""
    import numpy as np

    from reparam.cli.outputs import conditions

    record, rows = run.record, decoded.rows
    found: dict[str, Any] = {}
    if decoded.labels is not None:
        labels = decoded.labels[rows].numpy()
        found["label"] = np.array(record.class_names)[labels] if record.class_names else labels
    if decoded.c is not None:
        c = decoded.c[rows]
        given = conditions(c, record)
        if "label" not in given and "given" not in given and target.path.suffix.lower() == ".npz":
            names = np.array(record.attribute_names)
            given = {"attributes": c.numpy(), "attribute_names": names}
        found = given | found
    if decoded.names is not None:
        found["path"] = np.array([decoded.names[row] for row in rows.tolist()], str)
    elif decoded.damaged:
        found["row"] = rows.numpy()
    return found


def _notes(run: OpenRun, decoded: Decompressed, target: Target) -> list[str]:
    levels = run.record.space.level_count or 0
    notes = []
    if target.folder and levels < PNG_LEVELS:
        notes.append(
            f"Levels 0 to {levels - 1} are written as 0 to 255, from which they are read back."
        )
    if target.folder and decoded.labels is not None and decoded.names is None:
        notes.append("The labels are left out, which .npz has beside x.")
    return notes
