"""A trained model as a report shows it: with its name, its scores and how it was trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reparam.config import TrainConfig
from reparam.evaluation.scores import Score
from reparam.model import Model
from reparam.presets.registry import shown
from reparam.train.history import History


@dataclass(frozen=True)
class TrainedModel:
    """A trained model as the report shows it.

    Args:
        label: what the model is called on the page.
        model: the trained model, on any device and in any precision.
        scores: its scores by name; what it does not define is absent.
        history: its training curves.
        config: how it was trained, where that is known.
        others: config and history of its trainings under other seeds, over which scores are means.
        by_seed: the scores of every single training where there are several.
    """

    label: str
    model: Model
    scores: Mapping[str, Score]
    history: History
    config: TrainConfig | None = None
    others: tuple[tuple[TrainConfig, History], ...] = ()
    by_seed: tuple[Mapping[str, Score], ...] = ()

    @property
    def runs(self) -> tuple[tuple[TrainConfig | None, History], ...]:
        """Every training of the model, that of the weights shown first."""
        return ((self.config, self.history), *self.others)

    @property
    def own_scores(self) -> Mapping[str, Score]:
        """Those of the weights shown: of the first seed alone where there are several."""
        return self.by_seed[0] if self.by_seed else self.scores

    @property
    def settings(self) -> str:
        """Preset and parameters, as one would type them.

        >>> from reparam.model import Space
        >>> from reparam.presets import build
        >>> model = build("ae", Space((9,), "real"), hidden=(8, 4))
        >>> TrainedModel("A", model, {}, History()).settings
        'ae hidden=8,4'
        """
        recipe = self.model.recipe
        if recipe is None:
            return type(self.model).__name__
        given = [f"{name}={shown(value)}" for name, value in recipe["parameters"].items()]
        return " ".join([str(recipe["preset"]), *given])


def short_names(entries: Sequence[TrainedModel]) -> list[str]:
    """The preset of each model, or its label where others are of the same preset.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> model = build("pca", Space((3,), "real"), latent_dim=1)
    >>> short_names([TrainedModel("pca latent_dim=1", model, {}, History())])
    ['pca']
    """
    presets = [str((e.model.recipe or {}).get("preset", e.label)) for e in entries]
    return [p if presets.count(p) == 1 else e.label for p, e in zip(presets, entries, strict=True)]
