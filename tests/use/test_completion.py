"""What is not given, drawn from p(x_rest | x_given), against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import reparam as rp
from reparam import numerics
from reparam.model import Batch, Space
from reparam.models.two_stage_density import TwoStageDensity
from reparam.use.missing_part import why_not

D, L, DRAWS = 4, 2, 4000
SIGMA = 0.6


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def factor_model(spread: float = 0.0, shift: float = 0.0) -> tuple[rp.VAE, Tensor, Tensor]:
    """x = W z + b + σ ε as a VAE with q(z|x) as it is, wider or elsewhere; and W, b."""
    space = Space((D,), "real")
    weight = torch.randn(D, L, generator=seeded(3), dtype=torch.float64)
    bias = torch.linspace(-1, 2, D, dtype=torch.float64)
    precision = torch.eye(L).double() + weight.T @ weight / SIGMA**2
    covariance = torch.linalg.inv(precision)
    toward = covariance @ weight.T / SIGMA**2
    # A full normal: the mean, ln C_ii, and the one number below the diagonal.
    factor = torch.linalg.cholesky(covariance)
    encoder, decoder = nn.Linear(D, 5), nn.Linear(L, D)
    p_x = rp.Normal(space, "fixed", sigma=SIGMA)
    model = rp.VAE(space, encoder, decoder, rp.FullNormal(L), rp.StandardNormal(L), p_x).double()
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.copy_(bias)
        encoder.weight.zero_()
        encoder.weight[:L] = toward
        encoder.bias[:L] = -toward @ bias + shift
        encoder.bias[2:4] = factor.diagonal().log() + spread
        encoder.bias[4] = factor[1, 0] * math.exp(spread)
    return model.eval(), weight, bias


def conditional(weight: Tensor, bias: Tensor, x: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x_rest | x_given of N(b, W Wᵀ + σ² I)."""
    whole = weight @ weight.T + SIGMA**2 * torch.eye(D).double()
    cross = whole[~given][:, given] @ torch.linalg.inv(whole[given][:, given])
    mean = bias[~given] + cross @ (x - bias)[given]
    return mean, whole[~given][:, ~given] - cross @ whole[given][:, ~given]


@pytest.mark.parametrize("spread, shift", [(0.0, 0.0), (0.5, 0.0), (0.3, 0.2)])
@pytest.mark.parametrize("hidden", [(2, 3), (0, 1, 2)])
def test_draws_have_the_mean_and_covariance_of_the_conditional_normal(spread, shift, hidden):
    """Also where q is wrong: the ratio corrects it. Standard errors of n independent draws."""
    model, weight, bias = factor_model(spread, shift)
    x = torch.tensor([1.0, -1.5, 0.0, 2.0], dtype=torch.float64)
    given = torch.ones(D, dtype=torch.bool)
    given[list(hidden)] = False
    found = rp.complete(model, x[None], given, draws=DRAWS, steps=120, generator=seeded())
    assert found.steps == 120 and found.acceptance is not None
    assert (found.acceptance > 0.999) == (spread == shift == 0)  # then q is the conditional of z
    assert (found.x[0][:, given] == x[given]).all()
    drawn = found.x[0][:, ~given]
    mean, covariance = conditional(weight, bias, x, given)
    variance = covariance.diagonal()
    assert ((drawn.mean(0) - mean).abs() < 4 * (variance / DRAWS).sqrt()).all()
    error = ((variance[:, None] * variance + covariance.square()) / DRAWS).sqrt()
    assert ((drawn.T.cov() - covariance).abs() < 4 * error).all()


def test_without_the_chain_a_wrong_q_gives_another_mean():
    """The test above can fail: a single step after the start is not enough."""
    model, weight, bias = factor_model(0.3, 2.0)
    x = torch.tensor([[1.0, -1.5, 0.0, 2.0]], dtype=torch.float64)
    given = torch.tensor([True, True, False, False])
    found = rp.complete(model, x, given, draws=DRAWS, steps=1, generator=seeded())
    mean, covariance = conditional(weight, bias, x[0], given)
    away = (found.x[0][:, ~given].mean(0) - mean).abs()
    assert (away > 8 * (covariance.diagonal() / DRAWS).sqrt()).any()


