"""write_page: everything there is to see of several models, in one HTML file."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from reparam import __version__
from reparam.checkpoint import write_text
from reparam.data import Data
from reparam.evaluation import Score
from reparam.evaluation.modes import evaluating
from reparam.model import Codec, Generator
from reparam.report import summary
from reparam.report.claims.verdicts import Claim
from reparam.report.colors import MODELS, class_colors
from reparam.report.opening import opening
from reparam.report.section import Shown
from reparam.report.sections import SECTIONS
from reparam.report.sections.rates import collapses
from reparam.report.selection import LARGE, class_names
from reparam.report.trained import TrainedModel

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class ModelName:
    """A model as the page names it: label, settings if they add to it."""

    label: str
    settings: str

    @classmethod
    def of(cls, entry: TrainedModel) -> ModelName:
        said = set(entry.settings.split()) <= set(entry.label.split())
        return cls(entry.label, "" if said else entry.settings)


def write_page(
    path: Path,
    data: Data,
    entries: Sequence[TrainedModel],
    *,
    title: str | None = None,
    seed: int = 0,
    reference: Mapping[str, Score] | None = None,
    notes: Sequence[str] = (),
    families: bool = False,
    claims: Sequence[Claim] = (),
) -> Path:
    """Write one self-contained HTML page about trained models.

    Args:
        path: the file to write.
        data: what the models were trained on; the test split is shown.
        entries: the models, in the order in which they are listed.
        title: of the page; None: the name of the data.
        seed: of the examples chosen and of everything drawn.
        reference: what training rows score in place of samples (``reference_scores``): a row of the
            score table that is ranked with no model.
        notes: what else there is to say of the choice of models.
        families: whether the page compares families, and so shows what they are and what is said
            of them.
        claims: what is said of families, with verdicts; none: they are found for the page.

    Returns:
        The path.

    Raises:
        ValueError: no entries, a model of other data, or the file cannot be written.

    >>> import tempfile
    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=2)
    >>> history = rp.fit(model, data, progress=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "report.html")
    ...     write_page(path, data, [TrainedModel("PCA", model, {}, history)]).name
    'report.html'
    """
    if not entries:
        raise ValueError("entries: expected at least one model, got none")
    for entry in entries:
        if replace(entry.model.space, given=None) != data.space:
            raise ValueError(f"{entry.label}: expected {data.space}, got {entry.model.space}")
    shown = Shown(data, entries, seed, reference or {}, families, claims)
    with evaluating([entry.model for entry in entries]):
        content = _content(shown)
    title = title or f"{data.name}: {len(entries)} model{'s'[: len(entries) > 1]}"
    text = environment().get_template(TEMPLATE).render(title=title, notes=notes, **content)
    write_text(Path(path), without_blank_lines(text))
    return Path(path)


def without_blank_lines(html: str) -> str:
    """The text without the blank lines of its template; those of preformatted text stay.

    >>> without_blank_lines("<p>\\n\\n</p><pre>\\n\\n</pre>")
    '<p>\\n</p><pre>\\n\\n</pre>'
    """
    either = re.compile(r"(<pre\b.*?</pre>)|\n\s*\n", re.DOTALL)
    return either.sub(lambda found: found[1] or "\n", html).lstrip()


def _content(shown: Shown) -> dict[str, Any]:
    """What every template sees, and the sections that have something to show."""
    entries = shown.entries
    scores = [score for entry in entries for score in entry.scores.values()]
    return {
        "data": shown.data,
        "colors": MODELS,
        "large": not shown.data.space.is_image or max(shown.data.space.shape[1:]) > LARGE,
        "seed": shown.seed,
        "facts": summary.facts(shown.data),
        "class_counts": summary.class_counts(shown.data),
        "findings": summary.findings(entries),
        "collapses": collapses(shown),
        "opening": opening(shown),
        "models": [ModelName.of(entry) for entry in entries],
        "legend": legend(shown.data),
        "codecs": [index for index, *_ in shown.of(Codec)],
        "generators": [index for index, *_ in shown.of(Generator)],
        "seeds": summary.trained_seeds(entries),
        "kinds": {score.kind for score in scores},
        "versions": versions(),
        "sections": list(_sections(shown)),
    }


def _sections(shown: Shown) -> Iterator[dict[str, Any]]:
    for section in SECTIONS:
        content = section.build(shown) if section.applies(shown) else None
        if content:
            yield {"about": section, "content": content, "lead": _lead(section.lead)}


def legend(data: Data) -> list[tuple[str, str, str]]:
    """Every class: its name, its color on light pages and on dark ones."""
    names = class_names(data)
    light, dark = (class_colors(len(names), dark=dark) for dark in (False, True))
    return list(zip(names, light, dark, strict=True))


def versions() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    python = platform.python_version()
    return f"{now} · reparam {__version__}, torch {torch.__version__}, Python {python}"


@cache
def _lead(text: str) -> Template:
    return environment().from_string(text)


@cache
def environment() -> Environment:
    """Templates from this package; undefined names are errors, text is escaped.

    It is kept, as compiling them takes as long as several figures.
    """
    return Environment(
        loader=PackageLoader("reparam.report", "."),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
