"""The command that writes examples to a file as short as a run's model finds them probable."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from reparam.cli.examples import Count, Label, Part
from reparam.cli.options import Force, Seed, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import show, show_notes

if TYPE_CHECKING:
    from torch import Tensor

    from reparam.cli.code_lengths import Lengths
    from reparam.coding import Compressed
    from reparam.data import Split
    from reparam.progress import Watch

SUFFIX = ".rpz"
MANY = 2000  # rows above which general compressors do not search long
WITHOUT_CONDITIONS = (
    "The conditions are left out too, so that the file alone does not bring the rows back."
)
OF_TABLES = (
    "Values are kept, with the columns and names that the run knows; the text of the table is not."
)

Given = Annotated[
    str,
    Parameter(
        help="A folder of images, image files, .npz, .csv or what else fit takes, of the run's "
        "size and levels; none: those of --split."
    ),
]
Rpz = Annotated[
    str | None,
    Parameter(alias="-o", metavar="FILE.rpz", help="The file; none with --estimate alone."),
]


def compress(
    run: Run,
    /,
    *examples: Given,
    out: Rpz = None,
    estimate: Annotated[
        bool, option(show_default=False, help="Only say how long it would be, by log p(x).")
    ] = False,
    n: Count = None,
    split: Part = "test",
    label: Label = None,
    rows: Annotated[
        int | None,
        Parameter(help="That networks read at once, there and back; none: 32, of large x fewer."),
    ] = None,
    block: Annotated[int, Parameter(help="Rows that are decoded by themselves.")] = 1000,
    grid: Annotated[
        int, Parameter(help="Of bits back: z lies on multiples of 2^−grid, of which files know.")
    ] = 6,
    bare: Annotated[
        bool, option(show_default=False, help="Leave out names of files, labels and conditions.")
    ] = False,
    check: Annotated[
        bool, Parameter(negative="--no-check", help="Decode it and compare before it is written.")
    ] = True,
    seed: Seed = 0,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Write examples without loss to a file that is as long as the model's −log p(x) says.

    Autoregressive models are coded directly, VAEs by bits-back coding, discrete codes in two parts.
    The model's own number stands beside the file's length, and what gzip, bz2, xz, PNG and WebP
    make of the same pixels.

    What the run reads of the examples comes back value for value, with their order, names and
    labels; the files themselves do not. Only `reparam decompress` with the same run reads it.
    """
    from reparam.cli.exact_inputs import examples_to_code
    from reparam.data import condition

    place = _place(out, estimate, force)
    opened = where.open(run)
    _refuse(opened, place)
    found = examples_to_code(examples, opened, label, n, split)
    c = condition(opened.model, found)
    if place is None:
        return _show_estimate(opened, found, c, seed)
    how = {"rows": rows, "block": block, "bare": bare, "grid": grid}
    coded, seconds = _coded(opened, found, c, how, check)
    _write(place, coded, force)
    show_notes([*coded.warnings, *([WITHOUT_CONDITIONS] if bare and c is not None else [])])
    _show(opened, found, c, coded, place, seconds, seed)


def _place(out: str | None, estimate: bool, force: bool) -> Path | None:
    """Where the file will be; refused, before anything is read, where that cannot be."""
    from reparam.atomic import check_place

    if estimate:
        if out is not None:
            raise ValueError("out: --estimate writes no file; leave one of them out")
        return None
    if not out:
        raise ValueError(f"out: expected a file, as -o images{SUFFIX}, or --estimate, got neither")
    path = Path(out)
    if path.suffix.lower() != SUFFIX:
        raise ValueError(f"{out}: expected a name ending in {SUFFIX}")
    check_place(path)
    _refuse_existing(path, force)
    return path


