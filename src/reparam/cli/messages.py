"""What goes wrong, in one line on the error stream."""

from __future__ import annotations

import sys
from typing import TextIO

from cyclopts import CoercionError, CycloptsError, ValidationError
from rich.text import Text

from reparam.terminal import console, printable

OUT_OF_MEMORY = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "storage size calculation overflowed",
)
MEMORY_REMEDY = (
    "out of memory; make hidden, --batch-size or the images (--size) smaller, or ask for fewer "
    "examples (-n) or --samples"
)


def complain(kind: str, message: str) -> None:
    """One line: the kind in bold, then the message as it is."""
    errors = console(stderr=True, soft_wrap=True)
    said = printable(" ".join(line.strip() for line in message.splitlines()))
    with errors.capture() as line:
        errors.print(Text(f"{kind}:", "bold red"), Text(said))
    # Not by the console itself: while a bar is drawn, what stands here puts the line above it.
    sys.stderr.write(line.get())


def refusal(error: CycloptsError) -> str:
    """Why the words of a command are refused: its own check's sentence, or where to read more."""
    if isinstance(error, ValidationError):
        return error.exception_message
    if isinstance(error, CoercionError) and error.msg:
        return str(error.msg)
    if isinstance(error, CoercionError) and error.argument and error.token:
        form = error.argument.parameter.metavar
        if form:  # which says more than the type: INT|NONE
            return f"{error.argument.name}: expected {form}, got {error.token.value!r}"
    command = " ".join(["reparam", *(error.command_chain or ())])
    said = str(error).partition(" Available commands:")[0]
    return f"{said.rstrip('.')} (see {command} --help)"


def show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In place of ``warnings.showwarning``: without the place in the source."""
    complain("warning", str(message))


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says so; PyTorch's are known by their words, without loading it.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    True
    """
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)
