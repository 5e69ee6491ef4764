"""Several models on the same data, under one budget, measured by one protocol."""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import joblib
import torch

from reparam.checkpoint import load, write_json
from reparam.config import TrainConfig
from reparam.data import Data
from reparam.evaluation import Scores, evaluate
from reparam.model import Space
from reparam.presets import build, find_preset
from reparam.presets.registry import shown
from reparam.report import Entry, write_report
from reparam.train import History, News, RunFolder, fit

# What `compare` shows of a data set when nothing is asked: every family, a small code and a larger.
DEFAULT_PRESETS, DEFAULT_CODES = ("pca", "ae", "vae"), (2, 16)
PATIENCE = 20  # validations; where neither epochs nor seconds are asked for
REPORT_FILE, SCORES_FILE = "report.html", "scores.json"

Watch = Callable[[str, float], None]  # what is being done, and how many runs are done so far


@dataclass(frozen=True)
class Candidate:
    """A preset with parameters of its own, in a comparison.

    >>> Candidate.parse("vae latent_dim=2").label
    'vae latent_dim=2'
    """

    preset: str
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, text: str) -> Candidate:
        """From ``"PRESET key=value …"``; ValueError for an unknown name or bad value."""
        words = shlex.split(text)
        if not words:
            raise ValueError("model: expected PRESET key=value …, got nothing")
        chosen = find_preset(words[0])
        return cls(chosen.name, chosen.check(parse_assignments(words[1:])))

    @property
    def label(self) -> str:
        given = (f"{name}={shown(value)}" for name, value in self.parameters.items())
        return " ".join([self.preset, *given])

    def folder(self, seed: int | None) -> str:
        """The name of its run's folder."""
        name = "".join(c if c.isalnum() or c in "=.-" else "_" for c in self.label)
        return name if seed is None else f"{name}_seed={seed}"


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` returns: the data, and each model's scores and (first seed's) model."""

    data: Data
    entries: tuple[Entry, ...]

    def to_json(self) -> dict[str, Any]:
        """The contents of ``scores.json``."""
        return scores_json(self.data, {entry.label: dict(entry.scores) for entry in self.entries})


def compare(
    data: Data,
    models: Iterable[str] | None = None,
    *,
    out: str | os.PathLike[str],
    seeds: int = 1,
    jobs: int = 1,
    samples: int = 1000,
    force: bool = False,
    watch: Watch | None = None,
    **fields: Any,
) -> Comparison:
    """Train models on the same data under the same budget, measure them, and write a report.

    Leaves ``report.html``, ``scores.json`` and one run folder per model and seed in ``out``.

    Args:
        data: what all are trained and measured on.
        models: ``"PRESET key=value …"`` each; a preset may stand several times; None: one of
            every family with a small code and with a larger one.
        out: the folder.
        seeds: how many seeds of each; with more than one, standard errors are over the seeds.
        jobs: how many train at a time, each in a process of its own (joblib).
        samples: importance samples per example of the log-likelihood.
        force: overwrite an earlier comparison.
        watch: is told what is being done and how many runs are done so far, a fraction too.
        **fields: of ``TrainConfig``, for all of them.

    Raises:
        ValueError: bad models or parameters, or a folder that is in use.
    """
    models = default_models(data.space) if models is None else models
    candidates = [Candidate.parse(text) for text in models]
    _refuse_bad(candidates, data, seeds, jobs)
    folder = _empty_folder(Path(out), force)
    if not fields.keys() & {"epochs", "budget", "patience"}:
        fields["patience"] = PATIENCE
    first = fields.pop("seed", 0)
    runs = [(c, seed) for c in candidates for seed in range(first, first + seeds)]
    threads = max(1, torch.get_num_threads() // jobs)
    work = [
        (data, c, _config(c, seed, fields), folder / c.folder(seed if seeds > 1 else None), samples)
        for c, seed in runs
    ]
    tell = watch or (lambda doing, done: None)
    if jobs == 1:
        results = [_train_and_measure(*run, tell=_from(i, tell)) for i, run in enumerate(work)]
    else:
        results = []
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
        for result in parallel(joblib.delayed(_in_worker)(threads, *run) for run in work):
            results.append(result)
            tell(f"{jobs} at a time", len(results))
    tell("writing the report", len(work))
    return _finish(data, candidates, seeds, work, results, folder)


def _from(start: int, tell: Watch) -> Watch:
    return lambda doing, share: tell(doing, start + share)


def default_models(space: Space) -> list[str]:
    """Every default preset with codes smaller than x.

    >>> default_models(Space((3,), "real"))[:2]
    ['pca latent_dim=2', 'ae latent_dim=2']
    """
    codes = sorted({min(code, space.dimension - 1) for code in DEFAULT_CODES} - {0}) or [1]
    presets = [name for name in DEFAULT_PRESETS if space.dimension > 1 or name != "pca"]
    return [f"{name} latent_dim={code}" for name in presets for code in codes]


def _finish(
    data: Data,
    candidates: Sequence[Candidate],
    seeds: int,
    work: Sequence[tuple[Any, ...]],
    results: Sequence[tuple[Scores, History]],
    folder: Path,
) -> Comparison:
    """One entry per model, over its seeds; scores and report written."""
    entries = []
    for index, candidate in enumerate(candidates):
        mine = slice(index * seeds, (index + 1) * seeds)
        trained = [config.seed for _, _, config, *_ in work[mine]]
        scores = over_seeds([scores for scores, _ in results[mine]], trained)
        (_, history), run = results[mine][0], work[mine][0][3]
        entries.append(Entry(candidate.label, load(run), scores, history))
    comparison = Comparison(data, tuple(entries))
    write_json(folder / SCORES_FILE, comparison.to_json())
    write_report(folder / REPORT_FILE, data, entries)
    return comparison


def _train_and_measure(
    data: Data,
    candidate: Candidate,
    config: TrainConfig,
    folder: Path,
    samples: int,
    tell: Watch = lambda doing, share: None,
) -> tuple[Scores, History]:
    label = candidate.label

    def watch(news: News) -> None:  # measuring takes a share of the time too
        tell(f"training {label}", 0.9 * news.done / news.total)

    tell(f"training {label}", 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(candidate.preset, data.space, **candidate.parameters)
    history = fit(model, data, config, out=folder, force=True, watch=watch, progress=False)
    tell(f"measuring {label}", 0.9)
    scores = evaluate(model, data, samples=samples, seed=config.seed, history=history)
    write_json(folder / SCORES_FILE, scores_json(data, {label: scores}))
    return scores, RunFolder(folder).history() or history


def _in_worker(threads: int, *run: Any) -> tuple[Scores, History]:
    torch.set_num_threads(threads)
    return _train_and_measure(*run)


def _config(candidate: Candidate, seed: int, fields: dict[str, Any]) -> TrainConfig:
    return dataclasses.replace(find_preset(candidate.preset).train, seed=seed, **fields)


def _refuse_bad(candidates: Sequence[Candidate], data: Data, seeds: int, jobs: int) -> None:
    """Everything that can be refused before the first model is trained."""
    if not candidates:
        raise ValueError("models: expected at least one")
    for name, count in (("seeds", seeds), ("jobs", jobs)):
        if count < 1:
            raise ValueError(f"{name}: expected at least 1, got {count}")
    labels = [c.label for c in candidates]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"models: {label!r} stands twice; give them other parameters")
    for c in candidates:
        build(c.preset, data.space, **c.parameters)


def _empty_folder(path: Path, force: bool) -> Path:
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: is a file, expected a folder for the comparison")
    if path.is_dir() and any(path.iterdir()) and not force:
        raise ValueError(f"{path}: is not empty; choose another folder or force")
    return path


def over_seeds(scores: Sequence[Scores], seeds: Sequence[int]) -> Scores:
    """Means over seeds with the standard error over them; one seed's scores stay as they are.

    >>> from reparam.evaluation import Score
    >>> each = [{"elbo": Score(value, "nats", 9, "test")} for value in (1.0, 3.0)]
    >>> over_seeds(each, [0, 1])["elbo"].stderr, over_seeds(each, [0, 1])["elbo"].seed
    (1.0, [0, 1])
    """
    if len(scores) == 1:
        return scores[0]
    merged = {}
    for name, score in scores[0].items():
        values = [each[name].value for each in scores]
        error = stdev(values) / math.sqrt(len(values))
        merged[name] = dataclasses.replace(
            score, value=mean(values), stderr=error, seed=list(seeds)
        )
    return merged


def scores_json(data: Data, models: dict[str, Scores]) -> dict[str, Any]:
    """{"data": …, "models": {label: {score: …}}}, the shape of every scores file."""
    about = {
        "name": data.name,
        "shape": list(data.space.shape),
        "kind": data.space.kind,
        "levels": data.space.levels,
        "classes": data.space.classes,
        "splits": {name: len(split) for name, split in data.splits.items()},
        "fingerprint": data.fingerprint(),
        "notes": list(data.notes),
    }
    scores = {
        label: {name: score.to_json() for name, score in of_model.items()}
        for label, of_model in models.items()
    }
    return {"data": about, "models": scores}


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` words as a dictionary.

    >>> parse_assignments(["latent_dim=2", "network=conv"])
    {'latent_dim': '2', 'network': 'conv'}
    """
    parameters: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{word}: expected key=value, as in latent_dim=2")
        if key in parameters:
            raise ValueError(f"{key}: given twice")
        parameters[key] = value
    return parameters
