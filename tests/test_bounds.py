"""What is called a lower bound lies below the truth, and is no arbitrary number below it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import reparam as rp
from reparam.model import Batch, Model, Space


def linear_gaussian(shift: float) -> tuple[Model, Tensor, Tensor]:
    """A VAE of 3 real entries, two rows of x, and log p(x) of the rows by SciPy."""
    space = Space((3,), "real")
    weight = torch.tensor([[1.0, 0.0], [0.5, -0.7], [0.0, 1.2]], dtype=torch.float64)
    encoder, decoder = nn.Linear(3, 4), nn.Linear(2, 3)
    parts = (rp.DiagonalNormal(2), rp.StandardNormal(2), rp.Normal(space, "fixed", 0.8))
    model = rp.VAE(space, encoder, decoder, *parts).double()
    with torch.no_grad():
        decoder.weight.copy_(weight)
        decoder.bias.zero_()
        encoder.weight.mul_(0.3)
        encoder.bias.copy_(torch.tensor([shift, 0.0, -0.5, -0.5]))
    x = torch.tensor([[0.3, -1.0, 0.5], [2.0, 0.1, -0.4]], dtype=torch.float64)
    covariance = weight @ weight.T + 0.64 * torch.eye(3)
    truth = stats.multivariate_normal(np.zeros(3), covariance.numpy()).logpdf(x.numpy())
    return model, x, torch.as_tensor(truth)


@pytest.mark.parametrize("samples", [1, 4, 16])
def test_a_lower_bound_is_below_the_truth_on_average(samples):
    model, x, truth = linear_gaussian(shift=0.6)
    generator = torch.Generator().manual_seed(0)
    many = x.repeat_interleave(4000, 0)
    found = model.log_prob(many, samples=samples, generator=generator)
    assert found.kind == "lower bound"
    values = found.value.view(2, 4000)
    mean, error = values.mean(1), values.std(1) / math.sqrt(4000)
    assert (mean < truth + 4 * error).all()
    # It is no arbitrary number below it: E of the mean weight exp(value) is p(x) itself.
    weights = (values - truth[:, None]).exp()
    assert ((weights.mean(1) - 1).abs() < 4 * weights.std(1) / math.sqrt(4000)).all()


def test_dequantized_densities_are_below_the_mass_of_their_cells():
    """PCA on 2-D levels: log p is at most the log of the density's integral over the unit cell."""
    space = Space((2,), "levels", 9)
    x = random_levels()
    model = rp.build("pca", space, latent_dim=1).double()
    model.stages[0].solve(model, [Batch(x)])
    centered = (x - x.mean(0)).numpy()
    # pPCA with q = D − 1 reproduces the covariance itself (x and its uniform noise).
    covariance = centered.T @ centered / len(x) + np.eye(2) / 12
    cells = stats.multivariate_normal((x.mean(0) + 0.5).numpy(), covariance)
    bound = model.log_prob(x).value
    nodes, node_weights = np.polynomial.legendre.leggauss(24)  # smooth over a unit cell: exact
    u, w = (nodes + 1) / 2, node_weights / 2
    grid = np.stack(np.meshgrid(u, u, indexing="ij"), -1).reshape(-1, 2)
    weights = np.outer(w, w).ravel()
    points = x.numpy()[:, None, :] + grid
    mass = torch.as_tensor(np.log(cells.pdf(points) @ weights))
    gap = mass - bound
    assert (gap > 0).all()
    assert gap.max() < 0.5  # σ of several levels: dequantization costs little


def random_levels() -> Tensor:
    generator = torch.Generator().manual_seed(2)
    latent = torch.randn(300, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(300, 2, generator=generator, dtype=torch.float64)
    mixed = latent @ torch.tensor([[1.5, 1.0]], dtype=torch.float64) + noise + 4
    return mixed.round().clamp(0, 8)
