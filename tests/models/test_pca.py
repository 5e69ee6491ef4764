"""PCA and probabilistic PCA against scikit-learn, closed forms, quadrature and counted draws."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import decomposition

import reparam as rp
from reparam.model import Batch, Space
from reparam.models.pca import PCA

F64 = torch.float64
Array = np.ndarray


def data(n: int, dimension: int, seed: int = 0) -> Array:
    """Correlated columns of different scales, far from zero."""
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dimension, dimension)) / np.sqrt(np.arange(1, dimension + 1))[:, None]
    return rng.normal(size=(n, dimension)) @ mix + rng.normal(size=dimension) * 10


def solved(x: Array, q: int, space: Space | None = None, dtype: torch.dtype = F64) -> PCA:
    model = PCA(space or Space(x.shape[1:], "real"), q).to(dtype)
    rows = torch.as_tensor(x)
    model.stages[0].solve(model, [Batch(rows[: len(x) // 3]), Batch(rows[len(x) // 3 :])])
    return model


def spectrum(x: Array) -> tuple[Array, Array]:
    """Eigenvalues of the 1/n covariance, descending, and their eigenvectors, by NumPy."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    return values[::-1], vectors[:, ::-1]


def closed_form(x: Array, q: int, noise: float = 0.0) -> tuple[Array, Array]:
    """Mean and covariance of pPCA's maximum likelihood, Tipping & Bishop eq. 7 and 8.

    ``noise`` is added to the diagonal of the data's covariance before it is decomposed.
    """
    values, vectors = spectrum(x)
    values = values + noise
    sigma2 = values[q:].mean()
    weight = vectors[:, :q] * np.sqrt(values[:q] - sigma2)
    return x.mean(0), weight @ weight.T + sigma2 * np.eye(x.shape[1])


def test_log_prob_is_torchs_multivariate_normal():
    x, q = data(200, 6), 2
    mean, covariance = closed_form(x, q)
    law = torch.distributions.MultivariateNormal(torch.as_tensor(mean), torch.as_tensor(covariance))
    found = solved(x, q).log_prob(torch.as_tensor(x))
    torch.testing.assert_close(found.value, law.log_prob(torch.as_tensor(x)), rtol=1e-10, atol=0)
    assert found.kind == "exact"
    assert found.samples == 1


@pytest.mark.parametrize("kind", ["real", "levels"])
def test_attributes_are_scikit_learns(kind):
    """Shares of the variance need no n or n − 1; noise that dequantizes is no part of the data."""
    space = Space((6,), kind, 9 if kind == "levels" else None)
    x = data(50, 6)
    if kind == "levels":
        x = np.clip(np.round(x - x.mean(0) + 4), 0, 8)
    model, theirs = solved(x, 3, space), decomposition.PCA(3).fit(x)
    ours = model.explained_variance_ratio.numpy()
    np.testing.assert_allclose(ours, theirs.explained_variance_ratio_, rtol=1e-9)
    wanted = theirs.explained_variance_ * 49 / 50
    np.testing.assert_allclose(model.explained_variance.numpy(), wanted, rtol=1e-9)
    noise = model.noise_variance.item() - (1 / 12 if kind == "levels" else 0)
    assert noise == pytest.approx(theirs.noise_variance_ * 49 / 50, rel=1e-9)
    assert model.components.shape == theirs.components_.shape
    cosines = (model.components.numpy() * theirs.components_).sum(1)
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-9)
    np.testing.assert_allclose(model.mean.numpy(), theirs.mean_, rtol=1e-12)


def test_log_prob_is_scikit_learns_after_its_covariance_is_rescaled():
    """scikit-learn divides by n−1: its Λ and σ² times (n−1)/n are the maximum likelihood."""
    x, q = data(60, 6), 3
    theirs = decomposition.PCA(q, svd_solver="full").fit(x)
    unscaled = theirs.score_samples(x)
    theirs.explained_variance_ *= (len(x) - 1) / len(x)
    theirs.noise_variance_ *= (len(x) - 1) / len(x)
    found = solved(x, q).log_prob(torch.as_tensor(x)).value.numpy()
    np.testing.assert_allclose(found, theirs.score_samples(x), rtol=1e-10)
    assert np.abs(found - unscaled).max() > 1e-3  # the rescaling is not idle
    assert found.mean() > unscaled.mean()  # and ours is the maximum


