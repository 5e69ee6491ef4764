"""Models of columns of several kinds: normalized, sampled as they say, exact where cells miss."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from holes import with_holes
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.bijections.standardize_columns import StandardizeColumns
from reparam.distributions.likelihoods import LOG_SCALE_BOUNDS
from reparam.distributions.mixed import ConditionalMixed, Mixed
from reparam.model import Batch, Space
from reparam.nets.column_inputs import ColumnLinear
from reparam.presets import PRESETS

F64 = torch.float64
DISCRETE = (
    rp.Column("owned", "binary"),
    rp.Column("rooms", "levels", 3, low=5),
    rp.Column("city", "category", 3),
)
SPACE = Space((3,), "mixed", columns=DISCRETE)
GRID = torch.tensor(list(itertools.product([0, 1], [5, 6, 7], [0, 1, 2])), dtype=F64)
EXACT = {
    "fvbn": {},
    "made": {"hidden": (6,)},
    "nade": {"hidden": 6},
    "image-transformer": {"width": 4, "layers": 1, "heads": 1},
}


def randomized(name: str, space: Space = SPACE, **parameters: object) -> rp.Model:
    model = rp.build(name, space, **parameters).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
    return model.eval()


@pytest.mark.parametrize("name", EXACT)
def test_probabilities_of_all_rows_sum_to_one_and_samples_follow_them(name):
    model = randomized(name, **EXACT[name])
    found = model.log_prob(GRID)
    truth = found.value.exp()
    assert found.kind == "exact" and truth.sum().item() == pytest.approx(1, abs=1e-10)
    torch.testing.assert_close(found.per_dimension.sum(1), found.value)
    draws = model.sample(6000, generator=torch.Generator().manual_seed(2))
    counts = (draws[:, None] == GRID).all(2).sum(0)
    assert counts.sum() == 6000
    assert stats.chisquare(counts.numpy(), (6000 * truth).detach().numpy()).pvalue > 1e-4


def test_every_exact_preset_of_vectors_is_enumerated():
    """The table above is complete: what says it is exact on mixed data is in it."""
    exact = {
        n for n, p in PRESETS.items() if "mixed" in p.exact and p.accepts.refusal(SPACE) is None
    }
    assert exact == set(EXACT)


@torch.no_grad()
def test_the_bound_of_a_vae_averages_to_one_over_all_rows():
    """E[exp bound] = p(x) at any number of samples, for q at least as wide as the posterior."""
    model = randomized("vae", latent_dim=1, hidden=(4,))
    for parameter in model.encoder.parameters():
        parameter.mul_(0.1)
    generator = torch.Generator().manual_seed(0)
    many = torch.stack(
        [model.log_prob(GRID, samples=20, generator=generator).value.exp() for _ in range(200)]
    ).sum(1)
    error = many.std() / math.sqrt(len(many))
    assert abs(many.mean() - 1) < 4 * error < 0.1


def test_with_a_real_and_a_logarithmic_column_the_density_integrates_to_one():
    columns = (
        rp.Column("city", "category", 2),
        rp.Column("height", "real"),
        rp.Column("income", "log"),
    )
    space = Space((3,), "mixed", columns=columns)
    model = randomized("made", space, hidden=(5,))
    with torch.no_grad():  # scales that the grid below resolves
        for parameter in model.parameters():
            parameter.mul_(0.5)
    rows = torch.tensor([[0, 160.0, 5], [1, 180, 50], [1, 170, 20]], dtype=F64)
    for stage in model.stages[:1]:
        stage.solve(model, [Batch(rows)])
    model.standardize.to(F64)
    # z = (h − 170)/8.2 and the standardized logarithm, on a grid of ±14 deviations.
    shift, scale = model.standardize.shift, model.standardize.scale
    heights = shift[1] + scale[1] * torch.linspace(-14, 14, 281, dtype=F64)
    logs = shift[2] + scale[2] * torch.linspace(-14, 14, 281, dtype=F64)
    cell = (heights[1] - heights[0]) * (logs[1] - logs[0])
    city, height, log = torch.meshgrid(torch.arange(2.0, dtype=F64), heights, logs, indexing="ij")
    x = torch.stack([city, height, log.exp()], 3).view(-1, 3)
    with torch.no_grad():
        density = model.log_prob(x).value.exp() * x[:, 2]  # d income = income d log
    assert (density.sum() * cell).item() == pytest.approx(1, abs=1e-4)


@torch.no_grad()
def test_renaming_a_category_with_its_parameters_changes_nothing():
    model = randomized("vae", latent_dim=2, hidden=(4,))
    x = GRID
    value = model.log_prob(x, samples=3, generator=torch.Generator().manual_seed(0)).value
    order = torch.tensor([2, 0, 1])  # name k is now order[k]
    first = model.encoder.first.linear.weight
    first[:, 2:][:, order] = first[:, 2:].clone()
    last = model.decoder.rest[-1]
    for values in (last.weight, last.bias):  # after two numbers of levels and one of the flag
        values[3 + order] = values[3:].clone()
    renamed = torch.cat([x[:, :2], order[x[:, 2].long()][:, None].to(x)], 1)
    again = model.log_prob(renamed, samples=3, generator=torch.Generator().manual_seed(0)).value
    torch.testing.assert_close(again, value)


@pytest.mark.parametrize("name", ["vae", "made", "fvbn", "nade", "ae", "image-transformer"])
def test_complete_rows_see_nothing_of_the_masks(name):
    """With other weights of what is missing all values are the same, bit for bit."""
    model = randomized(name, **EXACT.get(name, {"hidden": (4,), "latent_dim": 2}))

    def value() -> Tensor:
        torch.manual_seed(0)
        return model.loss(GRID).objective

    before = value()
    masks = [p for n, p in model.named_parameters() if "missing" in n.split(".")]
    assert len(masks) == 1
    with torch.no_grad():
        for weights in masks:
            weights.normal_()
    assert torch.equal(value(), before)
    with torch.no_grad():
        for weights in masks:
            weights.zero_()
    x = with_holes(GRID)
    torch.manual_seed(0)
    without = model.loss(x).objective
    with torch.no_grad():
        for weights in masks:
            weights.normal_()
    torch.manual_seed(0)
    assert not torch.equal(model.loss(x).objective, without)


@pytest.mark.parametrize("name", ["vae", "made", "nade", "ae"])
def test_missing_cells_have_no_gradient(name):
    columns = (*DISCRETE, rp.Column("height", "real"), rp.Column("income", "log"))
    space = Space((5,), "mixed", columns=columns)
    model = randomized(name, space, **EXACT.get(name, {"hidden": (4,), "latent_dim": 2}))
    row = torch.tensor([[1.0, 6, 2, 1.5, 2.5], [0, 5, 1, -0.5, 0.5]], dtype=F64)
    missing = torch.tensor([[False, False, False, True, False], [False] * 4 + [True]])
    x = torch.where(missing, torch.nan, row).requires_grad_()
    model.loss(x).objective.backward()
    assert not x.grad[missing].any() and x.grad.isfinite().all()
    assert x.grad[~missing & torch.tensor([False, False, False, True, True])].any()


def test_what_is_observed_is_scored_as_if_the_rest_were_not_there():
    """With the last columns missing an autoregressive model gives the marginal, their sum."""
    model = randomized("made", hidden=(6,))
    joint = model.log_prob(GRID).value
    for hidden, kind in ((1, "exact"), (2, "exact")):
        x = GRID.clone()
        x[:, 3 - hidden :] = torch.nan
        found = model.log_prob(x)
        same = (GRID[:, None, : 3 - hidden] == GRID[None, :, : 3 - hidden]).all(2)
        marginal = torch.where(same, joint, -torch.inf).logsumexp(1)
        assert found.kind == kind
        torch.testing.assert_close(found.value, marginal)
    x = GRID.clone()
    x[3, 0] = torch.nan
    assert model.log_prob(x).kind == "estimate"


def unbounded(value: Tensor, low: float, high: float) -> Tensor:
    """What ``bound_softly`` makes a log-scale of."""
    inverse = lambda y: y + torch.log(-torch.expm1(-y))  # noqa: E731  (of softplus)
    return low + inverse(high - low - inverse(high - value))


def test_a_linear_vae_with_holes_and_the_exact_posterior_gives_the_closed_form():
    """p(x) = N(b, W Wᵀ + diag s²): the bound of the observed cells is the marginal's density."""
    columns = tuple(rp.Column(name, "real") for name in "abcd")
    space = Space((4,), "mixed", columns=columns)
    weight = torch.tensor([[1.0, 0.5], [-0.5, 1.0], [0.3, 0.2], [0.0, 0.8]], dtype=F64)
    bias, scale = torch.tensor([0.1, -0.2, 0.3, 0.0], dtype=F64), 0.5
    x = torch.tensor([[0.3, torch.nan, -0.4, 1.0]] * 2, dtype=F64)
    there = ~x[0].isnan()
    part, rest = weight[there], x[0, there] - bias[there]
    precision = torch.eye(2, dtype=F64) + part.T @ part / scale**2
    factor = torch.linalg.cholesky(torch.linalg.inv(precision))
    mean = torch.linalg.solve(precision, part.T @ rest) / scale**2

    class Posterior(torch.nn.Module):
        def forward(self, seen: Tensor) -> Tensor:
            scales = unbounded(factor.diagonal().log(), *numerics.LOG_SCALE_BOUNDS)
            lower = torch.cat([scales, factor[1, 0][None]])
            return torch.cat([mean, lower]).expand(len(seen), -1)

    q_z = rp.FullNormal(2)
    decoder = torch.nn.Linear(2, 4, dtype=F64)
    p_x = Mixed(space)
    model = rp.VAE(space, Posterior(), decoder, q_z, rp.StandardNormal(2), p_x).double()
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.copy_(bias)
        log_scale = torch.tensor([math.log(scale)], dtype=F64)
        p_x.real.log_scale.fill_(unbounded(log_scale, *LOG_SCALE_BOUNDS).item())
    q = model.posterior(x)
    torch.testing.assert_close(q.center[0], mean)
    torch.testing.assert_close(q.covariance[0], factor @ factor.T)
    covariance = weight @ weight.T + scale**2 * torch.eye(4, dtype=F64)
    known = stats.multivariate_normal(bias[there], covariance[there][:, there])
    expected = known.logpdf(x[0, there].numpy())
    found = model.log_prob(x, samples=3).value
    assert found.tolist() == pytest.approx([expected] * 2, rel=1e-9)


