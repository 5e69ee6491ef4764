"""Graphs written to files that are run before they stay: what differs from the model goes."""

from __future__ import annotations

import copy
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from reparam.atomic import Unwritable, check_place, write_atomically
from reparam.exporting.parts import (
    Asked,
    Forward,
    Function,
    Part,
    functions_of,
    metadata,
    trial_rows,
)
from reparam.model import Codec, Model
from reparam.space import as_tensor

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Format = Literal["onnx", "torch"]
SUFFIX = {"onnx": ".onnx", "torch": ".pt2"}
BATCHES = (1, 2, 17)
CLOSE = 1e-4  # of the range of the output; of log p(x) nats for each entry of x
MOST_BYTES = 2**31 - 2**20  # of a file of ONNX, whose lengths are 32 bits
MISSING = (
    "onnx: needs onnx, onnxscript and onnxruntime; install them with: pip install 'reparam[onnx]'"
)
Inputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Exported:
    """A file that ``export`` wrote, and how far it is from the model.

    Args:
        part: of the model.
        path: the file.
        difference: the largest to the model's own output, in the output's unit.
        range: of the output, of which ``difference`` is at most 1e-4; for log p(x) the number of
            entries of x.
        rows: on how many rows both were run.
    """

    part: str
    path: Path
    difference: float
    range: float
    rows: int


def export(
    model: Model,
    path: str | os.PathLike[str],
    *,
    part: Asked = "all",
    formats: Sequence[Format] = ("onnx",),
    x: object = None,
    c: object = None,
    force: bool = False,
) -> list[Exported]:
    """Write the functions of a model as graphs that other programs run, without reparam.

    They take and give data units: what scales x stands in the graph. Inputs are named ``x``, ``z``
    and, of a conditional model, ``c``; outputs ``z``, ``x``, ``log_p`` and ``log_class_probs``. Any
    number of rows goes in, an axis named ``batch``. On batches of 1, 2 and 17 rows
    every ``.onnx`` is run by ONNX Runtime, and every program of torch as it was written, and
    compared with the model. Where one fails none is left, and what was there stays.

    Args:
        model: any; it stays as and where it is.
        path: a folder, made if absent: ``encoder.onnx``, ``decoder.onnx``, ``density.onnx``,
            ``classes.onnx``, or the same as ``.pt2``.
        part: one of them, or all that the model has: ``"encoder"``, the mean code;
            ``"decoder"``, the mean of p(x|z); ``"density"``, log p(x) where it needs no draws;
            ``"classes"``, log p(class|x).
        formats: ``"onnx"`` (``pip install 'reparam[onnx]'``), ``"torch"``, which is the ``.pt2`` of
            ``torch.export``. This library never reads it, as its container may hold pickles.
        x: rows (n, *shape) to compare on, of which the first 17 are taken; none: random ones.
        c: their conditions, for a conditional model; none: as they occur in training.
        force: overwrite files that exist.

    Raises:
        ValueError: a part that the model does not have, a file that exists, a missing package, an
            operation that has no form in ONNX, a graph whose output is not the model's.

    >>> import tempfile, reparam as rp
    >>> model = rp.build("pca", rp.Space((3,), "real"), latent_dim=2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = rp.export(model, folder, formats=["torch"])
    >>> [file.path.name for file in written], max(file.difference for file in written)
    (['encoder.pt2', 'decoder.pt2', 'density.pt2'], 0.0)
    """
    functions = functions_of(model, part)
    places = places_of(functions, formats, Path(path), force)
    if "onnx" in formats:
        _refuse_large(model)
    copied = copy.deepcopy(model).cpu().eval()
    rows, told = _rows(copied, x, c)
    with staging(Path(path)) as stage:  # all files or none: what fails takes the others along
        written = []
        for function in functions:
            inputs = _inputs(copied, function, rows, told)
            program = trace(copied, function, inputs)
            for kind in formats:
                place = places[function.part, kind]
                found = _write(copied, function, program, kind, stage / place.name, inputs)
                written.append(Exported(function.part, place, *found, len(inputs[0])))
        for file in written:
            os.replace(stage / file.path.name, file.path)
    return written


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A place in ``folder`` from which files are moved there once all of them are written."""
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export.") as stage:
            try:
                yield Path(stage)
            except Unwritable as error:
                raise Unwritable(str(error).replace(stage, str(folder))) from error
    except OSError as error:
        raise Unwritable(f"{folder}: cannot be written to: {error.strerror}") from error
    finally:
        if not there and folder.exists() and not any(folder.iterdir()):
            folder.rmdir()


def places_of(
    functions: Sequence[Function], formats: Sequence[Format], folder: Path, force: bool
) -> dict[tuple[Part, Format], Path]:
    """Where each file will be; refused before any work is done."""
    if not formats or not {*formats} <= {*get_args(Format)}:
        raise ValueError(f"formats: expected some of {', '.join(SUFFIX)}, got {list(formats)}")
    if "onnx" in formats:
        refuse_missing()
    check_place(folder, folder=True)
    places = {(f.part, k): folder / f"{f.part}{SUFFIX[k]}" for f in functions for k in formats}
    for place in places.values():
        if place.exists() and not force:
            raise ValueError(f"{place}: exists already; choose another folder or set force")
    return places


def refuse_missing() -> None:
    """ValueError with the line that installs what ONNX needs, where it is not there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(MISSING) from error


