"""How far two linear subspaces are apart."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_angles(first: Tensor, second: Tensor) -> Tensor:
    """The principal angles between the spans of columns (D, p) and (D, q), in radians, ascending.

    With orthonormal bases A and B the cosines are the singular values of AᵀB; angles below 45° are
    taken of the sines, the singular values of B − A AᵀB, since a cosine near 1 has no digits left.

    Shape: (D, p), (D, q) → (min(p, q),) in float64.

    Reference: Björck & Golub 1973, "Numerical methods for computing angles between linear
    subspaces" (https://doi.org/10.2307/2005662).

    >>> line, plane = torch.tensor([[1.0], [1.0], [0.0]]), torch.eye(3)[:, :1]
    >>> round(principal_angles(line, plane).rad2deg().item(), 6)
    45.0
    """
    a, b = (torch.linalg.qr(t.detach().cpu().double())[0] for t in (first, second))
    if a.shape[1] < b.shape[1]:
        a, b = b, a
    inner = a.T @ b
    cosines = torch.linalg.svdvals(inner).clamp(max=1)
    sines = torch.linalg.svdvals(b - a @ inner).clamp(max=1).flip(0)
    return torch.where(cosines**2 > 0.5, sines.asin(), cosines.acos())