def test_a_known_network_of_columns_is_learned():
    """owned → rooms → city: the fitted probabilities are within .02 nats of the true ones."""
    generator = np.random.default_rng(0)
    n = 6000
    owned = generator.random(n) < 0.3
    rooms = np.where(owned, generator.choice([5, 6, 7], n, p=[0.1, 0.2, 0.7]),
                     generator.choice([5, 6, 7], n, p=[0.6, 0.3, 0.1]))  # fmt: skip
    shares = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.05, 0.15, 0.8]])[rooms - 5]
    city = (generator.random((n, 1)) > shares.cumsum(1)).sum(1)
    rows = torch.tensor(np.column_stack([owned, rooms, city]), dtype=F64)
    truth = torch.empty(len(GRID), dtype=F64)
    given = {1: [0.1, 0.2, 0.7], 0: [0.6, 0.3, 0.1]}
    table = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.05, 0.15, 0.8]])
    for row, (o, r, c) in enumerate(GRID.long().tolist()):
        truth[row] = (0.3 if o else 0.7) * given[o][r - 5] * table[r - 5][c]
    model = rp.build("made", SPACE, hidden=(8,), seed=0).double()
    weights = (rows[:, None] == GRID).all(2).double().mean(0)  # of the 18 rows that there are
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = -(weights * model.log_prob(GRID).value).sum()
        value.backward()
        return value

    optimizer.step(loss)
    divergence = (truth * (truth.log() - model.log_prob(GRID).value)).sum().item()
    assert 0 <= divergence < 0.02


