"""The registry of named models: functions Space -> Model, with what they accept and their paper."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from inspect import isclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import torch

from reparam.bijections.shape import even_sides
from reparam.config import TrainConfig
from reparam.limits import Limited, argument_help, convert, described, hints
from reparam.model import Column, DataKind, Density, Model, Space
from reparam.presets.catalog import Catalog
from reparam.presets.given import spelled
from reparam.space import ColumnKind
from reparam.wording import did_you_mean, listed

Builder = Callable[..., Model]
Training = TrainConfig | Callable[[Space], TrainConfig]
B = TypeVar("B", bound=Builder)
KINDS: tuple[DataKind, ...] = ("binary", "levels", "real", "mixed")
PER_CLASS, OF_EACH_CLASS = (
    "per_class",
    "a model of its own for each class label, mixed by the classes' frequencies.",
)
MOST_HAVING = 12  # presets that are named for a parameter that another has not
WORDS = 3  # of a remedy, for as many columns
PURE: tuple[DataKind, ...] = ("binary", "levels", "real")  # all entries of one kind


@dataclass(frozen=True)
class Accepts:
    """Which data a preset is for: a limit of its argument ``space``, in its annotation."""

    kinds: tuple[DataKind, ...] = KINDS
    images: bool = True
    vectors: bool = True
    condition: bool = False  # whether it needs labels or attributes
    labels: bool = False  # whether it needs labels
    columns: tuple[ColumnKind, ...] = get_args(ColumnKind)  # of mixed data
    even: bool = False  # whether images need even sides
    one: bool = False  # whether vectors need to be of one entry
    least: int = 1  # the shortest side of images

    def refusal(self, space: Space, given: bool = False) -> str | None:
        """Why ``space`` is not accepted; None if it is. What is ``given`` of x is a condition."""
        if space.kind not in self.kinds:
            advice = self._other_kind(space)
            return f"{' or '.join(self.kinds)} data, got {space.kind}{advice}"
        wrong = [column for column in space.columns or () if column.kind not in self.columns]
        if wrong:
            advice = _advice(wrong, of_reals="binary" not in self.columns)
            return f"{' or '.join(self.columns)} columns, got {advice}"
        if space.is_image and not self.images:
            return f"vectors, got images of shape {space.shape}"
        if not space.is_image and not self.vectors:
            return f"images, got vectors of {space.dimension} entries"
        if self.even and space.is_image and any(side % 2 for side in space.shape[1:]):
            return f"even sides, got {even_sides(*space.shape[1:])}"
        if space.is_image and min(space.shape[1:]) < self.least:
            height, width = space.shape[1:]
            return f"images of {self.least} x {self.least} or more, got {height} x {width}"
        if self.one and space.dimension > 1:
            return f"vectors of one entry, got {space.dimension}"
        if self.condition and not given and space.classes is None and space.attributes is None:
            return "data with labels or attributes, got none"
        if self.labels and space.classes is None:
            return "data with labels, got none; name their column, or use class folders"
        return None

    def _other_kind(self, space: Space) -> str:
        """How data of another kind may become what is accepted; nothing where they cannot."""
        if space.columns and "real" in self.kinds:
            others = [column for column in space.columns if column.kind != "real"]
            advice = f": {_advice(others, of_reals=True)}"
            return advice + (", and, if cells are missing, --missing drop" if others else "")
        if self.kinds != ("binary",):
            return ""
        if not space.columns:
            return "; make them binary (binarize=0.5, --binarize 0.5, or another threshold)"
        drops = [f"--drop {shlex.quote(c.name)}" for c in space.columns if c.kind != "binary"]
        left = f"leave others out (drop=…, {_first(drops)}), and " if drops else ""
        return f"; {left}write flags as 0 and 1 in all rows"


def _advice(wrong: Sequence[Column], of_reals: bool) -> str:
    """The first of some columns that are not accepted, and how to do without all of them.

    Flags of names have to be real where all columns have. Columns of numbers are named one by one,
    since ``--kind real`` of all allows no missing cells.
    """
    if not wrong:
        return "cells are missing; leave such rows out with --missing drop"
    no_numbers = [c for c in wrong if c.kind == "category" or c.names]
    drops = [f"--drop {shlex.quote(c.name)}" for c in no_numbers]
    reals = {c.name: f"--kind {shlex.quote(c.name + '=real')}" for c in wrong}
    flags = _first([reals.pop(c.name) for c in no_numbers])
    kinds = _first(list(reals.values()))
    made = f"real flags of names (one_hot=True, --one-hot {flags})"
    made = made if of_reals else "flags of names (one_hot=True, --one-hot)"
    remedies = [f"make {made} or leave them out (drop=…, {_first(drops)})"] if drops else []
    remedies += [f"read numbers as real with {kinds}"] if kinds else []
    return f"{wrong[0].name!r} of {wrong[0].kind}; {', and '.join(remedies)}"


def _first(words: Sequence[str]) -> str:
    more = f" and {len(words) - WORDS} more" if len(words) > WORDS else ""
    return " ".join(words[:WORDS]) + more


# Names that people of the field ask for, and what comes nearest today.
NOT_YET = {
    "continuous and residual flows": (
        ("ffjord", "cnf", "residual-flow"),
        "spline-coupling and spline-autoregressive for tables, glow and real-nvp for images",
    ),
    "adversarial and relaxed discrete codes": (("vqgan", "dvae", "dall-e"), "vq-vae and rq-vae"),
    "flow matching and rectified flows": (
        ("edm", "flow-matching", "rectified-flow"),
        "score-sde and ddpm, whose velocities (predict=velocity) are those of such flows",
    ),
    "other adversarial models": (("stylegan", "bigan", "pix2pix", "cyclegan"), "gan and vae-gan"),
    "deep Boltzmann machines and belief networks": (("dbn", "dbm"), "rbm"),
    "contrastive encoders and other self-distilled ones": (
        ("moco", "simclr", "byol", "ijepa", "dinov2"),
        "dino",
    ),
    "masked autoencoders of discrete codes": (("beit",), "simmim and mae"),
}

# Names of the field for what a preset of another name is.
MEANT_MODEL = {
    "diffusion": "ddpm, or score-sde in continuous time",
    "ddim": "ddpm, drawn with sampler=ddim",
    "ncsn": "score-sde with sde=ve",
    "ldm": "latent-diffusion",
    "stable-diffusion": "latent-diffusion",
    "dcgan": "gan with network=conv",
    "wgan": "gan with loss=wasserstein",
    "wgan-gp": "gan with loss=wasserstein",
}


# Parameters as they are called in papers, other libraries or other presets, and what is meant.
MEANT = {
    "prior": "second_stage",
    "codes": "sizes",
    "num_embeddings": "codes",
    "codebook_size": "codes",
    "embedding_dim": "code_dim",
    "commitment_cost": "beta",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a preset, its own or a field of the options that it shares with others."""

    name: str
    annotation: Any
    default: Any
    meaning: str

    @property
    def type_name(self) -> str:
        """The type as a person reads it.

        >>> from typing import Literal
        >>> Parameter("n", Literal["a", "b"], "a", "").type_name
        'a or b'
        """
        return described(self.annotation)

    @property
    def shown_default(self) -> str:
        return shown(self.default)

    def check(self, value: object) -> Any:
        """The value in the parameter's type; ValueError where it cannot be that."""
        return convert(self.name, value, self.annotation)


