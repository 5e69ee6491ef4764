"""Real data leave every model in their own precision, and constants are no part of any density."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.distributions.densities import NormalDensity
from reparam.distributions.likelihoods import ConditionalNormal
from reparam.model import Batch, Codec, Completer, Density, Generator, LatentVariable, Solve, Space
from reparam.models.invertible import Invertible

F64 = torch.float64
OFFSET = 1.7e9  # seconds since 1970: float32 knows one number in 128 there
# Hidden units of MADE see numbers of entries that depend on D, and attention sees how many there
# are: without some of these it is another network. Of a MADE there is a test of its own.
OTHERWISE = ("made", "image-transformer", "mae", "simmim", "dino")
BY_LABELS = ("classifier",)  # whose loss needs them; its encoder is asked by itself


@pytest.fixture
def small(case: Any) -> Any:
    """The case, on images no larger than they need to be."""
    if not case.space.is_image:
        return case
    accepts = rp.PRESETS[case.name].accepts
    shape = (1, 4, 4) if accepts.even else (1, max(3, accepts.least), max(4, accepts.least))
    return replace(case, space=replace(case.space, shape=shape))


def results(model: Any, x: Tensor, c: Tensor | None) -> dict[str, Tensor]:
    """What leaves the model in data units, the draws from one seed."""

    def generator() -> torch.Generator:
        return torch.Generator().manual_seed(5)

    found: dict[str, Tensor] = {}
    with torch.no_grad():
        if isinstance(model, Codec):
            found["reconstruct"] = model.reconstruct(x, c)
            if model.noise is not None:
                torch.manual_seed(5)
                found["corrupt"] = model.noise.corrupt(x, 0.5)
        if isinstance(model, Generator):
            found["sample"] = model.sample(len(x), c, generator=generator())
        if isinstance(model, LatentVariable) and model.code_space.kind == "real":
            found["variations"] = rp.variations(
                model, x[:1], 5, None if c is None else c[:1], generator=generator()
            )
        if isinstance(model, Completer):
            mask = torch.zeros(model.space.shape, dtype=torch.bool)
            mask.view(-1)[:3] = True
            found["complete"] = model.complete(x, mask, c, generator=generator())
    return found


@pytest.mark.real
@pytest.mark.one_shape
def test_data_far_from_zero_leave_as_data_near_it(small, solve):
    """But for the offset, a float32 model of 1.7e9 ± 10 gives what it gives of ± 10."""
    model, found = small.model(torch.float32).eval(), []
    whole = (2 * small.x(60, seed=5) * 2**20).round() / 2**20  # an offset is added without rounding
    for x in (whole, OFFSET + whole):
        torch.manual_seed(1)  # of k-means
        solve(model, x, small.c(60, seed=5))
        found.append(results(model, x[:8], small.c(8)))
    for name, wanted in found[0].items():
        moved = found[1][name]
        assert moved.dtype == F64, name
        # Means of 1.7e9 round at 2e-7; networks take z as float32, 6e-8 of some deviations of 10.
        near = {"rtol": 1e-4, "atol": 1e-3, "equal_nan": name == "corrupt"}  # what is hidden
        torch.testing.assert_close(moved - OFFSET, wanted, **near, msg=name)


@pytest.mark.real
@pytest.mark.one_shape
def test_float32_data_leave_as_float32(small, solve):
    model, x, c = small.model(torch.float32).eval(), small.x(40).float(), small.c(40)
    solve(model, x, c)
    found = results(model, x[:4], None if c is None else c[:4])
    if not found:
        pytest.skip("makes no x")
    assert {value.dtype for value in found.values()} == {torch.float32}


def with_constants(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with two constant entries, and which entries vary."""
    if x[0].numel() < 5:
        pytest.skip("too few entries for constants among them")
    varies = torch.ones(x.shape[1:], dtype=torch.bool)
    varies.view(-1)[[1, 4]] = False
    changed = x.clone()
    changed.view(len(x), -1)[:, 1], changed.view(len(x), -1)[:, 4] = 0.001, -3e8
    return changed, varies


