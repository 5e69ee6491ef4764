"""How each model was trained and how its training ended."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from reparam.config import TrainConfig
from reparam.model import Descend, Model
from reparam.report.trained import TrainedModel
from reparam.train.history import History, Row
from reparam.train.judge import judge

LAST = 0.1  # share of the validations, the last ones, among which the best shows improvement
ENDINGS = {"solved": "solved in closed form", "budget used up": "stopped by the clock"}
# Of a config, what another column says and what changes no weights.
LIMITS = {"epochs", "budget", "patience"}
WITHOUT_EFFECT = {"save_every", "tensorboard", "device"}


@dataclass(frozen=True)
class TrainingRow:
    """One training of a model, as the page's table shows it; the seed where there are several."""

    model: int
    seed: str
    cells: list[str]


HEADER = ("How it ended", "Epochs", "Epoch kept", "Seconds", "Limits", "Settings")


def training_rows(entries: Sequence[TrainedModel]) -> list[TrainingRow]:
    """One row for each training that has ended; no rows where no training is known."""
    return [
        TrainingRow(
            index,
            f"seed {config.seed}" if config and len(entry.runs) > 1 else "",
            _cells(entry.model, config, history),
        )
        for index, entry in enumerate(entries)
        for config, history in entry.runs
        if history.ended
    ]


def _cells(model: Model, config: TrainConfig | None, history: History) -> list[str]:
    given = None if history.ended == "solved" else config
    return [
        ending(model, config, history),
        " + ".join(f"{rows[-1]['epoch']:.4g}" for rows in descents(model, history) if rows),
        _epoch_kept(history),
        f"{history.seconds:.1f}",
        "" if given is None else limits(given),
        "" if given is None else settings(given),
    ]


def _epoch_kept(history: History) -> str:
    if history.keeps == "last":
        return "last"
    return "" if history.best_epoch is None else f"{history.best_epoch:.4g}"


def limits(config: TrainConfig) -> str:
    """What ends a training at the latest.

    >>> limits(TrainConfig(budget=40.0, patience=20))
    '40 s, patience 20'
    """
    said = [
        "" if config.epochs is None else f"{config.epochs:,} epoch{'s'[: config.epochs > 1]}",
        "" if config.budget is None else f"{config.budget:g} s",
        "" if config.patience is None else f"patience {config.patience}",
    ]
    return ", ".join(filter(None, said)) or "epochs by default"


def settings(config: TrainConfig) -> str:
    """The learning rate, and whatever else is not what it is by default.

    >>> settings(TrainConfig(batch_size=64, schedule="cosine"))
    'lr 0.001, batch size 64, schedule cosine'
    """
    others = changed(config, TrainConfig(lr=config.lr, seed=config.seed))
    named = {"lr": config.lr, **{k: v for k, v in others.items() if k not in LIMITS}}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in named.items())


def changed(config: TrainConfig, usual: TrainConfig) -> dict[str, object]:
    """The fields that change weights and are not as usual.

    >>> changed(TrainConfig(lr=0.01, save_every=5.0), TrainConfig())
    {'lr': 0.01}
    """
    fields = [f.name for f in dataclasses.fields(config) if f.name not in WITHOUT_EFFECT]
    return {f: getattr(config, f) for f in fields if getattr(config, f) != getattr(usual, f)}


def ending(model: Model, config: TrainConfig | None, history: History) -> str:
    """How a training ended, in words.

    >>> from reparam import Space, build
    >>> ending(build("pca", Space((3,), "real"), latent_dim=1), None, History(ended="solved"))
    'solved in closed form'
    """
    text = ENDINGS.get(history.ended, history.ended)
    if history.ended == "all epochs" and config is not None and config.epochs is not None:
        text = f"all {config.epochs:,} epochs" if config.epochs > 1 else "its one epoch"
    if history.ended == "no further improvement" and config is not None and config.patience:
        text = f"no better for {config.patience} validation{'s'[: config.patience > 1]}"
    return text + ", still improving" * still_improving(model, history)


def still_improving(model: Model, history: History) -> bool:
    """Whether clock or epochs ended a descent whose best validation is among the last tenth.

    The value is that by which weights are judged. A single validation shows nothing, nor do any
    where the last weights are kept: their objective moves, and no two of its values compare.
    """
    if history.keeps == "last" or history.ended not in ("all epochs", "budget used up"):
        return False
    values = [_judged(row, history.judge) for row in descents(model, history)[-1]]
    best = min(range(len(values)), key=values.__getitem__, default=0)
    return len(values) > 1 and best >= len(values) - math.ceil(LAST * len(values))


def _judged(row: Row, named: str) -> float:
    valid = {k.removeprefix("valid/"): v for k, v in row.items() if k.startswith("valid/")}
    return judge({"objective": math.inf} | valid, named)  # what was not finite is no part of a row


def descents(model: Model, history: History) -> list[list[Row]]:
    """The rows of the curves by descent: in each the steps begin anew."""
    parts: list[list[Row]] = [[]]
    several = len([s for s in model.stages if isinstance(s, Descend)]) > 1
    for row in history.rows:
        if several and parts[-1] and row.get("step", 0) <= parts[-1][-1].get("step", 0):
            parts.append([])
        parts[-1].append(row)
    return parts


def cut_off(entry: TrainedModel) -> str | None:
    """What ended some training of a model that was still improving: the clock, or its epochs."""
    ends = {history.ended for _, history in entry.runs if still_improving(entry.model, history)}
    if "budget used up" in ends:
        return "the clock stopped"
    return "the epochs were over for" if ends else None
