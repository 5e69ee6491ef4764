"""Principal component analysis as the density it is: probabilistic PCA in closed form."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.standardization import standardization
from reparam.bijections.varying import Varying
from reparam.buffers import Float64Buffers
from reparam.inspection import Filters
from reparam.limits import Count, limited
from reparam.model import (
    Batch,
    Codec,
    Density,
    Domain,
    LogProb,
    Model,
    Solve,
    Space,
    Stage,
)


class PCA(Float64Buffers, Codec, Density):
    """x = W z + μ + ε with z ~ N(0, I), ε ~ N(0, σ² I): x ~ N(μ, C), C = W Wᵀ + σ² I.

    Maximum likelihood in closed form: with eigenvalues λ and eigenvectors U of the covariance
    (1/n), W = U_q (Λ_q − σ² I)^½ and σ² the mean of the D − q discarded eigenvalues.
    ``encode`` is Uᵀ(x−μ) and ``decode`` μ + Uz, the orthogonal projector that users of PCA expect;
    the posterior mean of the density would shrink the code.

    Binary and levels data are dequantized, x + u with u uniform in [0, 1): the covariance gains
    I/12, the mean ½, and E_u log p(x+u) = log p(x+½) − tr(C⁻¹)/24 exactly.

    Real entries that are constant in the training data are left out, as if there were none of them:
    D counts the others, and the constants come back exactly.

    ``RealPCA`` is that of real data which also completes rows, and takes missing cells.

    Attributes are named as scikit-learn's: ``mean`` (D,), ``components`` (q, D), with the shares
    of the variance in ``explained_variance_ratio`` (q,), and σ² as ``noise_variance``. Variances
    are divided by n, as maximum likelihood has them, where scikit-learn divides by n − 1.

    Args:
        space: what x is.
        latent_dim: q, the number of components, less than D.
        standardize: of real data, subtract means and divide by standard deviations first, for
            columns in different units: components of the correlations. log p(x) is still that of
            x in its own units. Without it a column of large numbers is all that is seen.

    Shape: x (B, *space.shape), code (B, q).

    Likelihood: exact for real data, a lower bound for binary and levels data.

    Cost: one covariance of the training data (the Gram matrix when D exceeds n), one
    eigendecomposition.

    Reference: Tipping & Bishop 1999, "Probabilistic principal component analysis", eq. 7 and 8.

    >>> from reparam.model import Batch
    >>> x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 1.0], [2.0, 1.0]])
    >>> model = PCA(Space((2,), "real"), latent_dim=1)
    >>> model.stages[0].solve(model, [Batch(x)])
    >>> round(model.explained_variance.item(), 4), round(model.noise_variance.item(), 4)
    (1.309, 0.191)
    >>> round(model.explained_variance_ratio.item(), 4)  # of (3 ± √5)/4
    0.8727
    """

    encodes: Domain = "finite"  # also what it decodes, which may lie beyond the levels

    @limited
    def __init__(self, space: Space, latent_dim: Count, standardize: bool = False) -> None:
        super().__init__(space)
        self.refuse_space(space)
        if standardize and not space.has_reals:
            raise ValueError(
                f"standardize: the entries of {space.kind} data have one scale already"
            )
        self.scales = standardize
        # Columns of mixed data are at least taken logarithms of, where they are modeled by these.
        self.standardize = standardization(space) if standardize or space.columns else None
        # Standardized or not, real data have entries that vary and perhaps others.
        self.own_varying = None if self.standardize or not space.has_reals else Varying(space)
        if latent_dim >= space.dimension:
            raise ValueError(
                f"latent_dim: expected less than the {space.dimension} entries of x, "
                f"got {latent_dim}"
            )
        self.latent_dim = latent_dim
        # Solved and evaluated in float64: columns of very different scales share one σ².
        self.register_buffer("mean", torch.zeros(space.dimension).double())
        self.register_buffer("components", torch.eye(latent_dim, space.dimension).double())
        self.register_buffer("eigenvalues", torch.ones(latent_dim).double())
        self.register_buffer("noise_variance", torch.ones(()).double())
        self.mean: Tensor
        self.components: Tensor
        self.eigenvalues: Tensor
        self.noise_variance: Tensor
        # Of the noise that dequantizes, which is no part of the data.
        self.dequantization = 0.0 if space.has_reals else 1 / 12

    @property
    def varying(self) -> Varying | None:
        """Which entries of real data vary; None for other data."""
        return self.own_varying if self.standardize is None else self.standardize.varying

    @property
    def counted(self) -> int:
        return self.space.dimension if self.varying is None else self.varying.count

    @property
    def stages(self) -> tuple[Stage, ...]:
        before = self.standardize.stages if self.standardize is not None and self.scales else ()
        return (*before, Solve("eigendecomposition", _solve))

    @property
    def explained_variance(self) -> Tensor:
        """Variance of the training data along each component, (q,)."""
        return self.eigenvalues - self.dequantization

    @property
    def explained_variance_ratio(self) -> Tensor:
        """The share of the variance of the training data that each component has, (q,)."""
        rest = (self.counted - self.latent_dim) * (self.noise_variance - self.dequantization)
        return self.explained_variance / (self.explained_variance.sum() + rest)

    @property
    def code_space(self) -> Space:
        return Space((self.latent_dim,), "real")

    def filters(self) -> Filters:
        return Filters(self.components.reshape(-1, *self.space.shape), "decoder")

    def refuse_space(self, space: Space) -> None:
        """ValueError where the model is none of such data."""
        if space.columns:
            raise ValueError(
                "space: expected entries of one kind, got mixed data; RealPCA takes real columns"
            )

    def refuse_rows(self, rows: int) -> None:
        if rows <= self.latent_dim:
            raise ValueError(
                f"latent_dim: expected less than the {rows} training examples, "
                f"got {self.latent_dim}"
            )

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        x, c = self.prepare(x, c, self.encodes)
        return (self._centered(x) @ self.components.T).to(self.anchor)

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        flat = self.prepare_code(code).to(self.mean) @ self.components + self.mean
        return self._unscaled(flat)

    def scaled(self, x: Tensor) -> Tensor:
        """What the components are of: x, standardized or not, (B, D)."""
        return (x if self.standardize is None else self.standardize.scaled(x)).flatten(1)

    def _centered(self, x: Tensor) -> Tensor:
        """``scaled`` less its mean, (B, D), 0 where x is constant in training."""
        centered = self.scaled(x) - self.mean
        if self.varying is None or self.varying.whole:
            return centered
        return torch.where(self.varying.mask.flatten(), centered, 0.0)

    def _unscaled(self, flat: Tensor) -> Tensor:
        x = flat.view(-1, *self.space.shape)
        if self.standardize is not None:
            return self.standardize.inverse(x)[0]
        return x.to(self.anchor) if self.varying is None else self.varying.restore(x)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        z = numerics.noise(self.mean.new_empty(n, self.latent_dim), "normal", generator)
        flat = z * (self.eigenvalues - self.noise_variance).clamp(min=0).sqrt() @ self.components
        flat = flat + self.mean
        flat += self.noise_variance.sqrt() * numerics.noise(flat, "normal", generator)
        levels = self.space.level_count
        if levels is not None:
            flat = (flat + 0.5).floor().clamp(0, levels - 1)
        return self._unscaled(flat)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        value = self._log_normal(self._centered(x))
        if self.standardize is not None:
            return LogProb(value + self.standardize(x)[1], "exact")
        if self.varying is not None:
            return LogProb(value + self.varying.log_support(x), "exact")
        rest = (self.counted - self.latent_dim) / self.noise_variance
        return LogProb(value - ((1 / self.eigenvalues).sum() + rest) / 24, "lower bound")

    def _log_normal(self, centered: Tensor) -> Tensor:
        """ln N(0, C) of rows in the units of the components, (B,).

        In levels data mean and x both carry the ½ of the noise, which therefore cancels.
        """
        code = centered @ self.components.T
        # Explicitly, because ‖x−μ‖² − ‖code‖² cancels where the reconstruction is good.
        residual = (centered - code @ self.components).square().sum(1)
        mahalanobis = (code.square() / self.eigenvalues).sum(1) + residual / self.noise_variance
        rest = self.counted - self.latent_dim
        log_det = self.eigenvalues.log().sum() + rest * self.noise_variance.log()
        return -0.5 * (mahalanobis + log_det + self.counted * math.log(2 * math.pi))

    def most_likely(self, rows: Rows) -> Law:
        """The parameters that make the training data most probable."""
        n, mean = mean_of(rows)
        self.refuse_rows(n)
        spectrum, components = spectrum_of(rows, mean, n)
        # σ² from the discarded eigenvalues themselves: the total less the kept ones would cancel.
        q, dimension = self.latent_dim, len(mean)
        rest = spectrum[q:].sum() / (dimension - q) + self.dequantization
        return Law(mean, components[:, :q], spectrum[:q] + self.dequantization, rest)


class Law(NamedTuple):
    """Parameters of a PCA of the D entries that vary: (D,), (D, q), (q,) and ()."""

    mean: Tensor
    components: Tensor
    eigenvalues: Tensor
    noise_variance: Tensor


@torch.no_grad()
def _solve(model: Model, batches: Iterable[Batch]) -> None:
    assert isinstance(model, PCA)
    if model.varying is not None and not model.scales:
        model.varying.learn(batch.x for batch in batches)
    dimension, q = model.counted, model.latent_dim
    if q >= dimension:
        raise ValueError(
            f"latent_dim: expected less than the {dimension} entries of x that vary, got {q}"
        )
    rows = Rows(model, batches)
    law = model.most_likely(rows)
    # What rounding leaves of a variance that is zero.
    floor = 10 * torch.finfo(law.mean.dtype).eps * dimension * law.eigenvalues[0]
    variance = torch.maximum(law.noise_variance, floor).clamp(min=torch.finfo(floor.dtype).tiny)
    model.mean.copy_(rows.among_all(law.mean))
    model.components.copy_(rows.among_all(law.components).T)
    model.noise_variance.copy_(variance)
    model.eigenvalues.copy_(torch.maximum(law.eigenvalues, variance))


class Rows:
    """What varies of the training data, in the units of the components, block by block.

    It can be read as often as asked for.
    """

    def __init__(self, model: PCA, batches: Iterable[Batch]) -> None:
        self.model, self.batches = model, batches
        varying = model.varying
        self.varies = None if varying is None or varying.whole else varying.mask.flatten()

    def __iter__(self) -> Iterator[Tensor]:
        for batch in self.batches:
            flat = self.model.scaled(batch.x).to(numerics.accumulator(batch.x))
            yield flat if self.varies is None else flat[:, self.varies]

    def among_all(self, values: Tensor) -> Tensor:
        """Values of the entries that vary, (…), with 0 for the constants: (D, …)."""
        if self.varies is None:
            return values
        whole = values.new_zeros(len(self.varies), *values.shape[1:])
        whole[self.varies] = values
        return whole


def mean_of(rows: Iterable[Tensor]) -> tuple[int, Tensor]:
    n, total = 0, torch.zeros(())
    for x in rows:
        n, total = n + len(x), total.to(x) + x.sum(0)
    return n, total / n


def spectrum_of(rows: Iterable[Tensor], mean: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues of the covariance in descending order and their vectors, (D, ·).

    Where D exceeds n, those that are not zero by construction: min(n, D) of them.
    """
    dimension = len(mean)
    if dimension <= n:
        covariance = mean.new_zeros(dimension, dimension)
        for x in rows:
            covariance.addmm_((x - mean).T, x - mean, alpha=1 / n)
        values, vectors = torch.linalg.eigh(covariance)
        return values.flip(0).clamp(min=0), vectors.flip(1)
    centered = torch.cat([x - mean for x in rows])
    _, singular, vectors = torch.linalg.svd(centered, full_matrices=False)
    return singular.square() / n, vectors.T
