"""Densities that are known up to a constant, which is measured when they are trained."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from reparam import numerics
from reparam.chains.partition import Partition
from reparam.exchange import LogPartition, LogProb
from reparam.inspection import Judgment
from reparam.model import Batch, Density, Loss, Model, Solve, Space
from reparam.news import tell

SEED = 0  # of annealing: the same weights have the same log Ẑ
SWEEPS_AT_ONCE = 10  # of a draw, between news


class Unnormalized(Density):
    """p(x) = exp(−E(y)) base(y) / Z, y being x in the units of chains.

    The gradient of −log p(x) is that of E(y) − E_p[E]: energies of data are pushed down and those
    of persistent chains up, which are draws of p as far as they keep up. Chains move after each
    step, so that the loss stays a pure function; they are buffers that are not saved with the
    model, but with a run.

    Args:
        space: what x is.
        partition: how log Z is found.
        sweeps: of a chain after each step.
        draw_sweeps: of a chain that a draw is the end of; in the first half β goes from 0 to 1.
        decay: α, the weight of E² of both halves in the objective.

    Shape: x (B, *space.shape); y and chains (N, *shape), which members of the family choose.

    Likelihood: exact where Z is a sum over all states, else an estimate that is too high on
        average; it is measured after training, and anew where weights have moved since.

    Cost: two passes for the loss; ``sweeps`` of the kernel for all chains after each step.

    Reference: Tieleman 2008, "Training restricted Boltzmann machines using approximations to the
    likelihood gradient", section 2.4; Neal 2001, "Annealed importance sampling".
    https://www.cs.toronto.edu/~tijmen/pcd/pcd.pdf, https://arxiv.org/abs/physics/9803008
    """

    keeps = "last"
    constant_terms = ("energy_drawn",)
    chains = ("states",)
    states: Tensor

    def __init__(
        self,
        space: Space,
        partition: Partition,
        sweeps: int,
        draw_sweeps: int,
        decay: float = 0.0,
    ) -> None:
        super().__init__(space)
        self.partition, self.decay = partition, decay
        self.sweeps, self.draw_sweeps = sweeps, draw_sweeps
        self.approximation = "tractable" if partition.enumerates else "markov chain"
        self.register_load_state_dict_post_hook(_loaded)
        self.register_state_dict_post_hook(_saved)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_measured": self.partition.is_of(self.parameters())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copy has the number of the weights that it copies."""
        measured = state.pop("_measured", False)
        super().__setstate__(state)
        if measured:
            self.partition.trust(self.parameters())

    # ------------------------------------------------------------ what a member of the family says

    @abstractmethod
    def units(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """y, perhaps by noise, and log |det ∂y/∂x|, (B,)."""

    def still(self, x: Tensor) -> Tensor:
        """y without noise, in the middle of where that would put it."""
        return self.units(x, None)[0]

    @abstractmethod
    def back(self, y: Tensor) -> Tensor:
        """x of y."""

    @abstractmethod
    def energy(self, y: Tensor) -> Tensor:
        """E(y), (N,)."""

    @abstractmethod
    def log_weight(self, y: Tensor) -> Tensor:
        """log of exp(−E(y)) base(y), (N,)."""

    @abstractmethod
    def first(self, n: int, generator: torch.Generator | None) -> Tensor:
        """Draws of what chains and annealing start from, (n, *shape)."""

    @abstractmethod
    def advanced(
        self, y: Tensor, sweeps: int, beta: float, generator: torch.Generator | None
    ) -> Tensor:
        """Chains after so many sweeps of the density at β."""

    @abstractmethod
    def enumerated(self) -> Tensor:
        """log Z by a sum over all states, with gradients."""

    @abstractmethod
    def annealed(self, generator: torch.Generator) -> LogPartition:
        """log Z by annealed importance sampling."""

    # ----------------------------------------------------------------------------------- training

    def start(self, chains: int) -> None:
        """So many chains, from where draws start; for constructors. A model has the same always."""
        states = self.first(chains, torch.Generator().manual_seed(SEED))
        self.register_buffer("states", states, persistent=False)

    @property
    def measured(self) -> Solve:
        """The stage that measures log Z of the weights that are kept."""
        return Solve("log partition", self._measure)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, _ = self.prepare(x, c)
        real = self.energy(self.units(x, None)[0])
        drawn = self.energy(self.states)
        contrast = real - drawn.mean()
        objective = contrast.mean()
        if self.decay:
            size = real.square().mean() + drawn.square().mean()
            objective = objective + self.decay * size
        shown = drawn.mean().expand(len(real))
        terms = {"energy_real": real, "energy_drawn": shown, "contrast": contrast}
        return Loss(objective, terms)

    def after_step(self, loss: Loss, player: str = "model") -> None:
        self.partition.forget()
        moved = self.advanced(self.states, self.sweeps, 1.0, None)
        there = moved.isfinite().flatten(1).all(1).view(-1, *[1] * (moved.ndim - 1))
        self.states.copy_(torch.where(there, moved, self.states))

    # ---------------------------------------------------------------------------------- the density

    def density(
        self, x: Tensor, c: Tensor | None, samples: int, generator: torch.Generator | None
    ) -> LogProb:
        differentiable = torch.is_grad_enabled() and (self.partition.enumerates or x.requires_grad)
        with torch.set_grad_enabled(differentiable):
            log_z = self._log_z()
            value = self._log_weights(x, samples, generator) - log_z
        kind = self.partition.value.kind
        return LogProb(value, kind, samples if self.log_prob_draws else 1)

    @property
    def judgment(self) -> Judgment:
        """−log of what p is proportional to, the base included, in the units of y."""

        def energy(x: Tensor, c: Tensor | None) -> Tensor:
            return -self.log_weight(self.still(self.prepare(x, c)[0]))

        return Judgment("energy", "nats", energy, energy=True)

    @property
    def log_partition(self) -> LogPartition:
        partition = self.partition
        if not (partition.is_of(self.parameters()) and partition.measured):
            self._measure()
        return self.partition.value

    def _log_z(self) -> Tensor:
        """log Z, by a sum that has gradients where these are asked for."""
        if torch.is_grad_enabled() and self.partition.enumerates:
            return self.enumerated()
        return self.log_partition.value

    def _log_weights(self, x: Tensor, samples: int, generator: torch.Generator | None) -> Tensor:
        """log of exp(−E) base in the units of x, averaged over draws of y where y has noise."""

        def draw(k: int) -> Tensor:
            y, ladj = self.units(x.repeat_interleave(k, 0), generator)
            return self.log_weight(y) + ladj

        if not self.log_prob_draws:
            return draw(1)
        return numerics.log_mean_exp_of(draw, samples, self._draws_of_each(x), x)

    @torch.no_grad()
    def _measure(self, model: Model | None = None, batches: Iterable[Batch] | None = None) -> None:
        """log Z of the weights as they are, by noise of its own."""
        if self.partition.enumerates:
            value = self.enumerated()
            zero, states = torch.zeros_like(value), torch.full_like(value, 2.0**self.partition.bits)
            found = LogPartition(value, zero, states, 2**self.partition.bits, 0)
        else:
            with numerics.noise_of_its_own():
                found = self.annealed(torch.Generator().manual_seed(SEED))
        self.partition.put(found, self.parameters())

    def _apply(self, fn: object, recurse: bool = True) -> Self:
        """Moved or cast, the weights are what they were."""
        known = self.partition.is_of(self.parameters())
        super()._apply(fn, recurse)
        if known:
            self.partition.trust(self.parameters())
        return self

    # --------------------------------------------------------------------------------------- draws

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return self.draw_sweeps

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        for y in self.walk(n, generator):  # noqa: B007
            pass
        return self.back(y)

    def walk(self, n: int, generator: torch.Generator | None = None) -> Iterator[Tensor]:
        """Chains from their start to draws, every ten sweeps, (n, *shape) in the units of y.

        β rises to 1 in the first half: chains that meet the density at once stay in the first mode
        that they find.
        """
        y, done = self.first(n, generator), 0
        yield y
        while done < self.draw_sweeps:
            tell(done / self.draw_sweeps)
            sweeps = min(SWEEPS_AT_ONCE, self.draw_sweeps - done)
            done += sweeps
            y = self.advanced(y, sweeps, min(1.0, 2 * done / self.draw_sweeps), generator)
            yield y

    @torch.no_grad()
    def chain_path(
        self, n: int, shares: Sequence[float], generator: torch.Generator | None = None
    ) -> dict[int, Tensor]:
        """Where n chains stand after such shares of their sweeps, x by the number of these."""
        last = math.ceil(self.draw_sweeps / SWEEPS_AT_ONCE)
        wanted = {round(share * last) for share in shares}
        return {
            min(index * SWEEPS_AT_ONCE, self.draw_sweeps): self.back(y)
            for index, y in enumerate(self.walk(n, generator))
            if index in wanted
        }


def _saved(model: nn.Module, state: dict[str, Any], prefix: str, metadata: object) -> None:
    """A number that is not of these weights does not go with them."""
    assert isinstance(model, Unnormalized)
    if not model.partition.is_of(model.parameters()):
        state[f"{prefix}partition.found"] = torch.zeros_like(model.partition.found)


def _loaded(model: nn.Module, keys: Any) -> None:
    """The number that came with all weights is of these, unless it was saved unmeasured."""
    assert isinstance(model, Unnormalized)
    if model.partition.measured and not keys.missing_keys:
        model.partition.trust(model.parameters())
    else:
        model.partition.forget()
