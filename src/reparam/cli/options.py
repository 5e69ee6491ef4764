"""Options that several commands share, each defined once, and what they become."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict, get_args, get_origin

from cyclopts import Group, Parameter, Token

from reparam.config import TrainConfig
from reparam.hub_files import HubName, is_on_hub
from reparam.limits import argument_help, convert, hints
from reparam.wording import EMPTY_PATH

if TYPE_CHECKING:
    from reparam.data import Data


def option(*names: str, **words: Any) -> Parameter:
    """An option whose value is text, with no ``--no-…`` beside it."""
    return Parameter(name=names or None, negative=(), **words)


DATA, TRAINING = Group("Data", sort_key=8), Group("Training", sort_key=9)
Force = Annotated[bool, option(show_default=False, help="Overwrite what lies there.")]

Draw = Annotated[
    bool, option(show_default=False, help="Draw z ~ q(z|x) and x ~ p(x|z), not the mean of x.")
]


def _path(kind: object, tokens: Sequence[Token]) -> Path:
    text = tokens[0].value
    if not text:
        raise ValueError(f"{tokens[0].keyword or 'path'}: {EMPTY_PATH}")
    if is_on_hub(text):  # as it was typed: a Path has no double slashes
        HubName.parse(text)
    return Path(text)


PATH = Parameter(converter=_path, n_tokens=1)


def _check_seed(kind: object, seed: int) -> None:
    TrainConfig(seed=seed)


Coded = Annotated[
    bool,
    option(
        show_default=False,
        help="Make a file of the test examples too, read it back, and measure its bits/dim.",
    ),
]
Seed = Annotated[int, option(validator=_check_seed, help="Of all draws.")]
Samples = Annotated[
    int | None,
    option(
        help="Importance samples per example of the log-likelihood; none: 1000, fewer where the "
        "data are large. Of a diffusion model times, none: 20."
    ),
]


def _size(kind: object, tokens: Sequence[Token]) -> int | tuple[int, int]:
    """Height and width; one number where they are equal."""
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text := tokens[0].value)
    if match is None:
        raise ValueError(f"size: expected 64 or 48x64 (height x width), got {text!r}")
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


def _range(kind: object, tokens: Sequence[Token]) -> tuple[float, float]:
    """Two numbers; that the second is larger is for the library to check."""
    low, comma, high = tokens[0].value.partition(",")
    if not comma:
        raise ValueError(f"range: expected two numbers, as 0,65535, got {tokens[0].value!r}")
    return parse_number("range", low), parse_number("range", high)


def _bands(kind: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    text = tokens[0].value
    if re.fullmatch(r"\d+(,\d+)*", text) is None:
        raise ValueError(f"bands: expected channels as 3,2,1, got {text!r}")
    return tuple(map(int, text.split(",")))


def as_shape(kind: object, tokens: Sequence[Token]) -> tuple[int, ...]:
    """Height and width, perhaps after the number of channels."""
    if re.fullmatch(r"\d+(x\d+){1,2}", text := tokens[0].value) is None:
        raise ValueError(
            f"shape: expected 28x28 or 3x32x32 (channels x height x width), got {text!r}"
        )
    return tuple(map(int, text.split("x")))


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
        factors: Column of a known factor of variation; may be repeated.
        header: Whether the first line of a text table names its columns; none: decide.
        decimal: The mark before decimals, . or , where numbers as 1,234 do not tell; none: decide.
        only: Class whose rows are kept, no others; may be repeated.
        without: Class whose rows are left out; may be repeated.
        kind: binary, levels or real, instead of the rules; or COLUMN=KIND, which may be repeated,
            with real, log, levels, binary or category.
        rare: Names of a text column in less than this share of the rows become "other".
        missing: Of a table, whether rows with missing cells are kept or dropped (labels, too).
        one_hot: Columns of names become a flag for each name, as color=red.
        levels: K: the values are integers 0 to K−1, or these divided by K−1.
        binarize: A threshold, static (one random draw) or dynamic.
        size: Image size: 64, or 48x64 (height x width).
        pad: How other proportions are made to fit.
        range: What becomes black and white of images of more than 8 bits; none: their extremes.
        background: A color to lay transparent images upon.
        frames: first or all of image files with several.
        attribute_table: A CSV file with a row for each image file: attributes, factors or a label.
        x: Of an archive, the array of examples, if it has no common name.
        y: The array of their labels.
        bands: Channels of images in arrays that pictures show, from 0: 3,2,1 as red, green, blue.
        shape: Of the images that rows are, one column for each pixel: 28x28 or 3x32x32.
        test: Where the test split lies, if elsewhere.
    """

    label: Annotated[str | None, Parameter(metavar="COLUMN")] = None
    drop: Annotated[list[str] | None, option(metavar="COLUMN")] = None
    attributes: Annotated[list[str] | None, option("--attribute", metavar="COLUMN")] = None
    factors: Annotated[list[str] | None, option("--factor", metavar="COLUMN")] = None
    header: bool | None = None
    decimal: Annotated[str | None, Parameter(metavar="MARK")] = None
    only: Annotated[list[str] | None, option(metavar="CLASS")] = None
    without: Annotated[list[str] | None, option(metavar="CLASS")] = None
    kind: Annotated[list[str] | None, option(metavar="KIND")] = None
    missing: Annotated[Literal["keep", "drop"], option()] = "keep"
    rare: Annotated[float | None, Parameter(metavar="SHARE")] = None
    one_hot: Annotated[bool, option(show_default=False)] = False
    levels: int | None = None
    binarize: Annotated[str | float | None, Parameter(converter=_binarize, metavar="HOW")] = None
    size: Annotated[
        int | tuple[int, int] | None, Parameter(converter=_size, n_tokens=1, metavar="SIZE")
    ] = None
    pad: Annotated[bool, Parameter(negative="--crop", show_default="crop")] = False
    range: Annotated[
        tuple[float, float] | None,
        Parameter(converter=_range, n_tokens=1, allow_leading_hyphen=True, metavar="LOW,HIGH"),
    ] = None
    background: Annotated[str, Parameter(metavar="COLOR")] = "white"
    frames: Annotated[Literal["first", "all"] | None, option()] = None
    attribute_table: Annotated[str | None, Parameter(metavar="TABLE.csv")] = None
    x: Annotated[str | None, Parameter(metavar="ARRAY")] = None
    y: Annotated[str | None, Parameter(metavar="ARRAY")] = None
    bands: Annotated[
        tuple[int, ...] | None, Parameter(converter=_bands, n_tokens=1, metavar="INT,INT,INT")
    ] = None
    shape: Annotated[
        tuple[int, ...] | None, Parameter(converter=as_shape, n_tokens=1, metavar="SHAPE")
    ] = None
    test: Annotated[str | None, Parameter(metavar="SOURCE")] = None

    def load(self, source: str) -> Data:
        """The data of a source, read so."""
        from reparam.data import load_data

        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in values.items() if value is not None}
        if self.kind is not None:
            given["kind"] = _kinds(self.kind)
        return load_data(source, fit_size="pad" if given.pop("pad") else "crop", **given)


