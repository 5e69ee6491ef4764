"""Limits of options: they stand in annotations, and whoever reads a value reads them there.

Keywords, words of the command line, JSON, fields of dataclasses and arguments of constructors are
checked by ``convert`` and ``check``; help and messages say limits in the words of ``described``.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import numbers
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

LARGEST = 2**63 - 1  # no tensor has more entries, no generator of PyTorch a larger seed

Count = Annotated[int, Meta(ge=1, le=LARGEST)]
Several = Annotated[int, Meta(ge=2, le=LARGEST)]  # so many as have a spread
Whole = Annotated[int, Meta(ge=0, le=LARGEST)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
AtLeastOne = Annotated[float, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
BelowOne = Annotated[float, Meta(ge=0, lt=1)]
ProperShare = Annotated[float, Meta(gt=0, lt=1)]

WORDS = {"none": None, "yes": True, "no": False}
NUMBERS = {int: "a whole number", float: "a number"}
BOUNDS = {"gt": "above", "ge": "of at least", "lt": "below", "le": "of at most"}

P = ParamSpec("P")
T = TypeVar("T")


def convert(name: str, value: object, annotation: Any, *, text: bool = True) -> Any:
    """``value`` in the annotated type; ValueError where it cannot be that or is beyond its limits.

    Args:
        name: what messages call it.
        value: one of that type, what JSON makes of it, or, with ``text``, what a person types.
        annotation: of bool, int, float, str, ``Literal``, tuples and unions of these, limited by
            ``Meta``. Numbers must be finite.
        text: whether strings are read as the command line gives them.

    >>> convert("hidden", "512,256", tuple[Count, ...]), convert("hidden", "()", tuple[Count, ...])
    ((512, 256), ())
    >>> convert("clip", "none", Positive | None), convert("lr", "1e-3", Positive)
    (None, 0.001)
    >>> convert("ratio", ".75", ProperShare), convert("betas", ".9,.999", tuple[BelowOne, BelowOne])
    (0.75, (0.9, 0.999))
    >>> convert("latent_dim", 0, Count)
    Traceback (most recent call last):
    ValueError: latent_dim: expected a whole number of at least 1, got 0
    """
    for reading in _readings(value) if text else (value, (value,)):
        try:
            found = msgspec.convert(_builtin(reading), annotation, strict=not text)
        except msgspec.ValidationError:
            continue
        if all(math.isfinite(x) for x in _parts(found) if isinstance(x, float)):
            return found
    large = isinstance(value, int) and value > LARGEST
    expected = "less than 2^63" if large else described(annotation)
    raise ValueError(f"{name}: expected {expected}, got {value!r}")


def _readings(value: object) -> Iterator[object]:
    """What a person may mean: the value itself, a word, a list; a number is also a list of one."""
    yield value
    if isinstance(value, str):
        yield _with_zero(value)
        yield WORDS.get(value.lower(), value)
        yield [_with_zero(part) for part in value.strip("()").split(",") if part]
    else:
        yield [value]


def _with_zero(text: str) -> str:
    """.5 as 0.5, which JSON takes for a number."""
    return re.sub(r"^([-+]?)\.(?=\d)", r"\g<1>0.", text)


def _parts(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _builtin(value: object) -> object:
    """Numbers of NumPy as those of Python."""
    if isinstance(value, numbers.Number) and hasattr(value, "item"):
        return value.item()
    return value


def described(annotation: Any) -> str:
    """A type and its limits as a person reads them.

    >>> described(Count), described(ProperShare | None)
    ('a whole number of at least 1', 'a number above 0 and below 1 or none')
    >>> described(Literal["auto", "mlp", "conv"]), described(tuple[Count, ...])
    ('auto, mlp or conv', 'whole numbers of at least 1, as 2,1')
    >>> described(tuple[Share, Share])
    '2 numbers of at least 0 and of at most 1'
    """
    origin, members = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, meta = described(members[0]), members[1]
        said = [
            f"{word} {limit if isinstance(limit, int) else f'{limit:g}'}"
            for bound, word in BOUNDS.items()
            if (limit := getattr(meta, bound)) not in (None, LARGEST)
        ]
        return " ".join([base, " and ".join(said)]) if said else base
    if origin is Literal:
        *others, last = map(str, members)
        return f"{', '.join(others)} or {last}" if others else last
    if origin in (types.UnionType, typing.Union):
        *others, last = map(described, members)
        return f"{', '.join(one.replace(' or ', ', ') for one in others)} or {last}"
    if origin in (tuple, Sequence):
        one = described(members[0])
        if get_origin(members[0]) is Literal:
            return f"{one.replace(' or ', ', ')}, one or several with commas"
        many = one.removeprefix("a ").replace("number", "numbers")
        return f"{many}, as 2,1" if Ellipsis in members else f"{len(members)} {many}"
    if annotation is bool:
        return "true or false"
    return "none" if annotation is type(None) else NUMBERS.get(annotation, "a text")


class Limited:
    """A frozen dataclass whose fields keep to their annotations, however it is made."""

    def __post_init__(self) -> None:
        kind: Any = type(self)
        known = hints(kind)
        for name in (field.name for field in dataclasses.fields(self)):  # type: ignore[arg-type]
            value = convert(name, getattr(self, name), known[name], text=False)
            object.__setattr__(self, name, value)


@functools.cache
def hints(documented: Any) -> dict[str, Any]:
    """The annotations of a class or function, with their limits."""
    return typing.get_type_hints(documented, include_extras=True)


def limited(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of a function or constructor whose annotations have limits.

    >>> @limited
    ... def power(x: float, k: Count = 2) -> float:
    ...     return x**k
    >>> power(3.0, k=-1)
    Traceback (most recent call last):
    ValueError: k: expected a whole number of at least 1, got -1
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        limits = hints(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in limits and _has_limits(limits[name]):
                convert(name, value, limits[name], text=False)
        return function(*args, **kwargs)

    return checked


def _has_limits(annotation: Any) -> bool:
    if get_origin(annotation) in (Annotated, Literal):
        return True
    return any(_has_limits(member) for member in get_args(annotation))


def argument_help(documented: Any) -> dict[str, str]:
    """The sentences of a docstring's ``Args`` section, by name; of a class, of its bases' too.

    >>> argument_help(convert)["name"]
    'what messages call it.'
    """
    found: dict[str, str] = {}
    for base in reversed(getattr(documented, "__mro__", (documented,))):
        text = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")[2]
        section = re.split(r"\n\S|\n\n", text)[0]
        for entry in re.split(r"^ {4}(?=\w)", section, flags=re.MULTILINE)[1:]:
            name, _, meaning = entry.partition(":")
            found[name] = " ".join(meaning.replace("``", "").split())
    return found


def check(content: object, expected: type[T], name: str) -> T:
    """JSON content as a dataclass or ``TypedDict``; ValueError, naming the entry at fault.

    Args:
        content: what was read: dictionaries, lists, strings, numbers, true, false, null.
        expected: what has no default or is required must be there, and nothing unknown.
        name: what messages call the content.

    >>> class Numbers(typing.TypedDict):
    ...     rows: list[int]
    >>> check({"rows": [1, "2"]}, Numbers, "numbers")
    Traceback (most recent call last):
    ValueError: numbers.rows[1]: expected int, got str
    """
    try:
        found = msgspec.convert(content, expected)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).replace("`", "").partition(" - at $")
        reason, _, missing = reason.partition("Object missing required field ")
        said = f".{missing} is missing" if missing else f": {reason[0].lower()}{reason[1:]}"
        raise ValueError(f"{name}{place}{said}") from None
    _refuse_unknown(content, expected, name)
    return found


def _refuse_unknown(content: Any, expected: Any, name: str) -> None:
    known = hints(expected)
    for key, value in content.items():
        if key not in known:
            raise ValueError(f"{name}.{key} is unknown")
        hint = known[key]
        for member in (hint, *get_args(hint)):  # which may be optional, or need not be there
            inside = dataclasses.is_dataclass(member) or typing.is_typeddict(member)
            if inside and isinstance(value, dict) and get_origin(hint) is not dict:
                _refuse_unknown(value, member, f"{name}.{key}")


@contextmanager
def called(name: str, typed: str) -> Iterator[None]:
    """A context in which errors name an argument as the caller has typed it.

    >>> with called("n", "rows"):
    ...     positive_count("n", 0)
    Traceback (most recent call last):
    ValueError: rows: expected a positive whole number, got 0
    """
    try:
        yield
    except ValueError as error:
        argument, colon, said = str(error).partition(":")
        if argument != name:
            raise
        raise ValueError(f"{typed}{colon}{said}") from None


def positive_count(name: str, n: int) -> None:
    """Refuse an empty selection, and what is no whole number."""
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{name}: expected a positive whole number, got {n!r}")
