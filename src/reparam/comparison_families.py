"""What a comparison trains: models that are asked for, and one tuned model of each family."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from reparam.batching import is_small
from reparam.comparison_defaults import default_models, refused_defaults
from reparam.comparison_runs import Candidate, FamilyEntry, Given, OwnModel, candidate
from reparam.data import Data
from reparam.model import Model, Space
from reparam.presets import find_preset
from reparam.presets.places import family_of, place_of_trained

Asked = str | Model | Iterable[Given] | Mapping[str, Model] | None
Candidates = list[Candidate | OwnModel]
CODE = 16  # entries of a code, fewer of data that have hardly more


class Family(NamedTuple):
    """Presets of one family, of which the first that takes the data is trained; and how."""

    presets: tuple[str, ...]
    settings: str = ""


def chosen_models(
    data: Data, models: Asked, families: bool = False
) -> tuple[Candidates, tuple[str, ...]]:
    """What is compared, and what is to be said of the choice.

    Args:
        data: what all are trained on.
        models: those that are asked for; None: those of every comparison, or of the families.
        families: whether one model of each family is trained before those that are asked for.
    """
    space, rows, usual = data.space, len(data.train), list[str]()
    if families:
        usual = family_models(space, rows, data.counted)
    elif models is None:
        usual = default_models(space, rows, data.counted)
    notes = left_out(data, models, families)
    models = [models] if isinstance(models, str | Model) else models or []
    given = list(map(candidate, models.items() if isinstance(models, Mapping) else models))
    asked = {one.label for one in given}
    return [*(c for c in map(Candidate.parse, usual) if c.label not in asked), *given], notes


def left_out(data: Data, models: Asked, families: bool = False) -> tuple[str, ...]:
    """Which models are trained where nothing is asked, but not on such data, a note each."""
    if families:
        return refused_families(data.space, len(data.train), data.counted)
    return refused_defaults(data.space) if models is None else ()


def family_models(space: Space, rows: int, counted: int | None = None) -> list[str]:
    """One preset of every family, with the kind and the size of the data.

    Those that do not take such data are left out (``refused_families``).

    Args:
        space: what x is.
        rows: how many training examples there are.
        counted: how many entries of x are no constants, where that is known.

    >>> for model in family_models(Space((3,), "real"), rows=1000): print(model)
    pca latent_dim=2 standardize=true
    ae-gmm codec.latent_dim=2
    vae latent_dim=2
    vq-vae codes=64 second_stage=made
    made
    spline-coupling
    gan
    ebm
    ddpm sampling_steps=100 sampler=ddpm
    """
    chosen = []
    for family in _families(space, rows, counted):
        name = _first(family, space)
        chosen += [f"{name} {family.settings}".strip()] if name else []
    return chosen


def refused_families(space: Space, rows: int, counted: int | None = None) -> tuple[str, ...]:
    """Which presets do not take such data, why, and which stands in their place, if any does.

    >>> for note in refused_families(Space((3,), "real"), 100): print(note)
    Left out of the families: gated-pixel-cnn, for images, got vectors of 3 entries; made stands \
for it.
    """
    notes = []
    for family in _families(space, rows, counted):
        name = _first(family, space)
        others = family.presets[: family.presets.index(name)] if name else family.presets
        instead = f"; {name} stands for it" if name else ""
        for other in others:
            why = find_preset(other).accepts.refusal(space)
            notes.append(f"Left out of the families: {other}, for {why}{instead}.")
    if _components(space, rows, counted) < 1:
        few = f"{rows} rows of {counted or space.dimension} entries that vary"
        notes.insert(0, f"Left out of the families: pca, for {few} leave nothing to its noise.")
    return tuple(notes)


def _first(family: Family, space: Space) -> str | None:
    fits = (n for n in family.presets if find_preset(n).accepts.refusal(space) is None)
    return next(fits, None)


def _families(space: Space, rows: int, counted: int | None) -> Iterator[Family]:
    """The families in the order of the report, from what a reader knows."""
    code = max(1, min(CODE, (counted or space.dimension) - 1))
    components = _components(space, rows, counted)
    if components > 0:
        scaled = " standardize=true" if space.has_reals else ""
        yield Family(("pca",), f"latent_dim={components}{scaled}")
    yield Family(("ae-gmm",), f"codec.latent_dim={code}")
    yield Family(("vae",), f"latent_dim={code}")
    yield Family(("vq-vae",), _of_indices(space))
    if space.is_image and not is_small(space):
        yield Family(("gated-pixel-cnn",), "width=32 layers=4")
    else:
        yield Family(("made",) if space.is_image else ("gated-pixel-cnn", "made"))
    if space.is_image:
        even = find_preset("real-nvp").accepts.refusal(space) is None
        yield Family(("real-nvp", "nice"), "channels=32 blocks=2" if even else "")
    else:
        yield Family(("spline-coupling",) if space.dimension > 1 else ("spline-1d",))
    yield Family(("gan",))
    yield Family(("rbm",) if space.kind == "binary" else ("ebm",))
    # As many random steps give samples about as good as all of them, which take ten times as long.
    width = "width=16 " if space.is_image else ""  # of more channels there are too few steps
    yield Family(("ddpm",), f"{width}sampling_steps=100 sampler=ddpm")


def _components(space: Space, rows: int, counted: int | None) -> int:
    """Of PCA: fewer than entries, and than rows, as something has to be left to the noise."""
    return min(CODE, (counted or space.dimension) - 1, rows - 2)


def _of_indices(space: Space) -> str:
    """A codebook and a prior that are trained within seconds."""
    if not space.is_image:
        return "codes=64 second_stage=made"
    small = "channels=32 second_stage=pixel-cnn generator.width=32 generator.layers=2"
    return f"codes=64 {small}" if is_small(space) else small


def families_json(models: Mapping[str, Model]) -> dict[str, FamilyEntry]:
    """The family of every model, and where it stands, for ``scores.json``."""
    return {label: _entry(model) for label, model in models.items()}


def _entry(model: Model) -> FamilyEntry:
    place = place_of_trained(model)
    return {"family": family_of(model), "place": None if place is None else list(place)}
