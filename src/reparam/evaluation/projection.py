"""The plane on which codes are shown, and the way back from its points to codes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Projection(NamedTuple):
    """From codes (N, F) to points (N, 2) of a plane among them, and from its points back to codes.

    The axes (F, 2) are orthonormal, or of 1-D codes (1, 2). What lies off the plane is no part of a
    point, and therefore has to come from a code when a point becomes one.

    >>> codes = torch.tensor([[3.0, 1, 0], [-3, 1, 0], [0, 3, 0], [0, -1, 0]])
    >>> Projection.of(codes).said
    '3-D codes on their first two principal components: 100 % of the variance'
    """

    center: Tensor
    axes: Tensor
    said: str

    @classmethod
    def of(cls, flat: Tensor) -> Projection:
        """One or two numbers as they are, of more their first two principal components."""
        width = flat.shape[1]
        if width <= 2:
            said = "1-D codes: z0 →" if width == 1 else "2-D codes as they are: z0 →, z1 ↑"
            return cls(flat.new_zeros(width).double(), torch.eye(width, 2).double(), said)
        center = flat.double().mean(0)
        centered = flat.double() - center
        # Components are eigenvectors of the covariance, or come from those of the Gram matrix:
        # whichever is smaller, as the codes of a flow are as wide as x.
        if width <= len(flat):
            values, vectors = torch.linalg.eigh(centered.T @ centered)
            axes = vectors[:, -2:].flip(1)
        else:
            values, vectors = torch.linalg.eigh(centered @ centered.T)
            scale = values[-2:].clamp(min=1e-30).sqrt()
            axes = (centered.T @ vectors[:, -2:] / scale).flip(1)
        # The sign of an eigenvector is arbitrary: its farthest point is made positive.
        points = centered @ axes
        axes = axes * points.gather(0, points.abs().argmax(0, keepdim=True)).sign()
        share = (values[-2:].sum() / values.sum().clamp(min=1e-30)).item()
        said = (
            f"{width}-D codes on their first two principal components: "
            f"{100 * share:.0f} % of the variance"
        )
        return cls(center, axes, said)

    def __call__(self, flat: Tensor) -> Tensor:
        return ((flat.double() - self.center) @ self.axes).float()

    def lift(self, points: Tensor, beside: Tensor) -> Tensor:
        """Codes (N, F) over points (N, 2) of the plane, off it where ``beside`` (N or 1, F) is.

        >>> plane = Projection.of(torch.tensor([[3.0, 1, 0], [-3, 1, 0], [0, 3, 0], [0, -1, 0]]))
        >>> point, code = torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 0.0, 7.0]])
        >>> lifted = plane.lift(point, code)
        >>> bool(plane(lifted).allclose(point)), lifted[0, 2].item()
        (True, 7.0)
        """
        moved = (points - self(beside)).double() @ self.axes.T
        return (beside.double() + moved).to(beside)
