"""The registry of named models: functions Space -> Model, with what they accept and their paper."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch

from reparam.config import TrainConfig
from reparam.model import DataKind, Model, Space

Builder = Callable[..., Model]


@dataclass(frozen=True)
class Accepts:
    """Which data a preset is for."""

    kinds: tuple[DataKind, ...] = ("binary", "levels", "real")
    images: bool = True
    vectors: bool = True
    condition: bool = False  # whether it needs labels or attributes

    def refusal(self, space: Space) -> str | None:
        """Why ``space`` is not accepted; None if it is."""
        if space.kind not in self.kinds:
            return f"{' or '.join(self.kinds)} data, got {space.kind}"
        if space.is_image and not self.images:
            return f"vectors, got images of shape {space.shape}"
        if not space.is_image and not self.vectors:
            return f"images, got vectors of {space.dimension} entries"
        if self.condition and space.classes is None and space.attributes is None:
            return "data with labels or attributes, got none"
        return None


@dataclass(frozen=True)
class Parameter:
    """One keyword of a preset, as its signature gives it."""

    name: str
    annotation: Any
    default: Any

    @property
    def type_name(self) -> str:
        """The type as a person reads it.

        >>> Parameter("n", Literal["a", "b"], "a").type_name
        'a | b'
        """
        return _type_name(self.annotation)

    @property
    def shown_default(self) -> str:
        return shown(self.default)

    def check(self, value: object) -> object:
        """The value in the parameter's type; ValueError where it cannot be that."""
        try:
            return convert(value, self.annotation)
        except ValueError:
            raise ValueError(f"{self.name}: expected {self.type_name}, got {value!r}") from None


@dataclass(frozen=True)
class Preset:
    """A named builder with its paper, its data and its training defaults.

    Calling it builds the model: ``preset(space, **parameters)``.
    """

    name: str
    build: Builder
    paper: str
    accepts: Accepts
    train: TrainConfig

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.build) or "").split("\n")[0]

    @property
    def parameters(self) -> dict[str, Parameter]:
        hints = get_type_hints(self.build)
        signature = list(inspect.signature(self.build).parameters.values())[1:]
        return {p.name: Parameter(p.name, hints[p.name], p.default) for p in signature}

    def check(self, given: Mapping[str, object]) -> dict[str, Any]:
        """The given parameters in their types; an unknown name or bad value lists what is valid."""
        known = self.parameters
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known)
                valid = ", ".join(f"{p.name} ({p.type_name})" for p in known.values())
                raise ValueError(f"{name}: no parameter of {self.name}{hint}; it has {valid}")
        return {name: known[name].check(value) for name, value in given.items()}

    def __call__(self, space: Space, **parameters: object) -> Model:
        refusal = self.accepts.refusal(space)
        if refusal is not None:
            raise ValueError(f"{self.name}: expected {refusal}")
        model = self.build(space, **(given := self.check(parameters)))
        defaults = {name: p.default for name, p in self.parameters.items()}
        special = {name: value for name, value in given.items() if value != defaults[name]}
        model.recipe = {"preset": self.name, "parameters": special}
        return model

    def complete(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        """The parameters with every default filled in: what outlives a change of defaults."""
        return {name: p.default for name, p in self.parameters.items()} | dict(parameters)


PRESETS: dict[str, Preset] = {}


def preset(
    name: str, *, paper: str, accepts: Accepts | None = None, train: TrainConfig | None = None
) -> Callable[[Builder], Builder]:
    """Register a function ``(space, *, keyword: type = default …) -> Model`` under a name."""

    def register(build: Builder) -> Builder:
        if name in PRESETS:
            raise ValueError(f"preset: {name!r} is registered already")
        PRESETS[name] = Preset(name, build, paper, accepts or Accepts(), train or TrainConfig())
        return build

    return register


def find_preset(name: str) -> Preset:
    """The preset of that name; ValueError with the nearest and all names otherwise."""
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS)
        raise ValueError(f"{name}: no such model{hint}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def build(name: str, space: Space, *, seed: int | None = None, **parameters: object) -> Model:
    """Build a model by its preset's name, for data of this space.

    Args:
        name: a key of ``PRESETS``.
        space: what x is, ``load_data(...).space``.
        seed: of the first weights, which then depend on nothing else and leave PyTorch's default
            generator as it is; None: they are drawn from that generator.
        parameters: of the preset; values may be strings, as on the command line.

    Raises:
        ValueError: an unknown name or parameter, a bad value, or data it is not for.

    >>> build("vae", Space((1, 8, 8), "binary"), latent_dim=4).code_space.shape
    (4,)
    """
    chosen = find_preset(name)
    if seed is None:
        return chosen(space, **parameters)
    with torch.random.fork_rng(devices=[]):
        # Of the CPU alone, where weights are made: torch.manual_seed would seed GPUs as well.
        torch.default_generator.manual_seed(TrainConfig(seed=seed).seed)
        return chosen(space, **parameters)


def markdown_table() -> str:
    """The registry as the README shows it.

    >>> markdown_table().splitlines()[1]
    '|---|---|---|'
    """
    cells = ((f"`{p.name}`", p.summary, p.paper) for p in PRESETS.values())
    rows = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in cells]
    return "\n".join(
        ["| model | what it is | paper |", "|---|---|---|", *(f"| {row} |" for row in rows)]
    )


