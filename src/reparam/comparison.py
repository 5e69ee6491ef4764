"""Several models on the same data, under one budget, measured by one protocol."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import torch

from reparam.atomic import Unwritable
from reparam.checkpoint import checksum, folder_named, write_json
from reparam.coding.leaves import coder
from reparam.comparison_families import Asked, chosen_models, families_json
from reparam.comparison_runs import (
    REPORT_FILE,
    WAIT,
    Candidate,
    Measured,
    OwnModel,
    Trial,
    earlier,
    folder_name,
    is_of,
    measured_model,
    refuse_counts,
    refuse_same,
    take_folder,
)
from reparam.comparison_seeds import over_seeds
from reparam.config import TrainConfig
from reparam.data import Data, as_data, refuse_unfit
from reparam.display import Displayed
from reparam.evaluation import Scores, evaluate, reference_scores
from reparam.evaluation.by_example import write_values
from reparam.evaluation.likelihood import default_samples, usual_samples
from reparam.interrupt import ending_with_parent
from reparam.lock import InUse, locked
from reparam.model import Density, Generator, Keeps, Model, positive_count
from reparam.progress import Watch, unwatched
from reparam.report import TrainedModel, write_page
from reparam.report.claims import Claim, claims_of
from reparam.train import History, News, RunFolder, fit, resume
from reparam.train.device import threads
from reparam.train.folder import SCORES_FILE, VALUES_FILE
from reparam.train.random import alone
from reparam.train.state import kept_of, refuse_patience
from reparam.wording import listed

# Where neither epochs nor seconds nor patience are asked for: a report within minutes.
BY_DEFAULT = {"patience": 20, "budget": 40.0}  # validations, seconds of training for each model


@dataclass(frozen=True)
class FailedRun:
    """Why a run has no scores."""

    reason: str


class Known(NamedTuple):
    """A candidate, which weights its training leaves, and the samples that are usual for it."""

    candidate: Candidate | OwnModel
    keeps: Keeps
    samples: int


Results = Iterator[tuple[int, Measured | FailedRun]]  # by the number of the run, as they are made


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """What ``compare`` returns: the data, and each model's scores and (first seed's) model.

    Args:
        data: what all were trained and measured on.
        entries: a model each.
        found: the folders of the runs that were measured before and taken over.
        reference: what training rows score in place of samples (``reference_scores``), where there
            are generators.
        notes: which models were left out of those that are trained by default, and why.
        families: whether it is one of families.
        claims: what is said of families, with verdicts.
    """

    data: Data
    entries: tuple[TrainedModel, ...]
    found: tuple[Path, ...] = ()
    reference: Scores = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    families: bool = False
    claims: tuple[Claim, ...] = ()

    def __repr__(self) -> str:
        names = listed([entry.label for entry in self.entries])
        return f"Comparison of {len(self.entries)} models on {self.data.name!r}: {names}"

    def to_json(self) -> dict[str, Any]:
        """The contents of ``scores.json``."""
        scores = {entry.label: dict(entry.scores) for entry in self.entries}
        content = scores_json(self.data, scores, self.reference)
        models = {entry.label: entry.model for entry in self.entries}
        if self.families:
            content["claims"] = [claim.to_json() for claim in self.claims]
        return content | ({"families": families_json(models)} if self.families else {})


def compare(
    data: Any,
    models: Asked = None,
    *,
    out: str | os.PathLike[str],
    families: bool = False,
    seeds: int = 1,
    jobs: int = 1,
    samples: int | None = None,
    coded: bool = False,
    force: bool = False,
    watch: Watch = unwatched,
    **fields: Any,
) -> Comparison:
    """Train models on the same data under the same budget, measure them, and write a report.

    Leaves ``report.html``, ``scores.json`` and one run folder per model and seed in ``out``. A
    comparison goes on where the same call, perhaps with more models, finds its runs: what was
    measured is taken over, what was interrupted or failed is resumed. A model that fails does not
    take the others with it: they are reported first.

    Args:
        data: what all are trained and measured on; what is no ``Data`` is read by ``load_data``.
        models: ``"PRESET key=value …"`` each, a preset may stand several times; or models of your
            own, with their names as pairs or in a dictionary, of which copies are trained, for
            every seed from the same weights (no file says what they are, so that their runs are
            not taken over: a folder that holds some asks for ``force``); None: one of every family
            that takes the data, with a small code and with a larger one.
        out: the folder.
        families: train one model of every family that takes the data before those that are asked
            for, all for the same seconds, 40 where nothing is asked, and say what families are.
        seeds: how many seeds of each; with more than one, scores are means over them and have a
            standard error over them beside that over the examples.
        jobs: how many train at a time, each in a process of its own, by joblib: with a Dask
            client, ``with joblib.parallel_config("dask"): compare(..., jobs=4)`` has its cluster
            train them; with Ray ``ray.util.joblib.register_ray()`` and ``"ray"``. The workers
            need ``out`` to be a folder that all of them see.
        samples: importance samples per example of the log-likelihood; None: by the sizes of the
            data, 1000 at most, as ``evaluate`` takes.
        coded: whether a file is made of the test split with each model that makes one, read back
            and measured, as ``evaluate`` does.
        force: remove an earlier comparison, finished or not, and start afresh: its report, its
            scores and the runs that bear the names it gave.
        watch: is told what is being done and the share of all that is done.
        **fields: of ``TrainConfig``, for all of them; without epochs, budget and patience each
            trains for 40 seconds at most, less where 20 validations bring nothing better (which
            is not asked of models that keep their last weights, or whose learning rate falls).

    Raises:
        ValueError: bad models or parameters, a folder that holds something else or in which
            another process is training, ``coded`` without constriction, or models that failed.
    """
    if samples is not None:
        positive_count("samples", samples)
    if coded:
        coder()  # refused now where it is not installed, before all is trained
    data = as_data(data)
    candidates, notes = chosen_models(data, models, families)
    known = _refuse_bad(candidates, data, seeds, jobs, fields)
    limits = limits_for(fields, families)
    folder = folder_named(out)
    work = _trials(data, known, folder, seeds, samples, force, fields, limits)
    work = [dataclasses.replace(trial, coded=coded) for trial in work]

    def tell(doing: str, done: float) -> None:
        watch(f"{doing} ({min(int(done) + 1, len(work))} of {len(work)})", done / len(work))

    with ExitStack() as held:
        held.enter_context(locked(folder))
        take_folder(folder, work, force)
        found = [earlier(trial) for trial in work]
        results = _measure_all(work, found, jobs, held, tell)
        watch("writing the report", 1.0)
        comparison = _finish(data, work, results, folder, notes, families)
    before = tuple(trial.folder for trial, scores in zip(work, found, strict=True) if scores)
    return dataclasses.replace(comparison, found=before)


def limits_for(fields: dict[str, Any], families: bool) -> dict[str, Any]:
    """What ends a training where nobody says: of families the clock alone, the same for all."""
    usual = {n: v for n, v in BY_DEFAULT.items() if not (families and n == "patience")}
    return {} if fields.keys() & {"epochs", "budget", *usual} else usual


def _trials(
    data: Data,
    known: Sequence[Known],
    folder: Path,
    seeds: int,
    samples: int | None,
    force: bool,
    fields: dict[str, Any],
    limits: dict[str, Any],
) -> list[Trial]:
    """Every candidate under every seed, in the order of the report."""
    first = fields.get("seed", 0)
    trials = []
    for c, keeps, usual in known:
        for seed in range(first, first + seeds):
            config = config_within(c.config(data.space), keeps, fields | {"seed": seed}, limits)
            place = folder / folder_name(c.label, seed, seeds)
            drawn = usual if samples is None else samples
            trials.append(Trial(data, c, config, place, drawn, force))
    return trials


def _measure_all(
    work: Sequence[Trial],
    found: Sequence[Measured | None],
    jobs: int,
    held: ExitStack,
    tell: Watch,
) -> list[Measured | FailedRun]:
    """The scores of every run: those that were found, and the others as they are made.

    Whatever is measured is held from then on, so that nobody trains it further or overwrites it.
    """
    there = {index: result for index, result in enumerate(found) if result is not None}
    results = {index: _keep(held, work[index], result) for index, result in there.items()}
    todo = {index: trial for index, trial in enumerate(work) if index not in there}
    made = _in_turn(todo, len(there), tell) if jobs == 1 else _at_once(todo, len(there), jobs, tell)
    for index, result in made:
        results[index] = _keep(held, work[index], result)
    return [results[index] for index in range(len(work))]


def _in_turn(todo: Mapping[int, Trial], done: int, tell: Watch) -> Results:
    for start, (index, trial) in enumerate(todo.items(), done):
        yield index, _attempt(trial, _from(start, tell))


def _from(start: int, tell: Watch) -> Watch:
    return lambda doing, share: tell(doing, start + share)


def _at_once(todo: Mapping[int, Trial], done: int, jobs: int, tell: Watch) -> Results:
    """Whichever ends first comes first, so that none is left unheld while another trains."""
    each = max(1, torch.get_num_threads() // jobs)
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    measured = parallel(joblib.delayed(_in_worker)(each, *item) for item in todo.items())
    for count, numbered in enumerate(measured, done + 1):
        tell(f"{jobs} at a time", count)
        yield numbered


def _in_worker(number: int, index: int, trial: Trial) -> tuple[int, Measured | FailedRun]:
    """A run in a process of its own, or in a thread of a process: these take turns."""
    with ending_with_parent(), alone(wait=True), threads(number):
        return index, _attempt(trial, unwatched)


def _keep(held: ExitStack, trial: Trial, result: Measured | FailedRun) -> Measured | FailedRun:
    """Hold the folder of a run that was measured; a failure where somebody else does."""
    if isinstance(result, Measured):
        try:
            held.enter_context(locked(trial.folder, WAIT))
        except InUse as error:
            return FailedRun(str(error))
    return result


def _attempt(trial: Trial, tell: Watch) -> Measured | FailedRun:
    """Its scores, or why there are none: bad data for this model, or a loss that diverged."""
    try:
        return _train_and_measure(trial, tell)
    except Unwritable:  # the others would fail as well
        raise
    except (ValueError, ArithmeticError) as error:
        return FailedRun(" ".join(str(error).split()))


def _train_and_measure(trial: Trial, tell: Watch) -> Measured:
    """Hold the process and the folder of the run until its scores are written."""
    with alone(wait=True), locked(trial.folder, WAIT):
        model, history = train_trial(trial, tell)

        def measuring(what: str, share: float) -> None:
            tell(f"measuring {trial.candidate.label}: {what}", 0.5 + 0.5 * share)

        scores = evaluate(
            model,
            trial.data,
            samples=trial.samples,
            seed=trial.config.seed,
            coded=trial.coded,
            history=history,
            watch=measuring,
        )
        folder = RunFolder(trial.folder)
        content = scores_json(trial.data, {trial.candidate.label: scores})
        run, weights = folder.read()["id"], checksum(model)
        write_values(trial.folder / VALUES_FILE, scores, run)  # first: no scores without
        content |= {"run": run, "weights": weights}
        write_json(trial.folder / SCORES_FILE, content, make_folder=False)
        return Measured(scores, folder.history() or history, run, weights)


def train_trial(trial: Trial, tell: Watch) -> tuple[Model, History]:
    """The model of a run, trained afresh or to its end."""
    data, config, label = trial.data, trial.config, trial.candidate.label

    def training(news: News) -> None:  # how long measuring will take is not known: as long again
        tell(f"training {label}", 0.5 * news.share)

    tell(f"training {label}", 0.0)
    there = is_of(trial)
    if there and RunFolder(trial.folder).state() is not None:
        return resume(trial.folder, data=data, watch=training, progress=False)
    model = trial.candidate.build(data.space, config.seed)
    force = trial.force or there  # else whatever another process has put there meanwhile stays
    history = fit(
        model, data, config, out=trial.folder, force=force, watch=training, progress=False
    )
    return model, history


def _finish(
    data: Data,
    work: Sequence[Trial],
    results: Sequence[Measured | FailedRun],
    folder: Path,
    notes: tuple[str, ...],
    families: bool,
) -> Comparison:
    """One entry per model, over its seeds; scores and report written; failures raised then."""
    runs: dict[str, list[tuple[Trial, Measured]]] = {}
    models: dict[str, Model] = {}
    failures = []
    for trial, result in zip(work, results, strict=True):
        label, found = trial.candidate.label, _read_back(trial, result)
        if isinstance(found, FailedRun):
            failures.append(f"{label} (seed {trial.config.seed}): {found.reason}")
        else:
            measured, model = found
            runs.setdefault(label, []).append((trial, measured))
            models.setdefault(label, model)
    entries = [_entry(label, models[label], of) for label, of in runs.items()]
    generators = any(isinstance(entry.model, Generator) for entry in entries)
    reference = reference_scores(data, seed=work[0].config.seed) if generators else {}
    about: dict[str, Any] = {"reference": reference, "notes": notes, "families": families}
    if families:
        about["claims"] = claims_of(data, entries, reference=reference)
    comparison = Comparison(data, tuple(entries), **about)
    if entries:
        write_page(folder / REPORT_FILE, data, entries, **about)
        write_json(folder / SCORES_FILE, comparison.to_json())
    if failures:
        what = f"{len(failures)} of {len(work)} runs failed: {'; '.join(failures)}"
        what += "; the same call tries these again"
        others = f"; the others are in {folder / REPORT_FILE}" if entries else ""
        raise ValueError(what + others)
    return comparison


def _read_back(trial: Trial, result: Measured | FailedRun) -> tuple[Measured, Model] | FailedRun:
    """What was measured with its weights, or why there is no such run, for locks are advice."""
    if isinstance(result, FailedRun):
        return result
    try:
        return result, measured_model(trial, result)
    except ValueError as error:
        return FailedRun(str(error))


def _entry(label: str, model: Model, runs: Sequence[tuple[Trial, Measured]]) -> TrainedModel:
    """A model with its scores over the seeds, and the weights and curves of the first."""
    seeds = [trial.config.seed for trial, _ in runs]
    by_seed = tuple(measured.scores for _, measured in runs)
    scores = over_seeds(by_seed, seeds)
    trained = [(trial.config, measured.history) for trial, measured in runs]
    config, history = trained[0]
    others = tuple(trained[1:])
    return TrainedModel(label, model, scores, history, config, others, by_seed if others else ())


def config_within(
    config: TrainConfig, keeps: Keeps, fields: dict[str, Any], limits: dict[str, Any]
) -> TrainConfig:
    """How a candidate is trained: as its preset, but within the limits that nobody asked for."""
    config = dataclasses.replace(config, **limits | fields)
    # A falling learning rate is at its best where it ends, not where nothing improves for a while.
    if limits and (config.schedule != "constant" or keeps == "last"):
        return dataclasses.replace(config, patience=None)
    return config


def _refuse_bad(
    candidates: Sequence[Candidate | OwnModel],
    data: Data,
    seeds: int,
    jobs: int,
    fields: dict[str, Any],
) -> list[Known]:
    """What the models say, and all that can be refused, before the first of them is trained."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("torchrun: divides one fit among processes; a comparison takes jobs")
    if not candidates:
        raise ValueError("models: expected at least one")
    refuse_counts(seeds, jobs)
    refuse_same([c.label for c in candidates])
    usual = default_samples(data.space, len(data.test))  # the same for all whose bounds it tightens
    known = []
    for c in candidates:
        try:
            model = c.build(data.space, seed=0)
            refuse_unfit(model, data, *data.splits)
            model.refuse_rows(len(data.train))
            if fields.get("patience") is not None:
                refuse_patience(model, data)
        except ValueError as error:
            raise ValueError(f"{c.label}: {error}") from error
        samples = usual
        if isinstance(model, Density) and not model.tightens:
            samples = usual_samples(model, len(data.test))
        known.append(Known(c, kept_of(model, data), samples))
    return known


def scores_json(
    data: Data, models: dict[str, Scores], reference: Scores | None = None
) -> dict[str, Any]:
    """{"data": …, "models": {label: {score: …}}, "reference": {score: …}}, as every scores file is.

    The reference, where there is one, is what training rows score in place of samples.
    """
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
    content = {"data": about, "models": {label: _to_json(found) for label, found in models.items()}}
    return content | ({"reference": _to_json(reference)} if reference else {})


def _to_json(scores: Scores) -> dict[str, Any]:
    return {name: score.to_json() for name, score in scores.items()}
