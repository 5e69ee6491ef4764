"""PCA of rows with holes: against blocks of normal laws, gradients, closed forms and draws."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.model import Batch, Column, Completer, Space
from reparam.models import real_pca
from reparam.models.pca import PCA, Rows
from reparam.models.real_pca import RealPCA

F64 = torch.float64
HOLES = 0.3


def table(n: int, kinds: str = "rrrrr", seed: int = 0) -> tuple[Tensor, Space]:
    """Correlated columns of different scales, r real and l log, and their space."""
    generator = torch.Generator().manual_seed(seed)
    d = len(kinds)
    scales = torch.arange(1, d + 1, dtype=F64)
    mix = torch.randn(2, d, generator=torch.Generator().manual_seed(7), dtype=F64)
    x = torch.randn(n, 2, generator=generator, dtype=F64) @ mix
    x = (x + 0.5 * torch.randn(n, d, generator=generator, dtype=F64)) * scales**0.5 + scales
    log = torch.tensor([kind == "l" for kind in kinds])
    names = {"r": "real", "l": "log"}
    columns = tuple(Column(f"c{i}", names[kind]) for i, kind in enumerate(kinds))
    return torch.where(log, (x / 3).exp(), x), Space((d,), "mixed", columns=columns)


def holed(x: Tensor, share: float = HOLES, seed: int = 1) -> Tensor:
    """x with cells missing at random, a row without any cell and one with all."""
    holes = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < share
    holes[0], holes[1] = True, False
    return torch.where(holes, torch.nan, x)


def solved(x: Tensor, space: Space, q: int = 2, standardize: bool = False, dtype=F64) -> RealPCA:
    model = rp.build("pca", space, latent_dim=q, standardize=standardize).to(dtype)
    assert isinstance(model, RealPCA)
    for stage in model.stages:
        stage.solve(model, [Batch(x[:1]), Batch(x[1:])])
    return model


def law(model: RealPCA) -> tuple[Tensor, Tensor]:
    """Mean and covariance of rows in the units of the components, from the public attributes."""
    noise = model.noise_variance
    kept = model.components.T * (model.eigenvalues - noise)
    return model.mean, kept @ model.components + noise * torch.eye(len(model.mean), dtype=F64)


def units(model: RealPCA, x: Tensor) -> tuple[Tensor, Tensor]:
    """x as the components see it, and ln of its slope, by hand."""
    log = torch.tensor([c.kind == "log" for c in model.space.columns or ()])
    y = torch.where(log, x.log(), x)
    shift, scale = (getattr(model.standardize, name) for name in ("shift", "scale"))
    return (y - shift) / scale, torch.where(log, -x.log(), 0.0) - scale.log()


def log_normal(mean: Tensor, covariance: Tensor, y: Tensor) -> Tensor:
    """ln p of the cells there are of each row, each by the block of its cells."""
    values = []
    for row in y:
        o = ~row.isnan()
        if not o.any():
            values.append(row.new_zeros(()))
            continue
        normal = torch.distributions.MultivariateNormal
        block = normal(mean[o], covariance[o][:, o], validate_args=False)
        values.append(block.log_prob(row[o]))
    return torch.stack(values)


# -------------------------------------------------------------------------------- log p


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("kinds", ["rrrrr", "rlrrl"])
def test_log_prob_is_the_marginal_of_the_cells_there_are(kinds, standardize):
    whole, space = table(80, kinds)
    x = holed(whole)
    model = solved(x, space, 2, standardize)
    mean, covariance = (part.numpy() for part in law(model))
    y, slope = units(model, x)
    found = model.log_prob(x)
    assert found.kind == "exact"
    assert found.value[0] == 0  # of a row without cells
    for value, row, slopes in zip(found.value[1:], y[1:], slope[1:], strict=True):
        o = ~row.isnan().numpy()
        if not o.any():
            continue
        block = stats.multivariate_normal(mean[o], covariance[np.ix_(o, o)])
        wanted = block.logpdf(row.numpy()[o]) + slopes.numpy()[o].sum()
        assert value.item() == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_a_marginal_is_the_integral_of_the_density():
    x, space = table(60, "rlr")
    model = solved(holed(x), space, 1)
    grid = torch.linspace(-8, 8, 4001, dtype=F64).exp()  # of the log column
    rows = torch.stack([torch.full_like(grid, 1.5), grid, torch.full_like(grid, 2.0)], 1)
    integral = torch.trapezoid(model.log_prob(rows).value.exp(), grid).log()
    marginal = model.log_prob(torch.tensor([[1.5, torch.nan, 2.0]], dtype=F64)).value
    assert marginal.item() == pytest.approx(integral.item(), abs=1e-5)


def test_complete_rows_are_as_those_of_plain_pca():
    """With nothing missing the fit, too, is the closed form, bit for bit."""
    x, space = table(60)
    model = solved(x, space)
    plain = PCA(Space((5,), "real"), 2).to(F64)
    plain.stages[0].solve(plain, [Batch(x[:1]), Batch(x[1:])])
    for name in ("mean", "components", "eigenvalues", "noise_variance"):
        assert torch.equal(getattr(model, name), getattr(plain, name)), name
    assert torch.equal(model.log_prob(x).value, plain.log_prob(x).value)
    assert torch.equal(model.encode(x), plain.encode(x))
    assert torch.equal(model.reconstruct(x), plain.reconstruct(x))
    beside = holed(x)  # nor do rows with holes beside them matter
    complete = ~beside.isnan().any(1)
    torch.testing.assert_close(
        model.log_prob(beside).value[complete],
        plain.log_prob(x[complete]).value,
        rtol=1e-13,
        atol=0,
    )


# ------------------------------------------------------------------------------ the fit


def observed(model: RealPCA, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The mean log-likelihood, and its gradient in W, μ and ln σ², by blocks of the covariance."""
    noise = model.noise_variance
    weight = model.components.T * (model.eigenvalues - noise).sqrt()
    own = [part.clone().requires_grad_() for part in (weight, model.mean, noise.log())]
    covariance = own[0] @ own[0].T + own[2].exp() * torch.eye(len(model.mean), dtype=F64)
    value = log_normal(own[1], covariance, units(model, x)[0]).mean()
    return value, list(torch.autograd.grad(value, own))


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("n,kinds,q", [(50, "rrrrr", 2), (50, "rlrr", 3), (12, "r" * 15, 3)])
def test_the_fit_is_a_maximum_of_the_observed_likelihood(n, kinds, q, standardize):
    x = holed(table(n, kinds)[0])
    model = solved(x, table(n, kinds)[1], q, standardize)
    value, gradient = observed(model, x)
    assert max(part.abs().max().item() for part in gradient) < 5e-5
    for name in ("noise_variance", "eigenvalues", "mean"):
        for factor in (0.97, 1.03):
            moved = copy.deepcopy(model)
            getattr(moved, name).mul_(factor)
            y = units(model, x)[0]
            assert log_normal(*law(moved), y).mean() < value