def test_every_preset_trains_on_rows_with_holes_and_gives_values_of_the_kinds():
    rows = with_holes(GRID.repeat(3, 1)).float()
    split = rp.Split(rows)
    data = rp.Data(split, split, split, SPACE, "holes")
    for name in ("ae", "denoising-ae", "ae-gmm"):
        small = {"codec.hidden": (4,)} if name == "ae-gmm" else {"hidden": (4,)}
        parameters = {"codec": {"hidden": (4,), "latent_dim": 2}} if name == "ae-gmm" else small
        model = rp.build(name, SPACE, **parameters, seed=0)
        rp.fit(model, data, epochs=1, progress=False)
        decoded = (model.codec if name == "ae-gmm" else model).reconstruct(rows)
        assert decoded.isfinite().all() and (decoded[:, 2] == decoded[:, 2].round()).all()
        if isinstance(model, rp.Generator):
            draws = model.sample(50)
            assert (draws == draws.round()).all()
            assert draws[:, 1].min() >= 5 and draws[:, 1].max() <= 7


def test_columns_have_one_weight_in_autoencoders():
    """At the best constants every column costs 1, however many values and whatever unit it has."""
    columns = (*DISCRETE, rp.Column("height", "real"))
    space = Space((4,), "mixed", columns=columns)
    generator = torch.Generator().manual_seed(1)
    rows = torch.cat([GRID, 170 + 10 * torch.randn(18, 1, generator=generator).double()], 1)
    model = rp.build("ae", space, hidden=(), latent_dim=1).double()
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(rows)])
    seen = model.standardize.scaled(rows)
    errors = model.columns(torch.zeros(18, 3, 4, dtype=F64), seen)
    torch.testing.assert_close(errors.mean(0), torch.ones(4, dtype=F64))
    # One of 2 000: what hardly ever occurs costs less than 1, and does not rule the others.
    rare = torch.zeros(2000, 4, dtype=F64)
    rare[0] = 1
    rare[:, 1], rare[:, 3] = torch.linspace(0, 1, 2000), torch.linspace(-1, 1, 2000)
    model.columns.learn([rare])
    outputs = torch.zeros(2000, 3, 4, dtype=F64, requires_grad=True)
    error = model.columns(outputs, rare).mean(0)
    assert error[[0, 2]].max() < 0.1
    error.sum().backward()
    size = outputs.grad[:, 0].norm(dim=0)
    assert size[0] < size[3]


