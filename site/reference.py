"""Pages of the API reference: every public name once, by what it is.

The names are those of ``reparam/__init__.pyi``. A name stands on the page that names its module or
a folder above it, else, of a model, on that of its preset's family. One that stands nowhere, or has
no docstring, fails the build.
"""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import reparam as rp
from reparam.presets import by_family

STUB = Path(rp.__file__).with_suffix(".pyi")
VAES = (
    "Variational autoencoders",
    "VAEs with penalties",
    "VAEs whose weights move",
    "VAEs of several layers",
)


@dataclass(frozen=True)
class Page:
    """One page: its name in the address, its title, and what stands on it."""

    name: str
    title: str
    modules: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"reference/{self.name}.md"


PARTS: dict[str, tuple[Page, ...]] = {
    "Models": (
        Page("projections", "Linear projections", ("models.real_pca",), ("Linear projections",)),
        Page("autoencoders", "Autoencoders", (), ("Autoencoders",)),
        Page("vaes", "Variational autoencoders", (), VAES),
        Page("vq-vaes", "Models of discrete codes", (), ("Models of discrete codes",)),
        Page("autoregressive", "Autoregressive models", (), ("Autoregressive models",)),
        Page("flows", "Normalizing flows", (), ("Normalizing flows",)),
        Page("diffusion", "Diffusion models", (), ("Diffusion models",)),
        Page("adversarial", "Adversarial models", (), ("Adversarial models",)),
        Page("energies", "Energy-based models", (), ("Energy-based models",)),
        Page(
            "self-supervised",
            "Masked, self-distilled, supervised",
            ("models.masked_patches",),
            ("Self-supervised encoders", "Classifiers", "Regression"),
        ),
        Page(
            "combined",
            "Models made of models",
            ("models.per_class", "models.two_stage", "models.gaussian_mixture"),
        ),
    ),
    "Parts of models": (
        Page("posteriors", "Posteriors", ("distributions.posteriors", "distributions.hierarchies")),
        Page("priors", "Priors", ("distributions.priors",)),
        Page(
            "likelihood-classes",
            "Likelihoods",
            (
                "distributions.likelihoods",
                "distributions.autoregressive_likelihood",
                "distributions.channel_mixture",
            ),
        ),
        Page(
            "indices",
            "Quantizers, and priors of indices",
            ("distributions.index_codes", "nets.quantize", "nets.coder"),
        ),
        Page("bijection-classes", "Bijections", ("bijections",)),
        Page("diffusion-parts", "Schedules and samplers", ("diffusion",)),
        Page("objectives", "Objectives and penalties", ("objectives",)),
        Page("networks", "Networks", ("nets",)),
    ),
    "Functions": (
        Page("vocabulary", "The vocabulary", ("model", "inspection")),
        Page("data", "Data", ("data",)),
        Page(
            "building",
            "Build, save, share",
            ("presets", "checkpoint", "exporting", "hub_files", "hub"),
        ),
        Page("training", "Training", ("train", "config")),
        Page("evaluation", "Evaluation", ("evaluation",)),
        Page("use", "Use", ("use", "coding")),
        Page(
            "comparison",
            "Comparisons, reports, pictures",
            (
                "comparison",
                "comparison_tree",
                "own_report",
                "transfer_study",
                "notebook",
                "diagrams",
            ),
        ),
        Page("estimator", "The estimator", ("estimator",)),
    ),
}
PAGES = [page for pages in PARTS.values() for page in pages]


# Public names that ``reparam`` itself does not have: they need what not everybody installs.
DOORS = {"GenerativeModel": "reparam.estimator"}


class Unplaced(ValueError):
    """A public name that stands on no page, or says nothing."""


def public_names() -> dict[str, str]:
    """Where each public name is defined, ``reparam.folder.module``."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    listed = {alias.name: f"reparam.{node.module}" for node in found for alias in node.names}
    return listed | {name: door for name, door in DOORS.items() if find_spec(door)}


def value_of(name: str, module: str) -> object:
    """The object of that name."""
    return getattr(import_module(module) if name in DOORS else rp, name)


def page_of(name: str, module: str) -> Page:
    """Where a name stands: by its module, the narrowest that is named, else by its presets."""
    inside = module.removeprefix("reparam.")
    fitting = [
        (len(named), page)
        for page in PAGES
        for named in page.modules
        if inside == named or inside.startswith(f"{named}.")
    ]
    if fitting:
        return max(fitting, key=lambda pair: pair[0])[1]
    for family, presets in by_family().items():
        if any(preset.model is value_of(name, module) for preset in presets):
            return next(page for page in PAGES if family in page.families)
    raise Unplaced(f"{name} of {module} stands on no page; name its module in site/reference.py")


def first_sentence(name: str, module: str) -> str:
    """What a name is, the first paragraph of its docstring."""
    value = value_of(name, module)
    said = inspect.getdoc(value) if inspect.isroutine(value) or inspect.isclass(value) else None
    if name == "PRESETS":
        return "The named models, by name: the registry."
    if not said or (inspect.isclass(value) and not value.__doc__):
        raise Unplaced(f"{name}: expected a docstring, got none")
    return " ".join(said.split("\n\n")[0].split())


def placed() -> dict[Page, list[tuple[str, str]]]:
    """By page, its names in order of the alphabet, each with where it is defined."""
    found: dict[Page, list[tuple[str, str]]] = defaultdict(list)
    for name, module in sorted(public_names().items(), key=lambda item: item[0].lower()):
        found[page_of(name, module)].append((name, module))
    return {page: found[page] for page in PAGES if page in found}


def written() -> dict[str, str]:
    """The pages in Markdown, by path, and that of all names."""
    pages = {page.path: _page(page, names) for page, names in placed().items()}
    return pages | {"reference/index.md": _index()}


def _page(page: Page, names: list[tuple[str, str]]) -> str:
    blocks = [
        f"::: {module}.{name}\n    options:\n      heading: {name}\n      toc_label: {name}\n"
        for name, module in names
    ]
    return "\n".join([f"# {page.title}\n", *blocks])


def _index() -> str:
    said = [
        "# Reference\n",
        "Every public name, as `import reparam as rp` has it. The parameters of the named models "
        "stand in a [table](presets.md), and so do [likelihoods](likelihoods.md), "
        "[bijections](bijections.md), the [terms of losses](terms.md), [scores](scores.md) and "
        "[commands](commands.md).\n",
    ]
    pages = placed()
    for part, belonging in PARTS.items():
        said.append(f"## {part}\n")
        for page in belonging:
            if page in pages:
                rows = [_row(page, *pair) for pair in pages[page]]
                said += [f"### [{page.title}]({page.name}.md)\n", "| | |\n| --- | --- |"]
                said += ["\n".join(rows), ""]
    return "\n".join(said)


def _row(page: Page, name: str, module: str) -> str:
    sentence = first_sentence(name, module).replace("``", "`")
    return f"| [`{name}`]({page.name}.md#{module}.{name}) | {in_cell(sentence)} |"


def in_cell(text: str) -> str:
    """Plain text as a cell of a table has it: nothing in it is markup, but for code."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        for sign in "\\*_<>[]$":
            parts[i] = parts[i].replace(
                sign, f"\\{sign}" if sign not in "<>" else {"<": "&lt;", ">": "&gt;"}[sign]
            )
    return "`".join(parts).replace("|", "\\|").replace("\n", " ")
