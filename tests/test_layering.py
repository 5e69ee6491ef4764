"""The house order of the design: imports point downwards, and what the source must not contain."""

from __future__ import annotations

import ast
import inspect
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from torch import nn

import reparam

ROOT = Path(reparam.__file__).parent
PACKAGE = "reparam"
# From the floor upwards. What imports stands above what is imported, or beside it.
ROWS = (
    (
        "model",
        "supervised",
        "chain_rule",
        "display",
        "distribution",
        "exchange",
        "space",
        "buffers",
        "rounding",
        "conditions",
        "degradation",
        "inspectable",
        "inspection",
        "memory",
        "config",
        "data",
        "numerics",
        "terms",
        "measures",
        "measures_of_factors",
        "measures_of_restoring",
        "score_columns",
        "interrupt",
        "hub_files",
        "limits",
        "allotment",
        "atomic",
        "batching",
        "lock",
        "news",
        "progress",
        "terminal",
        "wording",
    ),
    ("nets",),
    ("bijections",),
    ("distributions",),
    ("objectives", "diffusion", "chains"),
    ("models",),
    ("presets",),
    ("checkpoint",),
    ("train", "evaluation", "use", "coding"),
    ("report", "diagrams"),
    (
        "comparison",
        "comparison_defaults",
        "comparison_families",
        "comparison_runs",
        "comparison_seeds",
        "comparison_tree",
        "own_report",
        "transfer_models",
        "transfer_points",
        "transfer_study",
    ),
    ("cli", "estimator", "explore", "exporting", "hub", "notebook"),
    ("__main__",),
)
ROW_OF = {name: height for height, row in enumerate(ROWS) for name in row}
LONGEST_FILE = 500
# Names that several modules bear, and why a reader is not misled.
SHARED_STEMS = {
    "blocks": "rows that are coded by themselves, and the boxes of diagrams",
    "rows": "what is coded, and which rows are measured",
    "annealing": "runs of chains, and log p(x) of latent-variable models by them",
    "classifier": "the model and its preset",
    "autoregressive": "a family's model and its presets, and the bijection",
    "coupling": "the bijection, and networks for it",
    "diffusion": "a family's model and its presets",
    "flow": "a family's model, and the probability flow of diffusion models",
    "steps": "of a diffusion back in time, and how large those of an optimizer are",
    "denoising": "scores, and the section that shows them",
    "diagnosis": "of a model's codes, and of a training's course",
    "regression": "a family's model and its preset",
    "restoration": "by diffusion models, and the scores of it",
    "likelihoods": "the classes, and which of them a preset offers",
}
# What knows models only by the vocabulary, and where it still names a network or distribution.
GENERAL = ("train", "evaluation", "report")
CONCRETE_PARTS = {}


def module_name(path: Path) -> str:
    parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


@cache
def trees() -> dict[str, ast.Module]:
    """When a test asks for them: every worker collects."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}


def imported(name: str, tree: ast.Module) -> set[str]:
    """The modules of this package that a module imports anywhere, in functions too."""
    package = name if FILES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # "from package import module" means the module, "from module import name" the module.
            for alias in node.names:
                inside = f"{base}.{alias.name}"
                found.add(inside if inside in FILES else base)
    return {found_name for found_name in found if found_name.split(".")[0] == PACKAGE}


def part(name: str) -> str:
    """The file or folder of the house that a module belongs to; "" for the package itself."""
    return (name.split(".") + [""])[1]


@cache
def imports() -> dict[str, set[str]]:
    return {name: imported(name, tree) for name, tree in trees().items() if name != PACKAGE}


def test_this_test_sees_the_imports():
    """Against a walk that finds nothing: imports that are known to be there."""
    assert "reparam.numerics" in imports()["reparam.model"]
    assert "reparam.nets" in imports()["reparam.presets.vaes"]
    assert "reparam.models.vae" in imports()["reparam.presets.vaes"]
    assert len(FILES) > 20


def test_imports_point_downwards():
    for name, others in imports().items():
        assert part(name) in ROW_OF, f"{part(name)} has no place in the house: see ROWS"
        for other in others - {PACKAGE}:  # itself it holds __version__ and lazy names
            assert other in FILES, f"{name} imports {other}, which is no module"
            assert ROW_OF[part(other)] <= ROW_OF[part(name)], f"{name} imports {other} from above"


def test_the_lazy_package_is_imported_for_its_version_only():
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == PACKAGE and not node.level:
                names = {a.name for a in node.names if f"{PACKAGE}.{a.name}" not in FILES}
                assert names <= {"__version__"}, f"{name} takes {names} through the lazy names"
            if isinstance(node, ast.Import):
                assert PACKAGE not in {alias.name for alias in node.names}, name


def test_imports_make_no_circle():
    graph = {name: others & imports().keys() for name, others in imports().items()}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def test_parts_of_a_row_make_no_circle():
    """Beside each other is allowed one way only: folders, not just files, have an order."""
    graph: dict[str, set[str]] = {}
    for name, others in imports().items():
        graph.setdefault(part(name), set()).update(
            part(o) for o in others if o != PACKAGE and part(o) != part(name)
        )
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circle: {' -> '.join(error.args[1])}")


def calls(tree: ast.Module) -> list[tuple[str, ast.Call]]:
    """Every call with the dotted name of what is called, where it has one."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            found.append((ast.unparse(node.func), node))
    return found


