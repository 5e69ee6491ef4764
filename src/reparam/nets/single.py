"""The matrix of a network that has a single one: what its units look for or add."""

from __future__ import annotations

from torch import Tensor, nn

from reparam.nets.mlp import MLP
from reparam.nets.sparse import Tied


def single_matrix(network: nn.Module) -> Tensor | None:
    """The weights (outputs, inputs) of a chain whose only learned layer is linear; None for others.

    It looks into ``nn.Sequential`` and ``MLP``; what has no parameters, an activation or the choice
    of the largest units, may stand on either side.

    >>> single_matrix(nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU())).shape
    torch.Size([4, 9])
    >>> single_matrix(nn.Sequential(nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 9))) is None
    True
    """
    if isinstance(network, nn.Linear):
        return network.weight
    if isinstance(network, Tied):
        return network.layers[0].weight.T
    if isinstance(network, (nn.Sequential, MLP)):
        learned = [layer for layer in network.children() if any(True for _ in layer.parameters())]
        return single_matrix(learned[0]) if len(learned) == 1 else None
    return None
