"""The section of what each family is: objective, p(x), latent, passes of a draw, players."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup, escape

from reparam.model import (
    Coded,
    Completer,
    Density,
    Descend,
    Encoder,
    Generator,
    LatentVariable,
    Model,
)
from reparam.presets import Preset, preset_of
from reparam.presets.places import family_of
from reparam.report.family_tree import OWN
from reparam.report.section import Section, Shown
from reparam.report.trained import TrainedModel
from reparam.train.collapse import has_indices
from reparam.wording import listed

KINDS = {"lower bound": "bound", "upper bound": "bound"}
LIKELIHOODS = ("log_likelihood", "conditional_log_likelihood")


class Facts(NamedTuple):
    """What a model is, in a few words each."""

    model: int
    name: str
    settings: str
    family: str
    objective: Markup
    density: str
    latent: str
    passes: str
    players: str


def build(shown: Shown) -> list[Facts]:
    return [_facts(index, entry) for index, entry in enumerate(shown.entries)]


def _facts(index: int, entry: TrainedModel) -> Facts:
    model, (name, _, settings) = entry.model, entry.label.partition(" ")
    preset = preset_of(model)
    family = family_of(model) or OWN
    about = density(entry), latent(model), passes(model), players(model)
    return Facts(index, name, settings, family, formula(preset), *about)


def formula(preset: Preset | None) -> Markup:
    """What training minimizes or maximizes, q as an index of the expectation over it."""
    text = escape("its own" if preset is None else preset.formula)
    return text.replace("E_q", Markup("E<sub>q</sub>"))


def density(entry: TrainedModel) -> str:
    """Exact, bound or estimate, as log p(x) was measured; none."""
    if not isinstance(entry.model, Density):
        return "none"
    found = [entry.scores[name].kind for name in LIKELIHOODS if name in entry.scores]
    kind = found[0] if found else None
    return KINDS.get(str(kind), str(kind or "not measured"))


def latent(model: Model) -> str:
    """What z is and how large, where there is one, and whether x has a z of its own.

    >>> import reparam as rp
    >>> space = rp.Space((3,), "real")
    >>> latent(rp.build("ae", space, latent_dim=2)), latent(rp.build("made", space))
    ('2 numbers', 'none')
    >>> latent(rp.build("gan", space, latent_dim=5)), latent(rp.build("maf", space))
    ('5 numbers, without an encoder', '3 numbers, as many as x has')
    """
    if not isinstance(model, Coded):
        codec = model.as_codec()
        return "none" if codec is None else f"{_size(codec)}, by a solver"
    if not isinstance(model, Encoder):
        return f"{_amount(model)}, without an encoder"
    return _size(model)


def _size(model: Coded) -> str:
    """How much a code holds, and whether that is as much as x does."""
    layers = model.layers if isinstance(model, LatentVariable) else ()
    size = f"{_amount(model)} in {len(layers)} layers" if len(layers) > 1 else _amount(model)
    as_large = model.code_space.dimension == model.space.dimension
    return f"{size}, as many as x has" if as_large else size


def _amount(model: Coded) -> str:
    """How many numbers, indices or bits a code holds."""
    space = model.code_space
    n = space.dimension
    if isinstance(model, Encoder) and has_indices(model):
        return f"{n} {'index' if n == 1 else 'indices'} of {space.level_count}"
    one, many = ("bit", "bits") if space.kind == "binary" else ("number", "numbers")
    return f"{n} {one if n == 1 else many}"


def passes(model: Model) -> str:
    """How many passes of a network, one after the other, a draw of x takes.

    >>> import reparam as rp
    >>> space = rp.Space((3,), "real")
    >>> passes(rp.build("vae", space)), passes(rp.build("made", space))
    ('1', '3, entry by entry')
    """
    if not isinstance(model, Generator):
        return "draws nothing"
    if isinstance(model, Encoder) and has_indices(model) and len(_descents(model)) > 1:
        return f"{model.code_space.dimension:,}, index by index, and 1"
    if isinstance(model, Completer) and model.in_order and not isinstance(model, Coded):
        return f"{model.space.dimension:,}, entry by entry"
    return f"{model.passes_per_draw:,}"


def players(model: Model) -> str:
    """Whether one loss moves all weights, or several players have one each.

    >>> import reparam as rp
    >>> space = rp.Space((3,), "real")
    >>> players(rp.build("vae", space)), players(rp.build("gan", space))
    ('one', '2: model, critic')
    >>> players(rp.build("pca", space))
    'none, it is solved for'
    """
    descents = _descents(model)
    if not descents:
        return "none, it is solved for"
    most = max(descents, key=lambda stage: len(stage.players))
    if len(most.players) > 1:
        return f"{len(most.players)}: {listed([p.name for p in most.players])}"
    return "one" if len(descents) == 1 else f"one, in {len(descents)} stages"


def _descents(model: Model) -> list[Descend]:
    return [stage for stage in model.stages if isinstance(stage, Descend)]


SECTION: Section = Section(
    "family-facts",
    "What each family is",
    """What training minimizes or maximizes, and what one has of it: whether log p(x) is exact, a
bound or an estimate on these data, what stands between noise and x, and what a draw costs in passes
of the network, one after the other. f&nbsp;encodes, g&nbsp;decodes, z&nbsp;is the latent.""",
    build,
    "family_facts.html.j2",
    lambda shown: shown.families,
    drawn=False,
)
