"""The restricted Boltzmann machine: binary units in two layers that see only each other."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.chains.annealing import annealed, ramp, summary
from reparam.chains.bases import Bits
from reparam.chains.enumeration import log_sum
from reparam.chains.partition import By, Partition
from reparam.exchange import LogPartition
from reparam.limits import Count, Several, limited
from reparam.model import Batch, Descend, Model, Solve, Space, Stage
from reparam.models.unnormalized import Unnormalized

FIRST_SCALE = 0.01  # of the weights


class RBM(Unnormalized):
    """p(v) = Σ_h exp(vᵀa + hᵀb + vᵀWh) / Z = exp(−F(v)) / Z, v and h binary.

    F(v) = −vᵀa − Σ_j softplus(b_j + (vᵀW)_j). It is trained by persistent contrastive divergence:
    chains of block Gibbs steps, which draw all h given v and all v given h at once.

    Args:
        space: what x is; binary data.
        hidden: units H of the hidden layer.
        chains: that draw of the model while it is trained.
        sweeps: Gibbs steps of each after a step of training.
        draw_sweeps: Gibbs steps of a draw.
        partition: how log Z is found: by a sum over the states of the smaller layer, by annealing,
            or by the sum where these are 2^20 at most.
        runs: of annealing.
        temperatures: of each run.

    Shape: x (B, *space.shape).

    Likelihood: exact by the sum, with gradients; else an estimate, which is too high on average.

    Cost: a step of training takes ``sweeps`` products of W with each chain, both ways; annealing
        ``temperatures`` of them with each run.

    Raises:
        ValueError: data that are not binary, or a sum over more than 2^20 states.

    Reference: Smolensky 1986; Tieleman 2008, "Training restricted Boltzmann machines using
    approximations to the likelihood gradient"; Salakhutdinov & Murray 2008, "On the quantitative
    analysis of deep belief networks", section 3 and eq. 16 to 18.
    https://www.cs.toronto.edu/~tijmen/pcd/pcd.pdf,
    https://www.cs.toronto.edu/~rsalakhu/papers/dbn_ais.pdf

    >>> model = RBM(Space((4,), "binary"), hidden=2, chains=3)
    >>> model.log_prob(torch.zeros(1, 4)).kind
    'exact'
    """

    @limited
    def __init__(
        self,
        space: Space,
        hidden: Count = 500,
        chains: Count = 256,
        sweeps: Count = 5,
        draw_sweeps: Count = 1000,
        partition: By = "auto",
        runs: Several = 200,
        temperatures: Count = 1000,
    ) -> None:
        if space.kind != "binary":
            raise ValueError(f"space: expected binary data, got {space.kind}; binarize them")
        visible = space.dimension
        found = Partition(min(visible, hidden), partition, runs, temperatures)
        super().__init__(space, found, sweeps, draw_sweeps)
        self.weight = nn.Parameter(FIRST_SCALE * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.base = Bits((visible,))
        self.start(chains)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (Solve("frequencies", self._solve), Descend(), self.measured)

    def units(self, x: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        return x.flatten(1), x.new_zeros(x.shape[0])

    def back(self, y: Tensor) -> Tensor:
        return y.view(-1, *self.space.shape)

    def energy(self, y: Tensor) -> Tensor:
        """The free energy F(v), (N,)."""
        inputs = y @ self.weight + self.hidden_bias
        return -(y @ self.visible_bias) - F.softplus(inputs).sum(1)

    def log_weight(self, y: Tensor) -> Tensor:
        return -self.energy(y)

    def first(self, n: int, generator: torch.Generator | None) -> Tensor:
        return self.base.draw(n, generator)

    def hidden_given(self, v: Tensor, beta: float = 1.0) -> Tensor:
        """P(h_j = 1 | v) at β, (N, H)."""
        return torch.sigmoid(beta * (v @ self.weight + self.hidden_bias))

    def visible_given(self, h: Tensor, beta: float = 1.0) -> Tensor:
        """P(v_d = 1 | h) at β, (N, D), where the biases are partly those of the base."""
        bias = torch.lerp(self.base.logits, self.visible_bias, beta)
        return torch.sigmoid(bias + beta * (h @ self.weight.T))

    def advanced(
        self, y: Tensor, sweeps: int, beta: float, generator: torch.Generator | None
    ) -> Tensor:
        for _ in range(sweeps):
            h = _drawn(self.hidden_given(y, beta), generator)
            y = _drawn(self.visible_given(h, beta), generator)
        return y

    def enumerated(self) -> Tensor:
        visible, hidden = self.weight.shape
        if visible < hidden:
            return log_sum(self.log_weight, visible, self.weight)
        return log_sum(self._log_weight_of_hidden, hidden, self.weight)

    def _log_weight_of_hidden(self, h: Tensor) -> Tensor:
        """log Σ_v exp(vᵀa + hᵀb + vᵀWh), (N,)."""
        inputs = h @ self.weight.T + self.visible_bias
        return h @ self.hidden_bias + F.softplus(inputs).sum(1)

    def tempered(self, y: Tensor, beta: float) -> Tensor:
        """log of what the density at β is proportional to, (N,)."""
        bias = torch.lerp(self.base.logits, self.visible_bias, beta)
        inputs = beta * (y @ self.weight + self.hidden_bias)
        return y @ bias + F.softplus(inputs).sum(1)

    def annealed(self, generator: torch.Generator) -> LogPartition:
        """From the machine without weights, whose Z is 2^H Π (1 + exp a_d), a of the base."""
        log_weights = annealed(
            self.first(self.partition.runs, generator),
            ramp(self.partition.temperatures),
            lambda y, before, now: self.tempered(y, now) - self.tempered(y, before),
            lambda y, beta: self.advanced(y, 1, beta, generator),
        )
        start = F.softplus(self.base.logits).sum() + math.log(2) * self.weight.shape[1]
        return summary(log_weights + start, self.partition.temperatures)

    @torch.no_grad()
    def _solve(self, model: Model, batches: Iterable[Batch]) -> None:
        """Both the base and the machine start from the frequencies of the data."""
        self.base.learn(batch.x.flatten(1) for batch in batches)
        self.visible_bias.copy_(self.base.logits)
        self.partition.forget()


def _drawn(shares: Tensor, generator: torch.Generator | None) -> Tensor:
    """Bits that are 1 with these probabilities."""
    return (numerics.noise(shares, "uniform", generator) < shares).to(shares.dtype)
