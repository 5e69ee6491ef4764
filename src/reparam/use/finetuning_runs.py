"""Fine-tuning by numbers of labels and seeds: a folder of runs, continued where it was left."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import joblib
import torch

from reparam.atomic import sweep
from reparam.checkpoint import RUN_FILE, checksum, read_json, write_json
from reparam.data import Data
from reparam.data.few_labels import Count
from reparam.evaluation.classification import classification_scores
from reparam.evaluation.modes import evaluating
from reparam.evaluation.probing import labeled_draws
from reparam.interrupt import ending_with_parent
from reparam.limits import check
from reparam.lock import LOCK_FILE, locked
from reparam.model import Encoder, Model, positive_count
from reparam.models.classifier import Tune
from reparam.progress import Watch, unwatched
from reparam.train import RunFolder, resume
from reparam.train.device import threads
from reparam.train.random import alone
from reparam.use.finetuning import (
    finetune,
    make_classifier,
    refuse_unfit_data,
    refuse_unfit_encoder,
)
from reparam.wording import name_of

TUNED_FILE = "finetuning.json"
ALL = "all"


@dataclass(frozen=True)
class Tuned:
    """What a fine-tuning of so many labels reached on test examples.

    Args:
        labels: in training and validation together, or all.
        seed: of the draw of labels, and of training.
        folder: of its run, in that of all.
        accuracy: share of test examples that it tells.
        cross_entropy: of their labels, in nats.
        n: how many test examples there are.
        rows: how many labels trained.
        chosen: whether weights were chosen by labels that did not train; else they are the last.
        seconds: of training.
    """

    labels: Count
    seed: int
    folder: str
    accuracy: float
    cross_entropy: float
    n: int
    rows: int
    chosen: bool
    seconds: float


class TunedFile(TypedDict):
    """The contents of ``finetuning.json``: of what all runs are, and what each reached."""

    of: dict[str, Any]
    runs: list[Tuned]


@dataclass(frozen=True)
class _Work:
    """One fine-tuning: on which of the data, and where it is written."""

    data: Data
    labels: Count
    seed: int
    folder: Path
    tune: Tune
    fields: dict[str, Any]


def finetune_all(
    model: Model,
    data: Data,
    labels: Sequence[Count],
    seeds: int,
    *,
    out: Path,
    tune: Tune = "all",
    jobs: int = 1,
    force: bool = False,
    watch: Watch = unwatched,
    **fields: Any,
) -> list[Tuned]:
    """Fine-tune an encoder on every number of labels under every seed, all labels under one.

    Each is a run in ``out``, named as ``labels=100_seed=0``. Runs that are there with the same
    settings are taken over, and interrupted ones go on.

    Args:
        model: a trained encoder, which stays as it is.
        data: of its space, with labels.
        labels: how many, or ``"all"``.
        seeds: draws of labels; that of training is the same.
        out: the folder.
        tune: ``"linear"`` or ``"all"``, as for ``finetune``.
        jobs: how many train at a time, each in a process of its own.
        force: overwrite what an earlier fine-tuning left there.
        watch: is told what is being done and which share of it is.
        **fields: of ``TrainConfig``.

    Raises:
        ValueError: what ``finetune`` or ``Data.with_labels`` refuses, or a folder of other things.
    """
    encoder = refuse_unfit_encoder(model)
    refuse_unfit_data(encoder, data)
    positive_count("jobs", jobs)
    work = [
        _Work(few, n, seed, out / folder_name(n, seed), tune, fields)
        for n, draws in labeled_draws(data, labels, seeds).items()
        for seed, few in enumerate(draws)
    ]
    of = _settings(encoder, data, tune, fields)
    make_classifier(encoder, work[0].data, tune)  # what it refuses, before anything is written
    with locked(out):
        found = _taken(out, of, force)
        _write(out, of, found)
        for one in _made(encoder, [w for w in work if w.folder.name not in found], jobs, watch):
            found[one.folder] = one
            _write(out, of, found)
    return [found[one.folder.name] for one in work]


def folder_name(labels: Count, seed: int) -> str:
    """The name of a run.

    >>> folder_name(100, 0)
    'labels=100_seed=0'
    """
    return f"labels={labels}_seed={seed}"


def read_tuned(folder: Path) -> list[Tuned]:
    """What stands in a folder of fine-tunings, those of most labels first; [] of another one."""
    file = folder / TUNED_FILE
    if not file.is_file():
        return []
    try:
        runs = check(read_json(file), TunedFile, "finetuning")["runs"]
    except ValueError as error:
        raise ValueError(f"{file}: damaged, {error}; fine-tune again with --force") from error
    return sorted(runs, key=lambda one: (-_many(one.labels), one.seed))


def _many(labels: Count) -> float:
    return math.inf if labels == ALL else float(labels)


def _settings(encoder: Encoder, data: Data, tune: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """By what runs are the same ones: weights, data and how they are trained, as JSON has them."""
    of = {
        "encoder": name_of(encoder),
        "weights": checksum(encoder),
        "data": data.fingerprint(),
        "tune": tune,
        "fields": dict(fields),
    }
    content: dict[str, Any] = json.loads(json.dumps(of))
    return content


def _taken(out: Path, of: Mapping[str, Any], force: bool) -> dict[str, Tuned]:
    """The runs that are there; ValueError where the folder holds anything else."""
    sweep(out, (TUNED_FILE,))
    there = {item.name for item in out.iterdir()} - {LOCK_FILE}
    if not there:
        return {}
    if TUNED_FILE not in there:
        raise ValueError(
            f"{out}: is not empty, and {min(there)} is no part of a fine-tuning; choose another "
            "folder"
        )
    if force:
        _clear(out)
        return {}
    before = {one.folder: one for one in read_tuned(out)}
    known = read_json(out / TUNED_FILE)["of"]
    differ = [name for name, value in of.items() if known.get(name) != value]
    if differ:
        raise ValueError(
            f"{out}: holds a fine-tuning with other {' and '.join(differ)}; choose another folder "
            "or force"
        )
    return {n: one for n, one in before.items() if (out / n / RUN_FILE).is_file()}


def _clear(out: Path) -> None:
    """Remove the runs of an earlier fine-tuning, and nothing else."""
    for folder in out.glob("labels=*_seed=*"):
        if (folder / RUN_FILE).is_file():
            shutil.rmtree(folder)
    (out / TUNED_FILE).unlink()


def _write(out: Path, of: Mapping[str, Any], found: Mapping[str, Tuned]) -> None:
    runs = sorted(found.values(), key=lambda one: (_many(one.labels), one.seed))
    write_json(out / TUNED_FILE, {"of": of, "runs": [dataclasses.asdict(one) for one in runs]})


def _made(encoder: Encoder, work: Sequence[_Work], jobs: int, watch: Watch) -> Iterator[Tuned]:
    """Each as it is done, one after the other or so many at a time."""
    if jobs == 1:
        for number, one in enumerate(work):
            watch(f"fine-tuning with {one.labels} labels", number / len(work))
            yield _tuned(encoder, one)
        return
    each = max(1, torch.get_num_threads() // jobs)
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    made = parallel(joblib.delayed(_in_worker)(each, encoder, one) for one in work)
    for number, found in enumerate(made):
        watch(f"fine-tuning, {jobs} at a time", (number + 1) / len(work))
        yield found


def _in_worker(number: int, encoder: Encoder, work: _Work) -> Tuned:
    with ending_with_parent(), alone(wait=True), threads(number):
        return _tuned(encoder, work)


def _tuned(encoder: Encoder, work: _Work) -> Tuned:
    """A run, trained afresh or to its end, and measured."""
    model = _trained(encoder, work)
    history = RunFolder(work.folder).history()
    assert history is not None
    with evaluating([model]):
        scores = classification_scores(model, work.data.test, "test")
    return Tuned(
        labels=work.labels,
        seed=work.seed,
        folder=work.folder.name,
        accuracy=scores["accuracy"].value,
        cross_entropy=scores["label_cross_entropy"].value,
        n=len(work.data.test),
        rows=len(work.data.train),
        chosen=work.data.holds_out,
        seconds=round(history.seconds, 2),
    )


def _trained(encoder: Encoder, work: _Work) -> Model:
    there = RunFolder(work.folder)
    if (work.folder / RUN_FILE).is_file() and there.state() is not None:
        return resume(work.folder, data=work.data, progress=False)[0]
    return finetune(
        encoder,
        work.data,
        tune=work.tune,
        out=work.folder,
        force=True,
        progress=False,
        **work.fields | {"seed": work.seed},
    )
