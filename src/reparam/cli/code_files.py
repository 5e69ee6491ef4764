"""Commands of codes: encode writes them to a file, and decode reads them back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.drawing import steps_shown
from reparam.cli.examples import (
    WIDEST,
    Attributes,
    ClassName,
    Count,
    Input,
    Label,
    Out,
    Part,
    asked_condition,
    codec,
    encoder,
    examples_of,
)
from reparam.cli.options import PATH, Force
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import show, show_notes, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from reparam.cli.folders import Place
    from reparam.data import DataRecord
    from reparam.data.contents import Array
    from reparam.model import Codec, Encoder

BESIDE = ("label", "path", "row")  # what ``encode`` writes beside codes
CodeFile = Annotated[Path, PATH, Parameter(help="Codes as encode writes them, .npz or .csv.")]


def encode(
    run: Run,
    examples: Input = None,
    /,
    *,
    out: Out = "codes.csv",
    n: Count = None,
    split: Part = "test",
    label: Label = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Write the codes of examples, with their classes and their files or numbers of rows.

    A table has a row for each; an archive the indices of each grid in its own shape, as z, or from
    the coarsest grid on as z_1, z_2, ...
    """
    from reparam.cli.outputs import Result, Target, beside, emit
    from reparam.evaluation.representation import codes

    opened = where.open(run)
    target = Target.of(out, force, opened.record, examples, images=False)
    model = encoder(opened)
    found = examples_of(examples, opened, label, n, part=split)
    with steps_shown("encoding"):
        z = codes(model, found)
    table = target.path.suffix.lower() == ".csv"
    arrays: Mapping[str, Tensor | Array] = {"z": z} if table else _by_grid(model, z)
    emit(Result({**arrays, **beside(found, opened.record)}), target, opened.record)
    show(f"{len(found)} codes in {told(target.name)}")