def test_no_pickles_and_no_printing():
    for name, tree in trees().items():
        roots = {other.split(".")[0] for other in imported_from_anywhere(tree)}
        forbidden = roots & {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
        assert not forbidden, f"{name} imports {forbidden}"
        for called, node in calls(tree):
            where = f"{name}:{node.lineno}"
            assert called != "print", f"{where} prints"
            assert called not in ("torch.load", "torch.save"), f"{where} is a pickle"
            assert not called.endswith("read_pickle"), f"{where} reads a pickle"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle":
                    value = keyword.value
                    allowed = isinstance(value, ast.Constant) and value.value is False
                    assert allowed, f"{where} allows pickles"


def imported_from_anywhere(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported, of whatever package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_files_say_what_they_are_and_stay_short():
    for name, path in FILES.items():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= LONGEST_FILE, name
        assert not text.strip() or ast.get_docstring(trees()[name]), f"{name}: no first line"


def exported(name: str) -> set[str]:
    """What a package offers by name: of the package itself the public names."""
    if name == PACKAGE:
        return set(reparam.__all__)
    nodes = (n for n in trees()[name].body if isinstance(n, ast.ImportFrom | ast.FunctionDef))
    return {
        found
        for n in nodes
        for found in (
            [n.name] if isinstance(n, ast.FunctionDef) else [a.asname or a.name for a in n.names]
        )
    }


@pytest.mark.parametrize("name", [n for n, path in FILES.items() if path.name == "__init__.py"])
def test_no_module_bears_the_name_of_a_function_beside_it(name):
    """Importing ``package.name`` sets ``package.name`` to the module, in place of the function."""
    modules = {n.rpartition(".")[2] for n in FILES if n.rpartition(".")[0] == name}
    taken = {n for n in exported(name) & modules if f"{name}.{n}" not in imports().get(name, ())}
    assert not taken, f"{name}: {taken} would be modules as soon as anything imports them"


def test_public_names_stay_what_they_are_once_everything_is_imported():
    for name in FILES:
        if not name.endswith("__main__"):
            import_module(name)
    modules = [name for name in reparam.__all__ if inspect.ismodule(getattr(reparam, name))]
    assert not modules


def test_no_two_modules_share_a_name_without_a_reason():
    by_stem = defaultdict(list)
    for name, path in FILES.items():
        if not path.stem.startswith("__"):
            by_stem[path.stem].append(name)
    shared = {stem: names for stem, names in by_stem.items() if len(names) > 1}
    assert not shared.keys() - SHARED_STEMS.keys(), shared
    assert not SHARED_STEMS.keys() - shared.keys(), "no longer shared: take it off the list"


def classes_from(name: str, rows: tuple[str, ...]) -> dict[str, type]:
    """The classes that a module imports from these parts of the house, anywhere in it."""
    found = {}
    for node in ast.walk(trees()[name]):
        if isinstance(node, ast.ImportFrom) and part(node.module or "") in rows:
            for alias in node.names:
                value = getattr(import_module(node.module), alias.name)
                if inspect.isclass(value):
                    found[alias.name] = value
    return found


def test_what_is_general_names_no_concrete_network_or_distribution():
    named = set()
    for name in FILES:
        if part(name) in GENERAL:
            parts = classes_from(name, ("nets", "distributions", "models"))
            named |= {(name, other) for other, c in parts.items() if not inspect.isabstract(c)}
    assert named == CONCRETE_PARTS.keys()


@pytest.mark.parametrize("name", [n for n in FILES if part(n) == "distributions"])
def test_distributions_hold_no_networks_of_their_own(name):
    """They are given networks, by their base classes, and make parameters at most."""
    for called, node in calls(trees()[name]):
        made = called.removeprefix("nn.") if called.startswith("nn.") else ""
        assert made in ("", "Parameter"), f"{name}:{node.lineno} makes nn.{made}"
    concrete = {n for n, c in classes_from(name, ("nets",)).items() if not inspect.isabstract(c)}
    assert not concrete, f"{name} names {concrete}"
    module = import_module(name)
    for value in vars(module).values():
        own = inspect.isclass(value) and value.__module__ == name and issubclass(value, nn.Module)
        assert not own or is_a_part(value), f"{value} is a network"


def is_a_part(cls: type) -> bool:
    """Whether it is made to return distributions, as posteriors, priors and likelihoods are."""
    return any(base.__name__ in ("Posterior", "Prior", "Likelihood") for base in cls.__mro__)