def test_it_is_more_likely_than_filling_with_means_or_leaving_rows_out():
    whole, space = table(120)
    x = holed(whole)
    best = observed(solved(x, space), x)[0]
    filled = torch.where(x.isnan(), x.nanmean(0), x)
    for other in (filled, x[~x.isnan().any(1)]):
        value, gradient = observed(solved(other, space), x)
        assert value < best - 0.05
        assert max(part.abs().max().item() for part in gradient) > 1e-2


def em_units(x: Tensor, space: Space, q: int):
    model = RealPCA(space, q).to(F64)
    return real_pca._Units(Rows(model, [Batch(x[:17]), Batch(x[17:])]))


def test_no_step_makes_the_data_less_likely(monkeypatch):
    x, space = table(90, "r" * 8)
    x = holed(x, 0.4)
    rows = em_units(x, space, 3)
    now, values = real_pca.start_of(rows, 3), []
    for _ in range(30):
        now, value = real_pca.em_step(now, rows)
        values.append(value)
    assert all(b >= a - 1e-13 for a, b in zip(values, values[1:], strict=False))
    assert values[-1] > values[0] + 0.02
    # The values are those of blocks of the covariance.
    weight, mean, log_noise = now
    covariance = weight @ weight.T + log_noise.exp() * torch.eye(8, dtype=F64)
    y = torch.cat(list(rows))[1:]
    wanted = (log_normal(mean, covariance, y).sum() / (~y.isnan()).sum()).item()
    assert real_pca.em_step(now, rows)[1] == pytest.approx(wanted, rel=1e-10)
    # Nor do the extrapolated ones, wherever the next step starts.
    best = real_pca.maximize(lambda p: real_pca.em_step(p, rows), real_pca.start_of(rows, 3))
    assert real_pca.em_step(best, rows)[1] >= values[-1]