@dataclass(frozen=True)
class Preset:
    """A named builder with its paper and its training defaults.

    Calling it builds the model: ``preset(space, **parameters)``. The builder's keywords are its
    parameters, and so are the fields of the dataclasses among its arguments, the options that it
    shares with others: those of an argument called ``options`` under their own names, those of any
    other behind its name, as ``codec.latent_dim`` (of ``codec`` or ``codec_options``, where
    ``codec`` is a parameter itself). Of these fields the preset may change the
    ``defaults``, or have values ``fixed``, which are then no parameters. On ``exact`` kinds of data
    log p(x) is exact, perhaps of some models only, ``exact_where``; on others it is a bound or an
    estimate. ``small`` are parameters of a model for tests; ``when`` says in a sentence what one
    uses it for. ``objective`` is what its training minimizes or maximizes, as a formula, where that
    is not what the others of its file have, their ``OBJECTIVE``.
    """

    name: str
    build: Builder
    paper: str
    train: Training = TrainConfig()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    exact: tuple[DataKind, ...] = ()
    small: Mapping[str, Any] = field(default_factory=dict)
    when: str = ""
    exact_where: str = ""
    objective: str = ""

    @property
    def family(self) -> str:
        """What its file calls the models in it, its ``FAMILY``."""
        return str(getattr(inspect.getmodule(self.build), "FAMILY", "Others"))

    @property
    def formula(self) -> str:
        """What training minimizes or maximizes, its own or that of its file; "" if neither says."""
        shared = getattr(inspect.getmodule(self.build), "OBJECTIVE", "")
        return self.objective or str(shared)

    @property
    def summary(self) -> str:
        """The first line of the builder's docstring."""
        return (inspect.getdoc(self.build) or "").split("\n")[0]

    def train_on(self, space: Space) -> TrainConfig:
        """How the preset is trained on such data, unless something else is asked for."""
        return self.train if isinstance(self.train, TrainConfig) else self.train(space)

    @property
    def model(self) -> type[Model]:
        """The class of what it builds, by default where there are several."""
        returned = hints(self.build).get("return", Model)
        found: type[Model] = next(iter(get_args(returned)), returned)
        return found

    @cached_property
    def accepts(self) -> Accepts:
        limits = get_args(hints(self.build).get("space"))
        return next((limit for limit in limits if isinstance(limit, Accepts)), Accepts())

    @cached_property
    def options(self) -> dict[str, type]:
        """The classes of the options that it shares with other presets, by argument."""
        known = hints(self.build).items()
        return {k: kind for k, kind in known if isclass(kind) and issubclass(kind, Limited)}

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What it takes by name, its own parameters first."""
        known, meaning = hints(self.build), argument_help(self.build)
        found = [
            Parameter(name, known[name], p.default, meaning.get(name, ""))
            for name, p in inspect.signature(self.build).parameters.items()
            if p.kind is p.KEYWORD_ONLY
        ]
        for argument, options in self.options.items():
            known, meaning = hints(options), argument_help(options)
            for name, typed in typed_names(argument, options).items():
                if typed not in self.fixed:
                    default = self.defaults.get(typed, getattr(options, name))
                    found.append(Parameter(typed, known[name], default, meaning[name]))
        if self.takes_classes:
            found.append(Parameter(PER_CLASS, bool, False, OF_EACH_CLASS))
        return {p.name: p for p in found}

    @property
    def takes_classes(self) -> bool:
        """Whether it may be built for each class: an unconditional density of data with labels."""
        return issubclass(self.model, Density) and not self.accepts.condition

    def check(self, given: Mapping[str, object]) -> dict[str, Any]:
        """The given parameters in their types; an unknown name or bad value lists what is valid."""
        known = self.parameters
        for name in given:
            if name not in known:
                meant = MEANT.get(name)
                hint = did_you_mean(meant if meant in known else name, known)
                valid = ", ".join(known)
                having = [one.name for one in all_presets() if name in one.parameters]
                where = f"; {listed(having, MOST_HAVING)} have {name}" if len(having) > 1 else ""
                raise ValueError(
                    f"{name}: no parameter of {self.name}{hint}; it has {valid}{where}"
                )
        found = {name: known[name].check(value) for name, value in given.items()}
        masks = (name for name in found if name.rpartition(".")[2] == "given" and found[name])
        return found | {
            name: spelled(found[name]) for name in masks
        }  # what no file has to say again

    def __call__(self, space: Space, **parameters: object) -> Model:
        given = self.check(flat(parameters))
        refusal = self.accepts.refusal(space, given=given.get("given") is not None)
        if refusal is not None:
            raise ValueError(f"{self.name}: expected {refusal}")
        values = {**self.defaults, **self.fixed, **given}
        per_class, shared = values.pop(PER_CLASS, False), {}
        if per_class and any(
            on for name, on in values.items() if name.endswith(("conditional", "given"))
        ):
            raise ValueError(
                f"{PER_CLASS}: expected no conditional model, as each class has one of its own; "
                "leave one of the two out"
            )
        for argument, options in self.options.items():
            names = typed_names(argument, options).items()
            chosen = {field: values.pop(typed) for field, typed in names if typed in values}
            shared[argument] = options(**chosen)
        build = partial(self.build, **shared, **values)
        model = _of_each_class(space, build) if per_class else build(space)
        special = {n: value for n, value in given.items() if value != self.parameters[n].default}
        model.recipe = {"preset": self.name, "parameters": special}
        return model

    def complete(self, parameters: Mapping[str, object]) -> dict[str, Any]:
        """The parameters with every default filled in: what outlives a change of defaults."""
        return {name: p.default for name, p in self.parameters.items()} | dict(parameters)


def _of_each_class(space: Space, build: Builder) -> Model:
    from reparam.models.per_class import PerClass  # here: few models are of classes

    return PerClass(space, build)


PRESETS: Catalog[Preset] = Catalog("reparam.presets", Path(__file__).parent, "preset")
# In what order families are listed, from what a reader knows; others follow.
FAMILIES = (
    "Linear projections",
    "Autoencoders",
    "Variational autoencoders",
    "VAEs with penalties",
    "VAEs whose weights move",
    "VAEs of several layers",
    "Autoregressive models",
    "Normalizing flows",
    "Models of discrete codes",
    "Diffusion models",
    "Energy-based models",
    "Classifiers",
)


def by_family() -> dict[str, list[Preset]]:
    """All presets, those of ``FAMILIES`` first."""
    found: dict[str, list[Preset]] = {family: [] for family in FAMILIES}
    for one in PRESETS.values():
        found.setdefault(one.family, []).append(one)
    return {family: presets for family, presets in found.items() if presets}


def all_presets() -> list[Preset]:
    """All presets, family by family."""
    return [one for presets in by_family().values() for one in presets]


def preset(
    name: str,
    *,
    paper: str,
    train: Training = Preset.train,
    defaults: Mapping[str, object] | None = None,
    fixed: Mapping[str, object] | None = None,
    exact: tuple[DataKind, ...] = (),
    small: Mapping[str, object] | None = None,
    when: str = "",
    exact_where: str = "",
    objective: str = "",
) -> Callable[[B], B]:
    """Register a function ``(space, options, *, keyword: type = default …) -> Model``."""

    def register(build: B) -> B:
        changes = (defaults or {}, fixed or {}, exact, small or {}, when, exact_where, objective)
        made = Preset(name, build, paper, train, *changes)
        PRESETS.register(name, made, build.__module__)
        return build

    return register


def find_preset(name: str) -> Preset:
    """The preset of that name; ValueError with the nearest and all names otherwise."""
    if name not in PRESETS:
        for family, (names, instead) in NOT_YET.items():
            if name.lower() in names:
                raise ValueError(f"{name}: {family} are not here yet; nearest to it: {instead}")
        meant = MEANT_MODEL.get(name.lower())
        hint = f" (it is {meant})" if meant else did_you_mean(name, PRESETS)
        raise ValueError(f"{name}: no such model{hint}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def preset_of(model: Model) -> Preset | None:
    """The preset that built a model; None where none did.

    >>> preset_of(build("ae", Space((4,), "real"))).name
    'ae'
    """
    return PRESETS.get(model.recipe["preset"]) if model.recipe else None


def build(name: str, space: Space, *, seed: int | None = None, **parameters: object) -> Model:
    """Build a model by its preset's name, for data of this space.

    Args:
        name: a key of ``PRESETS``.
        space: what x is, ``load_data(...).space``.
        seed: of the first weights, which then depend on nothing else and leave PyTorch's default
            generator as it is; None: they are drawn from that generator.
        parameters: of the preset; values may be strings, as on the command line. Those of a part,
            such as ``codec.latent_dim``, are given as ``codec={"latent_dim": 2}``.

    Raises:
        ValueError: an unknown name or parameter, a bad value, or data it is not for.

    >>> build("vae", Space((1, 8, 8), "binary"), latent_dim=4).code_space.shape
    (4,)
    """
    chosen = find_preset(name)
    if seed is None:
        return chosen(space, **parameters)
    with torch.random.fork_rng(devices=[]):
        # Of the CPU alone, where weights are made: torch.manual_seed would seed GPUs as well.
        torch.default_generator.manual_seed(TrainConfig(seed=seed).seed)
        return chosen(space, **parameters)


def typed_names(argument: str, options: type) -> dict[str, str]:
    """By field of a preset's options, what it is called where one types it."""
    prefix = "" if argument == "options" else f"{argument.removesuffix('_options')}."
    return {field.name: f"{prefix}{field.name}" for field in fields(options)}


