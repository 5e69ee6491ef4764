"""The card of a model: what was measured of it, how it is used, and what it cannot do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from reparam import __version__
from reparam.data import sources
from reparam.evaluation.absent import left_out
from reparam.evaluation.samples import too_few
from reparam.evaluation.scores import Score, Scores, mark
from reparam.hub.command_line import command
from reparam.hub.limits_of_models import limits
from reparam.hub.published import Published
from reparam.hub.snippet import snippet, units
from reparam.inspection import Classifies
from reparam.measures import measure
from reparam.model import Encoder, Generator, Model
from reparam.presets import PRESETS
from reparam.presets.registry import shown
from reparam.report import summary
from reparam.report.endings import ending, settings
from reparam.report.numbers import with_error
from reparam.wording import counted

TEMPLATE = "card.md.j2"
# What named sets are called on the hub.
DATASETS = {
    "mnist": "ylecun/mnist",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "cifar10": "uoft-cs/cifar10",
}
SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")
NO_METRIC = ("parameters", "train_seconds", "samples_per_second")  # of the size, of the machine
MARKS = {
    "=": "= is exact",
    "≥": "≥ a lower bound",
    "≤": "≤ an upper bound",
    "≈": "≈ an estimate",
    "file": "file the length of one",
}


def card(run: Published, name: str | None, license: str | None, captions: Mapping[str, str]) -> str:
    """The text of ``README.md``.

    Args:
        run: what is published.
        name: of the repository; None: the card speaks of its own folder.
        license: as the hub names it; None: the card says nothing of one.
        captions: of the pictures that there are, by the names of their files.
    """
    preset, data = PRESETS.get(run.preset or ""), run.data
    dataset = DATASETS.get(str(run.recipe.get("source", "")))
    generates = "generative-model" if isinstance(run.model, Generator) else None
    words = {
        "tags": list(filter(None, ["reparam", "pytorch", generates, run.preset])),
        "license": license,
        "task": task(run.model),
        "dataset": dataset,
        "data_name": run.name,
        "title": name.partition("/")[2] if name else f"{run.label} on {run.name}",
        "sentence": preset.summary if preset else f"{run.label}, a model of its author's own.",
        "formula": preset.formula if preset else "",
        "paper": preset.paper if preset else "",
        "metrics": list(metrics(run.scores)),
        "snippet": snippet(run, name),
        "units": units(data.space),
        "training": list(_training(run)),
        "rows": [_row(score, title) for title, score in run.scores.items()],
        "legend": _legend(run.scores),
        "notes": _notes(run),
        "caption": {
            part: captions.get(f"{part}.png", "")
            for part in ("samples", "reconstructions", "latent")
        },
        "limits": list(limits(run.model, run.scores)),
        "command": command(run),
        "reproduced": _reproduced(run),
    }
    return _template().render(words)


def task(model: Model) -> str | None:
    """What the hub calls such a model's use; None where none of its words fits."""
    image = model.space.is_image
    if isinstance(model, Classifies):
        return "image-classification" if image else "tabular-classification"
    if isinstance(model, Generator) and image and not model.conditional:
        return "unconditional-image-generation"
    if isinstance(model, Encoder) and image and not isinstance(model, Generator):
        return "image-feature-extraction"
    return None


def metrics(scores: Scores) -> Iterator[dict[str, Any]]:
    """Scores as the front matter has them; names carry what each is, its unit and split."""
    for name, score in scores.items():
        if name not in NO_METRIC:
            title = " ".join(filter(None, [measure(name).title, mark(score, name)]))
            about = f"{title} ({score.unit}, {score.split})"
            yield {"type": name, "name": about, "value": score.value}


def _row(score: Score, name: str) -> tuple[str, str, str, str]:
    value, error = with_error(score, name)
    error = f"({error})" if score.interval else error
    shown_value = " ".join(filter(None, [mark(score, name), value, error]))
    unit = "" if value.endswith("%") else score.unit
    drawn = "" if score.samples is None else f", {counted(score.samples, 'draw')} of each"
    seed = "" if score.seed is None else f", seed {score.seed}"
    return measure(name).title, shown_value, unit, f"{score.n:,} {score.counted}{drawn}{seed}"


def _legend(scores: Scores) -> str:
    """What the marks among the values are."""
    there = {mark(score, name) for name, score in scores.items()}
    said = [text for sign, text in MARKS.items() if sign in there]
    if any(score.interval for score in scores.values()):
        said.append("of accuracies a 95 % interval")
    return "; ".join([*said, "± is one standard error over the examples"]) + "."


def _notes(run: Published) -> list[str]:
    notes = left_out(run.model, run.scores)
    if isinstance(run.model, Generator):
        notes += too_few(run.data)
        distance, floor = (s.get("frechet_distance") for s in (run.scores, run.reference))
        if distance is not None and floor is not None:
            value = with_error(floor, "frechet_distance")[0]
            notes.append(f"Fréchet distance of training examples in place of samples: {value}.")
    return [note if note.endswith(".") else f"{note}." for note in notes]


def _training(run: Published) -> Iterator[tuple[str, str]]:
    """Data, splits, preprocessing and settings, line by line."""
    known = dict(sources()).get(run.name, "") if run.public else ""
    yield "Data", f"{run.name}: {known}" if known else run.name
    yield from summary.facts(run.data)
    read = {k: v for k, v in run.recipe.items() if k != "source" and (k, v) != ("missing", "keep")}
    if read:
        yield "Read with", ", ".join(f"{k}={v}" for k, v in read.items())
    given = (run.model.recipe or {}).get("parameters", {})
    if given:
        yield "Parameters", " ".join(f"{k}={shown(v)}" for k, v in given.items())
    yield "Training", settings(run.config)
    yield "Seed", str(run.config.seed)
    yield "Ended", ending(run.model, run.config, run.history)
    yield "Weights", f"{run.model.anchor.dtype}".removeprefix("torch.")
    yield "Version", f"reparam {__version__}"
    yield "Fingerprint of the data", run.data.fingerprint()


def _reproduced(run: Published) -> str:
    """What the command does not give again."""
    said = []
    if not run.public:
        said.append("DATA stands for the author's own data, which are not published.")
    if run.config.budget is not None:
        said.append("The clock has a say in how far it gets: no two runs have quite these weights.")
    return " ".join(said)


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("reparam.hub", "."),
        autoescape=False,  # it is Markdown: text goes through ``md``
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = plain
    environment.filters["yaml"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.get_template(TEMPLATE)


def plain(text: object) -> str:
    """Text that Markdown shows as it is, in one line.

    >>> plain("a|b <c>")
    'a\\\\|b \\\\<c\\\\>'
    """
    return SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