@pytest.mark.parametrize(
    "kind, levels, likelihood",
    [
        ("binary", None, "bernoulli"),
        ("levels", 4, "discretized-logistic"),
        ("levels", 4, "normal"),
        ("levels", 4, "categorical"),
        ("real", None, "normal"),
        ("real", None, "heteroscedastic-normal"),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_given_entries_stay_bit_for_bit_and_others_are_data(kind, levels, likelihood, dtype):
    space = Space((2, 3, 3), kind, levels)
    model = rp.build("vae", space, latent_dim=2, hidden=(6,), likelihood=likelihood, seed=0)
    x = torch.rand(3, 2, 3, 3, generator=seeded(), dtype=dtype)
    x = x if levels is None and kind == "real" else (x * (levels or 2)).floor()
    mask = torch.rand(3, 2, 3, 3, generator=seeded(1)) < 0.5
    junk = torch.where(mask, x, torch.nan)  # what is not given is not looked at
    found = rp.complete(model.eval(), junk, mask, draws=2, steps=5, generator=seeded())
    assert found.x.shape == (3, 2, 2, 3, 3) and found.x.isfinite().all()
    assert (found.x == x[:, None])[mask[:, None].expand_as(found.x)].all()
    if kind != "real":
        top = (levels or 2) - 1
        assert (found.x == found.x.round().clamp(0, top)).all()
    again = rp.complete(model, junk, mask, draws=2, steps=5, generator=seeded())
    assert (again.x == found.x).all()


def test_dequantized_levels_are_drawn_by_their_mass_and_not_by_its_bound():
    """P(x_2 | x_1) by quadrature over z, of the levels that the likelihood draws."""
    space = Space((2,), "levels", 3)
    model = rp.build("vae", space, latent_dim=1, hidden=(4,), likelihood="normal").double().eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.normal_(0, 1, generator=seeded(2))
    z = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None]
    with torch.no_grad():
        law = model.likelihood(z).by_entry
        assert law is not None
        table = law.table()  # (Z, 2, 3)
        weight = model.prior().log_prob(z).exp() * table[:, 0, 2]
    truth = (weight[:, None] * table[:, 1]).sum(0) / weight.sum()
    x = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    mask = torch.tensor([True, False])
    found = rp.complete(model, x, mask, draws=DRAWS, steps=60, generator=seeded()).x[0, :, 1]
    shares = torch.stack([(found == level).double().mean() for level in range(3)])
    assert ((shares - truth).abs() < 4 * (truth * (1 - truth) / DRAWS).sqrt()).all()


@pytest.mark.parametrize(
    "options",
    [
        {"posterior": "mixture"},
        {"posterior": "iaf", "flows": 1},
        {"posterior": "categorical", "categories": 3},
        {"prior": "mixture", "components": 2},
    ],
)
@torch.no_grad()
def test_draws_are_those_of_the_enumerated_conditional(options):
    """Under a random q(z|x) of any kind, by quadrature, or a sum, over z."""
    model = rp.build("vae", Space((4,), "binary"), latent_dim=1, hidden=(6,), **options).double()
    generator = seeded(7)
    for parameter in model.parameters():
        parameter.normal_(0, 0.7, generator=generator)
    z = torch.linspace(-9, 9, 1501, dtype=torch.float64)[:, None]
    z = torch.eye(3, dtype=torch.float64) if "categories" in options else z
    every = torch.cartesian_prod(*[torch.arange(2.0).double()] * 4)
    possible = every[(every[:, 2:] == torch.tensor([1, 0])).all(1)]
    prior = model.eval().prior().log_prob(z)
    rows = [model.likelihood(z).log_prob(x.expand(len(z), -1)) + prior for x in possible]
    truth = torch.stack(rows).logsumexp(1).softmax(0)
    given = torch.tensor([False, False, True, True])
    found = rp.complete(model, possible[:1], given, draws=DRAWS, steps=60, generator=seeded())
    assert found.acceptance is not None and 0.1 < found.acceptance < 0.99  # q is not the truth
    counts = (found.x[0][:, None] == possible).all(2).sum(0)
    assert counts.sum() == DRAWS and truth.min() * DRAWS > 5
    assert stats.chisquare(counts, truth * DRAWS).pvalue > 1e-4


def test_with_everything_given_nothing_changes_and_with_nothing_it_is_sample():
    model = rp.build("vae", Space((1, 4, 4), "binary"), latent_dim=2, hidden=(6,), seed=0).eval()
    x = (torch.rand(3, 1, 4, 4, generator=seeded()) < 0.5).float()
    every = torch.ones(1, 4, 4, dtype=torch.bool)
    whole = rp.complete(model, x, every, draws=2)
    assert (whole.x == x[:, None]).all() and whole.steps is None
    nothing = rp.complete(model, x, ~every, draws=2, generator=seeded(5))
    assert (nothing.x.flatten(0, 1) == model.sample(6, generator=seeded(5))).all()
    assert nothing.acceptance is None
    several = torch.stack([every, ~every, every])  # a mask of each row's own
    several[2, 0, 0] = False
    found = rp.complete(model, x, several, draws=2, steps=3, generator=seeded())
    assert (found.x[0] == x[0]).all() and (found.x[2, ..., 1:, :] == x[2, :, 1:]).all()


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("ladder-vae", {}),
        ("vae", {"posterior": "iaf", "flows": 1}),
        ("vae", {"prior": "mixture", "components": 2}),
        ("cvae", {}),
        ("vae", {"posterior": "categorical", "categories": 3}),
        ("made", {"hidden": (6,)}),
    ],
)
def test_every_kind_of_model_that_completes(name, parameters):
    space = Space((1, 4, 4), "binary", classes=3)
    model = rp.build(name, space, **parameters, seed=0).eval()
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[:, :2] = True
    c = torch.tensor([2]) if model.conditional else None
    x = torch.ones(1, 1, 4, 4)
    found = rp.complete(model, x, mask, c, draws=2, steps=11, generator=seeded())
    assert found.x.shape == (1, 2, 1, 4, 4) and (found.x[..., :2, :] == 1).all()
    exact = isinstance(model, rp.Completer)
    assert exact == (found.steps is None) == (found.acceptance is None)