def test_training_evidence_has_its_closed_form():
    """−½[Σ_{i≤q} ln λ_i + (D−q) ln σ² + D + D ln 2π], the mean over the training data."""
    x, q = data(150, 7), 3
    values, _ = spectrum(x)
    sigma2 = values[q:].mean()
    dimension = x.shape[1]
    evidence = -0.5 * (
        np.log(values[:q]).sum()
        + (dimension - q) * math.log(sigma2)
        + dimension
        + dimension * math.log(2 * math.pi)
    )
    model = solved(x, q)
    rows = torch.as_tensor(x)
    assert model.log_prob(rows).value.mean().item() == pytest.approx(evidence, rel=1e-12)
    assert model.loss(rows).objective.item() == pytest.approx(-evidence, rel=1e-12)


def test_it_is_the_maximum_of_the_likelihood():
    """No nearby σ², mean or eigenvalue does better on the training data."""
    x, q = data(150, 5), 2
    model, rows = solved(x, q), torch.as_tensor(data(150, 5))
    best = model.log_prob(rows).value.mean().item()
    for name in ("noise_variance", "eigenvalues", "mean"):
        for factor in (0.97, 1.03):
            moved = solved(x, q)
            getattr(moved, name).mul_(factor)
            assert moved.log_prob(rows).value.mean().item() < best


@pytest.mark.parametrize("n,dimension,q", [(200, 8, 3), (9, 30, 4)], ids=["n>D", "n<D"])
def test_reconstruction_is_the_orthogonal_projector(n, dimension, q):
    x = data(n, dimension)
    model, rows = solved(x, q), torch.as_tensor(x)
    values, vectors = spectrum(x)
    error = (model.reconstruct(rows) - rows).square().sum(1).mean().item()
    assert error == pytest.approx(values[q:].sum(), rel=1e-10)
    projector = vectors[:, :q] @ vectors[:, :q].T
    wanted = (x - x.mean(0)) @ projector + x.mean(0)
    np.testing.assert_allclose(model.reconstruct(rows).numpy(), wanted, rtol=1e-9, atol=1e-9)
    gram = (model.components @ model.components.T).numpy()
    np.testing.assert_allclose(gram, np.eye(q), atol=1e-12)
    np.testing.assert_allclose(
        model.encode(rows).var(0, correction=0).numpy(), values[:q], rtol=1e-9
    )
    # A code that lies in the plane comes back.
    code = torch.randn(5, q, dtype=F64)
    torch.testing.assert_close(model.encode(model.decode(code)), code)


def test_the_posterior_mean_reconstructs_worse_by_what_it_shrinks():
    """Σ_{i≤q} σ⁴/λ_i more squared error than the projector, W M⁻¹Wᵀ(x−μ) computed from C."""
    x, q = data(300, 6), 2
    values, vectors = spectrum(x)
    model, rows = solved(x, q), torch.as_tensor(x)
    sigma2 = model.noise_variance.item()
    # E[Wz + μ | x] = μ + (C − σ²I) C⁻¹ (x − μ), the covariance read off the density itself:
    # −∇² log p is C⁻¹.
    hessian = torch.autograd.functional.hessian(lambda v: model.log_prob(v[None]).value[0], rows[0])
    covariance = torch.linalg.inv(-hessian)
    gain = torch.eye(6, dtype=F64) - sigma2 * torch.linalg.inv(covariance)
    mean = torch.as_tensor(x.mean(0))
    posterior = mean + (rows - mean) @ gain.T
    error = (posterior - rows).square().sum(1).mean().item()
    projector = (model.reconstruct(rows) - rows).square().sum(1).mean().item()
    assert error - projector == pytest.approx((sigma2**2 / values[:q]).sum(), rel=1e-8)
    np.testing.assert_allclose(np.abs(vectors[:, 0] @ model.components.numpy()[0]), 1, rtol=1e-10)


def test_fewer_rows_than_entries():
    """All D − q discarded eigenvalues are averaged, the zero ones too (scikit-learn averages the
    n − q it has): compared with the covariance route, which is another code path."""
    x, q = data(9, 30), 4
    mean, covariance = closed_form(x, q)
    law = stats.multivariate_normal(mean, covariance)
    model = solved(x, q)
    assert model.noise_variance.item() == pytest.approx(spectrum(x)[0][q:].sum() / 26, rel=1e-10)
    new = data(9, 30, seed=0) + 0.1
    found = model.log_prob(torch.as_tensor(new)).value.numpy()
    np.testing.assert_allclose(found, law.logpdf(new), rtol=1e-8)


# ------------------------------------------------------------------- levels and binary


def level_data(n: int = 400) -> tuple[Array, Space]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 4)) * 3 + rng.normal(size=(n, 4)) + 8
    return np.clip(np.round(x), 0, 16), Space((4,), "levels", 17)


