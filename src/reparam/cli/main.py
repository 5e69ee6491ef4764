"""The command line: commands from a few modules, and one way for errors to end."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable

from cyclopts import App, CycloptsError, Group, Parameter

from reparam import __version__
from reparam.cli import (
    anomaly,
    classify,
    cluster,
    code_files,
    complete,
    compress,
    decompress,
    denoise,
    disentangle,
    draw,
    edit,
    explore,
    export,
    figure,
    finetune,
    look,
    paths,
    probe,
    publish,
    restore,
    train,
    transfer,
    tree,
    use,
    vary,
)
from reparam.cli.messages import MEMORY_REMEDY, complain, is_out_of_memory, refusal, show_warning
from reparam.cli.options import OPTIONS
from reparam.interrupt import exit_code, terminable
from reparam.terminal import printable, spell_out


def usage(command: Callable[..., None]) -> str:
    """The form of a command, in brackets what may be left out.

    >>> usage(look.data)
    'Usage: reparam data [SOURCE] [OPTIONS]'
    """
    words = ["Usage: reparam", command.__name__]
    for p in inspect.signature(command).parameters.values():
        name = p.name.upper()
        if p.kind is p.VAR_POSITIONAL:
            words.append("[KEY=VALUE ...]" if p.name == "parameters" else f"[{name} ...]")
        elif p.kind is p.POSITIONAL_ONLY:
            words.append(name if p.default is p.empty else f"[{name}]")
        elif p.default is p.empty:
            words.append(f"--{p.name} PATH")
    return " ".join([*words, *(["[OPTIONS]"] if command is not look.models else [])])


def flowing(command: Callable[..., None]) -> str:
    """What a command does, a line for each paragraph: terminals wrap at a width of their own."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


app = App(
    name="reparam",
    help="Train, measure, compare and use autoencoders, VAEs, densities and other generators.",
    version=f"reparam {__version__}",
    help_format="plaintext",
    group_parameters=OPTIONS,
    default_parameter=Parameter(negative_iterable=()),
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
GROUPS = {
    "Data and models": (look.models, look.data, look.gallery, draw.draw),
    "Train and measure": (
        train.fit,
        train.resume,
        look.evaluate,
        train.compare,
        disentangle.disentangle,
        probe.probe,
        finetune.finetune,
        transfer.transfer,
        figure.figure,
        tree.taxonomy,
    ),
    "Use a run": (
        use.sample,
        use.reconstruct,
        code_files.encode,
        code_files.decode,
        denoise.denoise,
        complete.complete,
        restore.restore,
        anomaly.anomaly,
    ),
    "Edit and classify": (
        paths.interpolate,
        paths.traverse,
        edit.edit,
        vary.vary,
        classify.classify,
        cluster.cluster,
    ),
    "Compress": (compress.compress, decompress.decompress),
    "Play": (explore.explore,),
    "Take elsewhere": (export.export, publish.push, publish.card),
}
for height, (title, commands) in enumerate(GROUPS.items()):
    group = Group(title, sort_key=height)
    for place, command in enumerate(commands):
        words = {"help": flowing(command), "usage": usage(command)}
        path = f"{command.__module__}:{command.__name__}"  # options are read when it is called
        app.command(path, group=group, sort_key=place, **words)
for flag in ("--help", "--version"):
    app[flag].group = OPTIONS


def main() -> None:
    """Run a command; what the user can mend is one message and exit code 2."""
    warnings.showwarning = show_warning
    spell_out(sys.stdout, sys.stderr)
    words = sys.argv[1:]
    try:
        with terminable():
            app(words, exit_on_error=False, print_error=False)
        sys.exit(0 if words else 2)  # without a command that was the help
    except CycloptsError as error:
        complain("error", refusal(error))
        sys.exit(2)
    except (ValueError, ArithmeticError, OSError, MemoryError, RuntimeError) as error:
        memory = is_out_of_memory(error)
        if os.environ.get("REPARAM_DEBUG") or (isinstance(error, RuntimeError) and not memory):
            raise
        complain("error", MEMORY_REMEDY if memory else str(error))
        sys.exit(2)
    except KeyboardInterrupt as interrupt:  # perhaps with a message: what to do about it
        sys.stderr.write(f"{printable(interrupt) or 'interrupted'}\n")
        sys.exit(exit_code(interrupt))
