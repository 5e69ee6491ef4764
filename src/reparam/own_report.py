"""write_report, write_figure: a page, or one figure, about models that Python has at hand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reparam.atomic import check_place
from reparam.checkpoint import write_text
from reparam.data import Data, as_data
from reparam.evaluation import evaluate, reference_scores
from reparam.model import Generator, Model
from reparam.report import TrainedModel, write_page
from reparam.report.single_figure import draw_figure, scores_needed
from reparam.train import History
from reparam.wording import EMPTY_PATH

Shown = Model | tuple[Model, History]  # with its curves, as ``resume`` gives them


def write_report(
    models: Shown | Iterable[Shown] | Mapping[str, Shown],
    data: Any,
    path: str | os.PathLike[str] = "report.html",
    *,
    samples: int | None = None,
    coded: bool = False,
    seed: int = 0,
) -> Path:
    """Measure trained models and write a report about them, one self-contained HTML page.

    Args:
        models: one, several, or by the names that the page calls them; each perhaps with the
            history of its training, ``(model, history)``.
        data: what they were trained on; what is no ``Data`` is read as ``fit`` does it.
        path: the file to write.
        samples: importance samples per example, as for ``evaluate``.
        coded: whether files are made and measured, as for ``evaluate``, and shown.
        seed: of all draws.

    Returns:
        The path.

    Raises:
        ValueError: no models, one of other data, or the file cannot be written.

    >>> import tempfile
    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=2)
    >>> history = rp.fit(model, data, progress=False)
    >>> path = Path(tempfile.mkdtemp(), "report.html")
    >>> rp.write_report({"mine": (model, history)}, data, path).name
    'report.html'
    """
    named = _named(models)
    data = _checked(named, data, path)
    entries = _entries(named, data, seed, samples=samples, coded=coded)
    generates = any(isinstance(entry.model, Generator) for entry in entries)
    reference = reference_scores(data, seed=seed) if generates else {}
    return write_page(Path(path), data, entries, seed=seed, reference=reference)


def write_figure(
    models: Shown | Iterable[Shown] | Mapping[str, Shown],
    data: Any,
    name: str,
    path: str | os.PathLike[str],
    *,
    seed: int = 0,
) -> Path:
    """Draw what one section of a report shows of trained models, an SVG with colors for light and
    dark.

    Args:
        models: as for ``write_report``.
        data: as for ``write_report``.
        name: of the section, as ``"latent"``; ``reparam figure RUN`` lists those that there are.
        path: the file to write.
        seed: of all draws.

    Returns:
        The path.

    Raises:
        ValueError: no such figure, nothing to show of these models, or no file can be written.

    >>> import tempfile
    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=2)
    >>> history = rp.fit(model, data, progress=False)
    >>> path = Path(tempfile.mkdtemp(), "latent.svg")
    >>> rp.write_figure(model, data, "latent", path).read_text()[:4]
    '<svg'
    """
    named = _named(models)
    data = _checked(named, data, path)
    if Path(path).suffix.lower() != ".svg":
        raise ValueError(f"path: expected a name ending in .svg, got {os.fspath(path)}")
    asked = scores_needed(name)
    entries = _entries(named, data, seed, measured=asked is not None, **asked or {})
    write_text(Path(path), draw_figure(name, data, entries, seed=seed))
    return Path(path)


def _checked(
    named: Mapping[str, tuple[Model, History | None]], data: Any, path: str | os.PathLike[str]
) -> Data:
    """The data of models, of which there are some, that are shown in a file that can be written."""
    if not named:
        raise ValueError("models: expected at least one, got none")
    if not os.fspath(path):
        raise ValueError(f"path: {EMPTY_PATH}")
    check_place(Path(path))
    return as_data(data, next(iter(named.values()))[0].space)


def _entries(
    named: Mapping[str, tuple[Model, History | None]],
    data: Data,
    seed: int,
    *,
    measured: bool = True,
    **asked: Any,
) -> list[TrainedModel]:
    """Models as reports show them, with their scores where they are to have them."""
    return [
        TrainedModel(
            label,
            model,
            evaluate(model, data, seed=seed, history=history, **asked) if measured else {},
            history or History(),
        )
        for label, (model, history) in named.items()
    ]


def _named(
    models: Shown | Iterable[Shown] | Mapping[str, Shown],
) -> dict[str, tuple[Model, History | None]]:
    """Models by their names; those without one by their settings, numbered where these agree."""
    if isinstance(models, Mapping):
        for name in models:
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"models: expected names as text, got {name!r}")
        return {name: _pair(one) for name, one in models.items()}
    if isinstance(models, Model) or (isinstance(models, tuple) and History in map(type, models)):
        models = [models]  # one, perhaps with its history
    if not isinstance(models, Iterable) or isinstance(models, str):
        raise ValueError(f"models: expected models, got {type(models).__name__}")
    named: dict[str, tuple[Model, History | None]] = {}
    for model, history in map(_pair, models):
        label = TrainedModel("", model, {}, History()).settings
        again = sum(name == label or name.startswith(f"{label} (") for name in named)
        named[f"{label} ({again + 1})" if again else label] = model, history
    return named


def _pair(one: object) -> tuple[Model, History | None]:
    model, history = one if isinstance(one, tuple) and len(one) == 2 else (one, None)
    if not isinstance(model, Model):
        raise ValueError(f"models: expected models, got {type(model).__name__}")
    if not isinstance(history, History | None):
        raise ValueError(f"models: expected (model, history), got {type(history).__name__} in it")
    return model, history
