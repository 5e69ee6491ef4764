"""The planar map at the edge of what it can be."""

import torch

from reparam.bijections.planar import Planar


def test_a_planar_map_without_direction_only_shifts():
    """w = 0 leaves a constant shift, whatever the context asks for: ladj is 0 and so is log|J|."""
    flow = Planar(2)
    context = torch.tensor([[0.3, -0.2, 0.0, 0.0, 0.5]])
    z = torch.tensor([[1.0, 2.0]])
    x, ladj = flow.inverse(z, context)
    jacobian = torch.autograd.functional.jacobian(lambda v: flow.inverse(v, context)[0], z)
    assert ladj.item() == torch.linalg.slogdet(jacobian[0, :, 0]).logabsdet.item() == 0
    assert torch.allclose(flow(x, context)[0], z)
