"""Autoregressive bijections: every entry is mapped given the entries before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reparam import numerics
from reparam.bijections.base import Bijection, Costs
from reparam.bijections.transforms import Transform
from reparam.nets.autoregressive_network import AutoregressiveNetwork


class AutoregressiveTransform(Bijection):
    """z_i = g(x_i; p_i(x before i)), the parameters being those of a network in its order.

    Data → noise takes one pass (masked autoregressive flow). Noise → data goes entry by entry: one
    walk through the network, in which every unit is computed once; D passes where gradients are
    asked for, in captured graphs, and under autocast, where a pass rounds otherwise than a walk.
    Turned round by ``Inverse`` it is the inverse autoregressive flow.

    Args:
        transform: g, entry by entry.
        network: with P numbers per entry, whose first ``member`` is used.

    Shape: (B, *shape), context (B, F) → (B, *shape), ladj (B,).

    Reference: Kingma et al. 2016 (IAF), section 3; Papamakarios et al. 2017 (MAF), section 3.1.
    https://arxiv.org/abs/1606.04934, https://arxiv.org/abs/1705.07057

    >>> from reparam.bijections.transforms import Spline
    >>> from reparam.nets.masked import MADE
    >>> flow = AutoregressiveTransform(Spline(bins=4), MADE((3,), 11, (16,), gain=0))
    >>> flow(torch.ones(1, 3))[0].tolist()
    [[1.0, 1.0, 1.0]]
    """

    costs = Costs(
        "a sum over entries",
        "a pass of its network",
        "D steps, every unit of its network once; D passes where gradients are asked for",
    )

    def __init__(self, transform: Transform, network: AutoregressiveNetwork) -> None:
        super().__init__()
        if network.whole_pixels:
            raise ValueError("network: expected one of single entries, got one of whole pixels")
        self.transform, self.network = transform, network
        self.takes, self.context_features = network.shape, network.context_features

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, ladj = self.transform.forward(x, self._given(x, context))
        return z, ladj.flatten(1).sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rounded = numerics.autocasts(z)
        if rounded or torch.compiler.is_compiling() or self._has_gradients(z, context):
            return self.inverse_by_passes(z, context)
        return self._walk(z, context)

    def inverse_by_passes(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The inverse by D passes: after i of them, the first i entries are right."""
        x = ladj = torch.zeros_like(z)
        for _ in range(math.prod(self.network.shape)):
            x, ladj = self.transform.inverse(z, self._given(x, context))
        return x, ladj.flatten(1).sum(1)

    def _walk(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        columns = z.flatten(1).T.contiguous()  # an entry's values lie together
        x, ladj = torch.empty_like(columns), torch.empty_like(columns)

        def draw(p: Tensor, sites: slice) -> Tensor:
            value, own = self.transform.inverse(columns[sites].T, p.to(z))
            x[sites], ladj[sites] = value.T, own.T
            return value

        with torch.no_grad():
            self.network.generate(z.shape[0], draw, context)
        return x.T.reshape(z.shape), ladj.sum(0)

    def _has_gradients(self, z: Tensor, context: Tensor | None) -> bool:
        inputs = (z,) if context is None else (z, context)
        asked = any(t.requires_grad for t in (*inputs, *self.network.parameters()))
        return torch.is_grad_enabled() and asked

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor:
        # Whatever the network computes in: a Jacobian summed in bfloat16 is off by up to a nat.
        p: Tensor = self.network(x, context).to(x)
        return p