@pytest.mark.parametrize("kind", ["levels", "binary"])
def test_dequantized_value_is_its_closed_form_and_its_expectation(kind):
    x, space = level_data()
    if kind == "binary":
        x, space = (x > 8).astype(float), Space((4,), "binary")
    q = 2
    mean, covariance = closed_form(x, q, noise=1 / 12)
    law = stats.multivariate_normal(mean + 0.5, covariance)
    rows = x[:20]
    found = solved(x, q, space).log_prob(torch.as_tensor(rows))
    closed = law.logpdf(rows + 0.5) - np.trace(np.linalg.inv(covariance)) / 24
    np.testing.assert_allclose(found.value.numpy(), closed, rtol=1e-10)
    assert found.kind == "lower bound"
    u = np.random.default_rng(0).uniform(size=(4000, 1, 4))
    draws = law.logpdf(rows + u)
    error = draws.std(0) / math.sqrt(len(draws))
    assert (np.abs(draws.mean(0) - found.value.numpy()) < 4.5 * error).all()  # 20 rows
    assert (error < 0.1).all()


def test_levels_are_projected_in_their_own_units():
    """Neither the ½ nor the I/12 of the noise enters codes and reconstructions."""
    x, space = level_data()
    model, rows = solved(x, 2, space), torch.as_tensor(x)
    values, _ = spectrum(x)
    error = (model.reconstruct(rows) - rows).square().sum(1).mean().item()
    assert error == pytest.approx(values[2:].sum(), rel=1e-10)


def test_samples_have_the_covariance_of_the_density():
    x, q = data(300, 4), 2
    model = solved(x, q)
    n = 40_000
    draws = model.sample(n, generator=torch.Generator().manual_seed(0)).numpy()
    mean, covariance = closed_form(x, q)
    sd = np.sqrt(np.diag(covariance))
    assert (np.abs(draws.mean(0) - mean) < 4.5 * sd / math.sqrt(n)).all()
    # The standard error of a sample covariance of normals: √((c_ii c_jj + c_ij²)/n).
    error = np.sqrt((np.outer(sd, sd) ** 2 + covariance**2) / n)
    assert (np.abs(np.cov(draws.T) - covariance) < 4.5 * error).all()
    # The normalized rows are χ² with D degrees of freedom: the law, not just its moments.
    chi2 = np.einsum("ni,ij,nj->n", draws - mean, np.linalg.inv(covariance), draws - mean)
    assert stats.kstest(chi2, stats.chi2(4).cdf).pvalue > 1e-4


def test_samples_of_levels_are_centered_on_the_data():
    """Rounded down from x + u with u in [0, 1): the mean is that of x, not half a level off."""
    x, space = level_data()
    inside = np.clip(x, 5, 11)  # far from the ends at 0 and 16, where clamping would move it
    model = solved(inside, 2, space)
    n = 40_000
    draws = model.sample(n, generator=torch.Generator().manual_seed(0)).numpy()
    sd = np.sqrt(np.diag(np.cov(inside.T)) + 1 / 6)
    assert (np.abs(draws.mean(0) - inside.mean(0)) < 4.5 * sd / math.sqrt(n) + 0.01).all()


# --------------------------------------------------------------------- edges, refusals


@pytest.mark.parametrize("q", [4, 5])
def test_as_many_components_as_entries_are_refused(q):
    with pytest.raises(ValueError, match=f"latent_dim: expected less than the 4 entries.* {q}"):
        PCA(Space((4,), "real"), q)


def test_as_many_components_as_rows_are_refused():
    with pytest.raises(ValueError, match="latent_dim: expected less than the 3 training examples"):
        solved(data(3, 9), 3)


def test_a_column_that_follows_from_the_others_leaves_a_finite_density():
    x = data(100, 4)
    x[:, 1] = 2 * x[:, 0] - x[:, 2]
    model = solved(x, 3)  # the discarded eigenvalue is 0: nothing measures the noise
    found = model.log_prob(torch.as_tensor(x)).value
    assert found.isfinite().all()
    assert model.noise_variance > 0
    torch.testing.assert_close(model.reconstruct(torch.as_tensor(x)), torch.as_tensor(x))


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("n", [100, 5], ids=["n>D", "n<D"])
def test_constant_columns_change_nothing(standardize, n):
    """The model of a table is that of the table without them, and they come back exactly."""
    varying, places = data(n, 5), [0, 2, 3, 5, 6]
    x = np.empty((n, 7))
    x[:, places], x[:, 1], x[:, 4] = varying, 0.1, -7e8
    whole, alone = (PCA(Space((d,), "real"), 2, standardize).to(F64) for d in (7, 5))
    for model, rows in ((whole, x), (alone, varying)):
        for stage in model.stages:
            stage.solve(model, [Batch(torch.as_tensor(rows))])
    rows, kept = torch.as_tensor(x), torch.as_tensor(varying)
    wanted = alone.log_prob(kept).value
    torch.testing.assert_close(whole.log_prob(rows).value, wanted, rtol=1e-10, atol=1e-10)
    assert whole.noise_variance.item() == pytest.approx(alone.noise_variance.item(), rel=1e-12)
    assert whole.counted == 5
    back, drawn = whole.reconstruct(rows), whole.sample(20)
    torch.testing.assert_close(back[:, places], alone.reconstruct(kept), rtol=1e-12, atol=1e-10)
    for found in (back, drawn):
        assert (found[:, 1] == 0.1).all() and (found[:, 4] == -7e8).all()
    rows[1, 4] += 1.0
    assert whole.log_prob(rows).value.isneginf().nonzero().flatten().tolist() == [1]