def test_a_mixed_table_is_completed_as_it_is_filled():
    columns = (rp.Column("age", "real"), rp.Column("city", "category", 3))
    model = rp.build("vae", Space((2,), "mixed", columns=columns), latent_dim=1, seed=0).eval()
    x = torch.tensor([[30.0, 2.0], [41.0, 1.0]])
    mask = torch.tensor([True, False])
    found = rp.complete(model, x, mask, draws=3, generator=seeded())
    holes = torch.where(mask, x, torch.nan)
    assert (found.x == rp.impute(model, holes, draws=3, generator=seeded()).x).all()


@pytest.mark.parametrize("mixed", [False, True])
def test_an_entry_that_is_constant_in_training_may_differ(mixed):
    """Its probability is 0 under every z, which says nothing of the others."""
    x = torch.randn(50, 3, generator=seeded())
    x[:, 1] = 7
    columns = tuple(rp.Column(name, "real") for name in "abc")
    space = Space((3,), "mixed", columns=columns) if mixed else Space((3,), "real")
    model = rp.build("vae", space, latent_dim=1, hidden=(4,), seed=0)
    for stage in model.stages[:1]:
        stage.solve(model, [Batch(x)])
    asked = torch.tensor([[0.5, 8.0, 0.0]])
    found = rp.complete(model.eval(), asked, torch.tensor([True, True, False]), draws=20)
    assert found.acceptance is not None and found.acceptance > 0
    assert found.x.isfinite().all() and (found.x[..., 1] == 8).all()


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("options", [{"posterior": "categorical"}, {"batch_norm": True}])
def test_models_in_training_are_refused_where_their_codes_are_others(mixed, options):
    columns = tuple(rp.Column(name, "real") for name in "abc")
    space = Space((3,), "mixed", columns=columns) if mixed else Space((3,), "real")
    model = rp.build("vae", space, latent_dim=2, hidden=(4,), **options).train()
    mask = torch.tensor([True, True, False])
    with pytest.raises(ValueError, match="in training its codes are relaxed or depend on the bat"):
        rp.complete(model, torch.zeros(2, 3), mask)
    assert rp.complete(model.eval(), torch.zeros(2, 3), mask, steps=2).steps == 2


