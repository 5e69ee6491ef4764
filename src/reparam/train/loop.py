"""The training loop, from top to bottom."""

from __future__ import annotations

import dataclasses
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import torch

from reparam.checkpoint import folder_named
from reparam.config import TrainConfig
from reparam.data import Data, as_data, load_data
from reparam.interrupt import Granted, Interrupt, interruptible
from reparam.memory import keep_freed
from reparam.model import ENCODED, Batch, Descend, Loss, Model, Player
from reparam.presets.registry import PRESETS
from reparam.progress import Watch, bar, in_notebook
from reparam.train.captured import captured
from reparam.train.compiled import Compiled
from reparam.train.device import chosen_threads, flushed_denormals, lacks_bfloat16
from reparam.train.diagnosis import diagnose
from reparam.train.folder import RunFolder
from reparam.train.history import History, Row
from reparam.train.judge import disagreement, judge, judged
from reparam.train.optimizers import set_learning_rate
from reparam.train.random import alone, seeded
from reparam.train.ranks import Ranks
from reparam.train.resuming import put_back
from reparam.train.state import Training
from reparam.train.strip import keep_draws
from reparam.train.tally import NonFinite, Tally
from reparam.train.tensorboard import tensorboard_writer
from reparam.train.updates import Step, Update, turns
from reparam.train.validation import Validated, call_back, unused_codes, validate
from reparam.wording import listed, name_of

SECONDS_BETWEEN_NEWS = 0.2
FIXED_FIELDS = ("batch_size", "seed", "precision", "augment")


class News(NamedTuple):
    """Where a run stands, for whoever watches: step, share that is done, last row of the curves."""

    step: int
    share: float
    row: dict[str, float]


def fit(
    model: Model,
    data: Any,
    config: TrainConfig | None = None,
    *,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
    watch: Callable[[News], None] | None = None,
    validated: Validated | None = None,
    progress: bool = True,
    **fields: Any,
) -> History:
    """Train a model and leave it with the weights it ``keeps``, in evaluation mode.

    These are the best by validation, or the last where the objective moves with the weights.

    Args:
        model: any model; its stages are run in order. One of float64 is trained in it.
        data: its training and validation splits are read. What is no ``Data`` is read by
            ``load_data``, whose notes then are not seen, as values of the model's kind.
        config: how; None: the preset's own, or the defaults.
        out: folder for the run; None: nothing is written.
        force: overwrite a run that lies there.
        watch: is told where the run stands, a few times a second.
        validated: is called after every validation with the step, the means of the terms, and the
            model as it was validated. What it draws or takes in seconds is no part of the training.
        progress: show a bar with the time left on a terminal, or a line of it in a notebook. There,
            interrupting the kernel ends the training: the history is returned, which says so, and
            the model has the weights that it keeps. Else Ctrl-C raises ``KeyboardInterrupt``, and
            the model has these weights, too.
        **fields: of ``TrainConfig``, replacing those of ``config``.

    Raises:
        ValueError: the data are not the model's, patience is asked of a model that keeps its last
            weights, the folder cannot be used or another process trains there, or another thread
            of this process is training.
        NonFinite: the loss stayed infinite or NaN.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> rp.fit(model, data, progress=False).ended
    'solved'
    """
    data = as_data(data, model.space)
    folder = None if out is None else RunFolder(folder_named(out))
    ranks = Ranks()
    with alone(), ExitStack() as held:
        with ranks.all_or_none():
            config = choose_config(model, config, fields)
            training = Training(model, data, config)
            if folder is not None and ranks.first:
                held.enter_context(folder.locked())
                folder.begin(model, data, config, force)
        given = {"the folder (out), which only some are given": folder is not None}
        ranks.require_same(training.alike(data) | given)
        return _run(training, folder, watch, progress, validated)


