"""PCA of real data: closed-form marginals and completions, and a fit to rows that have holes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import in_batches, slices
from reparam.bijections.standardize_columns import StandardizeColumns
from reparam.limits import Count
from reparam.model import Completer, LogProb, Solve, Space, Stage
from reparam.models.pca import PCA, Law, Rows, spectrum_of
from reparam.space import as_tensor, readable

NUMBERS_AT_ONCE = 2**22  # in the q × q matrices of some rows, or of some columns
TOLERANCE = 1e-9  # nats of the mean log-likelihood of a cell
MOST_CYCLES = 500  # of three or four steps of EM each
REAL_COLUMNS = ("real", "log")


class RealPCA(PCA, Completer):
    """``PCA`` of real data: it completes rows, and cells of mixed data may be missing.

    The cells y_o of a row that are there are normal by themselves: y_o ~ N(μ_o, W_o W_oᵀ + σ² I),
    and z given them is N(M⁻¹ W_oᵀ(y_o − μ_o), σ² M⁻¹) with M = W_oᵀ W_o + σ² I. So ``log_prob``
    is the marginal of these cells, ``complete`` draws z given them and then the others given z, and
    ``encode`` is the expectation of Uᵀ(y−μ) given them: the projection of the row whose missing
    cells are at their conditional means, of complete rows the projection itself. ``reconstruct``
    decodes it, and so fills all cells.

    Of mixed data all columns have to be real; those modeled by logarithms have a log-normal law.
    Where cells of the training data are missing, the fit is expectation maximization over the
    cells that are there, with z scaled anew at each step (PX-EM) and the steps extrapolated
    (SQUAREM) where that raises the likelihood; it ends where three steps add less than 1e-9 nats
    to the mean log-likelihood of a cell. σ² is then held above 4e-11 of the mean variance. The
    likelihood may have several maxima; the start is the solution for missing cells at column means.
    Shares in ``explained_variance_ratio`` are then of the fitted variance.

    Args:
        space: real data, or mixed of columns that are real or log.
        latent_dim: q, the number of components, less than D.
        standardize: as in ``PCA``, by statistics of the cells that are there.

    Shape: x (B, *space.shape), code (B, q).

    Likelihood: exact.

    Cost: O(n D q²) for n rows with holes, of each step of the fit as well, in memory O(D q²) beside
    a block of rows.

    Reference: Tipping & Bishop 1999, "Probabilistic principal component analysis", section 3.2 and
    appendix B; Liu, Rubin & Wu 1998 (PX-EM); Varadhan & Roland 2008 (SQUAREM).

    >>> from reparam.model import Batch, Column
    >>> columns = tuple(Column(name, "real") for name in ("length", "width"))
    >>> model = RealPCA(Space((2,), "mixed", columns=columns), latent_dim=1)
    >>> x = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 1.0], [2.0, torch.nan]])
    >>> model.stages[0].solve(model, [Batch(x)])
    >>> model.reconstruct(x).isnan().any().item()
    False
    """

    def __init__(self, space: Space, latent_dim: Count, standardize: bool = False) -> None:
        super().__init__(space, latent_dim, standardize)
        self.takes_missing = space.kind == "mixed"

    def refuse_space(self, space: Space) -> None:
        if not space.has_reals:
            raise ValueError(f"space: expected real data, got {space.kind}; use PCA")
        for column in space.columns or ():
            if column.kind not in REAL_COLUMNS:
                raise ValueError(
                    f"space: expected columns of real or log, got {column.name!r} of {column.kind}"
                )

    @property
    def stages(self) -> tuple[Stage, ...]:
        *before, solve = super().stages
        assert isinstance(solve, Solve)
        name = "expectation maximization" if self.takes_missing else solve.name
        return (*before, Solve(name, solve.solve))

    @property
    def weight(self) -> Tensor:
        """W, (D, q)."""
        return self.components.T * (self.eigenvalues - self.noise_variance).clamp(min=0).sqrt()

    def most_likely(self, rows: Rows) -> Law:
        if not (self.takes_missing and any(part.isnan().any() for part in rows)):
            return super().most_likely(rows)
        self.refuse_rows(sum(len(part) for part in rows))
        return fit_to_holes(rows, self.latent_dim)

    def scaled(self, x: Tensor) -> Tensor:
        if isinstance(self.standardize, StandardizeColumns):
            return self.standardize.precise(x)
        return super().scaled(x)

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        if not isinstance(self.standardize, StandardizeColumns):
            return super().density(x, c, samples, generator)
        there = ~x.isnan()
        y, seen = self._seen(x, there)
        whole = (there | ~self.standardize.varying.mask).all(1)
        value = self._log_normal(y)
        if not _surely_all(whole):
            part = in_batches(self._log_marginal, self._rows_at_once, y, seen)
            value = torch.where(whole, value, part)
        slopes = self.standardize.factors(torch.zeros_like(y), _with_ones(x, there).to(y))
        return LogProb(value + torch.where(there, slopes, 0.0).sum(1), "exact")

    @torch.no_grad()
    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """x with the entries outside ``mask`` drawn from p(rest | given), in closed form.

        Args:
            x: (B, *shape); the entries outside the mask are not looked at. The result has its type,
                but where that cannot hold what is drawn: then the type of samples.
            mask: bool, (*shape) or (B, *shape): the entries that are given; they stay bit for bit.
                One that is missing is not given.
            c: None.
            generator: of the draws.

        Raises:
            ValueError: the mask is not bool, or of another shape.
        """
        x = as_tensor(x)
        given, mask, _ = self.prepare_given(x, mask, c)
        y, seen = self._seen(given, mask & ~given.isnan())
        normal = numerics.noise(y.new_empty(len(y), self.latent_dim), "normal", generator)
        z = in_batches(self._drawn_z, self._rows_at_once, y, seen, normal)
        noise = self.noise_variance.sqrt() * numerics.noise(y, "normal", generator)
        drawn = self._unscaled(z @ self.weight.T + self.mean + noise)
        dtype = torch.promote_types(x.dtype, drawn.dtype)
        return torch.where(mask, x.to(drawn.device, dtype), drawn.to(dtype))

    def _centered(self, x: Tensor) -> Tensor:
        """As of ``PCA``, with missing cells at their conditional means."""
        if not self.takes_missing:
            return super()._centered(x)
        y, seen = self._seen(x, ~x.isnan())
        if _surely_all(~x.isnan()):
            return y
        z = in_batches(self._mean_z, self._rows_at_once, y, seen)
        return torch.where(seen, y, z @ self.weight.T)

    def _seen(self, x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """x centered, (B, D), with 0 in cells that are not there or constant, and a mask of others.

        No gradient comes back to cells that are not there.
        """
        seen = there.flatten(1)
        if self.varying is not None and not self.varying.whole:
            seen = seen & self.varying.mask.flatten()
        return torch.where(seen, super()._centered(_with_ones(x, there)), 0.0), seen

    @property
    def _rows_at_once(self) -> int:
        return max(1, NUMBERS_AT_ONCE // (self.latent_dim**2 + self.space.dimension))

    def _log_marginal(self, y: Tensor, seen: Tensor) -> Tensor:
        return Posterior.of(self.weight, self.noise_variance, y, seen).log_prob

    def _mean_z(self, y: Tensor, seen: Tensor) -> Tensor:
        return Posterior.of(self.weight, self.noise_variance, y, seen).mean

    def _drawn_z(self, y: Tensor, seen: Tensor, normal: Tensor) -> Tensor:
        posterior = Posterior.of(self.weight, self.noise_variance, y, seen)
        # z = mean + L⁻ᵀ ε has the covariance (L Lᵀ)⁻¹.
        root = posterior.factor.mT
        deviation = torch.linalg.solve_triangular(root, normal[:, :, None], upper=True)
        return posterior.mean + deviation.squeeze(2)


def _surely_all(mask: Tensor) -> bool:
    """Whether a mask is known to hold everywhere: nothing waits for a device to say so."""
    return mask.device.type == "cpu" and readable() and bool(mask.all())


def _with_ones(x: Tensor, there: Tensor) -> Tensor:
    """1, of which there is a logarithm, in place of what is not there."""
    return torch.where(there, x, 1.0)


class Posterior(NamedTuple):
    """p(z | y_o) = N(mean, (L Lᵀ)⁻¹) of rows, and what else it takes to have log p(y_o).

    ``mean`` is (B, q), the Cholesky factor L of the precision (B, q, q), ``residual`` y − W mean
    (B, D), 0 where nothing is there, and ``log_prob`` (B,).
    """

    mean: Tensor
    factor: Tensor
    residual: Tensor
    log_prob: Tensor

    @classmethod
    def of(cls, weight: Tensor, noise: Tensor, y: Tensor, seen: Tensor) -> Posterior:
        """Of centered rows y (B, D), 0 where the mask ``seen`` is not."""
        there = seen.to(y)
        precision = _grams(weight, there) / noise
        precision.diagonal(dim1=1, dim2=2).add_(1)
        factor = _factor(precision)
        mean = torch.cholesky_solve((y @ weight / noise)[:, :, None], factor).squeeze(2)
        # Explicitly, because ‖y‖² less what z explains cancels where the reconstruction is good.
        residual = there * (y - mean @ weight.T)
        mahalanobis = residual.square().sum(1) / noise + mean.square().sum(1)
        log_det = 2 * factor.diagonal(dim1=1, dim2=2).log().sum(1)
        log_scale = there.sum(1) * (noise.log() + math.log(2 * math.pi))
        return cls(mean, factor, residual, -0.5 * (mahalanobis + log_det + log_scale))


def _grams(weight: Tensor, there: Tensor) -> Tensor:
    """W_oᵀ W_o of each row, (B, q, q): Σ_i o_i w_i w_iᵀ, some columns at a time."""
    q = weight.shape[1]
    total = weight.new_zeros(there.shape[0], q**2)
    for columns in slices(0, len(weight), max(1, NUMBERS_AT_ONCE // q**2)):
        w = weight[columns]
        total = total + there[:, columns] @ (w[:, :, None] * w[:, None]).flatten(1)
    return total.view(-1, q, q)


def _factor(matrix: Tensor) -> Tensor:
    """The Cholesky factor, NaN where there is none: of a jump too far, which is not taken."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    return torch.where((info == 0)[..., None, None], factor, torch.nan)


