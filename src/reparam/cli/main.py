"""The command line: commands from a few modules, and one way for errors to end."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import typer

from reparam import __version__
from reparam.cli import complete, denoise, edit, look, train, use, vary
from reparam.cli.messages import MEMORY_REMEDY, complain, is_out_of_memory, show_warning
from reparam.interrupt import exit_code, terminable

UsageError: Any = typer.BadParameter.__mro__[1]  # what Typer refuses; it exports this child only


class Commands(typer.core.TyperGroup):
    """The commands; one that is interrupted says so, and what to do if it left a message."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:  # Typer would end without a word
            typer.echo(str(interrupt) or "interrupted", err=True)
            raise typer.Exit(exit_code(interrupt)) from None


app = typer.Typer(
    cls=Commands,
    help="Train, measure, compare and use autoencoders, VAEs and explicit densities.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (
    look.models,
    look.data,
    train.fit,
    train.resume,
    look.evaluate,
    train.compare,
    use.sample,
    use.reconstruct,
    use.encode,
    denoise.denoise,
    complete.complete,
    edit.interpolate,
    edit.traverse,
    edit.classify,
    vary.vary,
):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reparam {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """The options before a command."""


def main() -> None:
    """Run a command; what the user can mend is one message and exit code 2."""
    warnings.showwarning = show_warning
    try:
        with terminable():
            sys.exit(app(standalone_mode=False))
    except UsageError as error:
        if error.format_message():  # not where no command was given: the help stands there by now
            usage = getattr(error, "ctx", None)
            hint = f" (see {usage.command_path} --help)" if usage else ""
            complain("error", error.format_message() + hint)
        sys.exit(2)
    except (ValueError, ArithmeticError, OSError, MemoryError, RuntimeError) as error:
        memory = is_out_of_memory(error)
        if os.environ.get("REPARAM_DEBUG") or (isinstance(error, RuntimeError) and not memory):
            raise
        complain("error", MEMORY_REMEDY if memory else str(error))
        sys.exit(2)
    except KeyboardInterrupt as interrupt:
        typer.echo("interrupted", err=True)
        sys.exit(exit_code(interrupt))
