"""Models and training states on disk: safetensors with a JSON header, never a pickle.

A file is complete or absent: it is written beside its place and moved there in one step.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as deserialize
from safetensors.torch import save as serialize
from safetensors.torch import save_file
from torch import Tensor

from reparam import __version__, atomic
from reparam.allotment import Allotment
from reparam.atomic import write_atomically
from reparam.hub_files import CONFIG_FILE, HubName, fetch, is_on_hub
from reparam.limits import check
from reparam.model import Model, Space
from reparam.presets.registry import build, find_preset
from reparam.terminal import printable
from reparam.wording import EMPTY_PATH, listed

FORMAT = 3  # of the headers and of run.json; a reader refuses every other
MODEL_FILE = "model.safetensors"
RUN_FILE = "run.json"
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
# Parts refuse their own wrong numbers by ValueError; what odd ones raise together is one of these.
UNBUILT = (TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, RuntimeError)


class Description(TypedDict):
    """What a header says of a model: how to build it, and the type of its weights."""

    format: NotRequired[int]
    run: NotRequired[str]
    preset: str | None
    parameters: dict[str, Any]
    space: Space
    precision: str
    version: str
    class_names: NotRequired[list[str]]
    origin: NotRequired[str]


def folder_named(name: str | os.PathLike[str]) -> Path:
    """A folder of weights by its name; safetensors opens no file whose name is not in UTF-8.

    >>> folder_named("")
    Traceback (most recent call last):
    ValueError: expected a path, got an empty one
    """
    text = os.fspath(name)
    if not text:
        raise ValueError(EMPTY_PATH)
    try:
        text.encode()
    except UnicodeEncodeError:
        shown = text.encode(errors="replace").decode()
        raise ValueError(f"{shown}: its name is not in UTF-8; give the folder another") from None
    return Path(text)


def save(model: Model, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a model's weights and how to build it into the folder ``path``.

    Args:
        model: built by a preset; one of your own modules is saved too, and loaded with
            ``load(path, model=...)``.
        path: a folder, made if absent.
        force: overwrite a model that lies there.

    Raises:
        ValueError: the folder holds a model and ``force`` is not set, or a run, whose own model
            belongs there; weights of 16 bits.

    >>> import tempfile
    >>> from reparam.presets import build
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save(build("pca", Space((3,), "real")), folder)
    ...     type(load(folder)).__name__
    'RealPCA'
    """
    target = folder_named(path) / MODEL_FILE
    if (dtype := model.anchor.dtype) not in PRECISIONS.values():
        raise ValueError(f"model: expected weights of float32 or float64, got {dtype}")
    if target.with_name(RUN_FILE).exists():
        raise ValueError(
            f"{path}: holds a run, whose model stays as it was trained; choose another folder"
        )
    if target.exists() and not force:
        raise ValueError(f"{target}: exists already; choose another folder or set force")
    write_tensors(target, model.state_dict(), describe(model))
    return target


def load(path: str | os.PathLike[str], *, model: Model | None = None) -> Model:
    """Read a model from a folder that ``save`` or ``fit`` wrote, in evaluation mode.

    Args:
        path: the folder, or the ``.safetensors`` file itself; ``hf:owner/name`` is one on the
            Hugging Face hub, and ``hf:owner/name@revision`` a branch, a tag or a commit of it.
        model: the module to fill, for models that no preset builds.

    Raises:
        ValueError: no model there, a damaged file, one of another version, one of another run than
            the ``run.json`` beside it, an unknown preset, wrong shapes; of the hub also why it
            cannot be fetched, or a ``config.json`` that does not agree with the weights.
    """
    if is_on_hub(path):
        return read_pulled(HubName.parse(os.fspath(path)), model)[0]
    file = folder_named(path)
    file = file / MODEL_FILE if file.is_dir() else file
    own = file.name == MODEL_FILE and file.with_name(RUN_FILE).exists()
    return read_model(file, model, run=read_run(file.parent)["id"] if own else None)


