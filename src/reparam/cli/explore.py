"""The command that opens a run in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.options import PATH, Force, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import named, show, show_notes, told
from reparam.wording import typed

if TYPE_CHECKING:
    from socket import socket as Socket

    from reparam.explore.server import Bound

MISSING = "explore: needs Starlette and uvicorn; install them with: pip install 'reparam[explore]'"


def explore(
    run: Run,
    /,
    *,
    port: Annotated[int, Parameter(help="To serve at; 0: one that is free.")] = 0,
    host: Annotated[
        str, Parameter(help="To serve at; others than this machine's own need --token.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        option(metavar="auto|WORD", help="That every request has to give; auto: made up."),
    ] = None,
    browser: Annotated[bool, Parameter(help="Open it in the browser.")] = True,
    page: Annotated[
        Path | None,
        PATH,
        Parameter(
            metavar="FILE.html", help="Write one file that decodes by itself; serve nothing."
        ),
    ] = None,
    force: Force = False,
    where: Where = HERE,
) -> None:
    """Explore a run in the browser: move through its codes and see what they decode to.

    It is served on this machine until Ctrl-C; with --page it is one file that needs no server.
    """
    if page is not None:
        _refuse_page(page, force)
        _write(_opened(run, where), page)
        return
    word = _check_place(host, port, token)
    from reparam.explore.server import Bound, listen

    socket = listen(host, port)
    try:
        bound = Bound(host, socket.getsockname()[1], word)
        _serve(_opened(run, where), socket, bound, browser)
    finally:
        socket.close()


def _opened(run: Path, where: Where) -> OpenRun:
    from reparam.model import Codec, Generator

    opened = where.open(run)
    if not isinstance(opened.model, Codec | Generator):
        name = type(opened.model).__name__
        raise ValueError(f"{run}: {name} makes no x that one could look at; explore a vae or ae")
    if opened.model.space.given is not None:
        raise ValueError(
            f"{run}: was trained on what is left of x, which no code is decoded without; use: "
            f"reparam restore {typed(run)}"
        )
    return opened


def _refuse_page(page: Path, force: bool) -> None:
    from reparam.atomic import check_place
    from reparam.checkpoint import RUN_FILE
    from reparam.train.folder import FILES

    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"page: expected a name ending in .html, got {str(page)!r}")
    check_place(page)
    if page.exists() and not force:
        raise ValueError(f"page: {page} exists already; choose another name or --force")
    if (page.parent / RUN_FILE).exists() and page.name in FILES:
        raise ValueError(f"page: {page} is of the run in {page.parent}; choose another name")


def _check_place(host: str, port: int, token: str | None) -> str | None:
    """The word that requests have to give, if any; refused before any work is done."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ValueError(MISSING) from error
    from reparam.explore.server import is_loopback, make_token

    if not host:  # which sockets take for all addresses
        raise ValueError("host: expected a name or a number, got ''; all addresses are 0.0.0.0")
    if not 0 <= port <= 65535:
        raise ValueError(f"port: expected 0 to 65535, got {port}")
    if not is_loopback(host) and token is None:
        raise ValueError(
            f"host: {host} can be reached by others; give --token auto, and only who has the "
            "address gets in"
        )
    return None if token is None else make_token(token)


def _write(run: OpenRun, page: Path) -> None:
    from reparam.checkpoint import write_text
    from reparam.explore.program import SLOW, program_of
    from reparam.explore.rendering import page_file
    from reparam.explore.subject import Subject

    program = program_of(run.model)
    subject = Subject(run.model, run.data(), run.path.resolve().name, in_file=True)
    text = page_file(subject, program)
    write_text(page, text)
    show(f"{told(page)}: {len(text.encode()) / 1e6:.2f} MB, opens in any browser")
    if program.milliseconds > SLOW:
        show_notes(
            [
                f"A picture takes about {program.milliseconds:.0f} ms in the page; served it takes "
                f"less: reparam explore {typed(run.path)}"
            ]
        )


def _serve(run: OpenRun, socket: Socket, bound: Bound, browser: bool) -> None:
    import threading
    import webbrowser

    from reparam.explore.server import application, serve
    from reparam.explore.subject import Subject
    from reparam.interrupt import Terminated

    name = run.path.resolve().name
    app = application(Subject(run.model, run.data(), name), bound)

    def ready() -> None:
        show(f"{told(bound.address)}  (Ctrl-C ends it)")
        if browser:
            # A browser of the terminal ends when it is closed, and asks this process for the page.
            threading.Thread(target=webbrowser.open, args=[bound.address], daemon=True).start()

    try:
        serve(app, socket, ready)
    except Terminated:
        raise
    except KeyboardInterrupt:  # raised anew by the server once it has ended, or not at all
        pass
    show(f"{named(name)} is no longer served")
