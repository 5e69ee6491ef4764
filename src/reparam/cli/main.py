"""The command line: commands from three modules, and one way for errors to end."""

from __future__ import annotations

import os
import sys

import typer
from rich.console import Console

from reparam import __version__
from reparam.cli import look, train, use

app = typer.Typer(
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
    try:
        app()
    except (ValueError, ArithmeticError, OSError) as error:
        if os.environ.get("REPARAM_DEBUG"):
            raise
        message = " ".join(str(error).split())
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print("[bold red]error:[/bold red]", end=" ")
        console.print(message, markup=False)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
