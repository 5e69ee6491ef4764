"""The page and its model on this machine: a small application, and who may ask it what."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import hmac
import ipaddress
import json
import logging
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reparam.explore.answers import Answers
from reparam.explore.facts import facts
from reparam.explore.rendering import Page, served_page
from reparam.explore.subject import Subject

Endpoint = Callable[[Request], Awaitable[Response]]

JSON_BYTES, UPLOAD_BYTES = 64 * 1024, 10 * 1024 * 1024
BYTES = "application/octet-stream"
PLACES = 8  # requests that wait for the model or are with it
MOST_DIGITS = 5  # of a port
LOCAL = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Bound(NamedTuple):
    """Where it is served, and the word that every request has to give, if any."""

    host: str
    port: int
    token: str | None = None

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def address(self) -> str:
        """What to open; it holds the word."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):  # noqa: S104  (all of them: this one is one)
            host = socket.gethostname()
        query = f"?token={self.token}" if self.token else ""
        return f"http://{host}:{self.port}/{query}"

    def knows(self, header: str) -> bool:
        """Whether a Host header names this place; names that only resolve to it do not.

        >>> Bound("127.0.0.1", 80).knows("127.0.0.1:80"), Bound("127.0.0.1", 80).knows("evil.example:80")
        (True, False)
        """  # noqa: E501
        host, port = _split(header.lower())
        if port != self.port:
            return False
        if self.loopback:
            return host in LOCAL or host == self.host.lower()
        if self.host in ("0.0.0.0", "::"):  # noqa: S104
            return _is_number(host) or host in ("localhost", socket.gethostname().lower())
        return _plain(host.strip("[]")) == _plain(self.host.lower())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Busy(Exception):
    """More requests wait than there are places."""


class Stopped(BaseException):
    """Raised in the model's thread when nobody waits for its answer any more."""


