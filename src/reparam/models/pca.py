"""Principal component analysis as the density it is: probabilistic PCA in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.model import (
    Batch,
    Code,
    Codec,
    Density,
    LogProb,
    Loss,
    Model,
    Solve,
    Space,
    Stage,
    positive_count,
)

VARIANCE_FLOOR = 1e-6  # of the mean variance: constant entries leave no noise to measure


class PCA(Codec, Density):
    """x = W z + μ + ε with z ~ N(0, I), ε ~ N(0, σ² I): x ~ N(μ, C), C = W Wᵀ + σ² I.

    Maximum likelihood in closed form: with eigenvalues λ and eigenvectors U of the covariance
    (1/n), W = U_q (Λ_q − σ² I)^½ and σ² the mean of the D − q discarded eigenvalues.
    ``encode`` is Uᵀ(x−μ) and ``decode`` μ + Uz, the orthogonal projector that users of PCA expect;
    the posterior mean of the density would shrink the code.

    Binary and levels data are dequantised, x + u with u uniform in [0, 1): the covariance gains
    I/12, the mean ½, and E_u log p(x+u) = log p(x+½) − tr(C⁻¹)/24 exactly.

    Args:
        space: what x is.
        latent_dim: q, the number of components, less than D.

    Shape: x (B, *space.shape), code (B, q).

    Likelihood: exact for real data, a lower bound for binary and levels data.

    Cost: one covariance of the training data (the Gram matrix when D exceeds n), one
    eigendecomposition.

    Reference: Tipping & Bishop 1999, "Probabilistic principal component analysis", eq. 7 and 8.

    >>> from reparam.model import Batch
    >>> x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 1.0], [2.0, 1.0]])
    >>> model = PCA(Space((2,), "real"), latent_dim=1)
    >>> model.stages[0].solve(model, [Batch(x)])
    >>> [round(v, 4) for v in [model.eigenvalues.item(), model.variance.item()]]  # (3 ± √5)/4
    [1.309, 0.191]
    """

    def __init__(self, space: Space, latent_dim: int) -> None:
        super().__init__(space)
        positive_count("latent_dim", latent_dim)
        if latent_dim >= space.dimension:
            raise ValueError(
                f"latent_dim: expected less than the {space.dimension} entries of x, "
                f"got {latent_dim}"
            )
        self.latent_dim = latent_dim
        self.register_buffer("mean", torch.zeros(space.dimension))
        self.register_buffer("components", torch.eye(space.dimension, latent_dim))
        self.register_buffer("eigenvalues", torch.ones(latent_dim))
        self.register_buffer("variance", torch.ones(()))
        self.mean: Tensor
        self.components: Tensor
        self.eigenvalues: Tensor
        self.variance: Tensor

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Solve("eigendecomposition", _solve),)

    @property
    def code_space(self) -> Space:
        return Space((self.latent_dim,), "real")

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        nll = -self.log_prob(x, c).value
        return Loss(nll.mean(), {"nll": nll})

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c)
        return (x.flatten(1) - self.mean) @ self.components

    def decode(self, code: Code, c: Tensor | None = None) -> Tensor:
        flat = self.prepare_code(code) @ self.components.T + self.mean
        return flat.view(-1, *self.space.shape)

    @torch.no_grad()
    def sample(
        self, n: int, c: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        positive_count("n", n)
        self._condition(c, n)
        z = numerics.noise(self.mean.new_empty(n, self.latent_dim), "normal", generator)
        flat = z * (self.eigenvalues - self.variance).clamp(min=0).sqrt() @ self.components.T
        flat = flat + self.mean
        flat += self.variance.sqrt() * numerics.noise(flat, "normal", generator)
        x, levels = flat.view(-1, *self.space.shape), self.space.level_count
        return x if levels is None else (x + 0.5).floor().clamp(0, levels - 1)

    def log_prob(
        self,
        x: Tensor,
        c: Tensor | None = None,
        *,
        samples: int = 1,
        generator: torch.Generator | None = None,
    ) -> LogProb:
        positive_count("samples", samples)
        x, c = self.prepare(x, c)
        # In levels data mean and x both carry the ½ of the noise, which therefore cancels.
        centred = x.flatten(1) - self.mean
        code = centred @ self.components
        # Explicitly, because ‖x−μ‖² − ‖code‖² cancels where the reconstruction is good.
        residual = (centred - code @ self.components.T).square().sum(1)
        mahalanobis = (code.square() / self.eigenvalues).sum(1) + residual / self.variance
        rest = self.space.dimension - self.latent_dim
        log_det = self.eigenvalues.log().sum() + rest * self.variance.log()
        value = -0.5 * (mahalanobis + log_det + self.space.dimension * math.log(2 * math.pi))
        if self.space.kind == "real":
            return LogProb(value, "exact")
        trace = (1 / self.eigenvalues).sum() + rest / self.variance
        return LogProb(value - trace / 24, "lower bound")


@torch.no_grad()
def _solve(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, PCA)
    n, mean = _mean(batches)
    dimension, q = model.space.dimension, model.latent_dim
    if n <= q:
        raise ValueError(f"latent_dim: expected less than the {n} training examples, got {q}")
    eigenvalues, components = _spectrum(batches, mean, n, q)
    total = _total_variance(batches, mean, n)
    rest = (total - eigenvalues.sum()).clamp(min=0) / (dimension - q)
    if model.space.kind != "real":  # the variance of uniform noise
        eigenvalues, rest = eigenvalues + 1 / 12, rest + 1 / 12
    floor = (VARIANCE_FLOOR * total / dimension).clamp(min=1e-12)
    model.mean.copy_(mean)
    model.components.copy_(components)
    model.variance.copy_(rest.clamp(min=floor))
    model.eigenvalues.copy_(torch.maximum(eigenvalues, model.variance.to(eigenvalues)))


def _rows(batches: Iterable[Batch]) -> Iterable[Tensor]:
    return (x.flatten(1).to(numerics.accumulator(x)) for x, _ in batches)


def _mean(batches: Iterable[Batch]) -> tuple[int, Tensor]:
    n, total = 0, torch.zeros(())
    for x in _rows(batches):
        n, total = n + len(x), total.to(x) + x.sum(0)
    return n, total / n


def _total_variance(batches: Iterable[Batch], mean: Tensor, n: int) -> Tensor:
    parts = [(x - mean).square().sum() for x in _rows(batches)]
    return torch.stack(parts).sum() / n


def _spectrum(batches: Iterable[Batch], mean: Tensor, n: int, q: int) -> tuple[Tensor, Tensor]:
    """The q largest eigenvalues and their eigenvectors (D, q), in descending order."""
    dimension = len(mean)
    if dimension <= n:
        covariance = mean.new_zeros(dimension, dimension)
        for x in _rows(batches):
            covariance.addmm_((x - mean).T, x - mean, alpha=1 / n)
        values, vectors = torch.linalg.eigh(covariance)
        return values.flip(0)[:q].clamp(min=0), vectors.flip(1)[:, :q]
    centred = torch.cat([x - mean for x in _rows(batches)])
    _, singular, vectors = torch.linalg.svd(centred, full_matrices=False)
    return singular[:q].square() / n, vectors[:q].T
