"""Docstrings as the site shows them: what is plain text in them is no markup.

They are written to be read in a terminal: ``c`` may stand between asterisks, ``[0, 1]`` is an
interval and no link. Sections of one line (``Shape: …``) get their name in bold.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

SECTION = re.compile(r"^(Shape|Likelihood|Cost|Costs|Reference|References|Note): (?=\S)", re.M)
LINK = re.compile(r"(?<![<(\w])https?://[^\s)>\],;]*[^\s)>\],;.]")
DOCTEST = re.compile(r"^( *)>>> ")
PLAIN_SIGNS = re.compile(r"[\[\]$]|(?<!^)\*", re.M)


def shown(text: str) -> str:
    """The docstring in Markdown.

    >>> shown("q* and p*, in [0, 1].")
    'q\\\\* and p\\\\*, in \\\\[0, 1\\\\].'
    """
    return "\n\n".join(_paragraph(part) for part in text.split("\n\n"))


def _paragraph(text: str) -> str:
    example = DOCTEST.match(text)
    if example:
        return f"{example[1]}```pycon\n{text.rstrip()}\n{example[1]}```"
    parts = re.split(r"(``?[^`]+``?)", text)
    plain = [part if i % 2 else _escaped(part) for i, part in enumerate(parts)]
    return SECTION.sub(lambda m: f"**{m[1]}.** ", "".join(plain))


def _escaped(text: str) -> str:
    pieces = []
    last = 0
    for link in LINK.finditer(text):
        pieces += [_signs(text[last : link.start()]), f"<{link[0]}>"]
        last = link.end()
    return "".join([*pieces, _signs(text[last:])])


def _signs(text: str) -> str:
    return PLAIN_SIGNS.sub(r"\\\g<0>", text).replace("<", "&lt;")


class PlainText(griffe.Extension):
    """Escapes what is plain text, before sections are found in it."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Of every object that has a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = shown(obj.docstring.value)