def test_models_that_do_not_complete_are_refused_in_a_sentence():
    space = Space((1, 8, 8), "binary")
    x, mask = torch.ones(1, 1, 8, 8), torch.ones(1, 8, 8, dtype=torch.bool)
    for name, parameters, said in (
        ("ae", {}, "Autoencoder does not complete; use vae"),
        ("mae", {}, "predicts what is hidden, once, .* use reconstruct --hide"),
        ("pixel-vae", {"width": 4, "layers": 1}, "entries of its p\\(x|z\\) depend on each other"),
        ("vq-vae", {"codes": 4, "channels": 4}, "no autoregressive prior of its codes"),
    ):
        with pytest.raises(ValueError, match=said):
            rp.complete(rp.build(name, space, **parameters), x, mask)
    vae = rp.build("vae", space, latent_dim=2)
    assert why_not(vae) is None
    bounded = TwoStageDensity(vae, rp.build("vae", vae.code_space, latent_dim=1, hidden=(4,)))
    with pytest.raises(ValueError, match="as its p\\(z\\) is known by draws alone; use vae"):
        rp.complete(bounded, x, mask)
    with pytest.raises(ValueError, match="mask: expected bool of shape"):
        rp.complete(vae, x, torch.ones(8, 8, dtype=torch.bool))
    for words in ({"draws": 0}, {"steps": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(words))}: expected"):
            rp.complete(vae, x, mask, **words)


def test_a_row_draws_by_its_own_noise_whichever_part_of_others_is_given():
    """Of rows of which all, a part or nothing is given: each as if it stood alone."""
    model = rp.build("vae", Space((6,), "binary"), latent_dim=2, hidden=(6,), seed=0).double()
    x = torch.ones(4, 6, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([6, 3, 0, 2])[:, None]

    def drawn(rows: list[int]) -> Tensor:
        with numerics.own_noise([seeded(row) for row in rows]):
            return rp.complete(model.eval(), x[rows], mask[rows], draws=5, steps=20).x

    together = drawn([0, 1, 2, 3])
    assert len(together[1:, :, 3:].flatten(0, 1).unique(dim=0)) > 5
    for row in range(4):
        assert (drawn([row])[0] == together[row]).all()


def test_so_many_draws_at_once_as_memory_allows(monkeypatch):
    """Of one row, too: each with its own part, and the share of acceptances of all."""
    model = rp.build("vae", Space((4,), "binary"), latent_dim=1, hidden=(4,), seed=0).eval()
    seen: list[int] = []
    model.decoder.register_forward_hook(lambda module, args, out: seen.append(len(out)))
    monkeypatch.setattr("reparam.batching.DRAWS_AT_ONCE", 16)
    x, mask = torch.eye(4)[:2], torch.tensor([True, True, False, False])
    found = rp.complete(model, x, mask, draws=25, steps=2)
    assert max(seen) == 16 and found.x.shape == (2, 25, 4)
    assert (found.x[..., :2] == x[:, None, :2]).all() and 0 < (found.acceptance or 0) <= 1


def test_whole_numbers_that_float32_would_round_stay_as_they_are():
    x = torch.tensor([[1_700_000_001, 1_700_000_003, 5]])
    for name in ("vae", "made"):
        model = rp.build(name, Space((3,), "real"), hidden=(4,), seed=0).eval()
        found = rp.complete(model, x, torch.tensor([True, True, False]), steps=2).x
        assert found.dtype == torch.float64 and (found[0, 0, :2] == x[0, :2]).all()