def _refuse_existing(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise ValueError(f"{path}: exists already; choose another name or --force")


def _refuse(run: OpenRun, place: Path | None) -> None:
    """ValueError where the model has no lengths, or none that a file can have."""
    from reparam.coding import refusal
    from reparam.coding.leaves import coder
    from reparam.model import Density

    if place is None and isinstance(run.model, Density) and not run.model.space.has_reals:
        return
    if place is not None:
        coder()
    reason = refusal(run.model)
    if reason is not None:
        raise ValueError(f"{run.path}: {reason}")


def _coded(
    run: OpenRun, found: Split, c: Tensor | None, how: dict[str, Any], check: bool
) -> tuple[Compressed, tuple[float, float | None]]:
    """The file, and the seconds that coding took, and decoding it again, which is the check."""
    from time import perf_counter

    from reparam.coding import code, decode
    from reparam.progress import bar

    names = None if found.files is None else list(map(str, found.files.names))
    with bar("compressing") as watch:
        started = perf_counter()
        coded = code(
            run.model,
            found.x,
            c,
            check=False,
            names=names,
            labels=found.labels,
            watch=_part(watch, 0.0, 0.5 if check else 1.0),
            **how,
        )
        coded_at = perf_counter()
        if not check:
            return coded, (coded_at - started, None)
        told = c if how["bare"] else None
        decoded = decode(run.model, coded.file, told, _part(watch, 0.5, 1.0))
        back = perf_counter() - coded_at
    if decoded.damaged or not decoded.x.to(found.x.dtype).equal(found.x):
        raise ValueError(
            f"{run.path}: what was coded did not come back, so nothing was written; the model's "
            "probabilities differ here from one pass to the next"
        )
    return coded, (coded_at - started, back)


def _part(watch: Watch, start: float, stop: float) -> Watch:
    """A watch of a part of all that is done."""
    return lambda doing, share: watch(doing, start + share * (stop - start))


def _write(place: Path, coded: Compressed, force: bool) -> None:
    from reparam.atomic import write_atomically

    _refuse_existing(place, force)  # it may have come meanwhile
    write_atomically(place, lambda file: Path(file).write_bytes(coded.file))


def _lengths(
    run: OpenRun, found: Split, c: Tensor | None, seed: int, coded: Compressed | None
) -> Lengths:
    from reparam.cli.code_lengths import Lengths, called
    from reparam.coding import estimate
    from reparam.coding.general import general
    from reparam.coding.rows import raw_bits
    from reparam.model import Density
    from reparam.progress import bar

    model, space = run.model, run.model.space
    assert isinstance(model, Density)  # what is none was refused
    fast = len(found) > MANY
    with bar("comparing") as watch:
        bits = estimate(model, found.x, c, seed=seed, watch=_part(watch, 0.0, 0.5))
        others = general(found.x, space, fast=fast, watch=_part(watch, 0.5, 1.0))
    number, error = float(bits.sum()), 0.0
    if coded is not None and coded.way == "bits back" and len(bits) > 1:
        error = float((coded.bits - bits).std()) * len(bits) ** 0.5
    show_notes(["xz and WebP work at their usual effort, not the highest."] * fast)
    named = called(model, found.x, c)
    n, raw = len(found), len(found) * raw_bits(space)
    return Lengths(n * space.dimension, raw, others, number, named, coded, error)


def _show_estimate(run: OpenRun, found: Split, c: Tensor | None, seed: int) -> None:
    """The lengths but for the file's."""
    lengths = _lengths(run, found, c, seed, None)
    show(lengths.table())
    size, what = round(lengths.model / 8), _what(run)
    show(f"{len(found)} {what} would take about {size:,} bytes and a header; nothing was written")


def _show(
    run: OpenRun,
    found: Split,
    c: Tensor | None,
    coded: Compressed,
    place: Path,
    seconds: tuple[float, float | None],
    seed: int,
) -> None:
    """What the file costs beside all else, and what is to be known of it."""
    from reparam.cli.code_lengths import back_and_dirty, speeds, written

    lengths, what = _lengths(run, found, c, seed, coded), _what(run)
    show(lengths.table())
    show(written(what, coded, str(place)))
    show(speeds(len(found), what, seconds))
    show(lengths.sentence())
    show_notes([*back_and_dirty(coded), *([OF_TABLES] if run.record.columns else [])])


def _what(run: OpenRun) -> str:
    return "images" if run.record.space.is_image else "rows"