@pytest.mark.parametrize("name", ["vae", "made", "ae"])
def test_gradients_are_finite_where_numbers_are_large(name):
    """exp of a column that is no logarithm would overflow, and its gradient be no number."""
    columns = (rp.Column("year", "levels", 60, low=1960), rp.Column("income", "log"))
    space = Space((2,), "mixed", columns=columns)
    model = randomized(name, space, **EXACT.get(name, {"hidden": (4,), "latent_dim": 2}))
    x = torch.tensor([[1970.0, 50.0], [2019.0, torch.nan]], dtype=F64, requires_grad=True)
    model.loss(x).objective.backward()
    if isinstance(model, rp.Codec):
        model.reconstruct(x).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert x.grad.isfinite().all()


def test_large_whole_numbers_are_not_rounded(tmp_path):
    columns = (rp.Column("day", "levels", 31, low=20230101), rp.Column("ok", "binary"))
    space = Space((2,), "mixed", columns=columns)
    model = rp.build("made", space, hidden=(3,), seed=0)
    days = torch.arange(20230101, 20230132)
    rows = torch.stack([days.repeat(2), torch.arange(2).repeat_interleave(31)], 1)
    model.standardize.stages[0].solve(model, [Batch(rows)])
    for x in (rows, rows.double()):
        assert model.log_prob(x).value.exp().sum().item() == pytest.approx(1, abs=1e-5)
    draws = model.sample(400)[:, 0]
    assert set(draws.tolist()) == set(days.tolist())
    path = tmp_path / "days.csv"
    path.write_text("day,v\n" + "".join(f"{d},{i % 7}.5\n" for i, d in enumerate(days.repeat(3))))
    data = rp.load_data(path)
    assert data.space.columns[0] == columns[0] and data.train.x.dtype == F64


