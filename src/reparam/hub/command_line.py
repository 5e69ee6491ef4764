"""The command by which a published run is trained again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from reparam.hub.published import Published
from reparam.presets import find_preset
from reparam.presets.registry import shown
from reparam.report.endings import changed

REPEATED = {"attributes": "attribute", "factors": "factor"}  # options that are called otherwise


def command(run: Published) -> str:
    """``reparam fit …`` with whatever is not as usual; nothing for a model that no preset builds.

    Data of one's own are called DATA, wherever they lie.
    """
    recipe = run.model.recipe
    if recipe is None or not (run.recipe or run.data.source):
        return ""
    preset = find_preset(str(recipe["preset"]))
    parameters = [f"{name}={shown(value)}" for name, value in recipe["parameters"].items()]
    usual = preset.train_on(run.model.space)
    settings = {"seed": run.config.seed} | changed(run.config, usual)
    words = ["reparam", "fit", preset.name, str(run.recipe.get("source", "DATA")), *parameters]
    return shlex.join([*words, *_data(run.recipe), *_training(settings), "-o", "runs/again"])


def _data(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The options of data, as they are typed."""
    for name, value in recipe.items():
        flag = f"--{REPEATED.get(name, name).replace('_', '-')}"
        if name == "source" or (name, value) == ("missing", "keep"):
            continue
        if name == "fit_size":
            yield "--pad" if value == "pad" else "--crop"
        elif isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif isinstance(value, Mapping):
            yield from (word for k, v in value.items() for word in (flag, f"{k}={v}"))
        elif name in ("attributes", "factors", "drop", "only", "without"):
            each = [value] if isinstance(value, str) else value
            yield from (word for one in each for word in (flag, str(one)))
        elif isinstance(value, list):
            mark = "x" if name in ("size", "shape") else ","
            yield from (flag, mark.join(map(str, value)))
        else:
            yield from (flag, str(value))


def _training(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        else:
            yield from (flag, shown(value))
