"""Red, green and blue as lightness and color: CIELAB."""

from __future__ import annotations

import torch
from torch import Tensor

# From linear red, green and blue to X, Y and Z (IEC 61966-2-1); the white of these is D65.
XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))


def lab(rgb: Tensor) -> Tensor:
    """CIELAB of sRGB in [0, 1]: L* from 0 to 100, a* from green to red, b* from blue to yellow.

    White is where red, green and blue are 1, so that all grays have a* = b* = 0.

    Shape: (..., 3, H, W) → (..., 3, H, W).

    Reference: IEC 61966-2-1 for sRGB; CIE 15, section 8.2.1, for L*, a* and b*.

    >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    >>> [round(value) for value in lab(red).flatten().tolist()]
    [53, 80, 67]
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = torch.tensor(XYZ).to(rgb)
    xyz = torch.einsum("ij,...jhw->...ihw", matrix / matrix.sum(1, keepdim=True), linear)
    edge = 6 / 29
    root = xyz.clamp(min=edge**3) ** (1 / 3)
    f = torch.where(xyz > edge**3, root, xyz / (3 * edge**2) + 4 / 29)
    x, y, z = f.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)
