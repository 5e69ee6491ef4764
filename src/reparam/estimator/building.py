"""The model of rows that a preset and its parameters build, and whether it takes their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from reparam.estimator.training_rows import Labels, Rows, labels_of
from reparam.inspection import LearnsClasses
from reparam.limits import convert
from reparam.model import Model, Space
from reparam.presets import PRESETS, build, find_preset
from reparam.presets.registry import flat
from reparam.supervised import Supervised


def checked_parameters(preset: str, latent_dim: int | None, parameters: object) -> dict[str, Any]:
    """What a preset is given, refused by its own messages where it does not take it.

    >>> checked_parameters("vae", 2, {"hidden": (8,)})
    {'hidden': (8,), 'latent_dim': 2}
    """
    chosen = find_preset(convert("preset", preset, str, text=False))
    named = isinstance(parameters, Mapping) and all(isinstance(name, str) for name in parameters)
    if not (parameters is None or named):
        raise ValueError(
            f"parameters: expected a dictionary, as {{'hidden': (64,)}}, got {parameters!r}"
        )
    given = flat(cast(Mapping[str, Any], parameters) or {})
    if latent_dim is not None:
        if "latent_dim" in given:
            raise ValueError("latent_dim: given twice; leave it out of parameters")
        given["latent_dim"] = latent_dim
    chosen.check(given)
    return given


def built(
    preset: str, parameters: Mapping[str, Any], rows: Rows, y: Any, seed: int
) -> tuple[Model, Labels | None]:
    """A new model of rows, and the labels that it is to learn from.

    Args:
        preset, parameters: checked ones.
        rows: of which its space is.
        y: labels, or what a model that takes none does not look at.
        seed: of the first weights.

    Raises:
        ValueError: rows that the preset is not for, or labels that are none.
    """

    def of_classes(classes: int | None) -> Model:
        return _built(preset, parameters, replace(rows.space, classes=classes), seed)

    if y is None:
        try:
            return of_classes(None), None
        except ValueError:
            if learns_labels(of_classes(2)):
                raise ValueError(
                    f"y: expected class labels, which {preset} is to learn from, got none"
                ) from None
            raise
    # Whether it takes labels only a model says, of data that have some: two classes will do.
    if not learns_labels(of_classes(2)):
        return of_classes(None), None
    labels = labels_of(y, len(rows.x))
    return of_classes(len(labels.classes)), labels


def _built(preset: str, parameters: Mapping[str, Any], space: Space, seed: int) -> Model:
    try:
        return build(preset, space, seed=seed, **parameters)
    except ValueError as error:
        if space.dimension == 1:
            raise ValueError(f"{error} (X has n_features = 1)") from error
        if "latent_dim" in parameters or not str(error).startswith("latent_dim:"):
            raise
    fewer = {**parameters, "latent_dim": space.dimension - 1}  # than the preset's own
    return build(preset, space, seed=seed, **fewer)


def needs_labels(preset: object, parameters: object) -> bool:
    """Whether a preset is for data with labels only; not of what ``fit`` refuses.

    >>> needs_labels("cvae", {}), needs_labels("vae", {})
    (True, False)
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        return False
    accepts = find_preset(preset).accepts
    given = parameters.get("given") if isinstance(parameters, Mapping) else None
    return (accepts.condition or accepts.labels) and given is None


def learns_labels(model: Model) -> bool:
    """Whether it is trained on labels, as a condition or as what it has to tell."""
    return is_conditional(model) or isinstance(model, LearnsClasses | Supervised)


def is_conditional(model: Model) -> bool:
    """Whether it is told c of each row, which it does not make of x itself."""
    return model.conditional and model.space.given is None
