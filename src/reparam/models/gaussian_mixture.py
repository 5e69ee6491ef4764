"""The Gaussian mixture of real vectors, codes among them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.varying import Varying
from reparam.buffers import Float64Buffers
from reparam.limits import Count, limited
from reparam.model import (
    Batch,
    Density,
    LogProb,
    Model,
    Solve,
    Space,
    Stage,
)

REGULARIZATION = 1e-6  # on the covariances of standardized columns, as in scikit-learn


class GaussianMixture(Float64Buffers, Density):
    """p(x) = Σ_k π_k N(x; μ_k, Σ_k) with full covariances, fitted by expectation maximization.

    The fit is scikit-learn's, on standardized columns (so that units do not matter), from k-means;
    the log-density is in the units of x. Columns that are constant in the training data are left
    out and come back exactly; D counts the others.

    Args:
        space: real vectors.
        components: K ≥ 1, at most as many as training examples.

    Shape: x (B, D).

    Likelihood: exact.

    Cost: a Cholesky factor of every Σ_k per call; EM over all training rows at once, in memory.

    Reference: McLachlan & Peel 2000, "Finite mixture models".

    >>> model = GaussianMixture(Space((1,), "real"), components=1)
    >>> model.log_prob(torch.zeros(1, 1)).value  # N(0; 0, 1) before any fit
    tensor([-0.9189], dtype=torch.float64)
    """

    @limited
    def __init__(self, space: Space, components: Count = 10) -> None:
        super().__init__(space)
        if space.kind != "real" or space.is_image:
            raise ValueError(f"space: expected real vectors, got {space.kind} {space.shape}")
        self.components, d = components, space.dimension
        self.varying = Varying(space)
        self.register_buffer("weights", torch.full((components,), 1 / components).double())
        self.register_buffer("means", torch.zeros(components, d, dtype=torch.float64))
        covariances = torch.zeros(components, d, d, dtype=torch.float64)
        covariances.diagonal(dim1=1, dim2=2).fill_(1)
        self.register_buffer("covariances", covariances)
        self.weights: Tensor
        self.means: Tensor
        self.covariances: Tensor

    @property
    def counted(self) -> int:
        return self.varying.count

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Solve("expectation maximization", _solve),)

    def refuse_rows(self, rows: int) -> None:
        if rows < max(self.components, 2):
            raise ValueError(
                f"components: expected at most the {rows} training examples (two or more), "
                f"got {self.components}"
            )

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        factor = torch.linalg.cholesky(self.covariances)  # (K, D, D)
        centered = self.varying(x.to(self.means)[:, None] - self.means).movedim(0, 2)  # (K, D, B)
        standardized = torch.linalg.solve_triangular(factor, centered, upper=False)
        log_det = factor.diagonal(dim1=1, dim2=2).log().sum(1, keepdim=True)  # (K, 1)
        constant = 0.5 * self.counted * math.log(2 * math.pi)
        log_normal = -0.5 * standardized.square().sum(1) - log_det - constant  # (K, B)
        value = (self.weights.log()[:, None] + log_normal).logsumexp(0)
        return LogProb(value + self.varying.log_support(x), "exact")

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        uniform = numerics.noise(self.weights.new_empty(n), "uniform", generator)
        component = torch.searchsorted(self.weights.cumsum(0), uniform, right=True)
        component = component.clamp(max=self.components - 1)
        normal = numerics.noise(self.means.new_empty(n, self.space.dimension), "normal", generator)
        factor = torch.linalg.cholesky(self.covariances)[component]  # (n, D, D)
        x = self.means[component] + (factor @ normal[:, :, None]).squeeze(2)
        return self.varying.restore(x)


@torch.no_grad()
def _solve(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, GaussianMixture)
    from sklearn.mixture import GaussianMixture as Fit  # here: it takes a second to import

    x = torch.cat([batch.x.cpu().double() for batch in batches])
    model.refuse_rows(len(x))
    model.varying.learn(batch.x for batch in batches)
    varies = model.varying.mask.cpu()
    x = x[:, varies]
    shift, scale = x.mean(0), x.std(0, correction=0)
    # The seed comes from the default generator, which training seeds.
    seed = int(torch.randint(2**31 - 1, ()))
    fit = Fit(model.components, max_iter=500, reg_covar=REGULARIZATION, random_state=seed).fit(
        ((x - shift) / scale).numpy()
    )
    model.weights.copy_(torch.as_tensor(fit.weights_ / fit.weights_.sum()))
    means = torch.zeros(model.means.shape, dtype=x.dtype)
    means[:, varies] = torch.as_tensor(fit.means_) * scale + shift
    # Constants have the identity's place in the factors, where it changes nothing.
    covariances = torch.eye(len(varies), dtype=x.dtype).repeat(model.components, 1, 1)
    both = varies[:, None] & varies
    scaled = torch.as_tensor(fit.covariances_) * torch.outer(scale, scale)
    covariances[:, both] = scaled.flatten(1)
    model.means.copy_(means)
    model.covariances.copy_(covariances)