def resume(
    path: str | os.PathLike[str],
    *,
    data: Any = None,
    model: Model | None = None,
    watch: Callable[[News], None] | None = None,
    validated: Validated | None = None,
    progress: bool = True,
    **fields: Any,
) -> tuple[Model, History]:
    """Continue a run from its last checkpoint, exactly as if it had never stopped.

    Args:
        path: the folder that ``fit`` wrote.
        data: needed where the run's data came from memory.
        model: needed where no preset builds it.
        watch, validated, progress: as for ``fit``.
        **fields: of ``TrainConfig`` to change, such as a larger ``epochs``; what the steps so far
            depend on (batch_size, seed, precision, augment) cannot be.

    Raises:
        ValueError: no run there, a damaged one, one that is being trained, or the data are not
            those it was trained on.
    """
    folder, ranks = RunFolder(Path(path)), Ranks()
    with alone(), ExitStack() as held:
        with ranks.all_or_none():
            run = folder.read()
            if ranks.first:
                held.enter_context(folder.locked())
                run = folder.read()  # of whoever held it last
            before = folder.config()
            config = _replace(before, fields)
            for name in (n for n in FIXED_FIELDS if getattr(config, n) != getattr(before, n)):
                raise ValueError(f"{name}: cannot change in a run that is resumed; fit a new one")
            model = model or folder.rebuilt(config.seed)
            data = None if data is None else as_data(data, model.space)
            data = same_data(run["data"], data, folder.path)
            training = Training(model, data, config)
        ranks.require_same(training.alike(data) | {"run": run["id"]})
        return model, _run(training, folder, watch, progress, validated, resumed=True)


def choose_config(model: Model, config: TrainConfig | None, fields: dict[str, Any]) -> TrainConfig:
    """The config given, else the preset's, in the model's precision, with some fields replaced."""
    if config is None:
        recipe = model.recipe
        config = PRESETS[recipe["preset"]].train_on(model.space) if recipe else TrainConfig()
    if model.anchor.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"model: expected weights of float32 or float64, got {model.anchor.dtype}; give "
            'model.float(), and precision="bfloat16" to compute in 16 bits'
        )
    if model.anchor.dtype == torch.float64 and config.precision == "float32":
        config = dataclasses.replace(config, precision="float64")
    return _replace(config, fields)


def _replace(config: TrainConfig, fields: dict[str, Any]) -> TrainConfig:
    known = [field.name for field in dataclasses.fields(TrainConfig)]
    for name in fields:
        if name not in known:
            raise ValueError(f"{name}: no field of TrainConfig; it has {', '.join(known)}")
    return dataclasses.replace(config, **fields)


def same_data(recorded: dict[str, Any], data: Data | None, path: Path) -> Data:
    if data is None:
        if "source" not in (recorded.get("source") or {}):
            raise ValueError(f"{path}: its data came from memory; give them as data=")
        data = load_data(**recorded["source"])
    if data.fingerprint() != recorded["fingerprint"]:
        raise ValueError(f"{path}: {data.name} is not what the run was trained on: it has changed")
    return data


def _run(
    training: Training,
    folder: RunFolder | None,
    watch: Callable[[News], None] | None,
    progress: bool,
    validated: Validated | None,
    resumed: bool = False,
) -> History:
    """Every stage in order, then the weights that are kept."""
    keep_freed()
    model, config, history = training.model, training.config, training.history
    ranks, restored = training.ranks, False
    name = name_of(model)
    try:
        with (
            torch.enable_grad(),  # also for a fit in a ``watch`` of something that needs none
            seeded(ranks.seed(config.seed), training.device),
            flushed_denormals(),
            chosen_threads(model, training.batches.batch_size),
            interruptible() as interrupt,
            bar(name, progress and watch is None and ranks.first) as shown,
        ):
            if folder is not None and resumed:
                with ranks.all_or_none():
                    restored = put_back(training, folder)
                    history = training.history
                ranks.require_same({"checkpoint": (training.stage, training.step)})
                with ranks.all_or_none():
                    if ranks.first:
                        folder.change(config)  # not before its state was accepted
                        folder.sweep()
            ranks.broadcast(model)
            session = _Session(training, folder, watch or _on(shown), interrupt, validated)
            if not restored:
                session.save()  # the weights it starts from: no seed gives them back
            session.run()
    except Granted:
        training.take_best()
        if not (progress and watch is None and in_notebook()):
            raise
        history = training.history
        history.ended = "interrupted"
    if folder is not None and ranks.first and training.best is None:
        folder.save_model(model, model.state_dict())  # otherwise the last save wrote it
    return history


def _on(bar: Watch) -> Callable[[News], None]:
    """News of training on a bar: the share that is done, and what the last validation found."""
    return lambda news: bar(judged(news.row), news.share)