class Desk:
    """One model, one request at a time, and a few that wait: threads cannot pile up.

    All calls are made in one thread, whose pool of processor cores torch keeps.
    """

    def __init__(self, places: int = PLACES) -> None:
        self.places, self.taken, self.ident = places, 0, 0
        self.thread = ThreadPoolExecutor(1, "model", self._begin)

    async def ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns, in its turn; ``Busy`` where too many wait."""
        if self.taken >= self.places:
            raise Busy
        self.taken += 1
        work = self.thread.submit(function, *arguments)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:  # by Ctrl-C, after which a process waits for its threads
            if work.running():
                raising = ctypes.pythonapi.PyThreadState_SetAsyncExc
                raising(ctypes.c_ulong(self.ident), ctypes.py_object(Stopped))
            raise
        finally:
            self.taken -= 1

    def _begin(self) -> None:
        self.ident = threading.get_ident()


class Guard:
    """What no request gets past: another Host, a foreign Origin, a missing word.

    Args:
        app: what is guarded.
        bound: where it is served.
        policy: the content security policy.
    """

    def __init__(self, app: ASGIApp, bound: Bound, policy: str) -> None:
        self.app, self.bound = app, bound
        headers = HEADERS | {"Content-Security-Policy": policy}
        self.headers = [(k.lower().encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._other(scope, receive, send)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        refused = self._refusal(Request(scope))
        if refused is not None:
            return await refused(scope, receive, sending)
        return await self.app(scope, receive, sending)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, request: Request) -> Response | None:
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self.bound.knows(hosts[0]):
            return _refused("this address is not the one that is served", 403)
        if request.method == "POST":
            origins = request.headers.getlist("origin")
            if [origin.lower() for origin in origins] != [f"http://{hosts[0].lower()}"]:
                return _refused("requests come from this page alone", 403)
        if self.bound.token is not None and not self._has_token(request, self.bound.token):
            return _refused("the address needs its token, as it was printed", 403)
        return None

    @staticmethod
    def _has_token(request: Request, token: str) -> bool:
        given = request.headers.get("x-token") or request.query_params.get("token") or ""
        return hmac.compare_digest(given.encode(), token.encode())


def application(subject: Subject, bound: Bound, places: int = PLACES) -> Guard:
    """The application that serves one model.

    Args:
        subject: what is explored.
        bound: where it is served.
        places: requests that wait or are answered; beyond them, 503.
    """
    answers, desk = Answers(subject), Desk(places)
    page: Page = served_page(subject)
    told = json.dumps(facts(subject)).encode()

    async def root(request: Request) -> Response:
        return Response(page.text, media_type="text/html; charset=utf-8")

    async def about(request: Request) -> Response:
        return Response(told, media_type="application/json")

    async def upload(request: Request) -> Response:
        asked, body = _in_query(request), await _body(request, UPLOAD_BYTES)
        return JSONResponse(await desk.ask(answers.upload, body, asked))

    routes = [
        Route("/", root, methods=["GET"]),
        Route("/facts", about, methods=["GET"]),
        Route("/upload", _mending(upload), methods=["POST"]),
    ]
    asking = (answers.decode, answers.encode, answers.example, answers.sample, answers.complete)
    for function in asking:
        answer = _mending(_answering(function, desk))
        routes.append(Route(f"/{function.__name__}", answer, methods=["POST"]))
    return Guard(Starlette(routes=routes), bound, page.policy)


def _answering(function: Callable[[Mapping[str, Any]], bytes], desk: Desk) -> Endpoint:
    """Bytes for JSON, or for the bytes of a code and JSON in the query."""

    async def answer(request: Request) -> Response:
        body = await _body(request, JSON_BYTES)
        wide = request.headers.get("content-type") == BYTES
        asked = {**_in_query(request), "code": body} if wide else _parsed(body)
        return Response(await desk.ask(function, asked), media_type=BYTES)

    return answer


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; of port 0 to one that is free.

    Raises:
        ValueError: the port is in use, or the host is none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once, without waiting for more to send, where the protocol is said: else
    # every answer is 40 ms late.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"port: {port} is in use; choose another, or 0 for one that is free"
            ) from error
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"host: cannot serve at {host}, port {port}: {reason}") from error
    return bound


def serve(app: ASGIApp, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Answer requests until Ctrl-C."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Answers that Ctrl-C cuts off are no errors to report.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    Server(config).run(sockets=[bound])


def make_token(asked: str) -> str:
    """The word that was asked for, or of ``auto`` one that nobody guesses.

    >>> len(make_token("auto")) > 20, make_token("sesame")
    (True, 'sesame')
    """
    if asked == "auto":
        return secrets.token_urlsafe(24)
    if not asked or not asked.isascii() or not all(c.isalnum() or c in "-_" for c in asked):
        raise ValueError(f"token: expected auto, or letters, digits, - and _, got {asked!r}")
    return asked


def _mending(answer: Endpoint) -> Endpoint:
    """What is wrong with a request as one sentence, and its status."""

    async def mended(request: Request) -> Response:
        try:
            return await answer(request)
        except Busy:
            return _refused("the model is busy; try again", 503)
        except TooLarge as error:
            return _refused(str(error), 413)
        except ClientDisconnect:
            return _refused("gone", 400)
        except ValueError as error:
            return _refused(str(error), 400)

    return mended


class TooLarge(Exception):
    """A body of more bytes than are read."""


async def _body(request: Request, most: int) -> bytes:
    """The body, of which no more is kept than is allowed."""
    error = TooLarge(f"body: expected at most {most // 1024} kB")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > most:
        raise error
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise error
        parts.append(part)
    return b"".join(parts)


def _parsed(body: bytes) -> Mapping[str, Any]:
    """An object of JSON; NaN and infinities are none of its numbers."""

    def refuse(name: str) -> float:
        raise ValueError(f"{name} is no number of JSON")

    try:
        found = json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError) as error:  # also of a number of thousands of digits
        raise ValueError("body: expected JSON of finite numbers") from error
    if not isinstance(found, dict):
        raise ValueError("body: expected a JSON object")
    return found


def _in_query(request: Request) -> Mapping[str, Any]:
    """What is asked of a body that is bytes."""
    asked = request.query_params.get("asked", "{}").encode()
    if len(asked) > JSON_BYTES:
        raise TooLarge(f"asked: expected at most {JSON_BYTES // 1024} kB")
    return _parsed(asked)


def _refused(sentence: str, status: int) -> Response:
    return PlainTextResponse(sentence, status)


def _split(header: str) -> tuple[str, int]:
    """Name and port of a Host header; of none, that of HTTP."""
    host, colon, port = header.rpartition(":")
    if not colon or port.endswith("]"):
        return header, 80
    plain = port.isdecimal() and port.isascii() and len(port) <= MOST_DIGITS
    return host, int(port) if plain else -1


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _plain(host: str) -> str:
    """As browsers write it, who shorten numbers."""
    return str(ipaddress.ip_address(host)) if _is_number(host) else host
