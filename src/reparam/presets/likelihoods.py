"""Which likelihoods a preset offers for which kind of data, as the preset itself decides."""

from __future__ import annotations

from typing import get_args

from torch import nn

from reparam.model import Space
from reparam.presets.registry import Preset

SIDE = 4  # of the smallest images, and of vectors, that are built to see what is refused


def likelihoods(preset: Preset) -> dict[str, list[str]]:
    """By kind of data, the values of the parameter ``likelihood``, the one of ``auto`` first.

    Empty for a preset without that parameter. Nothing here knows a likelihood: the preset is asked
    to build a small model with each, and what it refuses is left out.

    >>> from reparam.presets import find_preset
    >>> likelihoods(find_preset("vae"))["binary"]
    ['bernoulli', 'categorical', 'normal', 'heteroscedastic-normal']
    """
    if "likelihood" not in preset.parameters:
        return {}
    names = [n for n in get_args(preset.parameters["likelihood"].annotation) if n != "auto"]
    shape = (SIDE,) if preset.accepts.vectors else (1, SIDE, SIDE)
    found: dict[str, list[str]] = {}
    for kind in preset.accepts.kinds:
        space = Space(shape, kind, SIDE if kind == "levels" else None, classes=2)
        fitting = {name: p for name in names if (p := _built(preset, space, name)) is not None}
        default = type(_built(preset, space, "auto"))
        found[kind] = sorted(fitting, key=lambda name: type(fitting[name]) is not default)
    return found


def _built(preset: Preset, space: Space, name: str) -> nn.Module | None:
    """p(x|·) of a model with this likelihood, None where the preset refuses it."""
    try:
        return preset(space, likelihood=name).get_submodule("p_x")
    except ValueError as error:
        if not str(error).startswith("likelihood:"):
            raise
        return None