def _refuse_large(model: Model) -> None:
    """ValueError where weights are more than a file of ONNX holds."""
    size = sum(value.numel() * value.element_size() for value in model.state_dict().values())
    if size > MOST_BYTES:
        raise ValueError(
            f"onnx: expected at most {MOST_BYTES / 1e9:.1f} GB of weights in a file, got "
            f"{size / 1e9:.1f}; write a program of torch instead: --torch"
        )


def _rows(model: Model, x: object, c: object) -> tuple[Tensor, Tensor | None]:
    """Rows to compare on, and their conditions."""
    most, dtype = max(BATCHES), model.anchor.dtype
    rows = trial_rows(model.space, most, dtype) if x is None else as_tensor(x)[:most].cpu()
    if len(rows) == 0:
        raise ValueError("x: expected at least one row to compare on, got none")
    if model.conditional and c is None:
        generator = torch.Generator().manual_seed(0)
        c = model.told(rows, None)
        c = model.draw_condition(len(rows), generator) if c is None else c
    told = None if c is None else as_tensor(c, "c")[: len(rows)].cpu()
    with torch.no_grad():
        rows, told = model.prepare(rows, told)
    return rows, told


def _inputs(model: Model, function: Function, rows: Tensor, c: Tensor | None) -> Inputs:
    """What a function is tried on: rows, or their codes, and c where the model has it."""
    given = rows
    if function.reads == "z" and isinstance(model, Codec):
        with torch.no_grad():
            given = model.encode(rows, c)
    elif function.reads == "z":
        given = trial_rows(function.space, len(rows), model.anchor.dtype)
    return (given,) if c is None else (given, c)


def trace(model: Model, function: Function, inputs: Inputs) -> ExportedProgram:
    """The graph of a function with any number of rows.

    It is traced with gradients enabled: without them some densities cut large batches into
    blocks, whose number would be a constant of the graph.
    """
    # Torch takes a batch of one for a constant of the model.
    several = tuple(torch.cat([value, value]) if len(value) == 1 else value for value in inputs)
    try:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(
                Forward(model, function.part).eval(),
                several,
                dynamic_shapes=_any_rows(inputs),
                strict=False,
            )
    except (RuntimeError, ValueError) as error:  # of torch, which has no class of its own for it
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{function.part}: of {type(model).__name__} is no graph that takes any number of rows "
            f"({reason}); export another part"
        ) from error


def _any_rows(inputs: Sequence[object]) -> tuple[dict[int, Any], ...]:
    """That the first axis of each input, the batch, is of any length."""
    return ({0: torch.export.Dim("batch")},) * len(inputs)


