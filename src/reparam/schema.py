"""Whether the content of a JSON file is of the types that its reader expects."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Literal, NotRequired, get_args, get_origin, get_type_hints


def check(content: object, expected: Any, name: str) -> None:
    """ValueError, naming the entry at fault, where JSON content is not of an annotated type.

    Args:
        content: what ``json`` read: dictionaries, lists, strings, numbers, true, false, null.
        expected: a type of those; a union, ``Literal``, ``list[…]``, ``tuple[…, …]`` (a list in
            JSON) or ``dict[str, …]`` of such; a dataclass or ``TypedDict``: what has no default or
            is required must be there, and nothing unknown. Numbers must be finite.
        name: what messages call the content.

    >>> check({"rows": [{"step": 1}]}, dict[str, list[dict[str, float]]], "history")
    >>> check({"rows": [{"step": "1"}]}, dict[str, list[dict[str, float]]], "history")
    Traceback (most recent call last):
    ValueError: history.rows[0].step cannot be '1'
    """
    if dataclasses.is_dataclass(expected) or typing.is_typeddict(expected):
        _check_fields(content, expected, name)
    elif get_origin(expected) in (list, tuple):
        for index, item in enumerate(_of_kind(content, list, name)):
            check(item, get_args(expected)[0], f"{name}[{index}]")
    elif get_origin(expected) is dict:
        for key, value in _of_kind(content, dict, name).items():
            check(value, get_args(expected)[1], f"{name}.{key}")
    elif get_origin(expected) in (types.UnionType, typing.Union):
        _check_union(content, get_args(expected), name)
    elif not _is_plain(content, expected):
        raise ValueError(f"{name} cannot be {_shortened(content)}")


def _check_fields(content: object, expected: Any, name: str) -> None:
    entries = _of_kind(content, dict, name)
    hints = get_type_hints(expected, include_extras=True)
    optional = {key for key, hint in hints.items() if get_origin(hint) is NotRequired}
    if dataclasses.is_dataclass(expected):
        missing = dataclasses.MISSING
        fields = dataclasses.fields(expected)
        optional = {f.name for f in fields if (f.default, f.default_factory) != (missing, missing)}
    for key in entries:
        if key not in hints:
            raise ValueError(f"{name}.{key} is unknown")
    for key, hint in hints.items():
        if key in entries:
            inner = get_args(hint)[0] if get_origin(hint) is NotRequired else hint
            check(entries[key], inner, f"{name}.{key}")
        elif key not in optional:
            raise ValueError(f"{name}.{key} is missing")


def _check_union(content: object, members: tuple[Any, ...], name: str) -> None:
    failures = []
    for member in members:
        try:
            return check(content, member, name)
        except ValueError as error:
            failures.append(error)
    raise max(failures, key=lambda error: len(str(error).split(" ")[0]))  # what came furthest in


def _of_kind(content: object, kind: type, name: str) -> Any:
    if not isinstance(content, kind):
        raise ValueError(f"{name} cannot be {_shortened(content)}")
    return content


def _is_plain(content: object, expected: Any) -> bool:
    """Whether a value is of a type that has no parts; true and false are no numbers."""
    if expected is Any or content is None:
        return expected in (Any, None, type(None))
    if get_origin(expected) is Literal:
        return type(content) is not bool and content in get_args(expected)
    if expected is float:
        return type(content) is int or (type(content) is float and math.isfinite(content))
    return type(content) is expected


def _shortened(content: object) -> str:
    text = repr(content)
    return text if len(text) <= 60 else f"{text[:57]}…"
