"""Everything about a training run that moves, and so must be saved to resume it exactly."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict, cast

import torch
from torch import Tensor, nn

from reparam.config import TrainConfig
from reparam.data import Data, Split, condition, refuse_unfit
from reparam.model import Batch, Descend, Model, Player
from reparam.nets.norm import BatchNorm, has_batch_norm
from reparam.train.batches import Batches
from reparam.train.device import find_device, weights_dtype
from reparam.train.history import History
from reparam.train.random import generator_states, restore_generators
from reparam.train.ranks import Ranks
from reparam.train.tally import Tally

STEPS_BY_DEFAULT, EPOCHS_AT_LEAST = 5000, 10
STEPS_PER_ROW = 50  # shorter epochs share a row of the history


class TallyHeader(TypedDict):
    """What a checkpoint says of a tally beside its tensor."""

    names: list[str]
    rows: int


class Header(TypedDict):
    """The numbers of a checkpoint, as its JSON keeps them."""

    format: int
    stage: int
    step: int
    best_value: float | None
    stale: int
    tallies: dict[str, TallyHeader]
    history: History
    optimisers: list[str]


class Training:
    """A model on its way: weights, optimisers, generators, position and curves.

    ``tensors`` and ``header`` together are a checkpoint, ``restore`` takes them back.
    """

    def __init__(self, model: Model, data: Data, config: TrainConfig) -> None:
        refuse_unfit(model, data, "train", "valid")
        if has_batch_norm(model) and not model.normalised:
            raise ValueError(
                f"model: {type(model).__name__} does not move the statistics of batch "
                "normalisation; build its networks with normalise=False"
            )
        self.ranks = Ranks()  # first: it says which device is this process's
        self.config, self.device = config, find_device(config.device)
        self.model = model.to(device=self.device, dtype=weights_dtype(config))
        if config.precision == "bfloat16":  # whose convolutions are fastest in this layout
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        c = condition(model, data.train)
        self.batches = Batches(
            data.train, config.batch_size, config.seed, self.device, c, self.ranks
        )
        self.valid = data.valid
        self.stage, self.step = 0, 0
        self.history, self.tallies = History(), dict[str, Tally]()
        self.best: dict[str, Tensor] | None = None
        self.best_value, self.stale = math.inf, 0
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.average: list[Tensor] | None = None
        self._clock = time.perf_counter()

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
        by_steps = self.step / self.total_steps
        if self.config.budget is None:
            return by_steps
        return max(by_steps, min(1.0, self.history.seconds / self.config.budget))

    @property
    def annealing(self) -> bool:
        """Whether the objective is not yet what it is to be."""
        return self.step < self.model.annealing_steps

    @property
    def steps_per_row(self) -> int:
        """Whole epochs of at least ``STEPS_PER_ROW`` steps."""
        per_epoch = self.batches.steps_per_epoch
        return per_epoch * math.ceil(STEPS_PER_ROW / per_epoch)

    @property
    def moving(self) -> list[Tensor]:
        """What an average is kept of: the weights, and the statistics that go with them."""
        norms = [part for part in self.model.modules() if isinstance(part, BatchNorm)]
        return [*self.model.parameters(), *(value for norm in norms for value in norm.buffers())]

    def seconds(self) -> float:
        """Training time so far, earlier sessions counted in."""
        now = time.perf_counter()
        self.history.seconds += now - self._clock
        self._clock = now
        return self.history.seconds

    def enter(self, stage: int) -> None:
        """Go on to a stage; the last one stays entered, so that more epochs can follow."""
        if stage != self.stage:
            self.stage, self.step = stage, 0
            self.optimisers, self.average, self.tallies = {}, None, {}
            self.best, self.best_value, self.stale = None, math.inf, 0

    def take_best(self) -> None:
        """Put the best weights of this stage into the model, and set it to evaluation."""
        if self.best is not None:
            self.model.load_state_dict(self.best)
        self.model.eval()

    def start(self, stage: Descend) -> tuple[Player, ...]:
        """Make the optimisers of a descent, unless a checkpoint brought them."""
        players = stage.players or (Player("model", (self.model,)),)
        for player in players:
            if player.name not in self.optimisers:
                self.optimisers[player.name] = self._optimiser(player)
            self.tallies.setdefault(player.name, Tally())
        if self.config.ema is not None and self.average is None:
            self.average = [value.detach().clone() for value in self.moving]
        return players

    def _optimiser(self, player: Player) -> torch.optim.Optimizer:
        config = self.config
        # Fused: one pass over the weights instead of a dozen, and it skips a step on found_inf.
        # Without decay both are the same, but AdamW multiplies every weight by 1.
        kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
        return kind(
            trainable(player.modules),
            lr=config.lr * player.lr,
            weight_decay=config.weight_decay,
            fused=True,
        )

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

    def remember_if_best(self, value: float) -> None:
        """Keep a copy of the weights when the validation value (lower is better) is the best.

        While the objective is annealed the last ones are kept.
        """
        if value < self.best_value:
            self.best = copy.deepcopy(self.model.state_dict())
            self.best_value, self.stale = math.inf if self.annealing else value, 0
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
        parts |= {f"tally/{name}": tally.stacked() for name, tally in self.tallies.items()}
        for name, optimiser in self.optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                parts |= {f"optimiser/{name}/{index}/{slot}": v for slot, v in slots.items()}
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
            "optimisers": list(self.optimisers),
        }

    def restore(self, tensors: Mapping[str, Tensor], header: Header) -> None:
        """Continue where the checkpoint was written; ValueError where it is of another run."""
        groups = _by_prefix(tensors)
        if not 0 <= header["stage"] < max(1, len(self.model.stages)) or header["step"] < 0:
            raise ValueError(f"there is no stage {header['stage']}, step {header['step']}")
        self.model.load_state_dict(groups["model"])
        self.best = {k: v.to(self.device) for k, v in groups.get("best", {}).items()} or None
        self.stage, self.step, self.stale = header["stage"], header["step"], header["stale"]
        best_value = header["best_value"]
        self.best_value = math.inf if best_value is None else best_value
        self.history = History.from_json(cast(dict[str, Any], header["history"]))
        self.tallies = {
            name: Tally(
                tuple(t["names"]), list(tensors[f"tally/{name}"].to(self.device)), t["rows"]
            )
            for name, t in header["tallies"].items()
        }
        averages = groups.get("average", {})
        if averages:
            self.average = [averages[str(i)].to(self.device) for i in range(len(averages))]
        self._restore_optimisers(groups.get("optimiser", {}), header["optimisers"])
        self._restore_generators(groups["rng"])

    def _restore_generators(self, states: Mapping[str, Tensor]) -> None:
        mine = f"{self.ranks.rank}/"
        if self.ranks.first:
            mine, states = "", {name: v for name, v in states.items() if "/" not in name}
        states = {n.removeprefix(mine): v for n, v in states.items() if n.startswith(mine)}
        if states:
            restore_generators(states, self.device)
        else:  # there are more processes now than there were
            torch.manual_seed(self.ranks.seed(self.config.seed, self.stage, self.step))

    def _restore_optimisers(self, tensors: Mapping[str, Tensor], names: list[str]) -> None:
        if not names:
            return
        stage = self.model.stages[self.stage]
        assert isinstance(stage, Descend)
        self.start(stage)
        for name in names:
            state: dict[int, dict[str, Tensor]] = {}
            for path, value in _by_prefix(tensors)[name].items():
                index, slot = path.split("/")
                state.setdefault(int(index), {})[slot] = value
            groups = self.optimisers[name].state_dict()["param_groups"]
            weights = self.optimisers[name].param_groups[0]["params"]
            _check_moments(state, weights)
            for number, slots in state.items():
                state[number] = {slot: _laid_out(v, weights[number]) for slot, v in slots.items()}
            self.optimisers[name].load_state_dict({"state": state, "param_groups": groups})


def _laid_out(value: Tensor, weight: Tensor) -> Tensor:
    """A moment in the memory layout of its weight: a fused optimiser reads both as they lie."""
    return value if value.shape != weight.shape else torch.empty_like(weight).copy_(value)


def _check_moments(state: Mapping[int, Mapping[str, Tensor]], weights: list[Tensor]) -> None:
    """ValueError where Adam's means are not of these weights; PyTorch would notice it later."""
    for index, slots in state.items():
        for name in ("step", "exp_avg", "exp_avg_sq"):
            if name not in slots:
                raise ValueError(f"{name} of weight {index} is missing")
        shapes = {name: tuple(value.shape) for name, value in slots.items() if name != "step"}
        expected = tuple(weights[index].shape) if index < len(weights) else None
        for name, shape in shapes.items():
            if shape != expected:
                raise ValueError(f"{name} of weight {index} has shape {shape}, not {expected}")


def trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of some modules that gradients move."""
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def validation_batches(
    model: Model, split: Split, device: torch.device, part: slice = slice(None)
) -> Iterator[Batch]:
    """The rows of a part of a split in large batches, the last one as long as it is."""
    start, stop, _ = part.indices(len(split))
    at_once = model.space.rows_at_once
    c = condition(model, split)
    for begin in range(start, stop, at_once):
        chosen = slice(begin, min(begin + at_once, stop))
        yield Batch(split.x[chosen].to(device), None if c is None else c[chosen].to(device))


def _by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        prefix, _, name = path.partition("/")
        groups.setdefault(prefix, {})[name] = value
    return groups