def did_you_mean(name: str, known: Mapping[str, object]) -> str:
    """A hint at the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, known, 1)
    return f" (did you mean {near[0]}?)" if near else ""


def convert(value: object, annotation: Any) -> Any:
    """``value``, perhaps a string from the command line, as the annotated type.

    >>> convert("512,256", tuple[int, ...]), convert("()", tuple[int, ...])
    ((512, 256), ())
    >>> convert("none", int | None), convert("1e-3", float)
    (None, 0.001)
    """
    origin = get_origin(annotation)
    if origin is Literal:
        if value in get_args(annotation):
            return value
        raise ValueError
    if origin in (types.UnionType, typing.Union):
        return _convert_union(value, get_args(annotation))
    if origin is tuple:
        parts = value.strip("()").split(",") if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)):
            parts = [parts]
        return tuple(convert(p, get_args(annotation)[0]) for p in parts if p != "")
    if annotation is bool:
        words = {"true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
        if str(value).lower() not in words:
            raise ValueError
        return words[str(value).lower()]
    if annotation in (int, float):
        return _number(value, annotation)
    if annotation is str and isinstance(value, str):
        return value
    raise ValueError


def shown(value: object) -> str:
    """A parameter's value as the command line takes it.

    >>> shown((512, 256)), shown(()), shown(None)
    ('512,256', '()', 'none')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    return "none" if value is None else str(value)


def _convert_union(value: object, members: tuple[Any, ...]) -> Any:
    if type(None) in members and (value is None or str(value).lower() == "none"):
        return None
    for member in members:
        try:
            return convert(value, member)
        except ValueError:
            continue
    raise ValueError


def _number(value: object, kind: type) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    if kind is float:
        return number
    if not number.is_integer() or abs(number) >= 2**63:  # no tensor has such a size
        raise ValueError
    return int(number)


def _type_name(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, args))
    if origin in (types.UnionType, typing.Union):
        return " | ".join(_type_name(a) for a in args)
    if origin is tuple:
        return f"{_type_name(args[0])},{_type_name(args[0])},…"
    return "none" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` words as a dictionary.

    >>> parse_assignments(["latent_dim=2", "network=conv"])
    {'latent_dim': '2', 'network': 'conv'}
    """
    parameters: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{word}: expected key=value, as in latent_dim=2")
        if key in parameters:
            raise ValueError(f"{key}: given twice")
        parameters[key] = value
    return parameters
