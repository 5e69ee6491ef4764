"""The Gaussian mixture against SciPy, closed forms and its own draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import special, stats
from sklearn.mixture import GaussianMixture as Reference

import reparam as rp
from reparam.model import Batch, Space

SPACE = Space((2,), "real")


def clusters():
    """Three clusters so far apart that every responsibility is 0 or 1 to e^-1000."""
    rng = np.random.default_rng(0)
    scales = np.array([[1.0, 2.0], [0.5, 0.5], [2.0, 1.0]])
    centers = np.array([[0.0, 0.0], [300.0, 0.0], [0.0, 500.0]])
    sizes = (50, 100, 150)
    return [
        c + rng.normal(size=(n, 2)) * s @ np.array([[1.0, 0.4], [0.0, 1.0]])
        for c, s, n in zip(centers, scales, sizes, strict=True)
    ]


def fitted(x, components):
    model = rp.GaussianMixture(Space((x.shape[1],), "real"), components)
    cut = len(x) // 3
    x = torch.as_tensor(x)
    model.stages[0].solve(model, [Batch(x[:cut]), Batch(x[cut:])])
    return model


def test_separate_clusters_are_found_with_their_moments():
    """π_k = n_k/n, μ_k and Σ_k the cluster's own; Σ_k plus 1e-6 of the columns' variances."""
    parts = clusters()
    x = np.concatenate(parts)
    model = fitted(x, 3)
    order = [int(((model.means.numpy() - part.mean(0)) ** 2).sum(1).argmin()) for part in parts]
    assert sorted(order) == [0, 1, 2]
    for k, part in zip(order, parts, strict=True):
        assert model.weights[k].item() == pytest.approx(len(part) / 300, abs=1e-9)
        np.testing.assert_allclose(model.means[k].numpy(), part.mean(0), atol=1e-8)
        wanted = np.cov(part.T, bias=True) + 1e-6 * np.diag(x.var(0))
        np.testing.assert_allclose(model.covariances[k].numpy(), wanted, rtol=1e-7, atol=1e-7)


def test_log_prob_is_that_of_scipy_and_of_scikit_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 2)) @ np.array([[2.0, 1.0], [0.0, 0.5]]) + 3
    model = fitted(x, 4)
    points = torch.as_tensor(rng.normal(size=(50, 2)) * 4)
    found = model.log_prob(points)
    assert found.kind == "exact"
    weights, means, covariances = (
        b.numpy() for b in (model.weights, model.means, model.covariances)
    )
    parts = [
        np.log(w) + stats.multivariate_normal(m, c).logpdf(points.numpy())
        for w, m, c in zip(weights, means, covariances, strict=True)
    ]
    # Covariances of condition 100 at most: ten digits and more of sixteen are left.
    np.testing.assert_allclose(found.value.numpy(), special.logsumexp(parts, 0), rtol=1e-10)
    reference = Reference(4)
    reference.weights_, reference.means_, reference.covariances_ = weights, means, covariances
    reference.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(1, 2)
    np.testing.assert_allclose(
        found.value.numpy(), reference.score_samples(points.numpy()), rtol=1e-10
    )
    torch.testing.assert_close(model.loss(points).terms["nll"], -found.value)


def test_units_do_not_matter():
    x = np.random.default_rng(2).normal(size=(150, 2)) + [0, 5]
    gain, offset = np.array([1e3, 1e-4]), np.array([-1e4, 2.0])
    found = []
    for rows in (x, x * gain + offset):
        torch.manual_seed(0)
        found.append(fitted(rows, 3).log_prob(torch.as_tensor(rows)).value)
    # Rounding of the shifted rows, 1e4 · 1e-16 / 1e3, moves EM by about as little.
    torch.testing.assert_close(found[1] + np.log(gain).sum(), found[0], rtol=0, atol=1e-6)


def test_draws_come_from_the_components_as_often_as_they_should():
    parts = clusters()
    model = fitted(np.concatenate(parts), 3)
    x = model.sample(30000, generator=torch.Generator().manual_seed(0)).double().numpy()
    nearest = ((x[:, None] - np.stack([p.mean(0) for p in parts])) ** 2).sum(2).argmin(1)
    for k, part in enumerate(parts):
        share, mine = len(part) / 300, x[nearest == k]
        assert abs(len(mine) / 30000 - share) < 4 * np.sqrt(share * (1 - share) / 30000)
        covariance = np.cov(part.T, bias=True) + 1e-6 * np.diag(np.concatenate(parts).var(0))
        error = np.sqrt(np.diag(covariance) / len(mine))
        assert (np.abs(mine.mean(0) - part.mean(0)) < 4 * error).all()
        # Entries of a sample covariance have deviation at most √(2 s_i² s_j² / n).
        bound = 4 * np.sqrt(2 * np.outer(np.diag(covariance), np.diag(covariance)) / len(mine))
        assert (np.abs(np.cov(mine.T) - covariance) < bound).all()


def test_what_no_mixture_is_of_is_refused():
    for space in (Space((2,), "binary"), Space((1, 2, 2), "real")):
        with pytest.raises(ValueError, match="space: expected real vectors"):
            rp.GaussianMixture(space)
    with pytest.raises(ValueError, match="components: .*0"):
        rp.GaussianMixture(SPACE, 0)
    with pytest.raises(ValueError, match="components: expected at most the 5 .*got 6"):
        fitted(np.zeros((5, 2)), 6)


def test_a_constant_column_and_float32_weights_do_no_harm():
    """The density is that of the other columns, to rounding: scikit-learn is given the same."""
    x = np.random.default_rng(3).normal(size=(60, 3)) * [1, 0, 3] + [0, 7, 1.7e9]
    torch.manual_seed(0)  # of k-means
    model = fitted(x, 2).to(torch.float32)
    assert model.covariances.dtype == torch.float64  # Float64Buffers
    rows, kept = torch.as_tensor(x), x[:, [0, 2]]
    torch.manual_seed(0)
    alone = fitted(kept, 2)
    wanted = alone.log_prob(torch.as_tensor(kept)).value
    torch.testing.assert_close(model.log_prob(rows).value, wanted, rtol=1e-12, atol=0)
    assert (model.counted, alone.counted) == (2, 2)
    drawn = model.sample(500)
    assert drawn.dtype == torch.float64 and (drawn[:, 1] == 7).all()
    assert len(drawn[:, 2].unique()) == 500  # float32 knows one number in 128 there
    rows[0, 1] = 7.5
    assert model.log_prob(rows).value.isinf().tolist() == [True] + 59 * [False]
