"""Several models on the same data, under one budget, measured by one protocol."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, TypedDict

import joblib
import torch

from reparam.atomic import Unwritable
from reparam.checkpoint import load, read_json, write_json
from reparam.config import TrainConfig
from reparam.data import Data, refuse_unfit
from reparam.evaluation import Score, Scores, evaluate
from reparam.evaluation.by_example import read_values, write_values
from reparam.evaluation.likelihood import default_samples
from reparam.evaluation.scores import mean_score
from reparam.model import Space
from reparam.presets import build, find_preset
from reparam.presets.registry import parse_assignments, shown
from reparam.report import Entry, write_report
from reparam.schema import check
from reparam.train import History, News, RunFolder, fit, resume

# What `compare` shows of a data set when nothing is asked: every family, a small code and a larger.
DEFAULT_PRESETS, DEFAULT_CODES = ("pca", "ae", "vae"), (2, 16)
# Where neither epochs nor seconds nor patience are asked for: a report within minutes.
BY_DEFAULT = {"patience": 20, "budget": 40.0}  # validations, seconds of training for each model
REPORT_FILE, SCORES_FILE = "report.html", "scores.json"
VALUES_FILE = "scores.safetensors"  # by example, in the folder of a run
SAME = 1e-6  # relative spread over seeds that is rounding: the model does not depend on them

Watch = Callable[[str, float], None]  # what is being done, and how many runs are done so far
Measured = tuple[Scores, History]


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
        try:
            words = shlex.split(text)
        except ValueError as error:
            what = "unclosed quote" if "quotation" in str(error) else "unfinished escape"
            raise ValueError(f"model: {what} in {text!r}") from error
        if not words:
            raise ValueError("model: expected PRESET key=value …, got nothing")
        chosen = find_preset(words[0])
        return cls(chosen.name, chosen.check(parse_assignments(words[1:])))

    @property
    def label(self) -> str:
        given = (f"{name}={shown(value)}" for name, value in self.parameters.items())
        return " ".join([self.preset, *given])

    def folder(self, seed: int, seeds: int) -> str:
        """The name of its run's folder; the seed is in it where there are several."""
        name = _file_name(self.label)
        return name if seeds == 1 else f"{name}_seed={seed}"


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "=.-" else "_" for c in text)


class ScoresFile(TypedDict):
    """The contents of ``scores.json``."""

    data: dict[str, Any]
    models: dict[str, dict[str, Score]]


@dataclass(frozen=True)
class Run:
    """One training of a comparison: a candidate under one seed, and where it is written."""

    data: Data
    candidate: Candidate
    config: TrainConfig
    folder: Path
    samples: int


