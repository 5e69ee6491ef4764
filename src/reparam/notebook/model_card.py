"""A model as a page shows it: what it is, its settings, what can be asked of it, and its parts."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from reparam.evaluation import learned_numbers
from reparam.model import (
    Completer,
    Decoder,
    Density,
    Encoder,
    Generator,
    LatentVariable,
    Model,
)
from reparam.notebook.elements import Text, details, element, facts, heading, joined, piece, table
from reparam.presets import preset_of
from reparam.report.sections.family_facts import formula, latent, passes, players
from reparam.report.trained import TrainedModel
from reparam.train import History
from reparam.wording import counted, listed

METHODS: dict[type[Model], tuple[str, ...]] = {
    Encoder: ("encode",),
    Decoder: ("decode",),
    LatentVariable: ("posterior", "prior", "likelihood"),
    Generator: ("sample",),
    Completer: ("complete",),
    Density: ("log_prob",),
}
FOUND = {
    "tractable": "computed from its formula",
    "variational": "a lower bound",
    "markov chain": "an estimate, by chains",
    "flow solver": "an estimate, by a solver",
}


def model_html(model: Model) -> str:
    """What it is, in a sentence with its objective and paper; then what it can do."""
    preset = preset_of(model)
    name = type(model).__name__ if preset is None else preset.name
    about = element("p", preset.summary) if preset else ""
    rows: list[tuple[str, Text]] = [
        ("settings", _settings(model)),
        ("objective", formula(preset) if preset else ""),
        ("x", f"{' × '.join(map(str, model.space.shape))}, {_kind(model)}"),
        ("code", latent(model)),
        ("log p(x)", _density(model)),
        ("conditional on", _condition(model)),
        ("passes for a draw", passes(model)),
        ("losses", players(model)),
        ("missing cells", "taken" if model.takes_missing else ""),
        ("learned numbers", f"{learned_numbers(model):,}"),
        ("weights", f"{str(model.anchor.dtype).removeprefix('torch.')}, {model.anchor.device}"),
        ("methods", _methods(model)),
        ("paper", preset.paper if preset else ""),
    ]
    parts = list(_parts(model))
    within = details(counted(len(parts), "part"), _parts_table(parts)) if parts else ""
    return piece(heading(name, f"model, {type(model).__name__}"), about, facts(rows), within)


def _settings(model: Model) -> Text:
    return element("code", TrainedModel("", model, {}, History()).settings) if model.recipe else ""


def _kind(model: Model) -> str:
    space = model.space
    return f"{space.levels} levels" if space.levels else space.kind


def _density(model: Model) -> str:
    if not isinstance(model, Density):
        return "none"
    return FOUND[model.approximation] + (", by draws" if model.log_prob_draws else "")


def _condition(model: Model) -> str:
    space = model.space
    if not model.conditional:
        return ""
    if space.given is not None:
        return f"what is given of x, {' × '.join(map(str, space.given))}"
    if space.attributes is not None:
        return counted(space.attributes, "attribute")
    named = f": {listed(model.class_names, 10)}" if model.class_names else ""
    return counted(space.classes or 0, "class", "classes") + named


def _methods(model: Model) -> Markup:
    """The names of what can be asked, of every capability that the model has."""
    names = [name for role, of in METHODS.items() if isinstance(model, role) for name in of]
    if isinstance(model, Encoder) and isinstance(model, Decoder):
        names.insert(2, "reconstruct")
    codes = [element("code", name) for name in names]
    return joined([part for code in codes for part in (code, " ")])


def _parts(model: Model) -> Iterator[tuple[str, str, int]]:
    for name, part in model.named_children():
        yield name, type(part).__name__, sum(p.numel() for p in part.parameters())


def _parts_table(parts: list[tuple[str, str, int]]) -> Markup:
    rows = [(element("code", name), kind, f"{count:,}") for name, kind, count in parts]
    return table(("part", "class", "parameters"), rows, {2})
