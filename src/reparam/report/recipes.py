"""The Python that builds and trains the models of a report again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reparam.config import TrainConfig
from reparam.data import Data
from reparam.model import Descend
from reparam.presets import find_preset
from reparam.presets.registry import nested
from reparam.report.endings import changed
from reparam.report.trained import TrainedModel


def python(data: Data, entries: Sequence[TrainedModel]) -> str:
    """Python that builds and trains the same models on the same data, with the same seeds.

    A run that the clock ended is made anew by the epochs that led to the weights it kept, where
    these are whole ones; else a comment says that no other run makes as many steps.
    """
    given = data.source or {}
    if "source" not in given:
        arguments = "…  # these data came from memory"
    else:
        named = [f"{k}={v!r}" for k, v in given.items() if k != "source"]
        arguments = ", ".join([repr(given["source"]), *named])
    lines = ["import reparam as rp", "", f"data = rp.load_data({arguments})"]
    for entry in entries:
        if entry.model.recipe is not None:
            lines += ["", f"# {entry.label}", *_model(entry, entry.model.recipe)]
    return "\n".join(lines)


def _model(entry: TrainedModel, recipe: Mapping[str, Any]) -> list[str]:
    """Comments, and the two calls for the run whose weights the report shows."""
    given = dict(recipe["parameters"])
    fields: dict[str, object] = {}
    comments = []
    if entry.config is not None:
        given["seed"] = entry.config.seed
        usual = find_preset(str(recipe["preset"])).train_on(entry.model.space)
        fields = {"seed": entry.config.seed} | changed(entry.config, usual)
        comments = _by_epochs(entry, entry.config, fields)
    if entry.others:
        seeds = ", ".join(str(config.seed) for config, _ in entry.others)
        comments.append(f"# scores are means over this run and those of seeds {seeds}")
    build = f"model = {_call('rp.build', [repr(recipe['preset']), 'data.space'], nested(given))}"
    if entry.history.best_epoch == 0 and len(entry.model.stages) == 1:
        return ["# no step of training was kept: these are the weights it is built with", build]
    return [*comments, build, _call("rp.fit", ["model", "data"], fields)]


def _by_epochs(entry: TrainedModel, config: TrainConfig, fields: dict[str, object]) -> list[str]:
    """Put epochs in the place of seconds where these decided; what is to be said of it."""
    history, constant = entry.history, config.schedule == "constant"
    if config.budget is None or (constant and history.ended != "budget used up"):
        return []
    best, descents = history.best_epoch, [s for s in entry.model.stages if isinstance(s, Descend)]
    if constant and best and best.is_integer() and len(descents) == 1:
        fields.pop("budget", None)  # no preset has one of its own
        fields["epochs"] = int(best)
        return [f"# the clock stopped it after {config.budget:g} s: this is the epoch it kept"]
    what = "when it ends" if constant else "how its learning rate falls and when it ends"
    return [f"# the clock decides {what}: no two runs have quite the same weights"]


def _call(name: str, positional: list[str], keywords: Mapping[str, object]) -> str:
    named = [f"{k}={v!r}" for k, v in keywords.items() if k.isidentifier()]
    others = {k: v for k, v in keywords.items() if not k.isidentifier()}
    return f"{name}({', '.join([*positional, *named, *([f'**{others!r}'] if others else [])])})"