def read_pulled(name: HubName, model: Model | None = None) -> tuple[Model, dict[str, Any]]:
    """The model of a repository on the hub, which knows its commit, and its ``config.json``."""
    folder = fetch(name, (CONFIG_FILE, MODEL_FILE))
    file, config = folder / MODEL_FILE, read_json(folder / CONFIG_FILE)
    _refuse_format(config, folder / CONFIG_FILE)
    header = read_tensors(file)[1]
    for entry in ("preset", "parameters", "space", "precision", "version", "class_names"):
        if config.get(entry) != header.get(entry):
            raise ValueError(
                f"{name}: {CONFIG_FILE} and the header of {MODEL_FILE} disagree about its {entry}; "
                "push the run again"
            )
    found = read_model(file, model)
    found.origin = f"{HubName(name.repository, folder.name)}"  # snapshots are named by commits
    return found, config


def read_model(file: Path, model: Model | None = None, *, run: str | None = None) -> Model:
    """The model in a file, in evaluation mode; ValueError where it is not of that run."""
    tensors, header = read_tensors(file)
    if run is not None:
        refuse_other_run(header, run, file)
    return filled(tensors, header, file, model)


def filled(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], file: Path, model: Model | None = None
) -> Model:
    """The model that a header describes, in evaluation mode, with these tensors as its weights."""
    if model is None:
        with Allotment(sum(tensor.nbytes for tensor in tensors.values())):
            model = rebuild(header, file)
    model.to(_precision(header, file))
    fill(model, tensors, file)
    names, origin = header.get("class_names"), header.get("origin")
    model.origin = origin if isinstance(origin, str) else None
    model.class_names = tuple(map(str, names)) if isinstance(names, list) else None
    return model.eval()


def describe(model: Model) -> dict[str, Any]:
    """What a header says of a model: {preset, parameters, space, precision, version, names}."""
    recipe = model.recipe or {"preset": None, "parameters": {}}
    if model.recipe is not None:
        complete = find_preset(recipe["preset"]).complete(recipe["parameters"])
        recipe = {**recipe, "parameters": complete}
    names = {} if model.class_names is None else {"class_names": list(model.class_names)}
    origin = {} if model.origin is None else {"origin": model.origin}
    return {
        **recipe,
        **names,
        **origin,
        "space": dataclasses.asdict(model.space) | {"given": None},  # the preset says it
        "precision": str(model.anchor.dtype).removeprefix("torch."),
        "version": __version__,
    }


def read_run(folder: Path) -> dict[str, Any]:
    """The ``run.json`` of a folder, with the id that the run's state, model and scores bear.

    Raises:
        ValueError: no run, or one of another version of this library.
    """
    if is_on_hub(folder):
        raise ValueError(
            f"{folder}: has no state of its training on the hub; expected the folder of a run, or "
            "fit again"
        )
    file = folder / RUN_FILE
    if not file.is_file():
        raise ValueError(f"{folder}: holds no run; expected a folder that fit wrote")
    content = read_json(file)
    _refuse_format(content, file)
    if not isinstance(content.get("id"), str):
        raise ValueError(f"{file}: damaged, its entry 'id' is missing; fit it again")
    return content


def _refuse_format(content: Mapping[str, Any], file: Path) -> None:
    """ValueError for what another version of this library wrote."""
    number = content.get("format", 1)
    if type(number) is not int:
        raise ValueError(f"{file}: not a file of reparam, or a damaged one: no format number")
    if number != FORMAT:
        raise ValueError(
            f"{file}: written by {'a newer' if number > FORMAT else 'an older'} reparam (format "
            f"{number}); this is {__version__} (format {FORMAT}): fit it again"
        )