@pytest.mark.real
@pytest.mark.one_shape
def test_constants_come_back_exactly_and_are_no_part_of_the_density(small, solve):
    model, c = small.model(), small.c(40, seed=5)
    x, varies = with_constants(small.x(40, seed=5))
    solve(model, x, c)
    model.eval()
    x, c = x[:6], None if c is None else c[:6]
    for name, out in results(model, x, c).items():
        assert (out[:, ~varies] == x[0, ~varies]).all(), name
        if name != "reconstruct" or not isinstance(model, Invertible):  # which loses nothing
            assert not torch.equal(out[:1, varies], x[:1, varies]), name
    if not isinstance(model, Density):
        return
    assert model.counted == int(varies.sum())
    torch.manual_seed(2)
    found = model.log_prob(x, c)
    assert found.value.isfinite().all()
    if found.per_dimension is not None:
        assert (found.per_dimension[:, ~varies] == 0).all()
        assert (found.per_dimension[:, varies] != 0).all()
    other = x.clone()
    other.view(len(x), -1)[2, 1] = 0.002
    torch.manual_seed(2)
    elsewhere = model.log_prob(other, c).value
    assert elsewhere.isneginf().nonzero().flatten().tolist() == [2]
    kept = torch.arange(6) != 2
    torch.testing.assert_close(elsewhere[kept], found.value[kept], rtol=1e-12, atol=1e-12)


@pytest.mark.real
@pytest.mark.one_shape
def test_nothing_is_learned_of_constants(small, solve):
    """No gradient reaches what a network says of them."""
    model, c = small.model(), small.c(40, seed=5)
    x, varies = with_constants(small.x(40, seed=5))
    solve(model, x, c)
    said: list[Tensor] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Any) -> None:
        if inputs[0].requires_grad:  # the likelihood's parameters
            inputs[0].retain_grad()
            said.append(inputs[0])

    parts = dict(model.named_modules())
    part = parts.get("p_x.conditional", parts.get("p_x"))
    if part is None:
        pytest.skip("no likelihood")
    with part.register_forward_hook(keep):
        model.loss(x[:8], None if c is None else c[:8]).objective.backward()
    by_entry = said[0].grad.view(len(said[0]), -1, *varies.shape).abs().sum((0, 1))
    assert (by_entry[~varies] == 0).all()
    assert (by_entry[varies] > 0).all()


def noise_of_rows(places: Tensor, width: int) -> Callable[..., Tensor]:
    """For ``numerics.noise``: the same numbers for z, and for x those of the entries it has."""
    calls: dict[int, int] = {}

    def noise(like: Tensor, kind: str = "normal", generator: Any = None) -> Tensor:
        entries = width if like.shape[1:].numel() == len(places) else like.shape[1:].numel()
        calls[entries] = calls.get(entries, 0) + 1
        source = torch.Generator().manual_seed(17 + calls[entries])
        draw = torch.randn if kind == "normal" else torch.rand
        table = draw(len(like), entries, generator=source, dtype=like.dtype)
        if entries == width and like.shape[1:].numel() == len(places):
            table = table[:, places]
        return table.view(like.shape)

    return noise