def test_integers_and_holes_given_to_complete():
    columns = (rp.Column("time", "real"), rp.Column("k", "category", 4))
    space = Space((2,), "mixed", columns=columns)
    model = randomized("made", space, hidden=(3,))
    rows = torch.tensor([[1.7e9, 0], [1.7e9 + 22, 1]], dtype=F64)
    model.stages[0].solve(model, [Batch(rows)])
    x, given = torch.tensor([[1_700_000_011, 2]]), torch.tensor([True, False])
    assert model.prepare_given(x, given)[0][0, 0].item() == 1_700_000_011
    filled = model.complete(torch.tensor([[torch.nan, 2.0]]), torch.tensor([True, True]))
    assert filled.isfinite().all() and filled[0, 1] == 2  # NaN is not given, whatever is said


def test_noise_hides_cells_and_leaves_the_others_as_they_are():
    columns = (rp.Column("age", "levels", 100, low=18), rp.Column("income", "log"))
    space = Space((2,), "mixed", columns=columns)
    model = rp.build("denoising-ae", space, hidden=(2,), latent_dim=1)
    x = torch.tensor([[117.0, 5.0], [19.0, 7.0]] * 20)
    seen = model.noise.corrupt(x, 0.5)
    assert seen.isnan().sum(1).tolist() == [1] * 40
    assert torch.equal(seen[~seen.isnan()], x[~seen.isnan()])


def test_a_constant_that_is_missing_hides_nothing():
    space = Space((2,), "mixed", columns=(rp.Column("a", "real"), rp.Column("b", "real")))
    model = rp.build("made", space, hidden=(3,)).double()
    model.stages[0].solve(model, [Batch(torch.tensor([[7.0, 0.5], [7.0, 1.5]], dtype=F64))])
    x = torch.tensor([[torch.nan, 1.0]], dtype=F64)
    assert model.log_prob(x).kind == "exact"
    assert rp.impute(model, x).x[0, 0].tolist() == [7, 1]


def test_columns_have_as_many_values_as_their_kind_needs():
    for kind, levels in (("levels", 1), ("levels", -2), ("category", 0), ("levels", 2.5)):
        with pytest.raises(ValueError, match="a: expected at least"):
            rp.Column("a", kind, levels)


def test_standardization_uses_the_cells_there_are_and_keeps_large_numbers():
    columns = (rp.Column("time", "real"), rp.Column("income", "log"), rp.Column("k", "levels", 3))
    space = Space((3,), "mixed", columns=columns)
    x = torch.tensor(
        [[1.7e9, 10.0, 0], [1.7e9 + 2, torch.nan, 1], [torch.nan, 1000.0, 2]], dtype=F64
    )
    bijection = StandardizeColumns(space)
    for stage in bijection.stages:
        stage.solve(None, [Batch(x)])
    z = bijection.observed(x)
    assert z.dtype == torch.float32
    assert z[:2, 0].tolist() == [-1, 1] and z[2, 0].isnan()
    assert z[[0, 2], 1].tolist() == pytest.approx([-1, 1], abs=1e-6) and z[1, 1].isnan()
    assert bijection.scaled(x)[:, 2].tolist() == [0, 0.5, 1]
    back, _ = bijection.inverse(torch.nan_to_num(z, nan=0.0))
    assert back.dtype == F64
    assert back[[0, 1], 0].tolist() == pytest.approx([1.7e9, 1.7e9 + 2], abs=1e-6)
    # ln |dz/dx| of what is there, against autograd; 0 of what is not.
    row = torch.tensor([[1.7e9 + 1, 500.0, 1.0]], dtype=F64, requires_grad=True)
    bijection.double()
    slopes = torch.autograd.functional.jacobian(lambda v: bijection.observed(v)[0], row)[:, 0]
    expected = slopes.diagonal()[:2].log().sum()
    assert bijection(row.detach())[1].item() == pytest.approx(expected.item())
    with torch.no_grad():
        row[0, 1] = torch.nan
    assert bijection(row.detach())[1].item() == pytest.approx(slopes[0, 0].log().item())