def refuse_other_run(header: Mapping[str, Any], run: str, file: Path) -> None:
    """ValueError where a file in the folder of a run was written by another run."""
    if header.get("run") != run:
        raise ValueError(
            f"{file}: is of another run than the {RUN_FILE} beside it; put back the one that "
            "belongs there, or fit again"
        )


def rebuild(header: Mapping[str, Any], file: Path, seed: int = 0) -> Model:
    """The model, untrained, that a header describes; the default generator stays as it is."""
    if header.get("preset") is None:
        raise ValueError(f"{file}: holds a model that no preset builds; give it as model=")
    try:
        model = check(header, Description, "model")
        return build(header["preset"], model["space"], seed=seed, **model["parameters"])
    except ValueError as error:
        raise ValueError(f"{file}: does not describe a model of this version: {error}") from error
    except UNBUILT as error:
        said = f"{type(error).__name__}, {str(error).partition(chr(10))[0]}"
        raise ValueError(f"{file}: does not describe a model that can be built: {said}") from error


def _precision(header: Mapping[str, Any], file: Path) -> torch.dtype:
    """The type of the weights, as the header names it."""
    if header.get("precision") not in PRECISIONS:
        raise ValueError(f"{file}: damaged, its precision is {header.get('precision')!r}")
    return PRECISIONS[header["precision"]]


def fill(model: Model, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Load a state dict into the model; every tensor must be of the type it is there."""
    said = misfit(model.state_dict(), tensors)
    try:
        if not said:
            model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        said = " ".join(str(error).split())
    if said:
        raise ValueError(
            f"{file}: its weights do not fit the model, which another version may have built "
            f"otherwise (this is {__version__}); fit it again: {said}"
        )


def misfit(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Which tensors have no counterpart, the first by name and the others by number; "" if none.

    >>> x, y, z = torch.zeros(2), torch.zeros(3), torch.zeros(2, dtype=torch.int64)
    >>> misfit({"a": x, "b": x, "c": x}, {"a": x, "b": y, "c": z})
    'b of another shape; c of another type'
    >>> misfit({"a": x}, {"b": x, "c": x})
    'a missing; b and 1 more unknown'
    """
    both = sorted(expected.keys() & found.keys())
    wrong = {
        "missing": sorted(expected.keys() - found.keys()),
        "unknown": sorted(found.keys() - expected.keys()),
        "of another shape": [n for n in both if expected[n].shape != found[n].shape],
        "of another type": [n for n in both if expected[n].dtype != found[n].dtype],
    }
    return "; ".join(f"{listed(names, 1)} {how}" for how, names in wrong.items() if names)


def checksum(model: Model) -> str:
    """What tells these weights from others of the same model: a CRC-32, wherever they lie.

    >>> from reparam.presets import build
    >>> first, second = (build("ae", Space((3,), "real"), seed=seed) for seed in (0, 1))
    >>> checksum(first) == checksum(first), checksum(first) == checksum(second)
    (True, False)
    """
    return _checksum(_unshared(model.state_dict()), "")


def write_tensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    header: Mapping[str, Any],
    *,
    make_folder: bool = True,
) -> None:
    """Write tensors and a JSON header into one file, atomically."""
    stored, metadata = _packed(tensors, header, path)
    write_atomically(
        path, lambda temporary: save_file(stored, temporary, metadata), make_folder=make_folder
    )


