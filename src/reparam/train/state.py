"""Everything about a training run that moves, and so must be saved to resume it exactly."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from reparam.batching import rows_at_once, slices
from reparam.checkpoint import describe, misfit
from reparam.config import TrainConfig
from reparam.data import Data, Split, refuse_few, refuse_unfit, targets_of, taught
from reparam.model import Batch, Descend, Keeps, Model, Player
from reparam.train.batches import Batches
from reparam.train.device import find_device, weights_dtype
from reparam.train.history import History
from reparam.train.judge import find_judge, judge
from reparam.train.optimizers import (
    Moments,
    make_optimizer,
    mend,
    moments,
    restore_moments,
    suspects,
    trainable,
)
from reparam.train.random import generator_states, restore_generators
from reparam.train.ranks import Ranks
from reparam.train.tally import Tally
from reparam.wording import name_of

STEPS_BY_DEFAULT, EPOCHS_AT_LEAST = 5000, 10
FEW_EPOCHS = 2  # for which codes are not made before the steps
STEPS_PER_ROW = 50  # shorter epochs share a row of the history


class TallyHeader(TypedDict):
    """What a checkpoint says of a tally beside its tensor."""

    names: list[str]
    rows: int


class StateHeader(TypedDict):
    """The numbers of a checkpoint, as its JSON keeps them."""

    format: int
    run: str
    stage: int
    step: int
    best_value: float | None
    stale: int
    tallies: dict[str, TallyHeader]
    history: History
    optimizers: list[str]


class Training:
    """A model on its way: weights, optimizers, generators, position and curves.

    ``tensors`` and ``header`` together are a checkpoint, ``restore`` takes them back.
    """

    def __init__(self, model: Model, data: Data, config: TrainConfig) -> None:
        refuse_unfit(model, data, "train", "valid")
        refuse_few(model, data)
        if running_statistics(model) and not model.normalized:
            raise ValueError(
                f"model: {type(model).__name__} does not move the statistics of batch "
                "normalization; build its networks with normalize=False"
            )
        if config.patience is not None:
            refuse_patience(model, data)
        if config.augment and not model.space.is_image:
            raise ValueError(f"augment: expected images, got vectors of {data.name}; leave it out")
        self.ranks = Ranks()  # first: it says which device is this process's
        self.config, self.device = config, find_device(config.device)
        self.model = model.to(device=self.device, dtype=weights_dtype(config))
        c = taught(model, data.train, f"{data.name}: train")
        target = targets_of(model, data.train, f"{data.name}: train")
        told = model.conditional or c is not None or target is not None
        model.class_names = data.class_names if told else None
        if config.precision == "bfloat16":  # whose convolutions are fastest in this layout
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.batches = Batches(
            data.train,
            config.batch_size,
            config.seed,
            self.device,
            c,
            self.ranks,
            config.augment,
            target,
        )
        self.read = self.batches  # what the steps of a descent read
        self.valid, self.chooses = data.valid, data.holds_out
        self.stage, self.step = 0, 0
        self.history, self.tallies = History(), dict[str, Tally]()
        self.best: dict[str, Tensor] | None = None
        self.best_value, self.stale = math.inf, 0
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.weights: dict[str, list[nn.Parameter]] = {}  # of every player, as the model has them
        self.turn, self.turns = 0, 1  # which descent this is, of how many
        self.average: list[Tensor] | None = None
        self._averaged: list[Tensor] = []  # what it follows; to find it takes a walk over modules
        self._clock: float | None = None  # when seconds were last counted; None: it stands still

    def alike(self, data: Data) -> dict[str, object]:
        """What all processes of a run must have alike, by the names that a message gives it."""
        if self.ranks.size == 1:
            return {}
        shapes = {name: tuple(value.shape) for name, value in self.model.state_dict().items()}
        return {
            "rows": {name: len(split) for name, split in data.splits.items()},
            "data": data.fingerprint(),
            "config": dataclasses.asdict(self.config),
            "model": (type(self.model).__qualname__, describe(self.model), shapes),
            "device": self.device.type,
        }

    @property
    def total_steps(self) -> float:
        """Steps of a descent; without end where only seconds were asked for."""
        per_epoch, epochs = self.batches.steps_per_epoch, self.config.epochs
        if epochs is None and self.config.budget is not None:
            return math.inf
        if epochs is None:
            epochs = max(EPOCHS_AT_LEAST, math.ceil(STEPS_BY_DEFAULT / per_epoch))
        return epochs * per_epoch

    @property
    def share(self) -> float:
        """How much of the steps or seconds, whichever end sooner, is used up."""
        return max(self.step / self.total_steps, self.share_of_budget)

    @property
    def share_of_budget(self) -> float:
        """How much of the seconds is used up; of several descents each has an equal part of them.

        What one leaves is no more for the next, so that the parts do not depend on each other.
        """
        if self.config.budget is None:
            return 0.0
        used = self.history.seconds / self.config.budget * self.turns - self.turn
        return min(1.0, max(0.0, used))

    @property
    def ended(self) -> str:
        """Why the descent of now makes no further step; empty while it does."""
        if self.step >= self.total_steps:
            return "all epochs"
        if self.share_of_budget >= 1:
            return "budget used up"
        patience = self.config.patience
        return "no further improvement" if patience is not None and self.stale >= patience else ""

    @property
    def part(self) -> Model:
        """Whose objective the descent of now is: the model's, or that of a part of it."""
        stage = self.model.stages[self.stage]
        part = stage.of if isinstance(stage, Descend) else None
        return self.model if part is None else part

    @property
    def steps_per_row(self) -> int:
        """Whole epochs of at least ``STEPS_PER_ROW`` steps."""
        per_epoch = self.batches.steps_per_epoch
        return per_epoch * math.ceil(STEPS_PER_ROW / per_epoch)

    @property
    def moving(self) -> list[Tensor]:
        """What an average is kept of: the weights, and the statistics that go with them."""
        return [*self.model.parameters(), *running_statistics(self.model)]

    def start_clock(self) -> None:
        """Count seconds from now on: what was prepared before is no training."""
        self._clock = time.perf_counter()

    def stop_clock(self) -> None:
        """Count the seconds until now, and none from now on."""
        self.seconds()
        self._clock = None

    def seconds(self) -> float:
        """Training time so far, earlier sessions counted in."""
        if self._clock is not None:
            now = time.perf_counter()
            self.history.seconds += now - self._clock
            self._clock = now
        return self.history.seconds

    def enter(self, stage: int) -> None:
        """Go on to a stage."""
        stages = self.model.stages
        self.turn = sum(isinstance(one, Descend) for one in stages[:stage])
        self.turns = max(1, sum(isinstance(one, Descend) for one in stages))
        if stage != self.stage:
            self.stage, self.step = stage, 0
            self.optimizers, self.average, self.tallies = {}, None, {}
            self.best, self.best_value, self.stale = None, math.inf, 0
            if isinstance(stages[stage], Descend):  # what is solved for after one leaves its draws
                self.history.strip = {}

    def take_best(self) -> None:
        """Put the kept weights of this stage into the model, and set it to evaluation."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()

    def start(self, stage: Descend) -> tuple[Player, ...]:
        """Make the optimizers of a descent, unless a checkpoint brought them."""
        players = stage.players or (Player("model", (self.model,)),)
        self.weights = {player.name: trainable(player.modules) for player in players}
        self.batches.turns = max(player.steps for player in players)
        for player in players:
            if player.name not in self.optimizers:
                self.optimizers[player.name] = make_optimizer(player, self.config)
            self.tallies.setdefault(player.name, Tally())
        self.find_averaged()
        if self.config.ema is not None and self.average is None:
            self.average = [value.detach().clone() for value in self._averaged]
        return players

    def encode_once(self, stage: Descend) -> bool:
        """Make what the steps of a descent learn of before them, if that pays, and say whether.

        It costs a pass over all data: of descents of few epochs, or of so many seconds, each batch
        is encoded by itself.
        """
        self.read = self.batches
        enough = self.total_steps > FEW_EPOCHS * self.batches.steps_per_epoch
        if stage.code is not None and enough and self.config.budget is None:
            self.read = self.batches.encoded(stage.code) or self.batches
        return self.read is not self.batches

    def find_averaged(self) -> None:
        """Once a model was moved, as whoever is shown it may do, its buffers are other tensors."""
        self._averaged = self.moving if self.config.ema is not None else []

    @torch.no_grad()
    def move_average(self) -> None:
        """Once per step: of early steps, whose weights are far from the last, little is to stay."""
        if self.average is not None and self.config.ema is not None:
            decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.average, self._averaged, 1 - decay)

    @torch.no_grad()
    def mend(self) -> list[str]:
        """The names of weights that a gradient spoiled; these entries are again those last kept."""
        names = {id(weight): name for name, weight in self.model.named_parameters()}
        spoiled, kept = [], self.best or {}
        for player, optimizer in self.optimizers.items():
            for weight in suspects(optimizer, self.weights[player]):
                name = names[id(weight)]
                if mend(weight, kept.get(name), optimizer.state[weight]):
                    spoiled.append(name)
        if spoiled and self.average is not None:
            for mean, value in zip(self.average, self.moving, strict=True):
                mean.copy_(torch.where(mean.isfinite(), mean, value))
        return spoiled

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The averaged weights in the model's place, where an average is kept."""
        if self.average is None:
            yield
            return
        weights = [value.detach().clone() for value in self.moving]
        self._put(self.average)
        try:
            yield
        finally:
            self._put(weights)

    @torch.no_grad()
    def _put(self, weights: Iterable[Tensor]) -> None:
        for parameter, weight in zip(self.moving, weights, strict=True):
            parameter.copy_(weight)

    def remember(self, valid: dict[str, float]) -> None:
        """Keep a copy of the weights with these validation means, where they are to be kept.

        The last, or those that are judged the best; the last as well while the objective has not
        settled, and where no rows are held out to judge by. Where the judge's value is not finite,
        those that are there stay.
        """
        part = self.part
        value = judge(valid, part.judge)
        if value < self.best_value:
            keeps = part.keeps if self.chooses else "last"
            last = keeps == "last" or bool(part.unsettled)
            self.best = copy.deepcopy(self.model.state_dict())
            self.best_value, self.stale = math.inf if last else value, 0
            self.history.keeps, self.history.judge = keeps, find_judge(valid, part.judge)
            self.history.best_epoch = self.step / self.batches.steps_per_epoch
        else:
            self.stale += 1

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of a checkpoint, by a path; all processes ask for it together."""
        parts: dict[str, Tensor] = {}
        parts |= {f"model/{name}": value for name, value in self.model.state_dict().items()}
        parts |= {f"best/{name}": value for name, value in (self.best or {}).items()}
        parts |= {f"average/{i}": value for i, value in enumerate(self.average or [])}
        for name, state in generator_states(self.device).items():
            for rank, one in enumerate(self.ranks.gather(state)):
                parts[f"rng/{rank}/{name}" if rank else f"rng/{name}"] = one
        for name, states in chains(self.model).items():
            parts |= {f"chains/{r}/{name}": v for r, v in enumerate(self.ranks.gather(states))}
        parts |= self.history.strip_tensors()
        parts |= {f"tally/{name}": tally.stacked() for name, tally in self.tallies.items()}
        for name, optimizer in self.optimizers.items():
            for index, slots in moments(optimizer, self.weights[name]).items():
                parts |= {f"optimizer/{name}/{index}/{slot}": v for slot, v in slots.items()}
        return parts

    def header(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        return {
            "stage": self.stage,
            "step": self.step,
            "best_value": self.best_value if math.isfinite(self.best_value) else None,
            "stale": self.stale,
            "tallies": {n: {"names": t.names, "rows": t.rows} for n, t in self.tallies.items()},
            "history": self.history.to_json(),
            "optimizers": list(self.optimizers),
        }

    def restore(self, tensors: Mapping[str, Tensor], header: StateHeader) -> None:
        """Continue where the checkpoint was written; ValueError where it is of another run."""
        groups = _by_prefix(tensors)
        if not 0 <= header["stage"] < max(1, len(self.model.stages)) or header["step"] < 0:
            raise ValueError(f"there is no stage {header['stage']}, step {header['step']}")
        self.enter(header["stage"])
        self._refuse_misfits(groups)
        self.model.load_state_dict(groups["model"])
        self.best = {k: v.to(self.device) for k, v in groups.get("best", {}).items()} or None
        self.step, self.stale = header["step"], header["stale"]
        best_value = header["best_value"]
        self.best_value = math.inf if best_value is None else best_value
        self.history = header["history"].with_strip(tensors)
        self.tallies = {
            name: Tally.of(tuple(t["names"]), tensors[f"tally/{name}"].to(self.device), t["rows"])
            for name, t in header["tallies"].items()
        }
        averages = groups.get("average", {})
        if averages:
            self.average = [averages[str(i)].to(self.device) for i in range(len(averages))]
        self._restore_optimizers(groups.get("optimizer", {}), header["optimizers"])
        self._restore_chains(groups.get("chains", {}))
        self._restore_generators(groups["rng"])

    def _refuse_misfits(self, groups: Mapping[str, Mapping[str, Tensor]]) -> None:
        """ValueError where weights, kept ones or averages are none of this model."""
        weights = self.model.state_dict()
        expected = {
            "model": weights,
            "best": weights if "best" in groups else {},
            "average": {str(i): value for i, value in enumerate(self.moving)}
            if "average" in groups
            else {},
        }
        for prefix, here in expected.items():
            if said := misfit(here, groups.get(prefix, {})):
                raise ValueError(f"{prefix}: {said}")

    @torch.no_grad()
    def _restore_chains(self, states: Mapping[str, Tensor]) -> None:
        """Of more processes than there were, some take up the same ones with other noise."""
        saved = 1 + max((int(path.partition("/")[0]) for path in states), default=0)
        for name, here in chains(self.model).items():
            here.copy_(states[f"{self.ranks.rank % saved}/{name}"])

    def _restore_generators(self, states: Mapping[str, Tensor]) -> None:
        mine = f"{self.ranks.rank}/"
        if self.ranks.first:
            mine, states = "", {name: v for name, v in states.items() if "/" not in name}
        states = {n.removeprefix(mine): v for n, v in states.items() if n.startswith(mine)}
        if self.device.type in states:
            restore_generators(states, self.device)
        else:  # another device, or more processes than there were: not the noise of its first steps
            key = np.random.SeedSequence((self.config.seed, self.stage, self.step))
            torch.manual_seed(self.ranks.seed(int(key.generate_state(1)[0])))

    def _restore_optimizers(self, tensors: Mapping[str, Tensor], names: list[str]) -> None:
        if not names:
            return
        stage = self.model.stages[self.stage]
        assert isinstance(stage, Descend)
        self.start(stage)
        for name in names:
            state: Moments = {}
            # Before its first step an optimizer remembers nothing.
            found = _by_prefix(tensors)[name] if self.step else {}
            for path, value in found.items():
                index, slot = path.split("/")
                state.setdefault(int(index), {})[slot] = value
            restore_moments(self.optimizers[name], self.weights[name], state)


def running_statistics(model: Model) -> list[Tensor]:
    """The buffers that follow the weights, as the modules that have them say (``follows``)."""
    return [
        getattr(part, name) for part in model.modules() for name in getattr(part, "follows", ())
    ]


def chains(model: Model) -> dict[str, Tensor]:
    """The states of Markov chains that models and their parts draw by in training, by name."""
    return {
        f"{path}.{name}".removeprefix("."): part.get_buffer(name)
        for path, part in model.named_modules()
        if isinstance(part, Model)
        for name in part.chains
    }


def kept_of(model: Model, data: Data) -> Keeps:
    """Which weights its training leaves: the last, too, where no rows are held out to choose by."""
    return model.keeps if data.holds_out else "last"


def refuse_patience(model: Model, data: Data) -> None:
    """ValueError where patience has nothing to wait for: the last weights are kept."""
    if not data.holds_out:
        raise ValueError(
            f"patience: expected None, as {data.name} hold nothing out to choose weights by; set "
            "epochs or a budget instead"
        )
    if model.keeps == "last":
        name = name_of(model)
        raise ValueError(
            f"patience: expected None for {name}, which keeps its last weights: its objective "
            "moves with them, so that no validation is better than an earlier one; set epochs or "
            "a budget instead"
        )


def validation_batches(
    model: Model, split: Split, device: torch.device, part: slice = slice(None)
) -> Iterator[Batch]:
    """The rows of a part of a split in large batches, the last one as long as it is."""
    start, stop, _ = part.indices(len(split))
    whole = Batch(split.x, taught(model, split), targets_of(model, split))
    for chosen in slices(start, stop, rows_at_once(model.space)):
        yield _some(whole, chosen, device)


def _some(batch: Batch, rows: slice, device: torch.device) -> Batch:
    return batch.each(lambda t: t[rows].to(device))


def _by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        prefix, _, name = path.partition("/")
        groups.setdefault(prefix, {})[name] = value
    return groups
