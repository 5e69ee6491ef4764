"""A codebook: K vectors, which of them is nearest, and how they move."""

from __future__ import annotations

import warnings
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics

Update = Literal["ema", "gradient"]
# Of a fair code both halves would be idle from 1/2 on: codes would be moved without end.
BelowHalf = Annotated[float, Meta(ge=0, lt=0.5)]
SUMS = ("counts", "sums", "squares")  # over the vectors of a step that have a code, by code
DISTANCES_AT_ONCE = 2**17  # which stay in a cache of a CPU's; on CUDA so many times as many
ON_CUDA = 2**9
FEWEST_ROWS = 64  # of a product of matrices, for which these are read once
LLOYD_STEPS = 10


def straight_through(e: Tensor, z: Tensor) -> Tensor:
    """e bit for bit, with the gradient of z.

    The usual z + (e − z).detach() rounds: four values in five differ from e in their last bits, so
    that what is trained would not be what is decoded later.

    >>> z = torch.tensor([0.3], requires_grad=True)
    >>> straight_through(torch.tensor([0.1]), z).backward()
    >>> z.grad
    tensor([1.])
    """
    return e.detach() + (z - z.detach())


@torch.no_grad()
def nearest_code(x: Tensor, codes: Tensor) -> Tensor:
    """The index of the code (K, D) nearest to each vector (N, D), (N,); of equal ones the lowest.

    Distances are |c|² − 2 x·c, both less the mean of the codes, as large squares would cancel; in
    float32 or wider, so many at a time as stay in a cache.

    Cost: N·K·D multiply-adds.

    >>> nearest_code(torch.tensor([[0.9], [0.5]]), torch.tensor([[0.0], [1.0]]))
    tensor([1, 0])
    """
    center = codes.mean(0)
    codes = codes - center
    squares, columns = codes.square().sum(1), codes.T
    rows = DISTANCES_AT_ONCE * (ON_CUDA if x.is_cuda else 1) // len(codes)
    with numerics.without_autocast(x):
        # An exported graph is of any batch, and so many parts would be of one.
        whole = torch.compiler.is_exporting()
        parts = [
            _first_least(torch.addmm(squares, part - center, columns, alpha=-2))
            for part in ([x] if whole else x.split(max(FEWEST_ROWS, rows)))
        ]
    return torch.cat(parts)


def _first_least(x: Tensor) -> Tensor:
    """The column of the least entry of each row, of equal ones the first, (N,)."""
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return x.argmin(1)
    # That of PyTorch compares one number at a time on CPUs, and takes ten times as long.
    return torch.from_numpy(x.numpy().argmin(1))


