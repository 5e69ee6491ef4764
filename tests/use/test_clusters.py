"""Clusters of codes, against data that have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.use.clusters import _KMeans

CENTERS = torch.tensor([[0.0, 0.0, 0.0], [12.0, 0.0, 0.0], [0.0, 12.0, 0.0]])


@pytest.fixture(scope="module")
def data() -> rp.Data:
    """Three groups of 60, 90 and 150 far apart, each a class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 60 + [1] * 90 + [2] * 150)
    x = CENTERS[labels] + torch.randn(300, 3, generator=generator)
    return rp.load_data((x.numpy(), labels.numpy()))


@pytest.fixture(scope="module")
def model(data: rp.Data) -> rp.PCA:
    model = rp.build("pca", data.space, latent_dim=2)
    rp.fit(model, data, progress=False)
    return model


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
@pytest.mark.parametrize("k", [3, "auto"])
def test_groups_that_are_far_apart_are_found(data, model, method, k):
    found = rp.cluster(model, data, k, method=method)
    assert len(found.sizes) == 3 and len(found.bic) == (0 if k == 3 else 20)
    labels = data.test.labels
    for number in range(3):
        assert len(labels[found.assigned == number].unique()) == 1
    sizes = torch.bincount(data.train.labels)
    largest = int(labels[found.assigned == 0][0])
    assert sizes[largest] == sizes.max()  # the largest comes first
    assert found.sizes.tolist() == torch.bincount(found.assigned).tolist()
    assert {name: score.value for name, score in found.scores.items()} == {
        "adjusted_rand": pytest.approx(1),
        "adjusted_mutual_information": pytest.approx(1),
    }


def test_typical_examples_are_the_nearest_to_their_center(data, model):
    found = rp.cluster(model, data, 3)
    codes = model.encode(data.test.x).double()
    for number, rows in enumerate(found.typical(4)):
        own = found.assigned == number
        distances = (codes - found.centers[number]).norm(dim=1)
        assert torch.allclose(found.distance[own], distances[own], atol=1e-4)
        assert own[rows].all() and (distances[rows].diff() >= 0).all()
        assert distances[rows[-1]] <= distances[own].sort().values[3] + 1e-6


@pytest.mark.parametrize("widest", [32, 1])
def test_the_distance_in_a_mixture_is_that_of_mahalanobis(data, model, monkeypatch, widest):
    """In the covariance of the cluster's own codes, whole, or of wide codes its diagonal."""
    monkeypatch.setattr("reparam.use.clusters.WIDEST_FULL", widest)
    found = rp.cluster(model, data, 3, method="mixture", split="train")
    codes = model.encode(data.train.x).double().numpy()
    for number in range(3):
        own = codes[(found.assigned == number).numpy()]
        covariance = np.cov(own.T, bias=True) * (1 if widest > 1 else np.eye(2))
        away = own - own.mean(0)
        squares = (away @ np.linalg.inv(covariance) * away).sum(1)
        # The mixture adds a millionth of the variance of all codes, at most 1e-4 of a cluster's.
        distance = found.distance[found.assigned == number].numpy()
        assert distance == pytest.approx(np.sqrt(squares), rel=1e-3)


def test_the_bic_of_k_means_is_that_of_its_normals():
    codes = np.random.default_rng(0).normal(size=(40, 2))
    codes[:10] += 8
    fitted = _KMeans.fit(codes, 2, 0)
    own, _ = fitted.nearest(codes)
    variance = ((codes - fitted.centers[own]) ** 2).mean()
    shares = np.bincount(own) / 40
    log_l = sum(
        math.log(shares[j]) + stats.multivariate_normal(fitted.centers[j], variance).logpdf(code)
        for code, j in zip(codes, own, strict=True)
    )
    assert fitted.bic(codes) == pytest.approx(6 * math.log(40) - 2 * log_l)


def test_noise_is_one_cluster(model):
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    alone = rp.load_data(x.numpy())
    for method in ("kmeans", "mixture"):
        found = rp.cluster(model, alone, "auto", method=method)
        assert len(found.sizes) == 1 and found.scores == {}


def test_other_examples_are_assigned_and_empty_clusters_stay(data, model):
    other = data.test.take(torch.tensor([0]))
    found = rp.cluster(model, data, 3, split=other)
    assert found.assigned.shape == (1,) and found.sizes.sum() == 1 and len(found.sizes) == 3
    rows: list[Tensor] = found.typical(5)
    assert sorted(map(len, rows)) == [0, 0, 1]


def test_what_cannot_be_clustered_is_refused(data, model):
    made = rp.build("made", data.space, hidden=(4,))
    with pytest.raises(ValueError, match="model: expected one with codes.* got Autoregressive"):
        rp.cluster(made, data, 3)
    with pytest.raises(ValueError, match="k: expected a positive whole number"):
        rp.cluster(model, data, 0)
    with pytest.raises(ValueError, match=f"k: expected at most the {len(data.train)} training"):
        rp.cluster(model, data, 1000)
    with pytest.raises(ValueError, match="method: expected kmeans or mixture"):
        rp.cluster(model, data, 3, method="ward")


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # fewer codes than k
def test_codes_that_repeat_themselves_are_as_many_clusters_as_there_are(model, method):
    x = CENTERS[torch.arange(90) % 3].numpy()
    found = rp.cluster(model, rp.load_data(x), "auto", method=method, split="train")
    assert len(found.sizes) == 3 and found.distance.max() < 1e-6


@pytest.mark.parametrize("method", ["kmeans", "mixture"])
def test_few_examples_are_no_clusters_of_one_each(model, method):
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(2))
    data = rp.load_data(x.numpy())
    found = rp.cluster(model, data, "auto", method=method, split="train")
    assert max(found.bic) == len(data.train) // 2