class _Session:
    """One stretch of training: who watches, where it is saved, whether it was interrupted."""

    def __init__(
        self,
        training: Training,
        folder: RunFolder | None,
        watch: Callable[[News], None],
        interrupt: Interrupt,
        validated: Validated | None,
    ) -> None:
        self.training, self.folder, self.watch = training, folder, watch
        self.interrupt, self.validated = interrupt, validated
        self.saved_at = self.told_at = time.perf_counter()
        config = training.config
        self.forward: Callable[..., Loss] = training.model
        if config.compile:
            self.forward = Compiled(training.model, training.device, self._warn)
        if lacks_bfloat16(config, training.device):
            self._warn("precision: this CPU has no instructions for bfloat16; float32 is faster")
        if config.augment and not any(isinstance(one, Descend) for one in training.model.stages):
            self._warn("augment: this model is solved for, not trained in steps: nothing is moved")
        self.write_row: Callable[[Row], None] = lambda row: None
        if config.tensorboard and folder is not None:
            self.write_row = tensorboard_writer(folder.path, training.step)

    def run(self) -> None:
        """Every stage that is not behind, and the weights that each keeps."""
        training = self.training
        for index, stage in enumerate(training.model.stages):
            if index < training.stage:
                continue
            training.enter(index)
            if isinstance(stage, Descend):
                self.descend(stage)
            elif training.step == 0:
                training.start_clock()
                if training.ranks.first:
                    with torch.no_grad():
                        stage.solve(training.model, training.batches)
                training.ranks.broadcast(training.model)
                training.stop_clock()
                training.step, training.history.ended = 1, training.history.ended or "solved"
            self.save(ended=isinstance(stage, Descend) and index + 1 < len(training.model.stages))
            training.take_best()
            if self.interrupted():  # while it was solved, or saved
                raise self.interrupt.error()

    def descend(self, stage: Descend) -> None:
        """Stochastic gradient descent by every player in turn.

        Its seconds count only where it makes a step: resuming a run that has ended changes nothing.
        """
        training = self.training
        players = training.start(stage)  # torch may import its compiler here, for seconds
        training.model.train()
        first, before = training.step, training.history.seconds
        training.start_clock()
        self._agree()
        ending = ENCODED if training.encode_once(stage) else ""
        steps: Mapping[str, Step] = {
            p.name: Update(training, p, self.forward, p.name + ending) for p in players
        }
        if not training.ended:
            steps = captured(training, players, steps, self._warn)
        keep_draws(training)
        while not training.ended:
            for player, batch in turns(training.read, training.step, players):
                self._optimize(player, steps[player.name], batch)
            training.move_average()
            training.step += 1
            if training.step % training.steps_per_row == 0 or training.step == training.total_steps:
                self._end_row(players)
            keep_draws(training)
            self._look_up()
        keep_draws(training, ended=True)
        training.history.ended = training.ended
        if training.step == first:
            training.stop_clock()
            training.history.seconds = before
        self._finish(players)
        training.stop_clock()

    def _finish(self, players: tuple[Player, ...]) -> None:
        """Validate once in any case, and say what is to be known of the weights that are kept."""
        training = self.training
        unvalidated = training.step == 0 and training.best is None
        if unvalidated or any(tally.steps for tally in training.tallies.values()):
            self._end_row(players)  # seconds ran out within a row, or before the first step
        if training.best is None:
            raise NonFinite("no validation loss was finite: the model diverged; try a smaller lr")
        if unvalidated:
            self._warn(
                f"budget: its {training.config.budget:g} s were used up before the first step: the "
                "weights are those it started from; resume with a larger one"
            )
        elif training.part.unsettled:
            self._warn(
                f"ended at step {training.step}, before the objective settled: "
                f"{training.part.unsettled}; the last weights are kept"
            )
        apart = disagreement(training.history.rows[-1], training.history.kept)
        for text in filter(None, (apart, unused_codes(training))):
            self._warn(text)

    def _optimize(self, player: Player, update: Step, batch: Batch) -> None:
        training, config = self.training, self.training.config
        rate = config.lr * player.lr * learning_rate_factor(config, training)
        set_learning_rate(training.optimizers[player.name], rate)
        training.tallies[player.name].add(update(batch))

    def _end_row(self, players: tuple[Player, ...]) -> None:
        """Close a row of the curves: training means, validation means, diagnosis."""
        training = self.training
        means: dict[str, float] = {}
        spoiled = training.mend()
        if spoiled:
            self._warn(
                f"not finite before step {training.step}: gradients of {listed(spoiled)} alone; "
                "these entries are again those last kept, and the steps after it were skipped. "
                "Try a smaller lr or clip=1.0"
            )
        for player in players:
            values, bad, first = training.tallies[player.name].read()
            if bad and not (spoiled and values):
                self._diagnose(player, bad, first, values)
            own = len(players) > 1 and player.name != "model"
            prefix = f"{player.name}/" if own else ""
            means |= {f"{prefix}{name}": value for name, value in values.items()}
            training.tallies[player.name] = Tally()
        with training.averaged():
            valid = validate(training, players[0].name)
            training.remember(valid)
            if self.validated is not None:
                call_back(self.validated, training, dict(valid))
        if not math.isfinite(judge(valid, training.part.judge)):
            self._warn(
                f"the validation loss was not finite at step {training.step}: "
                "these weights are not kept"
            )
        row = {
            "epoch": training.step / training.batches.steps_per_epoch,
            "step": float(training.step),
            "seconds": training.seconds(),
            **{f"train/{name}": value for name, value in means.items()},
            **{f"valid/{name}": value for name, value in valid.items()},
        }
        row = {name: value for name, value in row.items() if math.isfinite(value)}
        training.history.rows.append(row)
        self.write_row(row)

    def _diagnose(
        self, player: Player, bad: dict[str, int], first: int, means: dict[str, float]
    ) -> None:
        """Say what was not finite and where; stop where hardly a step was left."""
        training = self.training
        terms = ", ".join(f"{name} in {n} steps" for name, n in bad.items())
        made = len(training.tallies[player.name].steps)
        step = training.step - (made - first - 1) // player.steps - 1
        batch = training.batches.at(step, first % player.steps)
        where = diagnose(training.model, batch, player.name, training.config.seed)
        skipped = bad.keys() & {"objective", "gradient"}
        message = (
            f"not finite before step {training.step}: {terms}"
            f"{'; these steps were skipped' if skipped else ''}. At step {step + 1}: {where}. "
            "Try a smaller lr, warmup, clip=1.0, or look for extreme values in the data"
        )
        if not means:
            training.history.warnings.append(message)
            training.take_best()  # for whoever holds the model: the weights are spoiled
            raise NonFinite(message)
        self._warn(message)

    def _warn(self, message: str) -> None:
        said = self.training.history.warnings
        if message not in said:  # a run that had ended and is resumed ends the same way again
            said.append(message)
        if self.training.ranks.first:
            warnings.warn(message, RuntimeWarning, stacklevel=2)

    def _look_up(self) -> None:
        """Between two steps: tell, save, and stop where it was asked."""
        now = time.perf_counter()
        if now - self.told_at >= SECONDS_BETWEEN_NEWS:
            self.told_at = now
            self._tell()
        due, asked = self._agree()
        if due:
            self.save()
        if asked:
            self.save()
            raise self.interrupt.error()

    def interrupted(self) -> bool:
        return self._agree()[1]

    def _agree(self) -> tuple[bool, bool]:
        """One clock for all processes, and whether any is to save or was asked to stop."""
        training = self.training
        due = time.perf_counter() - self.saved_at >= training.config.save_every
        seconds, save, asked = training.ranks.largest(training.seconds(), due, self.interrupt.asked)
        training.history.seconds = seconds
        return bool(save), bool(asked)

    def _tell(self) -> None:
        training = self.training
        rows = training.history.rows
        self.watch(News(training.step, training.share, rows[-1] if rows else {}))

    def save(self, ended: bool = False) -> None:
        """A checkpoint, unless the weights are spoiled: then the last good one stays.

        Args:
            ended: whether a descent has ended and others follow: its end is kept beside theirs.
        """
        training = self.training
        self._agree()
        self.saved_at = time.perf_counter()
        if self.folder is None or not _unspoiled(training.model):
            return
        tensors = training.tensors()
        if not training.ranks.first:
            return
        self.folder.save_state(tensors, training.header(), training.history)
        if ended:
            self.folder.keep_end(training.stage)
        if training.best is not None:
            self.folder.save_model(training.model, training.best)


def learning_rate_factor(config: TrainConfig, training: Training) -> float:
    """The multiple of ``lr`` now: a linear warm-up, then the schedule."""
    factor = min(1.0, (training.step + 1) / config.warmup) if config.warmup else 1.0
    if config.schedule == "cosine":
        factor *= 0.5 * (1 + math.cos(math.pi * training.share))
    return factor


def _unspoiled(model: Model) -> bool:
    """Weights are finite and nothing is NaN; a bound that no stage has found yet is infinite."""
    values = (t for t in model.state_dict().values() if t.is_floating_point())
    weights = all(bool(weight.isfinite().all()) for weight in model.parameters())
    return weights and not any(bool(value.isnan().any()) for value in values)
