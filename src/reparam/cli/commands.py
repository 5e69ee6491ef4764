"""The commands by group, and what each does as its source says it: a list imports none of them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from cyclopts import Group

OPTIONS = Group("Options", sort_key=7)  # after those of commands
# Modules of this package, and the functions in them.
GROUPS = {
    "Data and models": ("look:models", "look:data", "look:gallery", "draw:draw"),
    "Train and measure": (
        "train:fit",
        "train:resume",
        "look:evaluate",
        "train:compare",
        "disentangle:disentangle",
        "probe:probe",
        "finetune:finetune",
        "transfer:transfer",
        "figure:figure",
        "tree:taxonomy",
    ),
    "Use a run": (
        "use:sample",
        "use:reconstruct",
        "code_files:encode",
        "code_files:decode",
        "denoise:denoise",
        "complete:complete",
        "restore:restore",
        "anomaly:anomaly",
    ),
    "Edit and classify": (
        "paths:interpolate",
        "paths:traverse",
        "edit:edit",
        "vary:vary",
        "classify:classify",
        "cluster:cluster",
    ),
    "Compress": ("compress:compress", "decompress:decompress"),
    "Play": ("explore:explore",),
    "Take elsewhere": ("export:export", "publish:push", "publish:card"),
}


def summary(command: str) -> str:
    """The first paragraph of a command's docstring, of which nothing is imported.

    >>> summary("look:models")
    'List the models, or describe one: its parameters, its paper, its data.'
    """
    module, _, name = command.partition(":")
    file = Path(__file__).parent / f"{module}.py"
    if not file.is_file():  # an installation of compiled files alone
        function = getattr(import_module(f"{__package__}.{module}"), name)
        return flowing(function).partition("\n\n")[0]
    docstring = rf'\ndef {name}\(.*?\) -> None:\n    """(.+?)(?:\n\n|""")'
    found = re.search(docstring, _text(file), re.DOTALL)
    assert found is not None, command
    return _on_one_line(found[1])


def usage(command: Callable[..., None]) -> str:
    """The form of a command, in brackets what may be left out.

    >>> from reparam.cli.look import data
    >>> usage(data)
    'Usage: reparam data [SOURCE] [OPTIONS]'
    """
    words, options = ["Usage: reparam", command.__name__], False
    for p in inspect.signature(command).parameters.values():
        name = p.name.upper()
        options = options or p.kind is p.KEYWORD_ONLY
        if p.kind is p.VAR_POSITIONAL:
            words.append("[KEY=VALUE ...]" if p.name == "parameters" else f"[{name} ...]")
        elif p.kind is p.POSITIONAL_ONLY:
            words.append(name if p.default is p.empty else f"[{name}]")
        elif p.default is p.empty:
            words.append(f"--{p.name} PATH")
    return " ".join([*words, *(["[OPTIONS]"] if options else [])])


def flowing(command: Callable[..., None]) -> str:
    """What a command does, a line for each paragraph: terminals wrap at a width of their own."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(map(_on_one_line, paragraphs))


def _on_one_line(paragraph: str) -> str:
    return " ".join(paragraph.split())


@cache
def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")