def decode(
    run: Run,
    codes: CodeFile,
    /,
    *,
    out: Out = "decoded.png|csv",
    n: Count = None,
    label: ClassName = None,
    attribute: Attributes = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Decode codes as encode writes them, perhaps changed: means of x given each."""
    import torch

    from reparam.batching import in_batches, rows_at_once
    from reparam.cli.outputs import Result, Target, emit
    from reparam.model import positive_count

    opened = where.open(run)
    record, model = opened.record, codec(opened)
    target = Target.of(out, force, record, codes)
    if n is not None:
        positive_count("n", n)
    z, beside = read_codes(codes, model)
    if n is None and target.picture and len(z) > WIDEST:
        show_notes([f"The first {WIDEST} of {len(z)}; -n says how many."])
        n = WIDEST
    z, beside = z[:n], {name: values[:n] for name, values in beside.items()}
    claimed = target.claim(_places(codes, beside, len(z)))
    if model.space.given is not None:
        raise ValueError(
            f"{run}: decodes codes beside what is left of x, which is not among them; use "
            "reconstruct or restore"
        )
    c = asked_condition(model, label, attribute, len(z), record)
    if c is None and model.conditional and "label" in beside:
        c = _labels(codes, beside["label"], record)
    with torch.no_grad(), steps_shown("decoding"):
        x = in_batches(lambda *part: model.decode(*part).cpu(), rows_at_once(model.space), z, c)
    width = min(WIDEST, len(x))
    result = Result({"x": x, **beside}, record.columns, lambda: x, width, places=claimed)
    emit(result, target, record)
    show(f"{len(x)} decoded examples in {told(target.name)}")


def _grid_names(model: Encoder) -> list[str]:
    """What the codes of each grid are called."""
    count = len(model.grids)
    return [f"z_{i + 1}" for i in range(count)] if count > 1 else ["z"]


def _by_grid(model: Encoder, z: Tensor) -> Mapping[str, Tensor | Array]:
    """Real codes as they are, indices of each grid in the smallest type that holds K−1."""
    import math

    import numpy as np

    levels = model.code_space.levels
    if levels is None:
        return {"z": z}
    indices = z.numpy().astype(np.min_scalar_type(levels - 1))
    if len(model.grids) == 1:  # of tokens it is a vector, as models take it
        return {"z": indices.reshape(-1, *model.code_space.shape)}
    ends = np.cumsum([math.prod(grid) for grid in model.grids])[:-1]
    parts = zip(_grid_names(model), np.split(indices, ends, 1), model.grids, strict=True)
    return {name: part.reshape(-1, *grid) for name, part, grid in parts}


def read_codes(path: Path, model: Codec) -> tuple[Tensor, dict[str, Array]]:
    """The codes in a file (N, *code_space.shape), and what stands beside them.

    Raises:
        ValueError: no such file, or codes that are none of the model's.
    """
    import numpy as np

    from reparam.space import as_tensor

    arrays = _arrays_in(path)
    names = ["z"] if "z" in arrays else _grid_names(model)
    shapes = model.grids if len(names) > 1 else (model.code_space.shape,)
    parts = [
        _flat(path, arrays.get(name), name, shape)
        for name, shape in zip(names, shapes, strict=True)
    ]
    beside = {name: arrays[name] for name in BESIDE if name in arrays}
    rows = {len(values) for values in (*parts, *beside.values())}
    if len(rows) > 1 or rows == {0}:
        raise ValueError(f"{path}: expected codes with a row for each, got {sorted(rows)} rows")
    try:
        code = as_tensor(np.concatenate(parts, 1), "code").view(-1, *model.code_space.shape)
        model.prepare_code(code)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return code, beside


def _flat(path: Path, array: Array | None, name: str, shape: tuple[int, ...]) -> Array:
    """The codes of a grid as vectors, which may have its shape."""
    import math

    count = math.prod(shape)
    if array is not None and array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: expected codes {name} of numbers, got {array.dtype}")
    if array is not None and array.ndim > 1 and array.shape[1:] in (shape, (count,)):
        return array.reshape(-1, count)
    wanted = ", ".join(map(str, shape))
    got = "none" if array is None else f"({', '.join(map(str, array.shape))})"
    raise ValueError(
        f"{path}: expected codes {name} of shape (N, {wanted}), as encode writes them, got {got}"
    )


def _arrays_in(path: Path) -> dict[str, Array]:
    """The arrays of an archive, or the columns of a table with z0, z1, … as one z."""
    from reparam.data.numpy_files import read_arrays

    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv"):
        raise ValueError(f"{path}: expected codes as encode writes them, .npz or .csv")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    if suffix == ".csv":
        return _columns_in(path)
    arrays, pickled = read_arrays(path)
    if pickled:
        raise ValueError(
            f"{path}: {pickled[0]} holds Python objects (pickled), which are not read for safety"
        )
    return {name: array for name, array in arrays.items() if array.ndim}


def _columns_in(path: Path) -> dict[str, Array]:
    import csv
    from itertools import count, takewhile

    import numpy as np

    from reparam.data.tables.cells import unquoted

    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = csv.reader(file)
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a table of codes ({error})") from None
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"{path}: line {line}: expected {len(header)} cells, got {len(row)}")
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    names = list(takewhile(columns.__contains__, (f"z{i}" for i in count())))
    arrays = {
        name: np.array([unquoted(cell) for cell in columns[name]])
        for name in BESIDE
        if name in columns
    }
    if names:
        arrays["z"] = np.array([_numbers(path, name, columns[name]) for name in names]).T
    return arrays


def _numbers(path: Path, name: str, cells: Sequence[str]) -> list[float]:
    from reparam.data.tables.cells import number

    found = list(map(number, cells))
    for line, (cell, value) in enumerate(zip(cells, found, strict=True), 2):
        if value is None:
            raise ValueError(f"{path}: line {line}, column {name}: expected a number, got {cell!r}")
    return [value for value in found if value is not None]


def _labels(path: Path, labels: Array, record: DataRecord) -> Tensor:
    """Classes by their names, as indices."""
    import torch

    names = record.class_names or tuple(map(str, range(record.space.classes or 0)))
    for row, label in enumerate(map(str, labels)):
        if label not in names:
            raise ValueError(
                f"{path}: row {row}: expected a label of {', '.join(names)}, got {label!r}"
            )
    return torch.tensor([names.index(str(label)) for label in labels])


def _places(path: Path, beside: dict[str, Array], n: int) -> list[Place]:
    """As ``encode`` names examples: their files, below the folder only, or numbers of rows."""
    from reparam.cli.folders import Place, numbered, place_below

    if "path" in beside:
        return [place_below(str(name), path) for name in beside["path"]]
    if "row" in beside and all(str(row).isdecimal() for row in beside["row"]):
        width = max(len(str(row)) for row in beside["row"])
        return [Place(f"{int(row):0{width}d}.png") for row in beside["row"]]
    return numbered(n)
