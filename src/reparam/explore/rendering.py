"""The page as text: one template, one style sheet, a few scripts, and what may run in it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reparam.explore.facts import Facts, facts
from reparam.explore.program import Program, engine
from reparam.explore.subject import Subject
from reparam.report.page import without_blank_lines

SCRIPTS = (
    "numbers.js",
    "state.js",
    "engines.js",
    "picture.js",
    "map.js",
    "panel.js",
    "between.js",
    "own.js",
    "draws.js",
    "start.js",
)
# Nothing from anywhere else, no handlers and no styles but those of the page itself.
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data: blob:; "
    "connect-src {connect}; base-uri 'none'; form-action 'none'{frames}"
)


class Page(NamedTuple):
    """The text of the page, and its content security policy."""

    text: str
    policy: str


def served_page(subject: Subject) -> Page:
    """The page that asks the server which it came from."""
    return _page(subject, None, "")


def page_file(subject: Subject, program: Program) -> str:
    """The page with all that it needs inside.

    Args:
        subject: what is explored.
        program: of its decoder.
    """
    inside = {"facts": facts(subject, in_file=True), "program": program.header}
    return _page(subject, inside, program.base64).text


def _page(subject: Subject, inside: Facts | None, weights: str) -> Page:
    about = {
        "title": f"{subject.name}: {subject.data.name}",
        "inside": None if inside is None else as_json(inside),
        "weights": weights,
        "script": Markup(_script(inside is not None)),  # noqa: S704  (the package's own)
    }
    text = _render(**about, policy="")
    sources = {
        name: " ".join(f"'{_hash(part)}'" for part in found)
        for name, found in (("scripts", _runs(text)), ("styles", _styles(text)))
    }
    served = inside is None
    frames = "; frame-ancestors 'none'" if served else ""  # which <meta> cannot say
    connect = "'self'" if served else "'none'"
    policy = POLICY.format(**sources, connect=connect, frames=frames)
    return Page(text if served else _render(**about, policy=policy), policy)


def as_json(values: Facts) -> Markup:
    """JSON that ends no element it stands in.

    >>> as_json({"a": "</script>"})
    Markup('{"a":"\\\\u003c/script>"}')
    """
    text = json.dumps(values, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(text)  # noqa: S704  (no < is left)


def _render(**about: Any) -> str:
    return without_blank_lines(_environment().get_template("explorer.html.j2").render(about))


def _script(in_file: bool) -> str:
    """All scripts as one; without the interpreter where the model is on the server."""
    here = files("reparam.explore")
    parts = [here.joinpath(name).read_text(encoding="utf-8") for name in SCRIPTS]
    parts = [engine(), *parts] if in_file else parts
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "\n})();\n"


def _runs(text: str) -> list[str]:
    return re.findall(r"<script>(.*?)</script>", text, re.DOTALL)


def _styles(text: str) -> list[str]:
    return re.findall(r"<style>(.*?)</style>", text, re.DOTALL)


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


@cache
def _environment() -> Environment:
    """Templates of this package, and the colors of the report; text is escaped."""
    return Environment(
        loader=ChoiceLoader(
            [PackageLoader("reparam.explore", "."), PackageLoader("reparam.report", ".")]
        ),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
