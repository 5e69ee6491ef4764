"""Spaces, data and tiny models that the tests share.

A test that asks for ``case`` runs over every preset on vectors of every kind it accepts and on
images of every shape, each shape with one kind, which the preset's name decides (with
REPARAM_TEST_EVERY=1 with every kind; with REPARAM_TEST_ONLY="vae pca" over these presets alone).
The mark ``role(cls)`` keeps the presets that build such a model, the mark ``one_shape`` one shape a
kind, ``one_space`` one kind and shape, ``one_case`` that of the preset as it is by default, the
mark ``real`` real data, the mark ``labeled`` those that need labels.
On vectors every choice that is a preset's own is a case, and so are ``VARIANTS``.
"""

from __future__ import annotations

import gc
import itertools
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any, Literal, get_args, get_origin

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers of pytest -n share the cores

import pytest
import torch
from browsers import chromium
from torch import Tensor
from torch.nn import Module
from torch.nn.utils import parametrize

from reparam.cli.main import main
from reparam.distributions.likelihood_names import LIKELIHOODS
from reparam.model import Batch, Column, Descend, Model, Solve, Space
from reparam.models import diffusion
from reparam.presets import PRESETS
from reparam.presets.registry import PURE
from reparam.supervised import Supervised

torch.set_num_threads(1)

# Halved, the sides of the third become odd, and the last has colors.
SHAPES = ((7,), (1, 8, 8), (1, 10, 14), (3, 6, 6))
LARGE = ((7,), (1, 8, 8), (1, 20, 28), (3, 16, 16))  # of what takes no image as small as these
LEVELS = (2, 17, 5, 256)  # of each of the shapes
# Whatever of these a preset takes; what else makes one small is said where it is registered.
TINY: dict[str, Any] = {"latent_dim": 2, "hidden": (8,)}
# Beside the choices of a preset's own: what it computes by shared options and by numbers.
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "planar-flow": ({"closed_form": "samples"},),
    "real-nvp": ({"dequantize": "variational"},),
    "maf": ({"base": "mixture", "components": 2},),
    "vae": (
        *({"likelihood": name} for name in ("categorical", "discretized-normal", "normal")),
        {"likelihood": "discretized-logistic", "mixture": 3},
        *(
            {"posterior": name, "flows": 2, "components": 2, "categories": 3}
            for name in ("full", "mixture", "planar", "radial", "iaf", "categorical")
        ),
        *(
            {"prior": name, "components": 3}
            for name in ("mixture", "vamp", "flow-affine", "autoregressive")
        ),
        {"steps": 2},
        {"batch_norm": True},
    ),
    "vq-vae": (
        {"codebook": "gradient", "gradient": "rotation"},
        {"cosine": True},
        *({"second_stage": name} for name in ("transformer", "made")),
    ),
    "ddpm": (
        {"schedule": "linear"},
        {"objective": "vlb", "variance": "beta"},
        {"variance": "posterior"},
        *({"predict": name} for name in ("noise", "x")),
    ),
    "cvae": ({"prior": "class"},),
    "hierarchical-vae": ({"k": 3}, {"batch_norm": True}),
    "ladder-vae": ({"batch_norm": False},),
    "made": ({"orders": 2, "masks": 3}, {"likelihood": "categorical"}),
    "classifier": ({"encoder": "mae width=8 layers=1 heads=2 decoder_width=8"},),
}
# Losses of the same code by other functions, which have tests of their own.
AS_ANOTHER = (
    *(("gan", loss) for loss in ("saturating", "hinge")),
    ("classifier", "pooled"),  # of codes without places
)
# Choices of what z is, and of how noise is added and undone, do not depend on what
# x is: they are tested on one kind.
ALIKE = {"posterior", "prior", "codebook", "cosine", "second_stage", "sde"}
ALIKE |= {"schedule", "objective", "variance", "predict", "encoder"}
# Of options on which a loss branches within a class, one of each class: graphs of their own.
BRANCHES = (
    ("sigma-vae", {}),
    ("dip-vae", {"codes": "draws"}),
    ("annealed-vae", {"curve": "cyclic"}),
    ("made", {"orders": 2, "masks": 3}),
)
# Of every kind of column.
COLUMNS = (
    Column("height", "real"),
    Column("rooms", "levels", 4, low=2),
    Column("city", "category", 3),
    Column("owned", "binary"),
    Column("income", "log"),
)
KINDS_OF_COLUMNS = [column.kind for column in COLUMNS]
WEIGHED = ("VAEs with penalties", "VAEs whose weights move", "Normalizing flows")
CLASSES, ATTRIBUTES = 3, 2  # of the data that presets are given which need a condition
# Fully connected by default at these sizes: one image shape takes the other networks.
NETWORK_OF = {(1, 10, 14): "conv"}
SOLVED: dict[tuple[Any, ...], Model] = {}