class Codebook(nn.Module):
    """K codes of D numbers; of what is nearest to each, shares, sums and squares are averaged.

    By moving averages a code is the mean of what is nearest to it. Averages are of shares of a
    step's vectors, divided by their total weight, so that those of the first steps are no smaller;
    a code that is unused in a step stays bit for bit, and as one that is used has a share of at
    least (1 − γ)/N, no smoothing has to keep the quotient finite.

    A code whose share falls below ``restart`` / K is put beside one of those used most, one
    standard deviation of its vectors away, and both have half its share from then on. All of it
    follows from sums over the vectors of a step, so that it is the same in every process.

    Args:
        codes: K.
        width: D.
        update: by moving averages, or as parameters by the gradient of the term ``codebook``.
        decay: γ of the averages.
        restart: share of the fair one below which a code is moved, under ½; 0: never.
        unit: whether codes have length 1.

    Shape: (N, D) → indices (N,), vectors (N, D).

    >>> Codebook(5, 2)(torch.zeros(3, 2))[1].shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        codes: int,
        width: int,
        update: Update = "ema",
        decay: float = 0.99,
        restart: float = 0.05,
        unit: bool = False,
    ) -> None:
        super().__init__()
        self.update, self.decay, self.restart, self.unit = update, decay, restart, unit
        first = (2 * torch.rand(codes, width) - 1) / codes
        self.codebook: Tensor
        if update == "gradient":
            self.codebook = nn.Parameter(first)
        else:
            self.register_buffer("codebook", first)
        self.register_buffer("counts", torch.zeros(codes))
        self.register_buffer("sums", torch.zeros(codes, width))
        self.register_buffer("squares", torch.zeros(codes, width))
        self.register_buffer("weight", torch.zeros(()))
        self.register_buffer("used", torch.zeros(codes))
        self.register_buffer("restarts", torch.zeros((), dtype=torch.int64))
        signs = torch.rand(codes, width, generator=torch.Generator().manual_seed(0)) < 0.5
        self.register_buffer("signs", 2.0 * signs - 1, persistent=False)
        self.counts: Tensor
        self.sums: Tensor
        self.squares: Tensor
        self.weight: Tensor
        self.used: Tensor  # counts as they were found: codes that were moved are given none
        self.restarts: Tensor  # how often a code was moved
        self.signs: Tensor  # directions in which codes are put beside others

    @property
    def vectors(self) -> Tensor:
        """The codes as they are used, (K, D)."""
        return F.normalize(self.codebook, dim=1) if self.unit else self.codebook

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        codes = self.vectors
        indices = nearest_code(z.detach(), codes.detach())
        return indices, F.embedding(indices, codes)

    def terms(self, z: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """Squared distances (N,), of which each has a gradient to one side."""
        found = {"commitment": (z - vectors.detach()).square().sum(1)}
        if self.update == "gradient":
            found["codebook"] = (z.detach() - vectors).square().sum(1)
        return found

    @property
    def use(self) -> Tensor:
        """The perplexity of the averaged shares, and how many are a tenth of the fair one."""
        fair = self.used.sum() / len(self.used)
        count = (self.used > fair / 10).sum()
        return torch.stack([numerics.perplexity(self.used), count.to(self.used)])

    @torch.no_grad()
    def statistics(self, z: Tensor, indices: Tensor) -> dict[str, Tensor]:
        """How many vectors have each code, their sums and those of their squares."""
        counts = z.new_zeros(len(self.counts)).index_add(0, indices, z.new_ones(z.shape[0]))
        sums, squares = (
            torch.zeros_like(self.sums).index_add(0, indices, v) for v in (z, z.square())
        )
        return dict(zip(SUMS, (counts, sums, squares), strict=True))

    @torch.no_grad()
    def start(self, vectors: Tensor) -> None:
        """Codes, shares and sums from k-means of (N, D), of at least K vectors."""
        if len(vectors) < len(self.counts):
            raise ValueError(
                f"codes: expected at most the {len(vectors)} vectors of the training data, got "
                f"{len(self.counts)}"
            )
        from sklearn.cluster import KMeans  # here: it takes a second to import
        from sklearn.exceptions import ConvergenceWarning

        seed = int(torch.randint(2**31 - 1, ()))  # of the default generator, which training seeds
        fit = KMeans(len(self.counts), n_init=1, max_iter=LLOYD_STEPS, random_state=seed)
        with warnings.catch_warnings():  # fewer different vectors than codes: some stay unused
            warnings.simplefilter("ignore", ConvergenceWarning)
            fit.fit(vectors.detach().cpu().numpy())
        self.codebook.copy_(torch.as_tensor(fit.cluster_centers_))
        found = self.statistics(vectors, self(vectors)[0])
        # As much as one step: by the time that all of γ's memory is full, the encoder has moved
        # away from the vectors that these codes are of, and unused ones are to be known by then.
        weight = 1 - self.decay
        for name, value in found.items():
            getattr(self, name).copy_(weight * value / len(vectors))
        self.weight.fill_(weight)
        self.used.copy_(self.counts)
        if self.update == "ema":
            self._follow(found["counts"] > 0)

    @torch.no_grad()
    def after_step(self, statistics: dict[str, Tensor]) -> None:
        """Averages, the codes that follow them, and codes that are not used."""
        total = statistics["counts"].sum()
        new = [statistics[name].to(self.sums) / total for name in SUMS]
        finite = torch.stack([value.isfinite().all() for value in new]).all()
        values = (*new, torch.ones_like(total), new[0])
        for name, value in zip((*SUMS, "weight", "used"), values, strict=True):
            old = getattr(self, name)
            old.copy_(torch.where(finite, self.decay * old + (1 - self.decay) * value, old))
        if self.update == "ema":
            self._follow(finite & (statistics["counts"] > 0))
        if self.restart:
            self._restart()

    def _follow(self, used: Tensor) -> None:
        means = self.sums / self.counts.clamp(min=torch.finfo(self.counts.dtype).tiny)[:, None]
        self.codebook.copy_(torch.where(used[:, None], means, self.codebook))

    def _restart(self) -> None:
        """Put idle codes beside others: no branches, as a captured step holds it."""
        shares = self.counts / self.weight
        idle = shares < self.restart / len(shares)  # NaN before the first average: none is
        order = shares.argsort(descending=True, stable=True)
        alive = (~idle).sum().clamp(min=1)
        source = order[(idle.cumsum(0) - 1).clamp(min=0) % alive]
        children = torch.zeros_like(shares).index_add(0, source, idle.to(shares))
        part = 1 / (children + 1)  # of what each code had
        counts, mean = (self.counts * part)[source], self.codebook[source]
        variance = self._variance()[source]
        # Another direction next time, should nothing lie in this one.
        ways = (torch.arange(len(idle), device=idle.device) + self.restarts) % len(idle)
        beside = mean + self.signs[ways] * _deviation(variance)
        moved = idle[:, None]
        self.codebook.copy_(torch.where(moved, beside, self.codebook))
        sums, squares = beside * counts[:, None], (variance + beside.square()) * counts[:, None]
        self.sums.copy_(torch.where(moved, sums, self.sums * part[:, None]))
        self.squares.copy_(torch.where(moved, squares, self.squares * part[:, None]))
        self.counts.copy_(torch.where(idle, counts, self.counts * part))
        self.restarts.add_(idle.sum())

    def _variance(self) -> Tensor:
        """Of the vectors of each code, by coordinate, (K, D)."""
        counts = self.counts.clamp(min=torch.finfo(self.counts.dtype).tiny)[:, None]
        return (self.squares / counts - (self.sums / counts).square()).clamp(min=0)


def _deviation(variance: Tensor) -> Tensor:
    """Vectors σ as long as the standard deviation in their own direction, √(Σσ⁴ / Σσ²), (K, D)."""
    total = variance.sum(1, keepdim=True).clamp(min=torch.finfo(variance.dtype).tiny)
    return variance.sqrt() * variance.square().sum(1, keepdim=True).sqrt() / total