# ------------------------------------------------------------------- the fit to what is there


class Parameters(NamedTuple):
    """W (D, q), μ (D,) and ln σ², of centered rows in units of their mean variance."""

    weight: Tensor
    mean: Tensor
    log_noise: Tensor

    def flat(self) -> Tensor:
        return torch.cat([part.flatten() for part in self])

    def like(self, flat: Tensor) -> Parameters:
        parts = flat.split([part.numel() for part in self])
        return Parameters(*(part.view_as(own) for part, own in zip(parts, self, strict=True)))


class _Units:
    """Rows less column means, divided by the root of the mean variance; NaN stays."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.center, _ = self._moments(0.0, 1)
        variance, count = self._moments(self.center, 2)
        self.scale = ((variance * count).sum() / count.sum()).sqrt()

    def __iter__(self) -> Iterator[Tensor]:
        return ((part - self.center) / self.scale for part in self.rows)

    def _moments(self, center: Tensor | float, power: int) -> tuple[Tensor, Tensor]:
        """Means by column of (y − center)^power over the cells there are, and their number."""
        total, count = torch.zeros(()), torch.zeros(())
        for part in self.rows:
            total = total.to(part) + (part - center).pow(power).nansum(0)
            count = count.to(part) + (~part.isnan()).sum(0)
        return total / count, count


class _Filled:
    """Rows with 0 where nothing is there."""

    def __init__(self, rows: _Units) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[Tensor]:
        return (part.nan_to_num(0.0) for part in self.rows)


def fit_to_holes(rows: Rows, q: int) -> Law:
    """The parameters that make the cells there are most probable, from rows with NaN."""
    units = _Units(rows)
    found = maximize(lambda now: em_step(now, units), start_of(units, q))
    left, singular, _ = torch.linalg.svd(found.weight, full_matrices=False)
    noise, scale = found.log_noise.exp(), units.scale
    eigenvalues = (singular.square() + noise) * scale.square()
    return Law(units.center + scale * found.mean, left, eigenvalues, noise * scale.square())


def start_of(units: _Units, q: int) -> Parameters:
    """The closed form of rows whose missing cells are at the means of their columns."""
    filled = _Filled(units)
    mean = torch.zeros_like(units.center)
    spectrum, vectors = spectrum_of(filled, mean, sum(len(part) for part in filled))
    noise = _bounded((spectrum[q:].sum() / (len(mean) - q)).log())
    weight = vectors[:, :q] * (spectrum[:q] - noise.exp()).clamp(min=0).sqrt()
    return Parameters(weight, mean, noise)


def _bounded(log_noise: Tensor) -> Tensor:
    """ln σ² from where matrices of q × q can still be factored."""
    return log_noise.clamp(min=2 / 3 * math.log(torch.finfo(log_noise.dtype).eps))


def maximize(
    step: Callable[[Parameters], tuple[Parameters, float]], start: Parameters
) -> Parameters:
    """Where steps of EM lead, each of which also tells the likelihood of where it starts.

    Two steps from θ are extrapolated to θ + 2αr + α²v, r the first and v how the second differs
    from it, α = ‖r‖/‖v‖ up to a limit that moves with its success, and a step is made from there.
    Where that has become less likely than before, the second step is taken.
    """
    theta, limit = start, 1.0
    one, value = step(theta)
    for _ in range(MOST_CYCLES):
        two, second = step(one)
        first = one.flat() - theta.flat()
        change = two.flat() - one.flat() - first
        ratio = float(first.norm() / change.norm().clamp(min=torch.finfo(first.dtype).tiny))
        alpha = min(max(ratio, 1.0), limit)
        jump = theta.like(theta.flat() + 2 * alpha * first + alpha**2 * change)
        theta, _ = step(jump._replace(log_noise=_bounded(jump.log_noise)))
        one, after = step(theta)
        if after >= second:
            limit = 4 * limit if alpha == limit else limit
        else:
            limit = max(alpha / 4, 1.0)
            theta = two
            one, after = step(theta)
        if after - value < TOLERANCE:
            return one
        value = after
    warnings.warn(
        f"PCA: the likelihood still rises after {MOST_CYCLES} cycles of EM; fewer components "
        "(latent_dim) are found sooner",
        RuntimeWarning,
        stacklevel=2,
    )
    return one


def em_step(now: Parameters, units: _Units) -> tuple[Parameters, float]:
    """One step of PX-EM, and the mean log-likelihood of a cell before it.

    Normal equations of each column for [w_i, μ_i], of its rows' E[z zᵀ] and E[z], are solved for
    the change, and σ² is the error before it less what it gains: neither cancels.
    """
    sums = _expectations(now, units)
    change = torch.linalg.solve(sums.gram, sums.slope)  # (D, q + 1)
    error = sums.error - (change * sums.slope).sum()
    weight, mean = now.weight + change[:, :-1], now.mean + change[:, -1]
    # z ~ N(m, V) fits better than N(0, I): the same law with W V^½ and μ + W m.
    m = sums.z / sums.rows
    root = _factor(sums.zz / sums.rows - torch.outer(m, m))
    log_noise = _bounded((error / sums.cells).log())
    after = Parameters(weight @ root, mean + weight @ m, log_noise)
    return after, float(sums.log_prob / sums.cells)


class _Sums(NamedTuple):
    """Sums over rows with any cell: of log p, rows, cells, E[z], E[z zᵀ], squared errors, and by
    column the matrices (D, q+1, q+1) and right sides (D, q+1) of the normal equations."""

    log_prob: Tensor
    rows: Tensor
    cells: Tensor
    z: Tensor
    zz: Tensor
    error: Tensor
    gram: Tensor
    slope: Tensor


def _expectations(now: Parameters, units: _Units) -> _Sums:
    dimension, q = now.weight.shape
    most = max(1, NUMBERS_AT_ONCE // (q**2 + dimension))
    parts = (some for part in units for some in part.split(most))
    total: list[Tensor] = []
    for part in parts:
        found = _sums_of(now, part[~part.isnan().all(1)])
        total = [a + b for a, b in zip(total, found, strict=True)] if total else list(found)
    return _Sums(*total)


def _sums_of(now: Parameters, part: Tensor) -> _Sums:
    (weight, mean, log_noise), q = now, now.weight.shape[1]
    seen = ~part.isnan()
    there, y = seen.to(part), torch.where(seen, part - mean, 0.0)
    z, factor, residual, log_prob = Posterior.of(weight, log_noise.exp(), y, seen)
    spread = torch.cholesky_inverse(factor)
    by_column = (there.T @ spread.flatten(1)).view(-1, q, q)
    padded = torch.cat([z, torch.ones_like(z[:, :1])], 1)
    gram = there.T @ (padded[:, :, None] * padded[:, None]).flatten(1)
    gram = gram.view(-1, q + 1, q + 1)
    gram[:, :q, :q] += by_column
    pulled = (by_column @ weight[:, :, None]).squeeze(2)  # Σ Cov(z) w_i over the rows of a column
    slope = residual.T @ padded
    slope[:, :q] -= pulled
    error = residual.square().sum() + (pulled * weight).sum()
    rows = part.new_tensor(len(part))
    zz = spread.sum(0) + z.T @ z
    return _Sums(log_prob.sum(), rows, there.sum(), z.sum(0), zz, error, gram, slope)
