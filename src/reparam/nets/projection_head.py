"""A head from features to likenesses to prototypes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reparam import numerics
from reparam.limits import Count, Several, limited


class ProjectionHead(nn.Module):
    """The cosine of the angle between what a perceptron makes of features and each prototype.

    o_k = ⟨v, p_k⟩ / (‖v‖ ‖p_k‖), v of three layers: a linear layer with weight normalization whose
    gains stay 1, after normalization to length 1.

    Args:
        features: of what comes in.
        hidden: width of the two hidden layers.
        bottleneck: entries of v.
        prototypes: K.

    Shape: (B, features) → (B, prototypes), from −1 to 1.

    Reference: Caron et al. 2021, "Emerging properties in self-supervised vision transformers",
    appendix C; published code keeps the gains at 1, too, where it is asked for stability.
    https://arxiv.org/abs/2104.14294

    >>> ProjectionHead(8, 16, 4, 10)(torch.randn(3, 8)).shape
    torch.Size([3, 10])
    """

    @limited
    def __init__(
        self,
        features: Count,
        hidden: Count = 256,
        bottleneck: Count = 64,
        prototypes: Several = 256,
    ) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):  # biases would make the outputs of all x alike
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.prototypes = nn.Parameter(torch.randn(prototypes, bottleneck))
        self.count = prototypes

    def directions(self, features: Tensor) -> Tensor:
        """v, (B, bottleneck)."""
        found: Tensor = self.mlp(features)
        return found.to(self.prototypes.dtype)

    def shift(self, by: Tensor) -> None:
        """Add to v of all features."""
        last = self.mlp[-1]
        assert isinstance(last, nn.Linear)
        last.bias.add_(by)

    def forward(self, features: Tensor) -> Tensor:
        found = self.directions(features)
        with numerics.without_autocast(features):  # cosines are divided by small temperatures
            return F.linear(F.normalize(found, dim=1), F.normalize(self.prototypes, dim=1))