def spaces(shapes: tuple[tuple[int, ...], ...]) -> list[Space]:
    """Every kind on every shape."""
    pure = [
        Space(shape, kind, levels if kind == "levels" else None)
        for kind in PURE
        for shape, levels in zip(shapes, LEVELS, strict=True)
    ]
    return [*pure, Space((len(COLUMNS),), "mixed", columns=COLUMNS)]


def random_x(space: Space, n: int, seed: int = 0) -> Tensor:
    """Rows of the space in its own units, float64: correlated, off-center, extremes included."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    mix = torch.randn(
        3, space.dimension, generator=torch.Generator().manual_seed(99), dtype=torch.float64
    )
    noise = torch.randn(n, space.dimension, generator=generator, dtype=torch.float64)
    x = (flat @ mix + 0.5 * noise).view(n, *space.shape)
    if space.columns:
        return torch.stack([values_of(c, x[:, i]) for i, c in enumerate(space.columns)], 1)
    if space.kind == "binary":
        return (x > 0).double()
    if space.kind == "levels":
        assert space.levels is not None
        return ((torch.tanh(x) + 1) / 2 * space.levels).floor().clamp(0, space.levels - 1)
    return 3 + 2 * x


def columns_of(kinds: tuple[str, ...]) -> tuple[Column, ...]:
    """As many columns as ``COLUMNS`` of some of its kinds in turn."""
    kept = itertools.cycle(column for column in COLUMNS if column.kind in kinds)
    return tuple(replace(next(kept), name=f"{column.name}-too") for column in COLUMNS)


def values_of(column: Column, x: Tensor) -> Tensor:
    """Real numbers (B,) as values of a column."""
    if column.count is None:
        return 1 + x.exp() if column.kind == "log" else 3 + 2 * x
    rank = ((torch.tanh(x) + 1) / 2 * column.count).floor().clamp(0, column.count - 1)
    return column.low + rank


def random_c(space: Space, n: int, seed: int = 0) -> Tensor | None:
    """Labels of every class, the last one half as frequent, or attributes; None without either."""
    generator = torch.Generator().manual_seed(100 + seed)
    if space.attributes is not None:
        scales = 10.0 ** torch.arange(space.attributes)
        return 5 + scales * torch.randn(n, space.attributes, generator=generator).double()
    if space.classes is None:
        return None
    return torch.randint(2 * space.classes - 1, (n,), generator=generator) % space.classes


def tiny_model(
    name: str, space: Space, dtype: torch.dtype = torch.float64, **changes: Any
) -> Model:
    """A preset with few parameters, its solves done, in training mode.

    Solves take longer than most of what is tested: they are done once, and the model is copied.
    """
    rows = diffusion.ROWS_OF_A_TIME  # of which a diffusion is measured: the contract takes fewer
    key = (name, space, dtype, repr(changes), rows)
    if key not in SOLVED:
        model = unsolved_model(name, space, **changes).to(dtype)
        if not any(isinstance(stage, Solve) for stage in model.stages):
            return model
        with torch.random.fork_rng(devices=()):
            seed(0)
            solve_stages(model, random_x(space, 40, seed=5), random_c(space, 40, seed=5))
        SOLVED[key] = model
    return deepcopy(SOLVED[key])


def unsolved_model(name: str, space: Space, **changes: Any) -> Model:
    """A preset with few parameters, as it is built."""
    preset, everywhere = PRESETS[name], TINY | {"network": NETWORK_OF.get(space.shape, "auto")}
    shared = {k: v for k, v in everywhere.items() if k in preset.parameters}
    with torch.random.fork_rng(devices=()):
        seed(1)
        return preset(space, **shared | dict(preset.small) | changes)


def solve_stages(model: Model, x: Tensor, c: Tensor | None = None) -> None:
    """Run the stages without gradients, over two batches of unequal length."""
    cut = len(x) // 3
    for stage in model.stages:
        if isinstance(stage, Solve):
            labels = (None, None) if c is None else (c[:cut], c[cut:])
            stage.solve(model, [Batch(x[:cut], labels[0]), Batch(x[cut:], labels[1])])


@dataclass(frozen=True)
class Case:
    """One preset on one space, perhaps with parameters other than its defaults."""

    name: str
    space: Space
    changes: dict[str, Any] = field(default_factory=dict)

    def model(self, dtype: torch.dtype = torch.float64, **changes: Any) -> Any:
        return tiny_model(self.name, self.space, dtype, **self.changes | changes)

    def x(self, n: int, seed: int = 0) -> Tensor:
        return random_x(self.space, n, seed)

    def c(self, n: int, seed: int = 0) -> Tensor | None:
        """The condition of n rows; of a model that learns labels they are no condition."""
        return None if self.learns_labels else random_c(self.space, n, seed)

    def targets(self, n: int, seed: int = 0) -> dict[str, Tensor]:
        """What a loss takes beside x and c: the labels that a model learns."""
        return Batch(torch.zeros(n), target=self._labels(n, seed)).targets

    def _labels(self, n: int, seed: int) -> Tensor | None:
        return random_c(self.space, n, seed) if self.learns_labels else None

    @property
    def learns_labels(self) -> bool:
        return issubclass(PRESETS[self.name].model, Supervised)

    @property
    def variant(self) -> str:
        given = "-attributes" if self.space.attributes is not None else ""
        return given + "".join(f"-{value}" for value in self.changes.values())

    def __str__(self) -> str:
        shape = "x".join(map(str, self.space.shape))
        return f"{self.name}{self.variant}-{self.space.kind}-{shape}"


def variants(name: str) -> Iterator[dict[str, Any]]:
    """Parameters that change what a preset computes: first every other choice of its own."""
    preset = PRESETS[name]
    for own, parameter in signature(preset.build).parameters.items():
        kind = preset.parameters[own].annotation if own in preset.parameters else None
        if get_origin(kind) is Literal:
            values = [value for value in get_args(kind) if value != parameter.default]
            yield from ({own: value} for value in values if (name, value) not in AS_ANOTHER)
    yield from VARIANTS.get(name, ())


def cases_of(name: str) -> Iterator[Case]:
    """A preset on all it accepts, and its variants on vectors of the kinds they accept."""
    accepts = PRESETS[name].accepts
    for space in spaces(LARGE if accepts.least > 1 else SHAPES):
        if accepts.condition:
            if not space.is_image:
                yield Case(name, replace(space, attributes=ATTRIBUTES))
        if accepts.condition or accepts.labels:
            space = replace(space, classes=CLASSES)
        if space.columns and not set(KINDS_OF_COLUMNS) <= set(accepts.columns):
            space = replace(space, columns=columns_of(accepts.columns))
        if accepts.one:  # of one entry that is no real, some draws are all alike
            if space.is_image or space.kind != "real":
                continue
            space = replace(space, shape=(1,))
        if accepts.refusal(space) is not None:
            continue
        yield Case(name, space)
        for changes in variants(name) if space.kind in PURE and not space.is_image else ():
            if ALIKE & changes.keys() and space.kind != "binary":
                continue
            likelihood = LIKELIHOODS.get(changes.get("likelihood", ""))
            if likelihood is None or space.kind in likelihood.kinds:
                yield Case(name, space, changes)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "role(cls): only presets that build such a model")
    config.addinivalue_line("markers", "one_shape: one shape of each kind")
    config.addinivalue_line("markers", "one_space: one kind and shape")
    config.addinivalue_line("markers", "one_case: one kind and shape, default parameters")
    config.addinivalue_line("markers", "real: only real data")
    config.addinivalue_line("markers", "labeled: only presets that need labels")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nobody looks for cycles among the objects that tests are made of: nearly all of them stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 20)  # and looking among the modules of all that is imported
        gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" not in metafunc.fixturenames:
        return
    role = metafunc.definition.get_closest_marker("role")
    cases = all_cases()
    if role is not None:
        cases = [c for c in cases if issubclass(PRESETS[c.name].model, role.kwargs["cls"])]
    if metafunc.definition.get_closest_marker("real") is not None:
        cases = [c for c in cases if c.space.kind == "real"]
    if metafunc.definition.get_closest_marker("labeled") is not None:
        cases = [c for c in cases if c.space.classes is not None and not c.learns_labels]
    if metafunc.definition.get_closest_marker("one_shape") is not None:
        first = {(c.name, c.variant, c.space.kind): c for c in reversed(cases)}
        cases = [c for c in cases if first[c.name, c.variant, c.space.kind] is c]
    if metafunc.definition.get_closest_marker("one_space") is not None:
        alone = {(c.name, c.variant): c for c in reversed(cases)}
        cases = [c for c in cases if alone[c.name, c.variant] is c]
    if metafunc.definition.get_closest_marker("one_case") is not None:
        plain = {c.name: c for c in reversed(cases) if not c.variant}
        cases = [c for c in cases if plain[c.name] is c]
    metafunc.parametrize("case", cases, ids=str)


Graph = tuple[type, bool]


def graph_of(part: Module) -> Graph:
    """Its class, and whether weights are computed: then each layer has a class of its own."""
    return parametrize.type_before_parametrizations(part), parametrize.is_parametrized(part)


def graphs(
    cases: list[Case],
    parts: Callable[[Model], Iterable[Module]] = Module.modules,
    branches: Iterable[tuple[str, dict[str, Any]]] = (),
) -> list[Case]:
    """Cases that have each class among the parts of models, and those of each of the branches.

    Small ones come first, and those of mixed columns, whose graphs are long, last; what later
    ones have as well is left to them. A new preset may take over a graph of another's, but no
    class is then left out.
    """
    own, seen, covered = list(branches), set[Graph](), set[Graph]()
    firsts: list[tuple[Case, set[Graph]]] = []
    chosen: list[Case] = []
    for case in sorted(cases, key=lambda case: (case.space.kind == "mixed", case.space.dimension)):
        model = unsolved_model(case.name, case.space, **case.changes)
        classes, branch = {graph_of(part) for part in parts(model)}, (case.name, case.changes)
        if branch in own:
            own.remove(branch)
            chosen.append(case)
            covered |= classes
        elif not classes <= seen:
            firsts.append((case, classes))
        seen |= classes
    while firsts:
        case, classes = firsts.pop(0)
        later = set[Graph]().union(*(others for _, others in firsts))
        if not classes <= covered | later:
            chosen.append(case)
            covered |= classes
    return chosen


def all_cases() -> list[Case]:
    """Every preset on the data on which it is tested every time."""
    names = os.environ.get("REPARAM_TEST_ONLY", "").split() or PRESETS
    return [case for name in names for case in cases_of(name) if met(case)]


def met(case: Case) -> bool:
    """Whether a case is among those that are tested every time."""
    if os.environ.get("REPARAM_TEST_EVERY"):
        return True
    if case.space.kind == "mixed":  # penalties and weights do not ask what x is, nor do bijections
        return PRESETS[case.name].family not in WEIGHED or case.name == "spline-coupling"
    if not case.space.is_image:
        return True
    shapes = SHAPES if case.space.shape in SHAPES else LARGE
    image = shapes.index(case.space.shape) - 1
    accepted = [k for k in PURE if k in PRESETS[case.name].accepts.kinds]
    # By the name, so that a new preset changes nothing for the others.
    return case.space.kind == accepted[(zlib.crc32(case.name.encode()) + image) % len(accepted)]


def seed(value: int) -> None:
    """As ``torch.manual_seed``, which for devices that sleep notes the stack, in 1 ms."""
    torch.default_generator.manual_seed(value)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(value)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The default generator is the same at the start of every test, and put back afterwards."""
    awake = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=awake):
        seed(0)
        yield


@pytest.fixture
def solve() -> Any:
    return solve_stages


@pytest.fixture
def minimize() -> Any:
    """The exact minimum of a smooth loss on one batch, by L-BFGS; the noise must be fixed."""

    def descend(model: Model, x: Tensor) -> None:
        optimizer = torch.optim.LBFGS(
            model.parameters(),
            max_iter=2000,
            tolerance_grad=1e-11,
            tolerance_change=1e-16,
            history_size=50,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            objective = model.loss(x).objective
            objective.backward()
            return objective

        optimizer.step(closure)

    return descend


@pytest.fixture
def descent_of() -> Any:
    """The parameters that the descents of a model train, by player."""

    def players(model: Model) -> dict[str, list[torch.nn.Parameter]]:
        found: dict[str, list[torch.nn.Parameter]] = {}
        for stage in model.stages:
            if isinstance(stage, Descend):
                for player in stage.players:
                    found[player.name] = [p for m in player.modules for p in m.parameters()]
                if not stage.players:
                    found["model"] = list(model.parameters())
        return found

    return players


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def reparam(monkeypatch, capsys):
    """Run a command in this process; returns exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["reparam", *map(str, words)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return exit_.value.code or 0, captured.out, captured.err

    return run