def test_of_complete_rows_expectation_maximization_is_the_closed_form():
    x, space = table(200, "r" * 6)
    rows = Rows(RealPCA(space, 2).to(F64), [Batch(x[:50]), Batch(x[50:])])
    found, wanted = real_pca.fit_to_holes(rows, 2), PCA.most_likely(solved(x, space), rows)
    torch.testing.assert_close(found.mean, wanted.mean, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.eigenvalues, wanted.eigenvalues, rtol=1e-9, atol=0)
    torch.testing.assert_close(found.noise_variance, wanted.noise_variance, rtol=1e-9, atol=0)
    cosines = (found.components * wanted.components).sum(0).abs()
    torch.testing.assert_close(cosines, torch.ones(2, dtype=F64), rtol=1e-9, atol=0)


def test_from_anywhere_steps_lead_to_the_closed_form():
    """Not only from where the closed form of complete rows is the start."""
    x, space = table(200, "r" * 6)
    rows = em_units(x, space, 2)
    start = real_pca.Parameters(
        torch.randn(6, 2, dtype=F64), torch.randn(6, dtype=F64), torch.zeros((), dtype=F64)
    )
    found = real_pca.maximize(lambda p: real_pca.em_step(p, rows), start)
    wanted = real_pca.start_of(rows, 2)
    torch.testing.assert_close(found.mean, wanted.mean, rtol=0, atol=1e-7)
    torch.testing.assert_close(
        found.weight @ found.weight.T, wanted.weight @ wanted.weight.T, rtol=0, atol=2e-5
    )
    torch.testing.assert_close(found.log_noise, wanted.log_noise, rtol=0, atol=1e-5)


def test_a_fit_that_has_not_ended_says_so(monkeypatch):
    x, space = table(60)
    monkeypatch.setattr(real_pca, "MOST_CYCLES", 1)
    with pytest.warns(RuntimeWarning, match="PCA: the likelihood still rises after 1 cycles of EM"):
        solved(holed(x), space)


def test_standardized_statistics_are_of_the_cells_there_are():
    x, space = table(60)
    x = holed(x)
    model = solved(x, space, 2, standardize=True)
    deviation = (x - x.nanmean(0)).square().nanmean(0).sqrt()
    shift, scale = (getattr(model.standardize, name) for name in ("shift", "scale"))
    torch.testing.assert_close(shift, x.nanmean(0))
    torch.testing.assert_close(scale, deviation)
    # Units of the columns change log p by their logarithm alone.
    factors = torch.tensor([1, 1e3, 1e-3, 1e6, 1], dtype=F64)
    other = solved(x * factors, space, 2, standardize=True)
    there = (~x.isnan()).to(F64)
    wanted = model.log_prob(x).value - there @ factors.log()
    torch.testing.assert_close(other.log_prob(x * factors).value, wanted, rtol=1e-6, atol=1e-6)