@dataclass(frozen=True)
class Failure:
    """Why a run has no scores."""

    reason: str


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` returns: the data, and each model's scores and (first seed's) model.

    Args:
        data: what all were trained and measured on.
        entries: a model each.
        found: the folders of the runs that were measured before and taken over.
    """

    data: Data
    entries: tuple[Entry, ...]
    found: tuple[Path, ...] = ()

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
    samples: int | None = None,
    force: bool = False,
    watch: Watch | None = None,
    **fields: Any,
) -> Comparison:
    """Train models on the same data under the same budget, measure them, and write a report.

    Leaves ``report.html``, ``scores.json`` and one run folder per model and seed in ``out``. A
    comparison goes on where the same call, perhaps with more models, finds its runs: what was
    measured is taken over, what was interrupted or failed is resumed. A model that fails does not
    take the others with it: they are reported first.

    Args:
        data: what all are trained and measured on.
        models: ``"PRESET key=value …"`` each; a preset may stand several times; None: one of
            every family with a small code and with a larger one.
        out: the folder.
        seeds: how many seeds of each; with more than one, scores are means over them and have a
            standard error over them beside that over the examples.
        jobs: how many train at a time, each in a process of its own, by joblib: with a Dask
            client, ``with joblib.parallel_config("dask"): compare(..., jobs=4)`` has its cluster
            train them; with Ray ``ray.util.joblib.register_ray()`` and ``"ray"``. The workers
            need ``out`` to be a folder that all of them see.
        samples: importance samples per example of the log-likelihood; None: by the sizes of the
            data, 1000 at most, as ``evaluate`` takes.
        force: remove an earlier comparison, finished or not, and start afresh: its report, its
            scores and the runs that bear the names it gave.
        watch: is told what is being done and how many runs are done so far, a fraction too.
        **fields: of ``TrainConfig``, for all of them; without epochs, budget and patience each
            trains for 40 seconds at most, less where 20 validations bring nothing better.

    Raises:
        ValueError: bad models or parameters, a folder that is in use, or models that failed.
    """
    models = default_models(data.space, len(data.train)) if models is None else models
    candidates = [Candidate.parse(text) for text in models]
    _refuse_bad(candidates, data, seeds, jobs)
    if not fields.keys() & {"epochs", "budget", "patience"}:
        fields |= BY_DEFAULT
    if samples is None:
        samples = default_samples(data.space, len(data.test))
    first, folder = fields.pop("seed", 0), Path(out)
    work = [
        Run(data, c, _config(c, seed, fields), folder / c.folder(seed, seeds), samples)
        for c in candidates
        for seed in range(first, first + seeds)
    ]
    _take_folder(folder, work, force)
    tell = watch or (lambda doing, done: None)
    found = [_earlier(run) for run in work]
    results = _measure_all(work, found, jobs, tell)
    tell("writing the report", len(work))
    comparison = _finish(data, work, results, folder)
    before = tuple(run.folder for run, scores in zip(work, found, strict=True) if scores)
    return dataclasses.replace(comparison, found=before)


def default_models(space: Space, rows: int | None = None) -> list[str]:
    """Every default preset with codes smaller than x and, where PCA asks for it, than the data.

    Args:
        space: what x is.
        rows: how many training examples there are, where that is known.

    >>> default_models(Space((3,), "real"))[:2]
    ['pca latent_dim=2 standardise=true', 'ae latent_dim=2']
    >>> default_models(Space((9,), "binary"), rows=5)[:3]
    ['pca latent_dim=2', 'pca latent_dim=3', 'ae latent_dim=2']
    """
    chosen = []
    for name in DEFAULT_PRESETS:
        most = space.dimension - 1
        if name == "pca" and rows is not None:  # n − 1 components would leave no noise at all
            most = min(most, rows - 2)
        codes = sorted({min(code, most) for code in DEFAULT_CODES if min(code, most) > 0})
        codes = codes if name == "pca" else codes or [1]
        # Columns of tables come in all units, as those of images do not.
        scaled = " standardise=true" if name == "pca" and space.kind == "real" else ""
        chosen += [f"{name} latent_dim={code}{scaled}" for code in codes]
    return chosen


def _measure_all(
    work: Sequence[Run], found: Sequence[Measured | None], jobs: int, tell: Watch
) -> list[Measured | Failure]:
    """The scores of every run: those that were found, and the others as they are made."""
    results: list[Measured | Failure | None] = [*found]
    todo = [index for index, result in enumerate(results) if result is None]
    done = len(work) - len(todo)
    if jobs == 1:
        for count, index in enumerate(todo):
            results[index] = _attempt(work[index], _from(done + count, tell))
    else:
        threads = max(1, torch.get_num_threads() // jobs)
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator")
        measured = parallel(joblib.delayed(_in_worker)(threads, work[i]) for i in todo)
        for count, (index, result) in enumerate(zip(todo, measured, strict=True)):
            results[index] = result
            tell(f"{jobs} at a time", done + count + 1)
    return [result for result in results if result is not None]


def _from(start: int, tell: Watch) -> Watch:
    return lambda doing, share: tell(doing, start + share)


def _in_worker(threads: int, run: Run) -> Measured | Failure:
    torch.set_num_threads(threads)
    return _attempt(run, lambda doing, share: None)


def _attempt(run: Run, tell: Watch) -> Measured | Failure:
    """Its scores, or why there are none: bad data for this model, or a loss that diverged."""
    try:
        return _train_and_measure(run, tell)
    except Unwritable:  # the others would fail as well
        raise
    except (ValueError, ArithmeticError) as error:
        return Failure(" ".join(str(error).split()))


def _train_and_measure(run: Run, tell: Watch) -> Measured:
    data, config, label = run.data, run.config, run.candidate.label

    def training(news: News) -> None:  # how long measuring will take is not known: as long again
        tell(f"training {label}", 0.5 * news.share)

    def measuring(what: str, share: float) -> None:
        tell(f"measuring {label}: {what}", 0.5 + 0.5 * share)

    tell(f"training {label}", 0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = build(run.candidate.preset, data.space, **run.candidate.parameters)
    if _is_of(run) and RunFolder(run.folder).state() is not None:
        model, history = resume(run.folder, data=data, watch=training, progress=False)
    else:
        history = fit(
            model, data, config, out=run.folder, force=True, watch=training, progress=False
        )
    scores = evaluate(
        model, data, samples=run.samples, seed=config.seed, history=history, watch=measuring
    )
    write_values(run.folder / VALUES_FILE, scores)  # first: where there are scores, there are these
    write_json(run.folder / SCORES_FILE, scores_json(data, {label: scores}))
    return scores, RunFolder(run.folder).history() or history


def _finish(
    data: Data, work: Sequence[Run], results: Sequence[Measured | Failure], folder: Path
) -> Comparison:
    """One entry per model, over its seeds; scores and report written; failures raised then."""
    measured: dict[str, list[tuple[Run, Measured]]] = {}
    failures = []
    for run, result in zip(work, results, strict=True):
        if isinstance(result, Failure):
            failures.append(f"{run.candidate.label} (seed {run.config.seed}): {result.reason}")
        else:
            measured.setdefault(run.candidate.label, []).append((run, result))
    entries = [_entry(label, runs) for label, runs in measured.items()]
    comparison = Comparison(data, tuple(entries))
    if entries:
        write_report(folder / REPORT_FILE, data, entries)
        write_json(folder / SCORES_FILE, comparison.to_json())
    if failures:
        what = f"{len(failures)} of {len(work)} runs failed: {'; '.join(failures)}"
        what += "; the same call tries these again"
        others = f"; the others are in {folder / REPORT_FILE}" if entries else ""
        raise ValueError(what + others)
    return comparison


def _entry(label: str, runs: Sequence[tuple[Run, Measured]]) -> Entry:
    """A model with its scores over the seeds, and the weights and curves of the first."""
    scores = over_seeds([scores for _, (scores, _) in runs], [run.config.seed for run, _ in runs])
    run, (_, history) = runs[0]
    return Entry(label, load(run.folder), scores, history)


def _config(candidate: Candidate, seed: int, fields: dict[str, Any]) -> TrainConfig:
    return dataclasses.replace(find_preset(candidate.preset).train, seed=seed, **fields)


def _refuse_bad(candidates: Sequence[Candidate], data: Data, seeds: int, jobs: int) -> None:
    """Everything that can be refused before the first model is trained."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("torchrun: divides one fit among processes; a comparison takes jobs")
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
        try:
            model = build(c.preset, data.space, **c.parameters)
            refuse_unfit(model, data, *data.splits)
            model.refuse_rows(len(data.train))
        except ValueError as error:
            raise ValueError(f"{c.label}: {error}") from error


def _take_folder(path: Path, work: Sequence[Run], force: bool) -> None:
    """Refuse a folder in use, unless it holds some of these runs or is to be cleared."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path}: is a file, expected a folder for the comparison")
    if not path.is_dir():
        return
    if force:
        _clear(path)
        return
    asked = {run.folder: run for run in work}
    for there in path.iterdir():
        if there in asked and not _is_of(asked[there]):
            why = f"{there.name} is a run with other settings, or of other data"
        elif there not in asked and there.name not in (REPORT_FILE, SCORES_FILE):
            why = f"{there.name} is no part of this comparison"
        else:
            continue
        raise ValueError(f"{path}: is not empty, and {why}; choose another folder or force")


def _clear(path: Path) -> None:
    """Remove what an earlier comparison left, so that nothing of it is taken for the new one."""
    for name in (REPORT_FILE, SCORES_FILE):
        (path / name).unlink(missing_ok=True)
    for folder in sorted(path.iterdir()):
        if folder.is_dir() and not folder.is_symlink() and _was_compared(folder):
            shutil.rmtree(folder)


def _was_compared(folder: Path) -> bool:
    """Whether it holds a run under the name that ``compare`` gives it: others are left alone."""
    try:
        run = RunFolder(folder).read()
        preset = find_preset(str(run["model"]["preset"]))
        parameters = preset.check(run["model"]["parameters"])
    except ValueError:
        return False
    words = [_file_name(f" {name}={shown(value)}") for name, value in parameters.items()]
    rest = folder.name.removeprefix(preset.name)
    for word in words * len(words):  # in any order, each or none
        rest = rest.removeprefix(word)
    return rest in ("", f"_seed={run['config'].get('seed')}")


def _is_of(run: Run) -> bool:
    """Whether its folder holds this very run: model, data and config are the same."""
    try:
        there = RunFolder(run.folder).read()
    except ValueError:
        return False
    preset = find_preset(run.candidate.preset)
    parameters = preset.complete(run.candidate.parameters)
    model = {"preset": preset.name, "parameters": parameters}
    asked = json.loads(json.dumps({"model": model, "config": dataclasses.asdict(run.config)}))
    return (
        {key: there["model"].get(key) for key in model} == asked["model"]
        and there["config"] == asked["config"]
        and there["data"].get("fingerprint") == run.data.fingerprint()
    )


def _earlier(run: Run) -> Measured | None:
    """What an interrupted comparison measured of this run, with as many samples."""
    file = run.folder / SCORES_FILE
    history = RunFolder(run.folder).history() if file.is_file() and _is_of(run) else None
    if history is None:
        return None
    content = read_json(file)
    try:
        check(content, ScoresFile, "scores")
        found = content["models"][run.candidate.label]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file}: damaged, {error}; remove it to measure again") from error
    scores = {name: Score(**score) for name, score in found.items()}
    asked = (None, run.samples)
    same = all(s.samples in asked for name, s in scores.items() if name.endswith("likelihood"))
    return (read_values(run.folder / VALUES_FILE, scores), history) if same else None


def over_seeds(scores: Sequence[Scores], seeds: Sequence[int]) -> Scores:
    """Means over seeds, with the standard errors over them and over the examples.

    One seed's scores stay as they are, and so does a score that is the same whatever the seed, such
    as the likelihood of PCA. A score that some seeds lack is left out: a mean over the others would
    be one over those that were chosen for it.

    >>> from reparam.evaluation import Score
    >>> each = [{"elbo": Score(value, "nats", 9, "test", 0.5)} for value in (1.0, 3.0)]
    >>> mean = over_seeds(each, [0, 1])["elbo"]
    >>> mean.value, mean.stderr, mean.seed_stderr, mean.seed
    (2.0, 0.5, 1.0, [0, 1])
    """
    common = [name for name in scores[0] if all(name in one for one in scores)]
    return {name: _over_seeds([one[name] for one in scores], list(seeds)) for name in common}


def _over_seeds(scores: Sequence[Score], seeds: list[int]) -> Score:
    first, values = scores[0], [score.value for score in scores]
    if max(values) - min(values) <= SAME * abs(first.value):
        return first
    by_example = _mean_by_example(scores)
    errors = [score.stderr for score in scores if score.stderr is not None]
    if by_example is not None:
        over_examples = mean_score(by_example, first.unit, first.split).stderr
    else:  # the same examples: their errors do not cancel, the mean of them is the most there is
        over_examples = mean(errors) if len(errors) == len(scores) else None
    return dataclasses.replace(
        first,
        value=mean(values),
        stderr=over_examples,
        seed=seeds,
        seed_stderr=stdev(values) / math.sqrt(len(values)),
        values=by_example,
    )


def _mean_by_example(scores: Sequence[Score]) -> torch.Tensor | None:
    """The values of every example, means over seeds; None unless each seed has them all."""
    found = [score.values for score in scores if score.values is not None]
    if len(found) < len(scores) or len({len(values) for values in found}) > 1:
        return None
    return torch.stack(found).mean(0)


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
