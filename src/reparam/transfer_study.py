"""How much unlabeled data help when labels are few: one table for all encoders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch

from reparam.atomic import Unwritable
from reparam.checkpoint import folder_named, write_json
from reparam.comparison import config_within, limits_for
from reparam.comparison_runs import REPORT_FILE, refuse_counts, refuse_same
from reparam.config import TrainConfig
from reparam.data import Data, as_data, refuse_unfit
from reparam.data.few_labels import Count
from reparam.display import Displayed
from reparam.evaluation.probing import labeled_draws
from reparam.interrupt import ending_with_parent
from reparam.limits import positive_count
from reparam.lock import LOCK_FILE, locked
from reparam.progress import Watch, unwatched
from reparam.report.label_curves import Learned, write_label_page
from reparam.train.device import threads
from reparam.train.state import kept_of
from reparam.transfer_models import POINTS, Learner, Task, learn
from reparam.transfer_points import Points
from reparam.wording import listed

TRANSFER_FILE = "transfer.json"
MODELS = ("scratch", "pca", "ae", "vae", "mae")
PIXELS, ENTRIES = "raw pixels", "raw entries"


@dataclass(frozen=True, repr=False)
class Transfer(Displayed):
    """What ``transfer`` returns: the accuracies of every model by number of labels.

    Args:
        data: what all were trained and measured on.
        entries: a model each, the data themselves last.
        labels: how many.
        seeds: draws of these.
    """

    data: Data
    entries: tuple[Learned, ...]
    labels: tuple[Count, ...]
    seeds: int

    def __repr__(self) -> str:
        names = listed([entry.label for entry in self.entries])
        return f"Transfer of {len(self.entries)} models on {self.data.name!r}: {names}"

    def __getitem__(self, label: str) -> Learned:
        return next(entry for entry in self.entries if entry.label == label)

    def to_json(self) -> dict[str, Any]:
        """The contents of ``transfer.json``."""
        return {
            "data": {
                "name": self.data.name,
                "fingerprint": self.data.fingerprint(),
                "splits": {name: len(split) for name, split in self.data.splits.items()},
            },
            "labels": list(self.labels),
            "seeds": self.seeds,
            "models": {entry.label: entry.to_json() for entry in self.entries},
        }


def transfer(
    data: Any,
    models: Sequence[str] = MODELS,
    *,
    out: str | os.PathLike[str],
    labels: Sequence[Count] | None = None,
    seeds: int = 3,
    tuning_epochs: int | None = None,
    jobs: int = 1,
    force: bool = False,
    watch: Watch = unwatched,
    **fields: Any,
) -> Transfer:
    """Train models once on all rows without labels; then with few, the same for all.

    Each is probed (``probe``) and fine-tuned (``finetune``) on ``data.with_labels(n, seed)``,
    fine-tuned only where gradients reach what it has learned. ``"scratch"`` is the encoder of
    ``mae``, untrained and trained as a whole with the labels alone; ``"scratch encoder=ae"`` is
    another one. The data themselves are always probed beside. Leaves ``report.html``,
    ``transfer.json``, the runs without labels and all that was measured in ``out``. The same call,
    perhaps with more models, labels or seeds, goes on where it was.

    Args:
        data: labeled; what is no ``Data`` is read by ``load_data``.
        models: ``"PRESET key=value …"``, or ``"scratch encoder=…"``.
        out: the folder.
        labels: how many, ``"all"`` among them perhaps; None: of 10, 100 and 1000 those there are,
            and all.
        seeds: draws of labels, and seeds of fine-tuning.
        tuning_epochs: of fine-tuning; None: at least 500 steps and 5 epochs.
        jobs: how many models at a time, each in a process of its own.
        force: start afresh.
        watch: is told what is being done and the share of all that is done.
        **fields: of ``TrainConfig``, for the training without labels; without epochs, budget and
            patience each trains for 40 seconds at most.

    Raises:
        ValueError: bad models or numbers of labels, data without labels, a folder that holds
            something else, or models that failed; the others are reported first.
    """
    data = as_data(data)
    learners = [Learner.parse(text) for text in models]
    refuse_counts(seeds, jobs)
    if tuning_epochs is not None:
        positive_count("tuning_epochs", tuning_epochs)
    asked = tuple(labeled_draws(data, labels, 1))
    learners.append(Learner(PIXELS if data.space.is_image else ENTRIES))
    refuse_same([learner.label for learner in learners])
    folder = folder_named(out)
    work = [
        Task(
            data,
            learner,
            _config(learner, data, fields),
            folder,
            asked,
            seeds,
            tuning_epochs,
            force,
        )
        for learner in learners
    ]
    with locked(folder):
        _take_folder(folder, work, force)
        found, failures = _learn_all(work, jobs, watch)
        result = Transfer(data, tuple(found), asked, seeds)
        write_json(folder / TRANSFER_FILE, result.to_json())
        write_label_page(folder / REPORT_FILE, data, result.entries, asked, seeds)
    if failures:
        raise ValueError(
            f"{len(failures)} of {len(work)} models failed: {'; '.join(failures)}; the same call "
            f"tries these again; the others are in {folder / REPORT_FILE}"
        )
    return result


def _config(learner: Learner, data: Data, fields: dict[str, Any]) -> TrainConfig:
    """How a learner is trained without labels; what it cannot be is refused."""
    if learner.encoder is None:
        return TrainConfig()
    model = learner.untrained(data)
    try:
        refuse_unfit(model, data, *data.splits)
    except ValueError as error:
        raise ValueError(f"{learner.label}: {error}") from error
    limits = limits_for(fields, False)
    return config_within(learner.encoder.config(data.space), kept_of(model, data), fields, limits)


def _take_folder(folder: Path, work: Sequence[Task], force: bool) -> None:
    """Refuse a folder of something else, or of other settings, unless it is to be cleared."""
    there = {path.name for path in folder.iterdir() if path.name != LOCK_FILE}
    if there and POINTS not in there:
        name = min(there)
        raise ValueError(
            f"{folder}: is not empty, and {name} is no part of a transfer; choose another folder"
        )
    for task in work:
        if force:
            task.file.unlink(missing_ok=True)
        found = Points.read(task.file)
        if found is not None and found.settings != task.settings:
            raise ValueError(
                f"{folder}: {task.learner.label} was measured with other settings or data; choose "
                "another folder or force"
            )
    (folder / POINTS).mkdir(exist_ok=True)


def _learn_all(work: Sequence[Task], jobs: int, watch: Watch) -> tuple[list[Learned], list[str]]:
    """What each learned, in the order of the work, and why some did not."""
    results: dict[int, Learned | str] = {}
    if jobs == 1:
        for index, task in enumerate(work):
            results[index] = _attempt(task, _from(index, len(work), watch))
    else:
        each = max(1, torch.get_num_threads() // jobs)
        parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
        calls = (joblib.delayed(_in_worker)(each, *item) for item in enumerate(work))
        for count, (index, result) in enumerate(parallel(calls), 1):
            watch(f"{jobs} at a time", count / len(work))
            results[index] = result
    ordered = [results[index] for index in range(len(work))]
    learned = [result for result in ordered if isinstance(result, Learned)]
    return learned, [result for result in ordered if isinstance(result, str)]


def _from(index: int, count: int, watch: Watch) -> Watch:
    return lambda doing, share: watch(f"{doing} ({index + 1} of {count})", (index + share) / count)


def _in_worker(number: int, index: int, task: Task) -> tuple[int, Learned | str]:
    with ending_with_parent(), threads(number):
        return index, _attempt(task, unwatched)


def _attempt(task: Task, tell: Watch) -> Learned | str:
    """What a task gives, or why it failed."""
    try:
        return learn(task, tell)
    except Unwritable:  # the others would fail as well
        raise
    except (ValueError, ArithmeticError) as error:
        return f"{task.learner.label}: {' '.join(str(error).split())}"