def flat(parameters: Mapping[str, object]) -> dict[str, object]:
    """Parameters of parts under their full names.

    >>> flat({"codec": {"latent_dim": 2}, "k": 3})
    {'codec.latent_dim': 2, 'k': 3}
    """
    found: dict[str, object] = {}
    for name, value in parameters.items():
        inside = value if isinstance(value, Mapping) else {None: value}
        found |= {name if field is None else f"{name}.{field}": v for field, v in inside.items()}
    return found


def nested(parameters: Mapping[str, object]) -> dict[str, object]:
    """The inverse of ``flat``: as keywords of Python have to be given.

    >>> nested({"codec.latent_dim": 2, "k": 3})
    {'codec': {'latent_dim': 2}, 'k': 3}
    >>> nested({"codec.latent_dim": 2, "codec": "vae"})  # a name alone is no keyword: **{...}
    {'codec.latent_dim': 2, 'codec': 'vae'}
    """
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        part, dot, field = name.partition(".")
        if dot and part not in parameters:
            found.setdefault(part, {})[field] = value
        else:
            found[name] = value
    return found


def shown(value: object) -> str:
    """A parameter's value as the command line takes it.

    >>> shown((512, 256)), shown(()), shown(None)
    ('512,256', '()', 'none')
    """
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "()"
    return "none" if value is None else str(value)


def parse_assignments(words: Iterable[str]) -> dict[str, str]:
    """``key=value`` words as a dictionary.

    >>> parse_assignments(["latent_dim=2", "network=conv"])
    {'latent_dim': '2', 'network': 'conv'}
    """
    parameters: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"{word}: expected key=value, as in latent_dim=2")
        if key in parameters:
            raise ValueError(f"{key}: given twice")
        parameters[key] = value
    return parameters
