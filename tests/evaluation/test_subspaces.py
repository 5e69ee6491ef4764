"""Angles between subspaces, beside SciPy's and closed forms."""

from __future__ import annotations

import pytest
import torch
from scipy import linalg

from reparam.evaluation.subspaces import principal_angles


@pytest.mark.parametrize(("p", "q"), [(3, 3), (2, 4), (4, 2), (1, 1)])
def test_angles_are_scipys(p, q):
    generator = torch.Generator().manual_seed(p + 10 * q)
    a, b = (torch.randn(7, k, generator=generator, dtype=torch.float64) for k in (p, q))
    theirs = torch.from_numpy(linalg.subspace_angles(a.numpy(), b.numpy())).flip(0)
    assert torch.allclose(principal_angles(a, b), theirs, rtol=1e-10, atol=1e-12)


def test_rotations_in_a_plane_keep_small_angles_and_bases_do_not_matter():
    """Columns turned out of the subspace by φ have the angle φ, down to where cosines are 1."""
    for phi in (1e-9, 1e-4, 0.3, 1.2):
        t = torch.tensor(phi, dtype=torch.float64)
        a = torch.eye(4, dtype=torch.float64)[:, :2]
        b = a.clone()
        b[1, 1], b[3, 1] = t.cos(), t.sin()
        mixed = b @ torch.tensor([[2.0, 1.0], [-1.0, 3.0]], dtype=torch.float64)
        found = principal_angles(a, mixed)
        assert found[0] < 1e-14 and found[1].item() == pytest.approx(phi, rel=1e-6)
