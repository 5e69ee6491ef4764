"""What every preset promises, on every kind and shape of data it accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import pytest
import torch
from conftest import BRANCHES, NETWORK_OF, Case, all_cases, graphs
from holes import with_holes
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.model import Codec, Density, Generator, LatentVariable, Space
from reparam.presets import PRESETS, Accepts, Preset
from reparam.terms import TERMS

# Rows of one batch go through one kernel, rows of batches of other sizes through another one that
# sums in another order: D ≤ 768 products, each off by one rounding, are 768 · 2.2e-16 ≈ 2e-13 of
# the sum of their magnitudes. Ten times that leaves room for cancellation between them.
ROUNDING = dict(rtol=2e-12, atol=2e-12)

NOT_OF_A_ROW = tuple(name for name, term in TERMS.items() if not term.of_a_row)


def rows_of_noise(rows: int) -> Callable[..., Tensor]:
    """For ``numerics.noise``: row i of every draw is the noise of example i mod rows."""
    calls: dict[tuple[int, ...], int] = {}

    def noise(like: Tensor, kind: str = "normal", generator: Any = None) -> Tensor:
        event = tuple(like.shape[1:])
        calls[event] = calls.get(event, 0) + 1
        source = torch.Generator().manual_seed(17 + calls[event])
        draw = torch.randn if kind == "normal" else torch.rand
        table = draw(rows, *event, generator=source, dtype=like.dtype)
        return table[torch.arange(len(like)) % rows]

    return noise


def results(
    model: Any,
    x: Tensor,
    c: Tensor | None,
    patch: pytest.MonkeyPatch,
    noise_rows: int,
    **targets: Tensor,
) -> dict[str, Tensor]:
    """Everything the model says of each row, under noise that belongs to the row."""
    found: dict[str, Tensor] = {}
    with patch.context() as patched:
        patched.setattr(numerics, "noise", rows_of_noise(noise_rows))
        loss = model.loss(x, c, **targets)
    found |= {f"loss/{name}": term for name, term in loss.terms.items()}
    if isinstance(model, Codec):
        found["encode"] = model.embed(model.encode(x, c))
        found["reconstruct"] = model.reconstruct(x, c)
    if isinstance(model, Density):
        with patch.context() as patched:
            patched.setattr(numerics, "noise", rows_of_noise(noise_rows))
            found["log_prob"] = model.log_prob(x, c).value
    return {name: value.detach() for name, value in found.items()}


@pytest.fixture(autouse=True)
def coarse_solvers(monkeypatch):
    """Nothing that is promised here depends on how well a solver does."""
    monkeypatch.setattr("reparam.models.diffusion.ODE_STEPS", 3)
    monkeypatch.setattr("reparam.models.diffusion.ROWS_OF_A_TIME", 4)


def awake(model: Any) -> Any:
    """The model with small weights where layers start at 0, which would hide what they see."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in (p for p in model.parameters() if p.ndim > 1 and not p.any()):
            p.copy_(0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return model


# ---------------------------------------------------------------------------------- training


def test_gradients_reach_every_parameter_within_three_steps(case, descent_of):
    model = case.model()
    for player, parameters in descent_of(model).items():
        own = {id(p) for p in parameters if p.requires_grad}
        wanted = {n: p for n, p in model.named_parameters() if id(p) in own}
        reached: set[str] = set()
        for step in range(3):
            if reached == set(wanted):
                break
            model.zero_grad()
            holes = model.takes_missing and case.space.columns
            x = with_holes(case.x(8, step)) if holes else case.x(8, step)
            loss = model.loss(x, case.c(8, step), player, **case.targets(8, step))
            loss.objective.backward()
            for name, parameter in wanted.items():
                if (gradient := parameter.grad) is not None and gradient.abs().max() > 0:
                    assert gradient.isfinite().all(), name
                    reached.add(name)
            with torch.no_grad():  # small steps, so that zero-initialized layers wake up
                for parameter in (p for p in wanted.values() if p.grad is not None):
                    parameter -= 1e-6 * parameter.grad
        assert reached == set(wanted), set(wanted) - reached


def test_loss_moves_nothing_and_descends(case, descent_of):
    """A loss is a pure function of weights, data and noise, and its gradient points uphill."""
    model, x, c = case.model(), case.x(8), case.c(8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    first = model.loss(x, c, **case.targets(8))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    players = descent_of(model)
    if "model" not in players or model.surrogate:
        return
    first.objective.backward()
    parameters = [p for p in players["model"] if p.grad is not None]
    slope = sum(p.grad.square().sum().item() for p in parameters)
    assert slope > 0
    step = 1e-7 * max(1.0, abs(first.objective.item())) / slope
    with torch.no_grad():
        for p in parameters:
            p -= step * p.grad
    torch.manual_seed(3)  # the same noise
    fell = first.objective.item() - model.loss(x, c, **case.targets(8)).objective.item()
    # To first order it falls by step · slope; a step this small leaves curvature (and kinks of
    # rectifiers) well under half of that, and rounding (1e-16 of the loss) far below it.
    assert 0.5 * step * slope < fell < 1.5 * step * slope


def test_terms_are_unchanged_when_the_batch_is_repeated(case, monkeypatch):
    model = case.model()
    if model.couples_rows:
        pytest.skip("declares couples_rows")
    x, c, targets = case.x(4), case.c(4), case.targets(4)
    monkeypatch.setattr(numerics, "noise", rows_of_noise(4))
    once = model.loss(x, c, **targets)
    monkeypatch.setattr(numerics, "noise", rows_of_noise(4))
    doubled = {name: torch.cat([labels, labels]) for name, labels in targets.items()}
    twice = model.loss(torch.cat([x, x]), None if c is None else torch.cat([c, c]), **doubled)
    torch.testing.assert_close(twice.objective, once.objective, **ROUNDING)
    assert once.terms.keys() == twice.terms.keys()
    for name, term in once.terms.items():
        assert term.shape[0] == 4, name
        torch.testing.assert_close(twice.terms[name], torch.cat([term, term]), **ROUNDING)


# ------------------------------------------------------------------------------ evaluation


def test_rows_do_not_see_each_other(case, monkeypatch):
    model = awake(case.model().eval())  # couples_rows is of training
    x, c, targets = case.x(5), case.c(5), case.targets(5)
    changed = x.clone()
    changed[2:] = case.x(5, seed=8)[2:]
    assert not torch.equal(changed, x)
    ours = results(model, x, c, monkeypatch, 5, **targets)
    theirs = results(model, changed, c, monkeypatch, 5, **targets)
    first = None if c is None else c[:1]
    of_first = {name: labels[:1] for name, labels in targets.items()}
    alone = results(model, x[:1], first, monkeypatch, 5, **of_first)  # also: a batch of one works
    for name, value in ours.items():
        assert value.isfinite().all(), name
        if name == "loss/beta" or (model.couples_rows and name.endswith(NOT_OF_A_ROW)):
            continue  # by definition, in evaluation too
        if name.removeprefix("loss/") in model.constant_terms:
            continue
        torch.testing.assert_close(theirs[name][:2], value[:2], **ROUNDING, msg=name)
        torch.testing.assert_close(alone[name], value[:1], **ROUNDING, msg=name)
        if name == "loss/error":
            continue  # 0 or 1: it may be the same
        same = torch.isclose(theirs[name][2:], value[2:], rtol=1e-9, atol=0)
        assert not same.all(), name


@pytest.mark.one_space
def test_every_term_of_a_loss_is_named_in_terms(case):
    """Those of a generator of codes by what they are of codes."""
    names = case.model().loss(case.x(4), case.c(4), **case.targets(4)).terms
    assert {name.removeprefix("code_") for name in names} <= TERMS.keys() - {"objective"}


@pytest.mark.role(cls=Codec)
def test_codes_and_reconstructions_are_deterministic_and_in_data_units(case):
    model, x, c = case.model().eval(), case.x(6), case.c(6)
    state = torch.get_rng_state()
    first, second = model.reconstruct(x, c), model.reconstruct(x, c)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, second)
    assert first.shape == x.shape
    torch.testing.assert_close(model.decode(model.encode(x, c), c), first, **ROUNDING)
    code = model.encode(x, c)
    assert tuple(code.shape[1:]) == model.code_space.shape
    if isinstance(model, LatentVariable) and case.space.level_count is not None:
        # The mean of p(x|z); what is fitted by squared error alone may leave the range.
        assert first.min() >= 0
        assert first.max() <= case.space.level_count - 1


@pytest.mark.role(cls=Generator)
def test_samples_are_values_of_the_space(case):
    model = case.model().eval()
    state = torch.get_rng_state()
    x = model.sample(20, generator=torch.Generator().manual_seed(1))
    assert torch.equal(torch.get_rng_state(), state), "a given generator is the only one used"
    assert x.shape == (20, *case.space.shape)
    assert x.dtype == torch.float64
    assert not x.requires_grad
    assert x.isfinite().all()
    assert len(x.unique(dim=0)) > 1, "rows are separate draws"
    if case.space.level_count is not None:
        allowed = torch.arange(case.space.level_count, dtype=x.dtype)
        assert torch.isin(x, allowed).all()
        assert len(x.unique()) > 1
    model.loss(x, case.c(20))  # what it draws it can read


@pytest.mark.role(cls=Generator)
@pytest.mark.one_shape
def test_samples_are_seeded(case):
    model = case.model().eval()
    draws = [model.sample(9, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.role(cls=Generator)
@pytest.mark.one_shape
@pytest.mark.labeled
def test_samples_of_given_conditions_are_seeded_and_those_of_the_condition(case):
    model, c = case.model().eval(), case.c(40)
    state = torch.get_rng_state()

    def draw(c: Tensor | None, seed: int = 1) -> Tensor:
        return model.sample(40, c, generator=torch.Generator().manual_seed(seed))

    one = draw(c)
    assert torch.equal(one, draw(c))
    assert not torch.equal(one, draw(c, seed=2))
    assert not torch.equal(one, draw((c + 1) % case.space.classes)), "c makes a difference"
    assert torch.equal(torch.get_rng_state(), state)
    assert one.shape == (40, *case.space.shape)


@pytest.mark.role(cls=Density)
def test_kind_and_generator_of_log_prob(case):
    model, x, c = case.model().eval(), case.x(6), case.c(6)
    state = torch.get_rng_state()
    first, second = (
        model.log_prob(x, c, samples=3, generator=torch.Generator().manual_seed(4))
        for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.value, second.value)
    estimates = model.approximation in ("flow solver", "markov chain")
    inexact = "estimate" if estimates else "lower bound"
    kind = "exact" if case.space.kind in PRESETS[case.name].exact else inexact
    assert first.kind == kind, "the preset says on which kinds it is exact"
    assert first.value.shape == (6,)
    if case.space.level_count is not None and kind != "estimate":
        assert (first.value <= 0).all(), "a probability, or a bound on one"


@pytest.mark.one_case
def test_a_preset_says_what_it_builds(case):
    """By its annotation, of which the tables of models are made."""
    assert type(case.model()) is PRESETS[case.name].model


@pytest.mark.role(cls=Density)
@pytest.mark.one_case
def test_log_prob_refuses_no_samples(case):
    with pytest.raises(ValueError, match="samples: .*0"):
        case.model().log_prob(case.x(2), case.c(2), samples=0)


# ---------------------------------------------------------------------------- what comes in


def public_methods(model: Any) -> dict[str, Callable[[Tensor], Any]]:
    names = ["loss", "forward"]
    names += ["encode", "reconstruct"] if isinstance(model, Codec) else []
    names += ["log_prob"] if isinstance(model, Density) else []
    return {name: getattr(model, name) for name in names}


@pytest.mark.one_space
def test_wrong_shapes_are_refused_with_their_name(case):
    model, x = case.model(), case.x(3)
    shape = case.space.shape
    wrong = {
        "one entry too many": torch.zeros(3, *shape[:-1], shape[-1] + 1),
        "missing batch axis": x[0],
        "empty batch": x[:0],
        "an axis too many": x[None],
        "flattened or unflattened": x.flatten(1) if len(shape) > 1 else x[:, None, None],
        "a number": torch.tensor(1.0),
    }
    for name, method in public_methods(model).items():
        for what, bad in wrong.items():
            with pytest.raises(ValueError) as refusal:
                method(bad)
            message = str(refusal.value)
            assert message.startswith("x: expected"), (name, what, message)
            assert ", ".join(map(str, shape)) in message, (name, what, message)
            assert f"got {tuple(bad.shape)}" in message, (name, what, message)


@pytest.mark.role(cls=Generator)
@pytest.mark.one_case
@pytest.mark.parametrize("n", [0, -3])
def test_sampling_nothing_is_refused(case, n):
    with pytest.raises(ValueError, match=f"n: .*{n}"):
        case.model().sample(n)


@pytest.mark.one_case
def test_conditions_are_refused_where_there_are_none(case):
    model, x = case.model(), case.x(3)
    if model.conditional:
        pytest.skip("uses c")
    with pytest.raises(ValueError, match="c: .*not conditional"):
        model.loss(x, torch.zeros(3, dtype=torch.int64))


@pytest.mark.one_shape
@pytest.mark.labeled
def test_wrong_conditions_are_refused(case):
    model, x, c = case.model(), case.x(4), case.c(4)
    code = model.encode(x, c)
    methods: dict[str, Callable[[Any], Any]] = {
        name: lambda bad, method=method: method(x, bad)
        for name, method in public_methods(model).items()
    }
    methods["decode"] = lambda bad: model.decode(code, bad)
    methods["sample"] = lambda bad: model.sample(4, bad)
    wrong = {
        "torch.float64 (4,)": c.double(),
        "(3,)": c[:3],
        "(4, 1)": c[:, None],
        "torch.int64 (2,)": [0, 1],
        "0 … 3": torch.tensor([0, 3, 1, 2]),
        "-1 … 2": torch.tensor([0, -1, 1, 2]),
        "None": None,
    }
    for name, method in methods.items():
        for got, bad in wrong.items():
            if bad is None and name == "sample":
                continue  # it draws the classes
            if name == "forward" and "…" in got:
                continue  # the loss of training looks at no values: ``Data`` did
            with pytest.raises(ValueError) as refusal:
                method(bad)
            message = str(refusal.value)
            assert message.startswith("c: expected "), (name, got, message)
            assert message.endswith(got), (name, got, message)


@pytest.mark.one_shape
@pytest.mark.labeled
def test_any_integer_type_of_labels_comes_in(case, monkeypatch):
    model, x, c = case.model().eval(), case.x(4), case.c(4)
    expected = results(model, x, c, monkeypatch, 4)
    for dtype in (torch.uint8, torch.int32):
        found = results(model, x, c.to(dtype), monkeypatch, 4)
        assert all(torch.equal(found[name], value) for name, value in expected.items()), dtype


@pytest.mark.one_space
def test_any_dtype_comes_in(case, monkeypatch):
    model, x, c = case.model().eval(), case.x(4), case.c(4)
    if case.space.has_reals:
        x, dtypes = x.round().clamp(0, 100), (torch.uint8, torch.int64, torch.float32)
    elif case.space.kind == "binary":
        dtypes = (torch.uint8, torch.bool, torch.int64, torch.float16)
    else:
        dtypes = (torch.uint8, torch.int32, torch.int64, torch.float32)
    expected = results(model, x, c, monkeypatch, 4, **case.targets(4))
    for dtype in dtypes:
        found = results(model, x.to(dtype), c, monkeypatch, 4, **case.targets(4))
        for name, value in expected.items():
            assert torch.equal(found[name], value), (name, dtype)
            assert found[name].dtype == torch.float64


def test_spaces_that_are_not_accepted_are_refused():
    refused = 0
    for name, preset in PRESETS.items():
        for space in (Space((7,), "binary"), Space((1, 8, 8), "levels", 5), Space((7,), "real")):
            if preset.accepts.refusal(space) is not None:
                refused += 1
                with pytest.raises(ValueError, match=f"{re.escape(name)}: expected .* got "):
                    rp.build(name, space)
    # However many of the presets are choosy, the refusal itself is tested here.
    choosy = [
        (Accepts(kinds=("binary",)), Space((7,), "real"), "expected binary data, got real"),
        (Accepts(vectors=False), Space((7,), "real"), "expected images, got vectors of 7 entries"),
        (Accepts(images=False), Space((1, 8, 8), "real"), "expected vectors, got images"),
        (Accepts(condition=True), Space((7,), "real"), "expected data with labels or attributes"),
    ]
    for accepts, space, message in choosy:
        with pytest.raises(ValueError, match=f"^fussy: {message}"):
            Preset("fussy", _built_for(accepts), "no paper")(space)


def _built_for(accepts: Accepts) -> Any:
    def build(space):
        raise AssertionError("data that are refused reached the builder")

    build.__annotations__["space"] = Annotated[Space, accepts]
    return build


# ------------------------------------------------------------------- saved and compiled


@pytest.mark.one_space
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_a_saved_model_comes_back_as_it_was(case, dtype, tmp_path, monkeypatch):
    model, x, c = case.model(dtype).eval(), case.x(4), case.c(4)
    rp.save(model, tmp_path / "run")
    back = rp.load(tmp_path / "run")
    assert type(back) is type(model)
    assert back.space == model.space
    assert not back.training
    expected = results(model, x, c, monkeypatch, 4, **case.targets(4))
    found = results(back, x, c, monkeypatch, 4, **case.targets(4))
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name
    assert back.anchor.dtype == dtype and {p.dtype for p in back.parameters()} <= {dtype}
    if isinstance(model, Generator):
        one, two = (m.sample(5, generator=torch.Generator().manual_seed(1)) for m in (model, back))
        assert torch.equal(one, two)


def small_image(case: Case) -> Case:
    """On an image of 4 x 4 where a preset takes one: graphs of images are as long as it is high.

    Those whose size decides the network stay as they are.
    """
    side = max(4, PRESETS[case.name].accepts.least)
    if not case.space.is_image or case.space.shape in NETWORK_OF:
        return case
    return replace(case, space=replace(case.space, shape=(case.space.shape[0], side, side)))


GRAPHS = graphs([small_image(case) for case in all_cases()], branches=BRANCHES)
# The first of each class of model: there gradients are traced as well, which takes longest.
TRACED = {PRESETS[graph.name].model: graph for graph in reversed(GRAPHS)}.values()


@pytest.mark.parametrize("graph", GRAPHS, ids=str)
def test_compiled_loss_is_the_loss(graph):
    """Each class of module, and each of the branches, once."""
    model, x, c, targets = graph.model(), graph.x(4), graph.c(4), graph.targets(4)
    torch._dynamo.reset()
    # Graphs of images are as long as these are high.
    backend = "aot_eager" if graph in TRACED and not graph.space.is_image else "eager"
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    torch.manual_seed(2)
    eager = model(x, c, **targets)
    torch.manual_seed(2)
    captured = compiled(x, c, **targets)
    torch.testing.assert_close(captured.objective, eager.objective, **ROUNDING)
    assert captured.terms.keys() == eager.terms.keys()
    for name, term in eager.terms.items():
        torch.testing.assert_close(captured.terms[name], term, **ROUNDING)
    if not eager.objective.requires_grad:
        return
    weights = [p for p in model.parameters() if p.requires_grad]
    wanted, found = (  # of the whole; a part may have a loss of its own
        torch.autograd.grad(loss.objective, weights, allow_unused=True)
        for loss in (eager, captured)
    )
    for got, gradient in zip(found, wanted, strict=True):
        assert (got is None) == (gradient is None)
        if got is not None:
            torch.testing.assert_close(got, gradient, **ROUNDING)


@pytest.mark.parametrize("place", [0, len(PRESETS) // 2])
def test_a_new_preset_changes_nothing_in_what_is_tested_of_others(monkeypatch, place):
    import conftest

    before = [str(case) for case in conftest.all_cases()]
    presets = list(PRESETS.items())
    presets.insert(place, ("aaa", PRESETS["ae"]))
    monkeypatch.setattr(conftest, "PRESETS", dict(presets))
    after = [str(case) for case in conftest.all_cases()]
    assert len(after) > len(before)
    assert [name for name in after if not name.startswith("aaa")] == before
    kinds = [sum(f"-{kind}-1x10x14" in name for name in before) for kind in ("binary", "real")]
    assert min(kinds) > 5, "every shape is still met with every kind"
