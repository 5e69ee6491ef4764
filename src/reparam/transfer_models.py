"""One model of a transfer: trained without labels, then probed and fine-tuned with few of them."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reparam.checkpoint import checksum
from reparam.comparison import train_trial
from reparam.comparison_runs import WAIT, Candidate, Trial, folder_name
from reparam.config import TrainConfig
from reparam.data import Data
from reparam.data.few_labels import Count
from reparam.evaluation.classification import classification_scores
from reparam.evaluation.modes import evaluating
from reparam.evaluation.probing import (
    Probe,
    features_of,
    labeled_draws,
    probes,
    raw_features,
    refuse_probe,
)
from reparam.lock import locked
from reparam.model import Descend, Encoder
from reparam.models.classifier import Classifier
from reparam.presets import build
from reparam.presets.classifier import spelled_encoder
from reparam.presets.registry import parse_assignments
from reparam.progress import Watch
from reparam.report.label_curves import TUNED, Learned
from reparam.train import fit
from reparam.train.random import alone
from reparam.transfer_points import Point, Points
from reparam.use.finetuning import finetune, training_of

SCRATCH, POINTS = "scratch", "points"
# Of scratch: no layer is more general than another where none has learned anything.
NO_DECAY = 1.0


@dataclass(frozen=True)
class Learner:
    """What learns from few labels, as a user names it.

    Args:
        label: how it is called.
        encoder: a preset with its parameters; None: the data themselves, which are probed only.
        pretrained: whether it learns without labels before.

    >>> Learner.parse("scratch encoder=ae").label, Learner.parse("pca").pretrained
    ('scratch ae', True)
    """

    label: str
    encoder: Candidate | None = None
    pretrained: bool = True

    @classmethod
    def parse(cls, text: str) -> Learner:
        """From ``"PRESET key=value …"``, or ``"scratch encoder=…"``, which begins untrained."""
        if text.split()[:1] != [SCRATCH]:
            found = Candidate.parse(text)
            return cls(found.label, found)
        given = parse_assignments(shlex.split(text)[1:])
        unknown = [key for key in given if key != "encoder"]
        if unknown:
            raise ValueError(f"scratch: expected encoder=…, as encoder=ae, got {unknown[0]}=…")
        encoder = Candidate.parse(str(given.get("encoder", "mae")))
        label = SCRATCH if encoder == Candidate.parse("mae") else f"{SCRATCH} {encoder.label}"
        return cls(label, encoder, pretrained=False)

    def untrained(self, data: Data, seed: int = 0) -> Encoder:
        """Its encoder before any training; ValueError where it has no codes of such data."""
        assert self.encoder is not None
        try:
            return refuse_probe(self.encoder.build(data.space, seed))
        except ValueError as error:
            raise ValueError(f"{self.label}: {error}") from error


@dataclass(frozen=True)
class Task:
    """One learner with all numbers of labels, and where what is measured is written.

    Args:
        data: all rows.
        learner: what.
        config: of the training without labels.
        folder: of the transfer.
        labels: how many.
        seeds: draws of these.
        epochs: of fine-tuning; None: by the number of rows.
        force: whether what lies there is overwritten.
    """

    data: Data
    learner: Learner
    config: TrainConfig
    folder: Path
    labels: tuple[Count, ...]
    seeds: int
    epochs: int | None
    force: bool = False

    @property
    def run(self) -> Path:
        """The folder of the run without labels."""
        return self.folder / folder_name(self.learner.label, 0, 1)

    @property
    def file(self) -> Path:
        """What was measured."""
        return self.folder / POINTS / f"{self.run.name}.json"

    @property
    def settings(self) -> dict[str, Any]:
        """What the points depend on, but for the run before them."""
        encoder = self.learner.encoder
        return {
            "encoder": None if encoder is None else encoder.label,
            "pretrained": self.learner.pretrained,
            "data": self.data.fingerprint(),
            "epochs": self.epochs,
        }

    def draws(self, n: Count) -> list[Data]:
        return labeled_draws(self.data, [n], self.seeds)[n]

    def tuning(self, few: Data, seed: int) -> TrainConfig:
        """How a model is tuned with so many rows: alike for all, and where it was trained."""
        config = replace(
            training_of(few, {}),
            seed=seed,
            device=self.config.device,
            precision=self.config.precision,
        )
        return config if self.epochs is None else replace(config, epochs=self.epochs)


def tunable(model: Encoder) -> bool:
    """Whether gradients reach what it has learned: not the indices or solutions of some.

    >>> import reparam as rp
    >>> space = rp.Space((1, 8, 8), "binary")
    >>> tunable(rp.build("ae", space)), tunable(rp.build("pca", rp.Space((4,), "real")))
    (True, False)
    """
    return model.code_space.kind == "real" and any(isinstance(s, Descend) for s in model.stages)


def learn(task: Task, tell: Watch) -> Learned:
    """Train a learner without labels, or find it trained, and measure what is not there yet."""
    with alone(wait=True), locked(task.file.parent / task.run.name, WAIT):
        model, seconds = _encoder(task, tell)
        weights = None if model is None else checksum(model)
        points = Points.at(task.file, task.settings, weights)
        for done, n in enumerate(task.labels):
            tell(f"{task.learner.label}, {n} labels", 0.5 + 0.5 * done / len(task.labels))
            draws = task.draws(n)
            _probe(task, model, n, draws, points)
            if model is not None and tunable(model):
                _tune(task, model, n, draws, points)
        return _learned(task, model, points, seconds)


def _encoder(task: Task, tell: Watch) -> tuple[Encoder | None, float | None]:
    """The model whose codes are read, and how long it trained without labels."""
    learner = task.learner
    if learner.encoder is None:
        return None, None
    if not learner.pretrained:
        return learner.untrained(task.data), None
    trial = Trial(task.data, learner.encoder, task.config, task.run, 1, task.force)
    with locked(task.run, WAIT):
        model, history = train_trial(trial, tell)
    return refuse_probe(model), history.seconds


def _probe(
    task: Task, model: Encoder | None, n: Count, draws: Sequence[Data], points: Points
) -> None:
    there = points.probes.get(str(n))
    if there is not None and all(len(one.accuracies) >= len(draws) for one in there):
        return
    features = raw_features(task.data) if model is None else features_of(model)
    points.probes[str(n)] = probes(features, task.data, {n: draws})
    points.write()


def _tune(task: Task, model: Encoder, n: Count, draws: Sequence[Data], points: Points) -> None:
    there = points.tuned.setdefault(str(n), [])
    for seed in range(len(there), len(draws)):
        few, start = draws[seed], time.perf_counter()
        config = task.tuning(few, seed)
        if task.learner.pretrained:
            tuned = finetune(model, few, config, progress=False)
        else:
            tuned = _from_scratch(model, few, config)
        with evaluating([tuned]):
            scores = classification_scores(tuned, task.data.test, "test")
        there.append(Point(scores["accuracy"].value, time.perf_counter() - start))
        points.write()


def _from_scratch(encoder: Encoder, few: Data, config: TrainConfig) -> Classifier:
    given = {"encoder": spelled_encoder(encoder), "layer_decay": NO_DECAY}
    found = build("classifier", few.space, seed=config.seed, **given)
    assert isinstance(found, Classifier)
    fit(found, few, config, progress=False)
    return found


def _learned(task: Task, model: Encoder | None, points: Points, seconds: float | None) -> Learned:
    """What was measured, of as many draws as are asked for."""
    found: list[Probe] = []
    for n in task.labels:
        draws = 1 if n == "all" else task.seeds
        tuned = [point.accuracy for point in points.tuned.get(str(n), [])][:draws]
        if tuned:
            chosen = n == "all" or task.data.with_labels(n).holds_out
            rows = (len(task.data.test), len(task.data.with_labels(n).train))
            found.append(Probe(n, TUNED, tuple(tuned), (), chosen, *rows))
        found += [one.first(draws) for one in points.probes[str(n)]]
    return Learned(task.learner.label, tuple(found), seconds, model is None)