def test_fewer_columns_that_vary_than_components_are_refused():
    x = data(100, 4)
    x[:, 1] = 7.0
    with pytest.raises(ValueError, match="latent_dim: expected less than the 3 entries .*, got 3"):
        solved(x, 3)
    with pytest.raises(ValueError, match="training data: every row is the same"):
        solved(np.full((10, 3), 2.5), 1)


def test_standardized_components_are_those_of_the_correlations():
    """Its density is that of pPCA on (x − m)/s, less Σ log s; units of x change nothing else."""
    x = data(200, 5) * [1, 1e3, 1e-2, 1e6, 1] + [0, 0, 0, 1.7e9, 0]
    model = PCA(Space((5,), "real"), 2, standardize=True).to(F64)
    for stage in model.stages:
        stage.solve(model, [Batch(torch.as_tensor(x))])
    z = (x - x.mean(0)) / x.std(0)
    mean, covariance = closed_form(z, 2)
    wanted = stats.multivariate_normal(mean, covariance).logpdf(z) - np.log(x.std(0)).sum()
    rows = torch.as_tensor(x)
    # 1e9 beside a deviation of 1e6: seven digits are left of sixteen, in the oracle as well.
    np.testing.assert_allclose(model.log_prob(rows).value, wanted, rtol=1e-6)
    projected = decomposition.PCA(2).fit(z)
    back = projected.inverse_transform(projected.transform(z)) * x.std(0) + x.mean(0)
    errors = (model.reconstruct(rows).numpy() - back) / x.std(0)
    np.testing.assert_allclose(errors, 0, atol=1e-5)
    torch.manual_seed(0)
    drawn = (model.sample(20_000).numpy() - x.mean(0)) / x.std(0)
    # A correlation of 20 000 draws has a standard error below 0.008; four of them.
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03)
    with pytest.raises(ValueError, match="standardize: the entries of levels data"):
        PCA(Space((5,), "levels", 9), 2, standardize=True)


def test_float32_agrees_far_from_zero():
    """A float32 model keeps its statistics, and computes its density, in float64."""
    x = (data(300, 6) + 1000).astype(np.float32)
    exact, single = solved(x, 2), solved(x, 2, dtype=torch.float32)
    rows = torch.as_tensor(x[:50])
    found = single.log_prob(rows).value
    assert (found - exact.log_prob(rows).value).abs().max() < 1e-9
    assert single.encode(rows).dtype == torch.float32


def test_images_keep_their_shape():
    x = data(50, 12).reshape(50, 3, 2, 2)
    model = solved(x, 3, Space((3, 2, 2), "real"))
    flat = solved(x.reshape(50, 12), 3)
    rows = torch.as_tensor(x)
    assert model.reconstruct(rows).shape == (50, 3, 2, 2)
    torch.testing.assert_close(model.log_prob(rows).value, flat.log_prob(rows.flatten(1)).value)
    torch.testing.assert_close(model.encode(rows).abs(), flat.encode(rows.flatten(1)).abs())


def archive() -> Path | None:
    folder = os.environ.get("REPARAM_DATA")
    path = Path(folder or "", "mnist.npz")
    return path if folder and path.is_file() else None


@pytest.mark.skipif(archive() is None, reason="REPARAM_DATA holds no mnist.npz")
def test_pca_30_on_mnist():
    """Squared error per test image of pixels/255, as published: 13.866."""
    file = archive()
    assert file is not None
    with np.load(file, allow_pickle=False) as arrays:
        train, test = arrays["x_train"], arrays["x_test"]
    space = Space((1, 28, 28), "levels", 256)
    model = rp.build("pca", space, latent_dim=30).double()
    rows = torch.as_tensor(train)[:, None]
    model.stages[0].solve(model, [Batch(part) for part in rows.split(1000)])
    total = 0.0
    for part in torch.as_tensor(test)[:, None].split(1000):
        total += ((model.reconstruct(part) - part) / 255).square().sum().item()
    assert total / len(test) == pytest.approx(13.866, abs=0.0005)
