"""The taxonomy of generative models: where in it a model stands, by what it declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Final

from reparam.model import Approximation, Density, Generator, Model, Space
from reparam.presets.registry import PRESETS, Preset, all_presets, build, preset_of

Place = tuple[str, ...]  # the names of the branches from the root to a model, the root left out

ROOT: Final = "maximum likelihood"
IMPLICIT: Place = ("implicit", "direct")
OF: Mapping[Approximation, Place] = {
    "tractable": ("explicit", "tractable"),
    "variational": ("explicit", "approximate", "variational"),
    "markov chain": ("explicit", "approximate", "markov chain"),
    "flow solver": ("explicit", "approximate", "flow solver"),
}
# Presets are asked as they are built by default, for the first of these that they accept.
USUAL = (
    Space((1, 8, 8), "levels", levels=17, classes=10),
    Space((1, 16, 16), "levels", levels=17, classes=10),
    Space((1, 8, 8), "binary", classes=10),
    Space((8,), "real", classes=10),
    Space((1,), "real", classes=10),
)


def place_of(model: Model) -> Place | None:
    """Where a model stands: by how it has log p(x), else, if it draws x, among the implicit ones.

    None: it draws nothing, as an autoencoder, and stands nowhere.

    The taxonomy is that of Goodfellow 2016, "NIPS 2016 tutorial: Generative adversarial networks",
    figure 9, with the solvers of continuous-time models beside bounds and Markov chains.
    https://arxiv.org/abs/1701.00160

    >>> import reparam as rp
    >>> space = rp.Space((4,), "real")
    >>> place_of(rp.build("maf", space)), place_of(rp.build("gan", space))
    (('explicit', 'tractable'), ('implicit', 'direct'))
    >>> place_of(rp.build("ae", space)) is None
    True
    """
    if isinstance(model, Density):
        return OF[model.approximation]
    return IMPLICIT if isinstance(model, Generator) else None


def place_of_trained(model: Model) -> Place | None:
    """Where a trained model stands: with its preset, unless it has a density and that has none.

    A small Boltzmann machine is summed over all its states, and stands with the others all the
    same; an adversarial autoencoder of normal codes has a bound, which others have not.
    """
    own, preset = place_of(model), preset_of(model)
    usual = None if preset is None else _usual_place(preset.name)
    if own is None or usual is None:
        return own
    return own if (own == IMPLICIT) != (usual == IMPLICIT) else usual


def family_of(model: Model) -> str | None:
    """What the file of its preset calls the models in it; None of a model of your own.

    >>> import reparam as rp
    >>> family_of(rp.build("gan", rp.Space((4,), "real")))
    'Adversarial models'
    """
    preset = preset_of(model)
    return None if preset is None else preset.family


def places() -> dict[str, Place | None]:
    """Where every preset stands, family by family.

    >>> places()["vae"], places()["ae"]
    (('explicit', 'approximate', 'variational'), None)
    """
    return {p.name: _usual_place(p.name) for p in all_presets()}


def branches() -> Iterator[Place]:
    """The leaves of the tree that families hang from, in the order in which they are drawn."""
    yield from (*OF.values(), IMPLICIT)


@cache
def _usual_place(name: str) -> Place | None:
    return place_of(_by_default(PRESETS[name]))


def _by_default(preset: Preset) -> Model:
    """The model that a preset builds where nothing is asked, of the first data that it accepts."""
    space = next((s for s in USUAL if preset.accepts.refusal(s) is None), None)
    if space is None:
        raise ValueError(f"{preset.name}: accepts none of the data by which presets are placed")
    return build(preset.name, space, seed=0)
