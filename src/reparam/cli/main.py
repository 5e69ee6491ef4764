"""The command line: commands by name, each imported when called, and one way to end errors."""

from __future__ import annotations

import os
import sys
import warnings

from cyclopts import App, CycloptsError, Group, Parameter

from reparam import __version__
from reparam.cli.commands import GROUPS, OPTIONS, flowing, summary, usage
from reparam.cli.messages import MEMORY_REMEDY, complain, is_out_of_memory, refusal, show_warning
from reparam.interrupt import exit_code, terminable
from reparam.terminal import printable, spell_out

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
for height, (title, commands) in enumerate(GROUPS.items()):
    group = Group(title, sort_key=height)
    for place, command in enumerate(commands):  # which is imported when it is called
        path, about = f"reparam.cli.{command}", summary(command)
        app.command(path, group=group, sort_key=place, help=about)
for flag in ("--help", "--version"):
    app[flag].group = OPTIONS


def describe(words: list[str]) -> None:
    """Let the help of the command that is called say all about it."""
    if words and not words[0].startswith("-") and words[0] in app:
        called = app[words[0]]
        assert callable(called.default_command)
        called.usage, called.help = usage(called.default_command), flowing(called.default_command)


def main() -> None:
    """Run a command; what the user can mend is one message and exit code 2."""
    warnings.showwarning = show_warning
    spell_out(sys.stdout, sys.stderr)
    words = sys.argv[1:]
    try:
        with terminable():
            describe(words)
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