@pytest.mark.real
@pytest.mark.one_shape
def test_a_model_of_a_table_is_that_of_the_table_without_its_constants(small, solve, monkeypatch):
    """The same weights, less those of the constants, have the same loss and the same log p(x)."""
    if small.space.is_image or small.name in OTHERWISE + BY_LABELS:
        pytest.skip("its networks depend on where the entries are")
    if issubclass(rp.PRESETS[small.name].model, Invertible):
        pytest.skip("its networks see noise in place of constants")
    c = small.c(40, seed=5)
    x, varies = with_constants(small.x(40, seed=5))
    places, width = varies.nonzero().flatten(), len(varies)
    space = replace(small.space, shape=(len(places),))
    whole, alone = small.model(), replace(small, space=space).model()
    for model, rows in ((whole, x), (alone, x[:, places])):
        torch.manual_seed(1)
        solve(model, rows, c)
    copy_less(whole, alone, places, width)
    few = None if c is None else c[:8]
    torch.testing.assert_close(
        of_rows(whole, x[:8], few, places, monkeypatch),
        of_rows(alone, x[:8, places], few, places, monkeypatch),
        rtol=1e-9,
        atol=1e-9,
    )


def copy_less(whole: Any, alone: Any, places: Tensor, width: int) -> None:
    """The weights of a model in that of fewer entries; parameters of entries come D at a time."""
    fewer = len(places)
    state = whole.state_dict()
    for name, target in alone.state_dict().items():
        if "standardize" in name or "varying" in name:
            continue  # solved already
        source = state[name]
        for axis, (size, wanted) in enumerate(zip(source.shape, target.shape, strict=True)):
            if size != wanted:
                blocks = torch.arange(size // width)[:, None] * width
                assert size % width == 0 and wanted == fewer * len(blocks), name
                source = source.index_select(axis, (blocks + places).flatten())
        target.copy_(source)
    for name in alone.chains:
        getattr(alone, name).copy_(getattr(whole, name)[:, places])
    if alone.chains:  # by the same runs: others would have another error
        alone.partition.put(whole.log_partition, alone.parameters())


def of_rows(
    model: Any, x: Tensor, c: Tensor | None, places: Tensor, patch: pytest.MonkeyPatch
) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with patch.context() as patched:
        patched.setattr(numerics, "noise", noise_of_rows(places, 7))
        loss = model.train().loss(x, c)
    found |= loss.terms | {"objective": loss.objective}
    found |= {name: value for name, value in loss.statistics.items() if name != "entries_seen"}
    if isinstance(model, Density):
        with patch.context() as patched:
            patched.setattr(numerics, "noise", noise_of_rows(places, 7))
            found["log_prob"] = model.eval().log_prob(x, c).value
    return {name: value.detach() for name, value in found.items()}


@pytest.mark.parametrize("corruption", ["masking", "salt-and-pepper"])
def test_a_share_of_the_entries_that_vary_is_changed(corruption):
    """Of 100 columns 12 vary: a quarter is 3 in every row, in training and as noise by itself."""
    x = torch.randn(60, 100, generator=torch.Generator().manual_seed(0), dtype=F64)
    varies = torch.arange(100) % 8 == 1
    varies[97] = False
    x[:, ~varies] = 7.0
    model = rp.build("denoising-ae", Space((100,), "real"), corruption=corruption, hidden=(4,))
    model.double().stages[0].solve(model, [Batch(x)])
    seen: list[Tensor] = []
    model.encoder.first.register_forward_hook(lambda part, inputs, output: seen.append(inputs[0]))
    model.loss(x)
    differs = seen[0] != model.standardize.scaled(x)
    for changed in (differs, (model.noise.corrupt(x, 0.25) - x).abs() > 1e-9):
        assert changed[:, varies].sum(1).tolist() == [3] * 60
        assert not changed[:, ~varies].any()


def test_a_made_leaves_constants_out():
    """log p of a row is the sum of its other factors, each the normal that the network says."""
    torch.manual_seed(0)
    x, varies = with_constants(torch.randn(60, 7, dtype=F64))
    model = rp.build("made", Space((7,), "real"), hidden=(8,)).double()
    model.stages[0].solve(model, [Batch(x)])
    z = (x - x.mean(0)) / x.std(0, correction=0)
    z[:, ~varies] = 0
    mean, log_scale = model.network(z).unbind(1)
    log_scale = numerics.bound_softly(log_scale, -7.0, 7.0)
    law = torch.distributions.Normal(mean, log_scale.exp())
    factors = law.log_prob(z) - x.std(0, correction=0).log()
    torch.testing.assert_close(model.log_prob(x).value, factors[:, varies].sum(1))


@pytest.mark.parametrize("name", ["pixel-vae", "pixel-cnn"])
def test_draws_of_entries_after_a_constant_see_it_as_it_was(name, monkeypatch):
    """Whatever the network would have drawn there, which it was never trained to see."""
    space = Space((1, 2, 2), "real")
    x = torch.randn(50, 1, 2, 2, dtype=F64)
    x[:, :, 0, 0] = 7.0
    small = {"width": 3, "layers": 1, "first_kernel": 3, "hidden": (8,), "latent_dim": 2}
    small |= {"features": 2}
    known = rp.presets.PRESETS[name].parameters
    model = rp.build(name, space, **{k: v for k, v in small.items() if k in known}).double()
    model.stages[0].solve(model, [Batch(x)])
    plain, draws = ConditionalNormal.distribution, []
    for scale in (0.0, 3.0):
        calls: list[float] = []

        def widened(
            self: Any, parameters: Tensor, scale: float = scale, calls: list[float] = calls
        ) -> NormalDensity:
            p = plain(self, parameters)
            calls.append(0.0 if calls else scale)
            return replace(p, log_scale=p.log_scale + calls[-1])

        monkeypatch.setattr(ConditionalNormal, "distribution", widened)
        draws.append(model.sample(20, generator=torch.Generator().manual_seed(4)))
        assert len(calls) > 1  # the constant, the first pixel, is drawn alone
    assert torch.equal(*draws)
    assert (draws[0][:, 0, 0, 0] == 7).all() and len(draws[0].unique()) == 61


def test_a_row_that_no_class_makes_possible_is_refused_by_name():
    x, _ = with_constants(torch.randn(60, 7, dtype=F64))
    c = torch.arange(60) % 3
    model = rp.build("cvae", Space((7,), "real", classes=3), latent_dim=2, hidden=(8,)).double()
    for stage in model.stages[:2]:
        stage.solve(model, [Batch(x, c)])
    assert rp.classify(model, x[:5], samples=2).isfinite().all()
    x[3, 1] = 0.5
    with pytest.raises(ValueError, match="x: row 3 has probability 0 in every class"):
        rp.classify(model, x[:5], samples=2)


@pytest.mark.parametrize(
    "name, backend",
    [
        ("vae", "aot_eager"),
        *((n, "eager") for n in ("sigma-vae", "made", "pca", "contractive-ae", "denoising-ae")),
    ],
)
def test_losses_with_constants_compile(name, backend):
    """Nothing in them depends on values: no graph breaks, and no host waits.

    Of the loss: what constants change is before any gradient. Of one its operators are traced, too.
    """
    x, _ = with_constants(torch.randn(40, 7, dtype=F64))
    torch.manual_seed(0)
    space = Space((7,), "real")
    model = rp.build(name, space, **{"hidden": (8,)} if "vae" in name else {}).double()
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x)])
    torch._dynamo.reset()
    losses = []
    for call in (model, torch.compile(model, backend=backend, fullgraph=True)):
        torch.manual_seed(1)
        losses.append(call(x[:8]).objective)
    torch.testing.assert_close(*losses)


def test_wide_integers_keep_their_digits_on_the_way_in():
    """An int64 tensor of real data is no less exact than the same numbers as float64."""
    model = rp.build("vae", Space((2,), "real"), latent_dim=1, hidden=(4,), seed=0).eval()
    x = torch.tensor([[1_700_000_001, 3], [1_700_000_003, 4]])
    model.standardize.shift.fill_(1.7e9)
    as_float = model.encode(x.double())
    torch.testing.assert_close(model.encode(x), as_float, rtol=0, atol=0)
    assert model.prepare(x)[0].dtype == F64
