"""Options that several commands share, each defined once, and what they become."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from reparam.config import TrainConfig
from reparam.limits import argument_help, convert

if TYPE_CHECKING:
    from reparam.data import Data

Command = Callable[..., None]

Force = Annotated[bool, typer.Option("--force", help="Overwrite what lies there.")]
LARGEST_SEED = 2**63 - 1  # of PyTorch's generators


def _checked_seed(seed: int) -> int:
    if not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed: expected 0 to 2**63 - 1, got {seed}")
    return seed


Seed = Annotated[int, typer.Option(callback=_checked_seed, help="Of all draws.")]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Importance samples per example of the log-likelihood; none: 1000, fewer where the "
        "data are large.",
    ),
]


def _data_option(kind: Any, text: str, name: str | None = None) -> Any:
    names = () if name is None else (name,)
    return Annotated[kind, typer.Option(*names, help=text, rich_help_panel="Data")]


_DATA_OPTIONS: dict[str, tuple[Any, Any]] = {
    "label": (_data_option(str | None, "Column of a table that holds the labels."), None),
    "drop": (_data_option(list[str] | None, "Column to leave out; may be repeated."), None),
    "attributes": (
        _data_option(list[str] | None, "Column of conditions; may be repeated.", "--attribute"),
        None,
    ),
    "factors": (
        _data_option(
            list[str] | None, "Column of a known factor of variation; may be repeated.", "--factor"
        ),
        None,
    ),
    "kind": (_data_option(str | None, "binary, levels or real, instead of the rules."), None),
    "levels": (_data_option(int | None, "K: the values are integers 0 to K−1."), None),
    "binarize": (
        _data_option(str | None, "A threshold, static (one random draw) or dynamic."),
        None,
    ),
    "size": (_data_option(str | None, "Image size: 64, or 48x64 (height x width)."), None),
    "pad": (_data_option(bool, "How other proportions are made to fit.", "--pad/--crop"), False),
    "test": (_data_option(str | None, "Where the test split lies, if elsewhere."), None),
}


def takes_data(command: Command) -> Command:
    """Give a command with a parameter ``data: Data`` the options that load it."""
    parameters = dict(inspect.signature(command).parameters)
    asked = typer.Argument(help="A named set, a folder of images, .npz .npy .csv .parquet.")
    optional = parameters["data"].default is None
    parameters["data"] = parameters["data"].replace(
        annotation=Annotated[str | None, asked] if optional else Annotated[str, asked]
    )

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        options = {name: arguments.pop(name) for name in _DATA_OPTIONS}
        if arguments["data"] is not None:
            arguments["data"] = open_data(arguments["data"], options)
        command(**arguments)

    return _with_signature(wrapped, parameters | _parameters(_DATA_OPTIONS))


def takes_config(command: Command) -> Command:
    """Give a command whose parameter is ``fields: dict`` an option for each of TrainConfig."""
    help_of = argument_help(TrainConfig)
    hints = get_type_hints(TrainConfig)
    words = {"budget": "60s|5m|none"}
    options = {
        field.name: (_config_option(field, hints[field.name], help_of, words), None)
        for field in dataclasses.fields(TrainConfig)
    }

    @functools.wraps(command)
    def wrapped(**arguments: Any) -> None:
        given = {name: arguments.pop(name) for name in options}
        fields = {name: value for name, value in given.items() if value is not None}
        arguments["fields"] = {
            name: _config_value(name, value, hints[name]) for name, value in fields.items()
        }
        command(**arguments)

    parameters = dict(inspect.signature(command).parameters)
    del parameters["fields"]
    return _with_signature(wrapped, parameters | _parameters(options))


def _config_option(
    field: dataclasses.Field[Any], hint: Any, help_of: dict[str, str], words: dict[str, str]
) -> Any:
    """An option of that type; text where ``none`` is a value too, to be told from not given."""
    members = [member.__name__ for member in get_args(hint) if isinstance(member, type)]
    optional = "NoneType" in members
    named = "|".join(members).replace("NoneType", "none") if optional else None
    option = typer.Option(
        help=help_of[field.name],
        metavar=words.get(field.name, named),
        show_default=field.default is not None and str(field.default),
        rich_help_panel="Training",
    )
    return Annotated[(str if optional else hint) | None, option]


def _config_value(name: str, value: Any, hint: Any) -> Any:
    """A field of TrainConfig as the command line gives it."""
    if name == "budget" and value.lower() != "none":
        return parse_seconds(value)
    if name == "seed":
        return _checked_seed(value)
    return convert(name, value, hint)


def open_data(source: str, options: dict[str, Any]) -> Data:
    """Load data as the command line names them."""
    from reparam.data import load_data

    # By identity: 0 levels are a mistake to report, though 0 equals False.
    absent = (None, False)
    given = {k: v for k, v in options.items() if not any(v is a for a in absent) and v != []}
    if "pad" in given:
        given["fit_size"] = "pad" if given.pop("pad") else "crop"
    if "size" in given:
        given["size"] = _parse_size(given["size"])
    if given.get("binarize") not in (None, "static", "dynamic"):
        given["binarize"] = parse_number("binarize", given["binarize"], " or static or dynamic")
    return load_data(source, **given)


def parse_seconds(text: str) -> float:
    """A duration in seconds.

    >>> parse_seconds("90"), parse_seconds("60s"), parse_seconds("1.5m")
    (90.0, 60.0, 90.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise ValueError(f"budget: expected seconds as 60s, 5m or 1h, or none, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _parse_size(text: str) -> int | tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text)
    if match is None:
        raise ValueError(f"size: expected 64 or 48x64 (height x width), got {text!r}")
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


def parse_number(name: str, text: str, others: str = "") -> float:
    """A number; the message of any other text also says what else there is.

    >>> parse_number("age", "1e2")
    100.0
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number{others}, got {text!r}") from None


def _parameters(options: dict[str, tuple[Any, Any]]) -> dict[str, inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    return {
        name: inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    }


def _with_signature(function: Command, parameters: dict[str, inspect.Parameter]) -> Command:
    """The function as Typer will see it: its annotations are read here, in its own module."""
    # functools.wraps left a way to the command, whose module knows the names in its annotations.
    names = inspect.unwrap(function).__globals__
    resolved = [
        p.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=eval(p.annotation, names) if isinstance(p.annotation, str) else p.annotation,
        )
        for p in parameters.values()
    ]
    function.__signature__ = inspect.Signature(resolved)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in resolved}
    return function