def test_a_constant_real_column_is_no_part_of_the_density_though_cells_of_it_miss():
    space = Space((2,), "mixed", columns=(rp.Column("a", "real"), rp.Column("b", "real")))
    rows = torch.tensor([[7.0, 0.5], [torch.nan, 1.5], [7.0, 2.5]], dtype=F64)
    model = rp.build("made", space, hidden=(3,)).double()
    model.stages[0].solve(model, [Batch(rows)])
    assert model.counted == 1
    found = model.log_prob(torch.tensor([[7.0, 1.0], [torch.nan, 1.0], [8.0, 1.0]])).value
    assert found[2] == -math.inf and found[:2].isfinite().all()
    assert (model.sample(5)[:, 0] == 7).all()


def test_means_become_whole_numbers_that_have_them_as_their_mean():
    columns = (
        rp.Column("owned", "binary", low=1),
        rp.Column("age", "levels", 9, low=18),
        rp.Column("code", "levels", 10, low=20000001),
        rp.Column("height", "real"),
    )
    space = Space((4,), "mixed", columns=columns)
    model = rp.build("ae-gmm", space, codec={"latent_dim": 1, "hidden": ()})
    mean = torch.tensor([[1.3, 19.25, 20000009.5, 170.25]], dtype=F64)
    draws = model.rounding(mean.expand(4000, -1), torch.Generator().manual_seed(0))
    for column, share in ((0, 0.3), (1, 0.25), (2, 0.5)):
        assert draws[:, column].unique().tolist() == [
            math.floor(mean[0, column]) + k for k in (0, 1)
        ]
        found = (draws[:, column] - math.floor(mean[0, column])).mean().item()
        assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / 4000)
    assert (draws[:, 3] == 170.25).all()


def test_bad_cells_are_refused_by_column_and_row():
    model = rp.build("vae", SPACE, latent_dim=1, hidden=(2,))
    for row, message in (
        ([0, 4.0, 1], "column 'rooms', row 0: expected whole numbers 5 … 7, got 4"),
        ([0.5, 5.0, 1], "column 'owned', row 0: expected whole numbers 0 … 1, got 0.5"),
        ([0, 5.0, 3], "column 'city', row 0: expected whole numbers 0 … 2, got 3"),
        ([0, math.inf, 1], "column 'rooms', row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            model.log_prob(torch.tensor([row]))
    model.takes_missing = False
    with pytest.raises(ValueError, match="the cell is missing, and this model takes no missing"):
        model.log_prob(torch.tensor([[0, math.nan, 1]]))
    with pytest.raises(ValueError, match="prior: vamp"):
        rp.build("vae", SPACE, prior="vamp")
    with pytest.raises(ValueError, match="pca: expected"):
        rp.build("pca", SPACE)


def test_parts_say_their_shapes():
    columns = (*DISCRETE, rp.Column("street", "category", 7))
    space = Space((4,), "mixed", columns=columns)
    assert Mixed(space).parameter_shape == (2 + 1 + 3 + 7,)
    assert ConditionalMixed(space).at(slice(3, 4)).parameter_shape == (7, 1)
    assert ColumnLinear(columns, 5).linear.in_features == 1 + 1 + 3 + 7
