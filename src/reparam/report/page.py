"""write_report: everything there is to see of several models, in one HTML file."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FunctionLoader, StrictUndefined

from reparam import __version__
from reparam.checkpoint import write_text
from reparam.data import Data
from reparam.evaluation import Score, too_few
from reparam.evaluation.modes import evaluating
from reparam.model import Codec, Generator
from reparam.report import (
    curves,
    denoising,
    distances,
    entrywise,
    filters,
    galleries,
    latent,
    likelihoods,
    rates,
    recipes,
    summary,
    table,
    training,
    traversals,
    units,
    vectors,
)
from reparam.report.colors import MODELS
from reparam.report.entry import Entry

TEMPLATE = "template.html.j2"


@dataclass(frozen=True)
class ModelName:
    """A model as the page names it: label, settings if they add to it, number of its color."""

    label: str
    settings: str
    color: int

    @classmethod
    def of(cls, entry: Entry, index: int) -> ModelName:
        said = set(entry.settings.split()) <= set(entry.label.split())
        return cls(entry.label, "" if said else entry.settings, index % MODELS)


def write_report(
    path: Path,
    data: Data,
    entries: Sequence[Entry],
    *,
    title: str | None = None,
    seed: int = 0,
    reference: Mapping[str, Score] | None = None,
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
    ...     write_report(path, data, [Entry("PCA", model, {}, history)]).name
    'report.html'
    """
    if not entries:
        raise ValueError("entries: expected at least one model, got none")
    for entry in entries:
        if entry.model.space != data.space:
            raise ValueError(f"{entry.label}: expected {data.space}, got {entry.model.space}")
    with evaluating([entry.model for entry in entries]):
        content = _content(data, entries, seed, reference or {})
    title = title or f"{data.name}: {len(entries)} model{'s'[: len(entries) > 1]}"
    text = _environment().get_template(TEMPLATE).render(title=title, **content)
    write_text(Path(path), without_blank_lines(text))
    return Path(path)


def without_blank_lines(html: str) -> str:
    """The text without the blank lines of its template; those of preformatted text stay.

    >>> without_blank_lines("<p>\\n\\n</p><pre>\\n\\n</pre>")
    '<p>\\n</p><pre>\\n\\n</pre>'
    """
    either = re.compile(r"(<pre\b.*?</pre>)|\n\s*\n", re.DOTALL)
    return either.sub(lambda found: found[1] or "\n", html).lstrip()


def _content(
    data: Data, entries: Sequence[Entry], seed: int, reference: Mapping[str, Score]
) -> dict[str, Any]:
    """What the template shows, by section."""
    shared = {
        "data": data,
        "facts": summary.facts(data),
        "class_counts": summary.class_counts(data),
        "findings": summary.findings(entries),
        "models": [ModelName.of(entry, index) for index, entry in enumerate(entries)],
        "table": table.score_table(entries, reference),
        "too_few": too_few(data) if any(isinstance(e.model, Generator) for e in entries) else [],
        "denoising": denoising.denoising(data, entries, seed),
        "latent": latent.latent_maps(data, entries, seed),
        "distances": distances.shepard_diagrams(data, entries, seed),
        "units": units.hidden_units(data, entries, seed),
        "traversals": traversals.traversals(data, entries, seed),
        "curves": curves.training_curves(entries),
        "trained": training.training_rows(entries),
        "trained_header": training.HEADER,
        "rates": rates.rates(data, entries, seed),
        "codecs": [i for i, e in enumerate(entries) if isinstance(e.model, Codec)],
        "generators": [i for i, e in enumerate(entries) if isinstance(e.model, Generator)],
        "seeds": summary.trained_seeds(entries),
        "kinds": sorted({s.kind for e in entries for s in e.scores.values() if s.kind}),
        "code": recipes.python(data, entries),
        "versions": _versions(),
        "seed": seed,
    }
    return shared | (_images if data.space.is_image else _vectors)(data, entries, seed)


def _images(data: Data, entries: Sequence[Entry], seed: int) -> dict[str, Any]:
    return {
        "reconstructions": galleries.reconstructions(data, entries, seed),
        "samples": galleries.sample_cards(data, entries, seed),
        "outcomes": likelihoods.outcomes(data, entries, seed),
        "entrywise": entrywise.entry_by_entry(data, entries, seed),
        "by_class": likelihoods.samples_by_class(data, entries, seed),
        "filters": filters.filters(data, entries, seed),
        "interpolations": galleries.interpolations(data, entries, seed),
        "restored_rows": [],
        "marginals": [],
        "pairs": [],
    }


def _vectors(data: Data, entries: Sequence[Entry], seed: int) -> dict[str, Any]:
    marginals, pairs = vectors.sampled_columns(data, entries, seed)
    return {
        "reconstructions": [],
        "samples": [],
        "outcomes": [],
        "entrywise": [],
        "by_class": [],
        "filters": [],
        "interpolations": [],
        "restored_rows": vectors.restored_rows(data, entries, seed),
        "marginals": marginals,
        "pairs": pairs,
    }


def _versions() -> str:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    python = platform.python_version()
    return f"{now} · reparam {__version__}, torch {torch.__version__}, Python {python}"


def _environment() -> Environment:
    """Templates from this package; undefined names are errors, text is escaped."""
    folder = files("reparam.report")
    return Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