def _kinds(words: Sequence[str]) -> str | dict[str, str]:
    """The kind of all entries, or of each column that is named."""
    if len(words) == 1 and "=" not in words[0]:
        return words[0]
    pairs = [word.rpartition("=") for word in words]
    wrong = next((word for word, (name, _, _) in zip(words, pairs, strict=True) if not name), None)
    if wrong is not None:
        raise ValueError(f"kind: expected COLUMN=KIND, as age=real, got {wrong!r}")
    return {name: kind for name, _, kind in pairs}


BY_RULES = DataOptions()


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class LabelOptions:
    """How many labels training has.

    Args:
        labels: Keep so many labeled training rows, of every class at least one; a fifth of them
            are for validation.
        labels_seed: Of which rows these are.
    """

    labels: int | None = None
    labels_seed: int = 0

    def of(self, data: Data) -> Data:
        """The data with so many labels."""
        return data if self.labels is None else data.with_labels(self.labels, self.labels_seed)


ALL_LABELS = LabelOptions()


Source = Annotated[
    str, Parameter(help="A named set, a folder of images, .npz .npy .csv .tsv .parquet.")
]


def parse_seconds(text: str) -> float:
    """A duration in seconds.

    >>> parse_seconds("90"), parse_seconds("60s"), parse_seconds("1.5m")
    (90.0, 60.0, 90.0)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if match is None:
        raise ValueError(f"budget: expected seconds as 60s, 5m or 1h, or none, got {text!r}")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def parse_number(name: str, text: str, others: str = "") -> float:
    """A number; the message of any other text also says what else there is.

    >>> parse_number("age", "1e2")
    100.0
    """
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: expected a number{others}, got {text!r}") from None


def _check_training(kind: object, given: Mapping[str, Any]) -> None:
    TrainConfig(**given)


def _training() -> Any:
    """A dictionary of the fields of TrainConfig that were given, so that a preset's own stand."""
    help_of, known = argument_help(TrainConfig), hints(TrainConfig)
    shown = {field.name: _field(field, known[field.name], help_of) for field in fields(TrainConfig)}
    made = TypedDict("Training", shown, total=False)  # type: ignore[misc]
    return Annotated[made, Parameter(name="*", group=TRAINING, validator=_check_training)]


def _field(field: Field[Any], hint: Any, help_of: Mapping[str, str]) -> Any:
    """A field of TrainConfig as an option: flags and choices as they are, others by ``convert``."""

    def read(kind: object, tokens: Sequence[Token]) -> Any:
        text = tokens[0].value
        if field.name == "budget" and text.lower() != "none":
            return parse_seconds(text)
        return convert(field.name, text, hint)

    text = help_of[field.name].replace("None:", "none:")
    words: dict[str, Any] = {"help": text[0].upper() + text[1:]}
    if hint is not bool and get_origin(hint) is not Literal:
        form = "60s|5m|none" if field.name == "budget" else _form(hint)
        words |= {"converter": read, "n_tokens": 1, "metavar": form}
    if field.default not in (None, False, ()):
        words["show_default"] = _typed(field.default)
    return Annotated[hint, Parameter(**words)]


def _form(hint: Any) -> str:
    """What a value looks like: INT, FLOAT|NONE, FLOAT,FLOAT."""
    origin, members = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _form(members[0])
    if origin is Literal:
        return "|".join(members)
    if Ellipsis in members:
        return f"{_form(members[0])},…"
    if members:
        return ("," if origin is tuple else "|").join(map(_form, members))
    return "NONE" if hint is type(None) else hint.__name__.upper()


def _typed(default: object) -> str:
    """A default as it would be typed."""
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


if TYPE_CHECKING:
    Training = Mapping[str, Any]
else:
    Training = _training()
NONE_GIVEN: Training = {}
