"""The command that opens a run in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from reparam.cli.options import PATH, Force, option
from reparam.cli.runs import HERE, OpenRun, Run, Where
from reparam.cli.tables import named, show, show_notes, told

if TYPE_CHECKING:
    from reparam.explore.subject import Subject

SLOW = 150  # milliseconds for a picture in the page, above which serving is better
PRODUCTS_PER_SECOND = 1e9  # that a page multiplies and adds, about; benchmarks/explore.py measures
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
    from reparam.explore.subject import Subject

    if page is not None:
        _refuse_page(page, force)
    else:
        word = _check_place(host, port, token)
    opened = where.open(run)
    name = opened.path.resolve().name
    if page is not None:
        _write(opened, name, page)
    else:
        _serve(Subject(opened.model, opened.data(), name), host, port, word, browser)


def _refuse_page(page: Path, force: bool) -> None:
    from reparam.atomic import check_place

    if page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"page: expected a name ending in .html, got {str(page)!r}")
    check_place(page)
    if page.exists() and not force:
        raise ValueError(f"page: {page} exists already; choose another name or --force")


def _check_place(host: str, port: int, token: str | None) -> str | None:
    """The word that requests have to give, if any; refused before any work is done."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise ValueError(MISSING) from error
    from reparam.explore.server import is_loopback, make_token

    if not 0 <= port <= 65535:
        raise ValueError(f"port: expected 0 to 65535, got {port}")
    if not is_loopback(host) and token is None:
        raise ValueError(
            f"host: {host} can be reached by others; give --token auto, and only who has the "
            "address gets in"
        )
    return None if token is None else make_token(token)


def _write(run: OpenRun, name: str, page: Path) -> None:
    from reparam.checkpoint import write_text
    from reparam.explore.page import page_file
    from reparam.explore.program import program_of
    from reparam.explore.subject import Subject

    program = program_of(run.model)
    subject = Subject(run.model, run.data(), name, in_file=True)
    text = page_file(subject, program)
    write_text(page, text)
    show(f"{told(page)}: {len(text.encode()) / 1e6:.2f} MB, opens in any browser")
    took = 1000 * program.products / PRODUCTS_PER_SECOND
    if took > SLOW:
        show_notes(
            [
                f"A picture takes about {took:.0f} ms in the page; served it is faster: "
                f"reparam explore {run.path}"
            ]
        )


def _serve(subject: Subject, host: str, port: int, token: str | None, browser: bool) -> None:
    import webbrowser

    from reparam.explore.server import Bound, application, listen, serve
    from reparam.interrupt import Terminated

    socket = listen(host, port)
    try:
        bound = Bound(host, socket.getsockname()[1], token)
        app = application(subject, bound)

        def ready() -> None:
            show(f"{told(bound.address)}  (Ctrl-C ends it)")
            if browser:
                webbrowser.open(bound.address)

        serve(app, socket, ready)
    except Terminated:
        raise
    except KeyboardInterrupt:
        show(f"{named(subject.name)} is no longer served")
    finally:
        socket.close()