def _packed(
    tensors: Mapping[str, Tensor], header: Mapping[str, Any], path: Path
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors as they are stored, and the metadata beside them."""
    stored, text = _unshared(tensors), _json_text(path, {"format": FORMAT, **header})
    # Other readers of safetensors insist on "format".
    return stored, {"format": "pt", "reparam": text, "checksum": _checksum(stored, text)}


def to_bytes(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """What ``write_tensors`` writes, in memory.

    >>> from_bytes(to_bytes({"a": torch.ones(1)}, {"b": 2}), "memory")
    ({'a': tensor([1.])}, {'format': 3, 'b': 2})
    """
    return serialize(*_packed(tensors, header, Path("header")))


def from_bytes(content: bytes, origin: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of what ``to_bytes`` made.

    Args:
        content: these bytes.
        origin: what messages call them.

    Raises:
        ValueError: bytes of something else, damaged ones, or of another version.
    """
    try:
        tensors = deserialize(content)
        length = int.from_bytes(content[:8], "little")
        metadata = msgspec.json.decode(content[8 : 8 + length])["__metadata__"]
    except (SafetensorError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{origin}: not of reparam, or damaged: {error}") from error
    return tensors, _checked_header(tensors, metadata, Path(origin))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file that ``write_tensors`` wrote.

    safetensors opens a file twice, for its header and for its tensors: where training has replaced
    it in between it is read again.
    """
    while True:
        before = _identity(path)
        try:
            return _read_tensors(path)
        except ValueError:
            if _identity(path) == before:
                raise


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from one that is put in its place."""
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_ino, there.st_mtime_ns


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a folder that fit or save wrote")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a file of reparam, or a damaged one: {error}") from error
    return tensors, _checked_header(tensors, metadata, path)


def _checked_header(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str], path: Path
) -> dict[str, Any]:
    """The header in the metadata beside tensors; ValueError where the two are not as written."""
    try:
        header = msgspec.json.decode(metadata["reparam"])  # in which every number is finite
    except (LookupError, ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{path}: not a file of reparam, or a damaged one: {error}") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path}: not a file of reparam, or a damaged one: no header")
    _refuse_format(header, path)
    given = {"format": "pt", "reparam": "", "checksum": "", **metadata}
    if len(given) > 3 or given["format"] != "pt":  # no checksum is over the names and the format
        raise ValueError(f"{path}: not a file of reparam, or a damaged one: its metadata differ")
    if given["checksum"] != _checksum(tensors, given["reparam"]):
        raise ValueError(f"{path}: damaged, its checksum does not match its content")
    return header


def write_json(path: Path, content: object, *, make_folder: bool = True) -> None:
    """Write JSON that a person can read, atomically; NaN is refused."""
    text = _json_text(path, content, indent=2, allow_nan=False)
    write_text(path, f"{text}\n", make_folder=make_folder)


def _json_text(path: Path, content: object, **options: Any) -> str:
    """Content as JSON; refused where it has text that no reader of JSON takes."""
    text = json.dumps(content, ensure_ascii=False, **options)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        before, after = (
            text[: error.start].rpartition('"')[2],
            text[error.start :].partition('"')[0],
        )
        raise ValueError(
            f"{path}: cannot hold the name {printable(before + after)}, which is not UTF-8; "
            "rename it"
        ) from None
    return text


def write_text(path: Path, text: str, *, make_folder: bool = True) -> None:
    """Write a text file atomically; what stands for bytes that are not UTF-8, as Python does."""
    write_atomically(
        path,
        lambda temporary: Path(temporary).write_text(text, "utf-8", "backslashreplace"),
        make_folder=make_folder,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; ValueError where it is absent or damaged."""
    try:
        content = msgspec.json.decode(path.read_bytes())  # in which every number is finite
    except (OSError, ValueError, RecursionError) as error:  # or nesting is too deep
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _checksum(tensors: Mapping[str, Tensor], text: str) -> str:
    """Of header and tensors: safetensors itself notices no byte that flips in a weight."""
    parts: list[str | memoryview] = [text]
    for name in sorted(tensors):
        tensor = tensors[name]
        parts.append(f"{name} {tensor.dtype} {tuple(tensor.shape)}")
        parts.append(tensor.flatten().view(torch.uint8).numpy().data)
    return atomic.checksum(parts)


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, tied weights stored once for each name."""
    seen: set[int] = set()
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous()
        address = copy.untyped_storage().data_ptr()
        stored[name] = copy.clone() if address in seen else copy
        seen.add(address)
    return stored
