"""What reaches a terminal: text of data and users as it is, in encodings that know few signs."""

from __future__ import annotations

import codecs
import unicodedata
from typing import Any, TextIO

from rich.console import Console

CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")  # of Unicode: they move, hide or turn around other text
JOINERS = "\u00ad\u200c\u200d"  # harmless ones, within words and pictures
# Signs of tables and messages, where the encoding of a stream has none of them.
SPELLED = {"≥": ">=", "≤": "<=", "±": "+/-", "≈": "~", "−": "-", "–": "-", "—": "-", "α": "alpha"}
SPELLED |= {"…": "...", "•": "*", "·": "*", "×": "x", "‖": "||", "β": "beta", "é": "e"}
SPELLED |= {"→": "->", "↑": "^", "°": " degrees", "₂": "2"}
HANDLER = "reparam.spelled"


def printable(text: object) -> str:
    """Text in which control characters are written as Python writes them, on one line.

    >>> printable("a\\x1b[2Jb"), printable("naïve [/red]")
    ('a\\\\x1b[2Jb', 'naïve [/red]')
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(_escaped(sign) if _controls(sign) else sign for sign in text)


def _controls(sign: str) -> bool:
    return unicodedata.category(sign) in CONTROLS and sign not in JOINERS


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def console(**options: Any) -> Console:
    """A console that makes no pictures of names such as :dog:."""
    return Console(emoji=False, **options)


def spell_out(*streams: TextIO) -> None:
    """Let streams write what their encoding does not know in other signs, not end in an error."""
    for stream in streams:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    unknown = error.object[error.start : error.end]
    return "".join(SPELLED.get(sign) or _escaped(sign) for sign in unknown), error.end


codecs.register_error(HANDLER, _spelled)
