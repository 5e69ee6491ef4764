"""Penalties of autoencoders: what their codes are to be besides informative."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from reparam.limits import ProperShare, limited
from reparam.nets.sparse import count_sigmoids
from reparam.objectives.penalties import Penalty

Encoder = Callable[[Tensor], Tensor]  # x in network units → code


class CodePenalty(Penalty):
    """A penalty of autoencoders, given x in network units."""

    @abstractmethod
    def forward(self, encoder: Encoder, x: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        """(B,), given x in network units and the outputs (B, ·) of all sigmoid layers."""

    def refuse(self, encoder: nn.Module, decoder: nn.Module) -> None:  # noqa: B027
        """ValueError where the penalty says nothing about such networks."""


class Sparsity(CodePenalty):
    """Σ_l Σ_j KL(ρ ‖ ρ̂_j), ρ̂_j the mean over the batch of unit j of sigmoid layer l.

    KL(ρ ‖ ρ̂) = ρ ln(ρ/ρ̂) + (1−ρ) ln((1−ρ)/(1−ρ̂)), ρ̂ held off 0 and 1 by one rounding, so that it is
    finite. Every row of a batch gets the batch's value; each rank of several takes its own rows.

    Args:
        weight: β in the objective.
        rho: ρ in (0, 1), the mean activation wanted.

    Shape: sigmoid layers (B, ·) → (B,), in nats.

    Reference: Ng 2011, "Sparse autoencoder" (CS294A lecture notes), section 3.

    >>> layer = torch.tensor([[0.25, 0.5], [0.25, 0.0]])  # means 0.25
    >>> Sparsity(rho=0.25)(nn.Identity(), layer, [layer]).tolist()
    [0.0, 0.0]
    """

    term = "sparsity"
    couples_rows = True

    @limited
    def __init__(self, weight: float = 3.0, rho: ProperShare = 0.25) -> None:
        super().__init__(weight)
        self.rho = rho

    def forward(self, encoder: Encoder, x: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        return torch.stack([self.divergence(h) for h in hidden]).sum().expand(len(x))

    def divergence(self, hidden: Tensor) -> Tensor:
        """Σ_j KL(ρ ‖ ρ̂_j) of one layer, from (B, ·) to a scalar."""
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        return self.of_means(hidden.flatten(1).to(dtype).mean(0)).sum()

    def of_means(self, mean: Tensor) -> Tensor:
        """KL(ρ ‖ ρ̂) of each mean activation ρ̂."""
        rounding = torch.finfo(mean.dtype).eps
        mean = mean.clamp(rounding, 1 - rounding)
        rho = torch.full_like(mean, self.rho)
        return rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()

    def refuse(self, encoder: nn.Module, decoder: nn.Module) -> None:
        if not count_sigmoids(encoder) + count_sigmoids(decoder):
            raise ValueError(
                "penalty: Sparsity expects nn.Sigmoid layers in the encoder or decoder "
                "(chains by nn.Sequential or MLP), got none"
            )


class Contraction(CodePenalty):
    """‖∂z/∂x‖²_F, the squared norm of the encoder's Jacobian at x, x in network units.

    Exact, by reverse-mode differentiation: it costs one backward pass of the encoder per entry of
    the code, and a Jacobian of B · L · D numbers. An encoder and a decoder with weights of their
    own can make it small for nothing, by a small code; tied weights cannot.

    Args:
        weight: λ in the objective.

    Shape: x (B, *shape) → (B,).

    Reference: Rifai et al. 2011, "Contractive auto-encoders", eq. 4 and 7.

    >>> linear = nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = linear.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))
    >>> Contraction()(linear, torch.zeros(1, 2), []).tolist()
    [14.0]
    """

    term = "contraction"

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__(weight)

    def forward(self, encoder: Encoder, x: Tensor, hidden: Sequence[Tensor]) -> Tensor:
        def encode_one(row: Tensor) -> Tensor:
            return encoder(row.unsqueeze(0)).squeeze(0)

        jacobian = torch.func.vmap(torch.func.jacrev(encode_one))(x)  # (B, L, *shape)
        return jacobian.flatten(1).square().sum(1)
