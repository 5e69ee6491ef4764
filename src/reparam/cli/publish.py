"""Commands that publish a run: to the Hugging Face hub, or as the same files in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from reparam.cli.options import PATH, Force, option
from reparam.cli.runs import HERE, Run, Where
from reparam.cli.tables import show, told
from reparam.progress import bar

License = Annotated[
    str | None, option(metavar="NAME", help="As the hub names it, mit; none: nothing is said.")
]


def push(
    run: Run,
    name: Annotated[str, Parameter(help="owner/name of the repository.")],
    /,
    *,
    private: Annotated[
        bool, option(show_default=False, help="A new repository is seen by its owner alone.")
    ] = False,
    license: License = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Upload a run's model, scores, pictures and card to the Hugging Face hub.

    The token is that of `hf auth login`, or of HF_TOKEN.
    """
    from reparam.hub import push_to_hub

    with bar(f"publishing {run}") as watch:
        address = push_to_hub(
            run,
            name,
            private=private,
            license=license,
            data=where.moved,
            device=where.device,
            force=force,
            watch=watch,
        )
    show(f"{told(run)} is at {told(address)}")


def card(
    run: Run,
    /,
    *,
    out: Annotated[Path, PATH, Parameter(alias="-o", help="Folder for the files.")],
    name: Annotated[
        str | None, Parameter(help="owner/name that it is for; none: the card's own folder.")
    ] = None,
    license: License = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Write what push uploads into a folder: a model card, the model, its scores and pictures."""
    from reparam.hub import write_card

    with bar(f"measuring {run}") as watch:
        written = write_card(
            run,
            out,
            name=name,
            license=license,
            data=where.moved,
            device=where.device,
            force=force,
            watch=watch,
        )
    show(f"model card in {told(written)}")