def test_blocks_change_nothing(monkeypatch):
    x, space = table(25, "r" * 7)
    x = holed(x)
    whole = solved(x, space, 3)
    results = whole.log_prob(x).value, whole.encode(x)
    monkeypatch.setattr(real_pca, "NUMBERS_AT_ONCE", 30)  # of one row, and three columns
    split = solved(x, space, 3)
    torch.testing.assert_close(split.log_prob(x).value, results[0], rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(whole.encode(x), results[1])


# ------------------------------------------------------------------------ codes and fills


def test_a_code_is_the_mean_code_of_all_completions():
    x, space = table(80)
    x = holed(x)
    model = solved(x, space)
    n, row = 4000, torch.tensor([[1.0, torch.nan, 4.0, torch.nan, torch.nan]], dtype=F64)
    drawn = model.complete(row.expand(n, -1), ~row[0].isnan())
    codes = model.encode(drawn)
    error = codes.std(0) / math.sqrt(n)
    assert ((codes.mean(0) - model.encode(row)[0]).abs() < 4 * error).all()
    back = model.reconstruct(x)
    assert back.isfinite().all() and back.shape == x.shape


def test_what_is_missing_has_no_gradient():
    x, space = table(40, "rlrl")
    model = solved(holed(x), space)
    rows = holed(x)[2:].requires_grad_()
    (model.log_prob(rows).value.sum() + model.encode(rows).sum()).backward()
    assert rows.grad is not None and rows.grad.isfinite().all()
    missing = rows.isnan()
    assert (rows.grad[missing] == 0).all() and (rows.grad[~missing] != 0).all()


# ---------------------------------------------------------------------------- completions


def conditional(mean: Tensor, covariance: Tensor, y: Tensor, o: Tensor) -> tuple[Tensor, Tensor]:
    gain = covariance[~o][:, o] @ torch.linalg.inv(covariance[o][:, o])
    rest = covariance[~o][:, ~o] - gain @ covariance[o][:, ~o]
    return mean[~o] + gain @ (y[o] - mean[o]), rest


def agrees(draws: Tensor, mean: Tensor, covariance: Tensor) -> None:
    """Mean and covariance of draws within four standard errors."""
    n, sd = len(draws), covariance.diagonal().sqrt()
    assert ((draws.mean(0) - mean).abs() < 4 * sd / math.sqrt(n)).all()
    error = ((torch.outer(sd, sd) ** 2 + covariance**2) / n).sqrt()
    assert ((torch.cov(draws.T) - covariance).abs() < 4 * error).all()


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("given", [(0, 2), (1, 3, 4), (), (0,)])
def test_completions_are_draws_of_the_conditional_normal(given, standardize):
    x, space = table(80, "rlrrl")
    model = solved(holed(x), space, 2, standardize)
    n, o = 6000, torch.zeros(5, dtype=torch.bool)
    o[list(given)] = True
    rows = torch.where(o, x[5], torch.nan).expand(n, -1)
    found = model.complete(rows, o, generator=torch.Generator().manual_seed(3))
    assert torch.equal(found[:, o], rows[:, o])
    y, _ = units(model, found)
    agrees(y[:, ~o], *conditional(*law(model), units(model, x[5:6])[0][0], o))


def test_rows_of_different_holes_are_completed_each_by_its_own():
    x, space = table(80)
    model = solved(holed(x), space)
    patterns = torch.tensor([[1, 1, 0, 0, 1], [0, 1, 1, 1, 0], [1, 1, 1, 1, 0]], dtype=torch.bool)
    n = 5000
    mask, rows = patterns.repeat(n, 1), x[4:7].repeat(n, 1)
    found = model.complete(rows, mask)
    assert torch.equal(found[mask], rows[mask])
    for i, o in enumerate(patterns):
        agrees(found[i::3][:, ~o], *conditional(*law(model), x[4 + i], o))


@pytest.mark.parametrize("shape", [(12,), (3, 2, 2)])
@pytest.mark.parametrize("standardize", [False, True])
def test_real_vectors_and_images_are_completed(shape, standardize):
    x = table(90, "r" * 12)[0].view(-1, *shape)
    model = solved(x, Space(shape, "real"), 3, standardize)
    assert not model.takes_missing
    o = torch.arange(12) % 3 != 1
    rows = torch.where(o.view(shape), x[3], torch.nan).expand(5000, *shape)
    found = model.complete(rows, o.view(shape), generator=torch.Generator().manual_seed(1))
    assert torch.equal(found.flatten(1)[:, o], x[3].flatten()[o].expand(5000, -1))
    mean, covariance = law(model)
    if model.standardize is not None:
        shift, scale = (
            part.expand(shape).flatten()
            for part in (model.standardize.shift, model.standardize.scale)
        )
        mean, covariance = mean * scale + shift, covariance * torch.outer(scale, scale)
    wanted = conditional(mean, covariance, x[3].flatten(), o)
    agrees(found.flatten(1)[:, ~o], *wanted)


def test_types_batches_of_one_and_cells_that_say_nothing():
    x, space = table(60)
    model = solved(holed(x).float(), space, dtype=torch.float32)
    row = x[:1].float()
    mask = torch.tensor([True, False, True, True, False])
    found = model.complete(row, mask)
    assert found.dtype == torch.float32 and torch.equal(found[:, mask], row[:, mask])
    assert model.complete(row.double(), mask).dtype == F64
    whole = torch.tensor([[1, 2, 3, 4, 5]])
    assert model.complete(whole, mask).dtype == torch.float32
    assert torch.equal(model.complete(row, torch.ones(5, dtype=torch.bool)), row)
    # A given cell that is missing is not given.
    holed_row = torch.where(torch.arange(5) == 0, torch.nan, row)
    found = model.complete(holed_row, mask, generator=torch.Generator().manual_seed(0))
    alike = model.complete(
        row, mask & (torch.arange(5) > 0), generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(found, alike)
    with pytest.raises(ValueError, match="^mask: expected bool"):
        model.complete(row, mask.float())
    for one in (row, torch.full_like(row, torch.nan)):
        assert model.log_prob(one).value.shape == (1,)
        assert model.encode(one).isfinite().all() and model.encode(one).dtype == torch.float32
    exact = solved(holed(x).float().double(), space)
    torch.testing.assert_close(
        model.log_prob(holed(x).float()).value, exact.log_prob(holed(x).float()).value
    )


# ------------------------------------------------------------------------ numbers, refusals


def test_columns_far_from_zero_and_constants_come_back():
    x, space = table(90)
    x = holed((x * 2**20).round() / 2**20)
    offset = torch.tensor([1.7e9, 0, 0, -4e8, 0], dtype=F64)
    x[~x[:, 2].isnan(), 2] = 0.1
    near, far = (solved(v, space, dtype=torch.float32) for v in (x, x + offset))
    torch.testing.assert_close(
        far.log_prob(x + offset).value, near.log_prob(x).value, rtol=1e-6, atol=1e-6
    )
    assert near.counted == 4
    back = far.reconstruct(x + offset) - offset
    torch.testing.assert_close(back, near.reconstruct(x), rtol=0, atol=1e-6)
    mask = torch.tensor([True, False, False, False, True])
    filled = far.complete(torch.where(mask, x + offset, 0)[1:2], mask)
    for values in (far.reconstruct(x + offset), far.sample(5), filled):
        assert values.dtype == F64 and (values[:, 2] == 0.1).all()
    assert (far.sample(2000)[:, 0] - 1.7e9).abs().max() < 30
    other = torch.where(torch.arange(5) == 2, 0.2, x)[1:2]
    assert near.log_prob(other).value.isneginf().all()
    assert near.log_prob(x[1:2]).value.isfinite().all()


def test_samples_have_the_law_of_the_density():
    x, space = table(90, "rlr")
    model = solved(holed(x), space, 1, standardize=True)
    y, _ = units(model, model.sample(6000, generator=torch.Generator().manual_seed(0)))
    agrees(y, *law(model))


def test_a_column_that_follows_from_others_leaves_a_finite_density():
    x, space = table(90, "rrrr")
    x[:, 1] = 2 * x[:, 0] - x[:, 2]
    x = holed(x, 0.1)
    model = solved(x, space, 3)
    assert model.noise_variance > 0
    assert model.log_prob(x).value.isfinite().all()
    missing = x.isnan()
    missing[:, [0, 2, 3]] = False  # of the column that follows
    assert missing.any()
    found = model.complete(x, ~missing)
    rows = missing.any(1) & ~(x.isnan() & ~missing).any(1)
    wanted = 2 * x[rows, 0] - x[rows, 2]
    torch.testing.assert_close(found[rows, 1], wanted, rtol=0, atol=1e-3)


@pytest.mark.parametrize("standardize", [False, True])
def test_a_column_without_cells_is_refused_by_name(standardize):
    x, space = table(30)
    x[:, 3] = torch.nan
    with pytest.raises(ValueError, match=r"training data: column 'c3' is missing in .*--drop c3"):
        solved(x, space, 2, standardize)


def test_columns_that_are_no_reals_are_refused_with_what_to_do():
    real, city = Column("age", "real"), Column("home city", "category", 3)
    rooms, sex = Column("rooms", "levels", 4), Column("sex", "binary", names=("f", "m"))

    def refusal(*columns: Column) -> str:
        with pytest.raises(ValueError) as found:
            rp.build("pca", Space((len(columns),), "mixed", columns=columns))
        return str(found.value)

    assert refusal(real, city) == (
        "pca: expected real or log columns, got 'home city' of category; "
        "make real flags of names (one_hot=True, --one-hot --kind 'home city=real') or leave them "
        "out (drop=…, --drop 'home city')"
    )
    assert refusal(real, rooms, city, sex) == (
        "pca: expected real or log columns, got 'rooms' of levels; make real flags of "
        "names (one_hot=True, --one-hot --kind 'home city=real' --kind sex=real) or leave them out "
        "(drop=…, --drop 'home city' --drop sex), and read numbers as real with --kind rooms=real"
    )
    assert refusal(rooms, Column("owned", "binary")).endswith(
        "got 'rooms' of levels; read numbers as real with --kind rooms=real --kind owned=real"
    )
    with pytest.raises(ValueError, match="expected columns of real or log, got 'rooms' of levels"):
        RealPCA(Space((2,), "mixed", columns=(real, rooms)), 1)
    with pytest.raises(ValueError, match="got mixed data; RealPCA takes"):
        PCA(table(3)[1], 1)


@pytest.mark.parametrize("kind,levels", [("binary", None), ("levels", 9)])
def test_discrete_data_are_not_completed(kind, levels):
    space = Space((4,), kind, levels)
    assert not isinstance(rp.build("pca", space), Completer)
    with pytest.raises(ValueError, match=f"space: expected real data, got {kind}; use PCA"):
        RealPCA(space, 2)


def test_cells_missing_from_real_data_are_refused():
    x, _ = table(30)
    model = solved(x, Space((5,), "real"))
    with pytest.raises(ValueError, match="got NaN in"):
        model.log_prob(holed(x))


def test_too_few_rows_or_columns_that_vary_are_refused():
    x, space = table(30)
    with pytest.raises(ValueError, match="latent_dim: expected less than the 3 training examples"):
        solved(holed(x)[:3], space, 3)
    with pytest.raises(ValueError, match="training data: every row is the same"):
        solved(holed(x)[:2], space)  # of the first no cell is there
    x[:, 1:4] = 5.0
    with pytest.raises(ValueError, match="latent_dim: expected less than the 2 entries .* vary"):
        solved(holed(x), space)
