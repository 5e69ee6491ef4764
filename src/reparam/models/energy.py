"""Energy-based models: a network says how improbable x is, up to a constant."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.bijections.units import Units
from reparam.chains.annealing import (
    annealed,
    find_sizes,
    hamiltonian_runs,
    ramp,
    summary,
    tempered_gain,
)
from reparam.chains.bases import Base, Bits, Normals
from reparam.chains.enumeration import log_sum
from reparam.chains.kernels import Point, Tempered, beside, flip, langevin
from reparam.chains.partition import By, Partition
from reparam.exchange import LogPartition
from reparam.limits import Count, NonNegative, Positive, Several, Share, limited
from reparam.model import Batch, Descend, Loss, Model, Solve, Space, Stage
from reparam.models.unnormalized import Unnormalized

FLIPS, LEAPFROGS = 5, 3  # of a run of annealing at each temperature
PILOTS, FIRST_SIZE = 16, 0.1  # of Hamiltonian steps


class EnergyModel(Unnormalized):
    """p(y) = base(y) exp(−E(y)) / Z, so that Z = E_base exp(−E).

    y is x itself where it is binary, levels with uniform noise in the box [−1, 1], or real x
    standardized; the base is independent bits, normals truncated to the box, or normals, fitted to
    the data before the descent. Z is finite whatever the weights are: of bits it is a finite sum,
    on the box E is continuous and therefore bounded, and on ℝ^D a network of linear layers and
    activations with bounded slopes is Lipschitz, so that the tails of the normals win.

    Chains move by Langevin's steps, ``step`` along the gradient and ``noise`` times normal noise,
    both in units of the scales of the base, so that narrow entries take small steps; or of bits by
    Gibbs-with-gradients, a flip at most in each sweep.

    Args:
        space: what x is; binary, levels or real.
        network: from y, bits as −1 and 1, to E; (B, *space.shape) → (B, 1). Its activations have
            bounded slopes, and it normalizes nothing over a batch.
        chains: that draw of the model while it is trained.
        sweeps: of each after a step of training.
        draw_sweeps: of a draw.
        step: of Langevin's steps.
        noise: of Langevin's steps; √(2 step) leaves p about as it is, less draws of a colder one.
        clip: the largest norm of a gradient in them.
        restart: share of the chains that start anew after a step of training.
        decay: α, the weight of E² of data and chains in the objective.
        partition: how log Z is found: by a sum over all states of at most 20 bits, or by annealing.
        runs: of annealing.
        temperatures: of each run.

    Shape: x (B, *space.shape).

    Likelihood: an estimate, too high on average, by annealed importance sampling; exact, with
        gradients, where binary states are summed over. Of levels it is the mean over draws of
        uniform noise, ``samples`` of them. By annealing it has gradients in x only.

    Cost: two passes of the network for the loss; three for every sweep of all chains after it.

    Raises:
        ValueError: data of other kinds, or a sum over more than 2^20 states.

    Reference: Du & Mordatch 2019, "Implicit generation and modeling with energy-based models",
    algorithm 1 and eq. 1 to 4; Grathwohl et al. 2021, "Oops I took a gradient", for bits.
    https://arxiv.org/abs/1903.08689, https://arxiv.org/abs/2102.04509

    >>> model = EnergyModel(Space((2,), "real"), nn.Linear(2, 1), chains=3, temperatures=5)
    >>> model.log_prob(torch.zeros(1, 2)).kind
    'estimate'
    """

    @limited
    def __init__(
        self,
        space: Space,
        network: nn.Module,
        chains: Count = 128,
        sweeps: Count = 20,
        draw_sweeps: Count = 1000,
        step: Positive = 0.02,
        noise: NonNegative | None = None,
        clip: Positive = 100.0,
        restart: Share = 0.05,
        decay: NonNegative = 1e-3,
        partition: By = "auto",
        runs: Several = 200,
        temperatures: Count = 1000,
    ) -> None:
        if space.kind == "mixed":
            raise ValueError("space: expected binary, levels or real data, got mixed")
        binary = space.kind == "binary"
        bits = space.dimension if binary else None
        found = Partition(bits, partition, runs, temperatures)
        super().__init__(space, found, sweeps, draw_sweeps, decay)
        self.network, self.restart, self.clip = network, restart, clip
        self.step, self.noise = step, math.sqrt(2 * step) if noise is None else noise
        self.scaled = None if binary else Units(space, dequantized=True)
        boxed = space.kind == "levels"
        self.base: Base = Bits(space.shape) if binary else Normals(space.shape, boxed)
        self.start(chains)

    @property
    def target(self) -> Tempered:
        """What the chains draw of, with the densities on the way to it."""
        boxed, base = self.space.kind == "levels", self.base
        scale = base.scale if isinstance(base, Normals) else 1.0
        return Tempered(self._log_base, self.energy, boxed, self._base_slope, scale)

    @property
    def stages(self) -> tuple[Stage, ...]:
        before = () if self.scaled is None else self.scaled.stages
        return (*before, Solve("base", self._solve), Descend(), self.measured)

    @property
    def counted(self) -> int:
        return self.space.dimension if self.scaled is None else self.scaled.counted

    @property
    def log_prob_draws(self) -> bool:  # type: ignore[override]
        return self.scaled is not None and self.scaled.dequantizes

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return 3 * self.draw_sweeps  # a gradient costs two passes more

    def units(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        if self.scaled is None:
            return x, x.new_zeros(x.shape[0])
        y, ladj = self.scaled(x, generator)
        return y, ladj.expand(x.shape[0])

    def still(self, x: Tensor) -> Tensor:
        return x if self.scaled is None else self.scaled(x, middle=True)[0]

    def back(self, y: Tensor) -> Tensor:
        return y if self.scaled is None else self.scaled.back(y)

    def energy(self, y: Tensor) -> Tensor:
        seen = 2 * y - 1 if self.scaled is None else self.scaled.entries(y)
        energy: Tensor = self.network(seen)
        return energy.flatten().to(self.anchor.dtype)

    def log_weight(self, y: Tensor) -> Tensor:
        return self._log_base(y) - self.energy(y)

    def _log_base(self, y: Tensor) -> Tensor:
        by_entry = self.base.log_density(y)
        return by_entry.flatten(1).sum(1) if self.scaled is None else self.scaled.sum(by_entry)

    def _base_slope(self, y: Tensor) -> Tensor:
        slope = self.base.slope(y)
        return slope if self.scaled is None else self.scaled.entries(slope)

    def first(self, n: int, generator: torch.Generator | None) -> Tensor:
        y = self.base.draw(n, generator)
        return y if self.scaled is None else self.scaled.entries(y)

    def after_step(self, loss: Loss, player: str = "model") -> None:
        """A share of the chains starts anew, and all move."""
        if self.restart:
            places = numerics.noise(self.states.flatten(1)[:, 0], "uniform") < self.restart
            fresh = self.first(len(self.states), None)
            self.states.copy_(torch.where(beside(places, fresh), fresh, self.states))
        super().after_step(loss, player)

    def advanced(
        self, y: Tensor, sweeps: int, beta: float, generator: torch.Generator | None
    ) -> Tensor:
        if self.scaled is None:
            point = self.target.at(y)
            for _ in range(sweeps):
                point, _ = flip(self.target, point, beta, generator)
            return point.y
        for _ in range(sweeps):
            y = langevin(self.target, y, beta, self.step, self.noise, self.clip, generator)
        return self.scaled.entries(y)

    def enumerated(self) -> Tensor:
        like, shape = self.anchor, self.space.shape
        bits = self.space.dimension
        return log_sum(lambda states: self.log_weight(states.view(-1, *shape)), bits, like)

    def annealed(self, generator: torch.Generator) -> LogPartition:
        """From the base, whose Z is 1, by flips of bits or by Hamiltonian steps."""
        betas = ramp(self.partition.temperatures)
        start = self.first(self.partition.runs, generator)
        if self.scaled is None:

            def move(point: Point, beta: float) -> Point:
                for _ in range(FLIPS):
                    point, _ = flip(self.target, point, beta, generator)
                return point

            log_weights = annealed(self.target.at(start), betas, tempered_gain, move)
        else:
            pilots = self.first(PILOTS, generator)
            sizes = find_sizes(self.target, pilots, betas, FIRST_SIZE, LEAPFROGS, generator)
            together = [size.log().mean(0, keepdim=True).exp() for size in sizes]
            log_weights = hamiltonian_runs(
                self.target, start, betas, together, LEAPFROGS, generator
            )
        return summary(log_weights, self.partition.temperatures)

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        """Fit the base, to levels and the variance of their noise; chains start anew from it."""
        width = 2 / (self.space.levels or 1) if self.log_prob_draws else 0.0
        rows = (self.prepare(batch.x)[0] for batch in batches)
        self.base.learn(map(self.still, rows), width**2 / 12)
        self.partition.forget()
