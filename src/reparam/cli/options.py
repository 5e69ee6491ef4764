"""Options that several commands share, each defined once, and what they become."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, get_args, get_type_hints

from cyclopts import Group, Parameter, Token

from reparam.config import TrainConfig

if TYPE_CHECKING:
    from reparam.data import Data


def option(*names: str, **words: Any) -> Parameter:
    """An option whose value is text, with no ``--no-…`` beside it."""
    return Parameter(name=names or None, negative=(), **words)


OPTIONS = Group("Options", sort_key=7)  # after the groups of commands
DATA, TRAINING = Group("Data", sort_key=8), Group("Training", sort_key=9)
Force = Annotated[bool, option(show_default=False, help="Overwrite what lies there.")]


def _check_seed(kind: object, seed: int) -> None:
    TrainConfig(seed=seed)


Seed = Annotated[int, option(validator=_check_seed, help="Of all draws.")]
Samples = Annotated[
    int | None,
    option(
        help="Importance samples per example of the log-likelihood; none: 1000, fewer where the "
        "data are large."
    ),
]


def _size(kind: object, tokens: Sequence[Token]) -> int | tuple[int, int]:
    """Height and width; one number where they are equal."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text := tokens[0].value)
    if match is None:
        raise ValueError(f"size: expected 64 or 48x64 (height x width), got {text!r}")
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


def _binarize(kind: object, tokens: Sequence[Token]) -> str | float:
    text = tokens[0].value
    if text in ("static", "dynamic"):
        return text
    return parse_number("binarize", text, " or static or dynamic")


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class DataOptions:
    """How data are read.

    Args:
        label: Column of a table that holds the labels.
        drop: Column to leave out; may be repeated.
        attributes: Column of conditions; may be repeated.
        kind: binary, levels or real, instead of the rules.
        levels: K: the values are integers 0 to K−1.
        binarize: A threshold, static (one random draw) or dynamic.
        size: Image size: 64, or 48x64 (height x width).
        pad: How other proportions are made to fit.
        test: Where the test split lies, if elsewhere.
    """

    label: Annotated[str | None, Parameter(metavar="COLUMN")] = None
    drop: Annotated[list[str] | None, option(metavar="COLUMN")] = None
    attributes: Annotated[list[str] | None, option("--attribute", metavar="COLUMN")] = None
    kind: Annotated[str | None, Parameter(metavar="KIND")] = None
    levels: int | None = None
    binarize: Annotated[str | float | None, Parameter(converter=_binarize, metavar="HOW")] = None
    size: Annotated[
        int | tuple[int, int] | None, Parameter(converter=_size, n_tokens=1, metavar="SIZE")
    ] = None
    pad: Annotated[bool, Parameter(negative="--crop", show_default="crop")] = False
    test: Annotated[str | None, Parameter(metavar="SOURCE")] = None

    def load(self, source: str) -> Data:
        """The data of a source, read so."""
        from reparam.data import load_data

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in values.items() if value is not None}
        return load_data(source, fit_size="pad" if given.pop("pad") else "crop", **given)


BY_RULES = DataOptions()


Source = Annotated[str, Parameter(help="A named set, a folder of images, .npz .npy .csv .parquet.")]


def parse_seconds(text: str) -> float:
    """A duration in seconds.

    >>> parse_seconds("90"), parse_seconds("60s"), parse_seconds("1.5m")
    (90.0, 60.0, 90.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise ValueError(f"budget: expected seconds as 60s, 5m or 1h, or none, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _budget(kind: object, tokens: Sequence[Token]) -> float | None:
    text = tokens[0].value
    return None if text.lower() == "none" else parse_seconds(text)


def parse_number(name: str, text: str, others: str = "") -> float:
    """A number; the message of any other text also says what else there is.

    >>> parse_number("age", "1e2")
    100.0
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number{others}, got {text!r}") from None


def argument_help(documented: Any) -> dict[str, str]:
    """The sentences of a docstring's ``Args`` section, by name.

    >>> argument_help(TrainConfig)["lr"]
    'learning rate of Adam.'
    """
    text = (inspect.getdoc(documented) or "").partition("Args:\n")[2]
    section = re.split(r"\n\S|\n\n", text)[0]
    entries = re.split(r"^ {4}(?=\w)", section, flags=re.MULTILINE)[1:]
    pairs = (entry.split(":", 1) for entry in entries)
    return {
        name: re.sub(r"\s+|``", lambda m: " " if m[0].isspace() else "", text).strip()
        for name, text in pairs
    }


def _check_training(kind: object, given: Mapping[str, Any]) -> None:
    TrainConfig(**given)


def _training() -> Any:
    """A dictionary of the fields of TrainConfig that were given, so that a preset's own stand."""
    hints, help_of = get_type_hints(TrainConfig, include_extras=True), argument_help(TrainConfig)
    shown = {}
    for field in fields(TrainConfig):
        text = help_of[field.name].replace("None:", "none:")
        special: dict[str, Any] = {"help": text[0].upper() + text[1:]}
        if type(None) in get_args(hints[field.name]):
            plain = [arg.__name__ for arg in get_args(hints[field.name]) if arg is not type(None)]
            special["metavar"] = "|".join([*plain, "none"]).upper()
        if field.name == "budget":
            special |= {"converter": _budget, "metavar": "60s|5m|none"}
        if field.default is not None and field.default is not False:
            special["show_default"] = str(field.default)
        shown[field.name] = Annotated[hints[field.name], Parameter(**special)]
    made = TypedDict("Training", shown, total=False)  # type: ignore[misc]
    return Annotated[made, Parameter(name="*", group=TRAINING, validator=_check_training)]


if TYPE_CHECKING:
    Training = Mapping[str, Any]
else:
    Training = _training()
NONE_GIVEN: Training = {}