def _write(
    model: Model,
    function: Function,
    program: ExportedProgram,
    kind: Format,
    place: Path,
    inputs: Inputs,
) -> tuple[float, float]:
    """Write a file where it is staged, and compare what it does with the model.

    Of a ``.pt2`` the program is run that was written: this library reads no such file.
    """
    told = metadata(model, function)
    for name, value in zip((function.reads, "c"), inputs, strict=False):
        told[f"input {name}"] += f", {str(value.dtype).removeprefix('torch.')}"
    names = [function.reads, "c"][: len(inputs)]
    save = _onnx_saver(program, function, names, told) if kind == "onnx" else _saver(program, told)
    write_atomically(place, save)
    run = _onnx_run(str(place), names) if kind == "onnx" else program.module()
    return compare(model, function, run, inputs, place.name)


def _saver(program: ExportedProgram, told: Mapping[str, str]) -> Callable[[str], None]:
    def save(temporary: str) -> None:
        torch.export.save(program, temporary, extra_files={"metadata.json": json.dumps(told)})

    return save


def _onnx_saver(
    program: ExportedProgram, function: Function, names: list[str], told: Mapping[str, str]
) -> Callable[[str], None]:
    from torch.onnx import OnnxExporterError
    from torch.onnx import export as to_onnx

    try:
        with _quiet():
            converted = to_onnx(
                program,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=[function.gives],
                dynamic_shapes=_any_rows(names),  # again, or the axis has a name of torch's own
            )
    except OnnxExporterError as error:
        raise ValueError(f"{function.part}: {_no_form(error)}") from error
    assert converted is not None
    converted.model.metadata_props.update(told)
    return lambda temporary: converted.save(temporary, external_data=False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the converter warns and logs of packages and operations that no model uses."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _no_form(error: BaseException) -> str:
    """Which operation has no form in ONNX, as far as the innermost error says it."""
    while error.__cause__ is not None:
        error = error.__cause__
    reason = " ".join(str(error).split())[:160]
    return f"has no form in ONNX ({reason}); write a program of torch instead: --torch"


def _onnx_run(file: str, names: list[str]) -> Callable[..., Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a model is warned about by this library
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(*inputs: Tensor) -> Tensor:
        fed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        (out,) = session.run(None, fed)
        return torch.from_numpy(out)

    return run


def compare(
    model: Model,
    function: Function,
    run: Callable[..., Any],
    inputs: Inputs,
    name: str,
) -> tuple[float, float]:
    """The largest difference to the model on batches of several sizes, and the range it is of.

    Raises:
        ValueError: a difference of more than 1e-4 of the range, or another index.
    """
    worst, forward = 0.0, Forward(model, function.part).eval()
    with torch.no_grad():
        whole = forward(*inputs)
        span = _range(model, function, whole)
        for count in (count for count in BATCHES if count <= len(inputs[0])):
            batch = tuple(value[:count] for value in inputs)
            wanted, found = forward(*batch), run(*batch)
            if found.shape != wanted.shape:
                raise ValueError(
                    f"{name}: gives shape {tuple(found.shape)} for {count} rows, the model "
                    f"{tuple(wanted.shape)}; nothing was written"
                )
            worst = max(worst, _difference(found, wanted))
    exact = not whole.is_floating_point()
    if not worst <= (0.0 if exact else CLOSE * span):
        raise ValueError(
            f"{name}: differs from the model by {worst:.2g}, expected at most "
            f"{'0, as these are indices' if exact else f'{CLOSE:g} of {span:.3g}'}; nothing was "
            "written"
        )
    return worst, span


def _difference(found: Tensor, wanted: Tensor) -> float:
    """The largest, infinite where one is not a number and the other is, or is another infinity."""
    found, wanted = found.double(), wanted.double()
    same = (found == wanted) | (found.isnan() & wanted.isnan())
    apart = torch.where(same, 0.0, (found - wanted).abs())
    return float(torch.where(apart.isnan(), torch.inf, apart).max())


def _range(model: Model, function: Function, whole: Tensor) -> float:
    """What differences are measured by.

    Log-probabilities are sums over the entries of x, which round off one by one.
    """
    if function.part in ("density", "classes"):
        return float(model.space.dimension)
    space = function.returns
    if space is not None and space.level_count is not None and not space.columns:
        return float(space.level_count - 1)
    finite = whole.double()[whole.isfinite()]
    span = float(finite.max() - finite.min()) if finite.numel() else 0.0
    return span or 1.0
