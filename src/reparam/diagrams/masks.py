"""What each entry of x sees in an autoregressive network, and in which order they come."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from reparam.diagrams.canvas import Canvas
from reparam.model import Model
from reparam.nets.autoregressive_network import AutoregressiveNetwork

MATRIX, TRIES = 64, 3  # entries of which all are shown; inputs and weights that are tried
SIZE, WIDEST = 16.0, 420.0  # of a cell, and of all of them


def network_in(model: Model) -> AutoregressiveNetwork | None:
    """The first autoregressive network of a model; None where it has none."""
    parts = model.modules()
    return next((part for part in parts if isinstance(part, AutoregressiveNetwork)), None)


def sees(network: AutoregressiveNetwork, entries: Tensor, member: int = 0) -> Tensor:
    """Which entries the parameters of some entries depend on, by their Jacobian.

    Weights that are 0 at the start, as of last layers, hide what is seen: of a copy of the network
    small random numbers are put in their place. Several inputs are tried, since a rectifier may be
    shut for one of them.

    Args:
        network: whose mask it is; it stays as it is.
        entries: (N,), of x flattened.
        member: of networks with several orders.

    Returns:
        (N, D), True where the derivative of any parameter is not 0.

    >>> from reparam.nets.masked import MADE
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> sees(MADE((3,), 1, hidden=(16,)), torch.arange(3)).int().tolist()
    [[0, 0, 0], [1, 0, 0], [1, 1, 0]]
    """
    awake = copy.deepcopy(network).double().eval()
    generator = torch.Generator().manual_seed(0)
    found = torch.zeros(len(entries), math.prod(network.shape), dtype=torch.bool)
    rows = torch.arange(len(entries))
    for _ in range(TRIES):
        stir(awake, generator)
        x = torch.randn(1, *network.shape, generator=generator, dtype=torch.float64)
        x = x.expand(len(entries), *network.shape).clone().requires_grad_()
        context = x.new_zeros(len(entries), network.context_features)
        if network.context_by_position and network.context_features:
            context = context[..., None, None].expand(-1, -1, *network.shape[1:])
        with torch.enable_grad():
            made = awake(x, context if network.context_features else None, member)
            mine = made.flatten(2)[rows, :, entries]  # row i of the batch asks for entry i
            (slope,) = torch.autograd.grad(mine.sum(), x)
        found |= slope.flatten(1) != 0
    return found


@torch.no_grad()
def stir(module: nn.Module, generator: torch.Generator) -> None:
    """Add small random numbers to the weights, of which those that are 0 hide what is seen."""
    for p in module.parameters():
        if p.ndim > 1:
            noise = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.add_(0.1 * noise.to(p.device))


def order_of(model: Model) -> Canvas:
    """A matrix of what each entry sees; of large x, what one entry in the middle sees."""
    network = network_in(model)
    assert network is not None
    dimension = math.prod(network.shape)
    if dimension <= MATRIX:
        return _matrix(network, dimension)
    return _field(network, dimension)


def _matrix(network: AutoregressiveNetwork, dimension: int) -> Canvas:
    canvas, ranks = Canvas(), network.ranks_of(0)
    seen = sees(network, torch.arange(dimension))
    size = min(SIZE, WIDEST / dimension)
    canvas.text(0, -26, "What each entry sees (a row each; blue: seen)", "title")
    for row, cells in enumerate(seen.tolist()):
        _cells(canvas, cells, row * size, size)
        if dimension <= WIDEST / SIZE:
            order = f"x{row + 1} is no. {int(ranks[row]) + 1} in the order"
            canvas.text(dimension * size + 8, (row + 0.75) * size, order, "soft left")
    columns = "columns and rows: entries of x as they lie"
    canvas.text(0, dimension * size + 20, f"{columns}; {_orders(network)}", "soft left")
    return canvas


def _field(network: AutoregressiveNetwork, dimension: int) -> Canvas:
    """The first channel of an image, or all entries, as the middle one sees them."""
    canvas = Canvas()
    height, width = network.shape[-2:] if len(network.shape) == 3 else (1, dimension)
    middle = (height // 2) * width + width // 2
    seen = sees(network, torch.tensor([middle]))[0, : height * width].view(height, width)
    size = min(SIZE, WIDEST / width)
    canvas.text(0, -26, f"What entry {middle + 1} sees (blue), itself framed", "title")
    for row, cells in enumerate(seen.tolist()):
        _cells(canvas, cells, row * size, size)
    x, y = (middle % width) * size, (middle // width) * size
    canvas.parts.append(
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{size:.1f}" height="{size:.1f}" '
        'class="warn" style="fill: none; stroke-width: 2.5"/>'
    )
    canvas.text(0, height * size + 20, _orders(network), "soft left")
    return canvas


def _cells(canvas: Canvas, cells: list[bool], y: float, size: float) -> None:
    for column, on in enumerate(cells):
        canvas.parts.append(
            f'<rect class="cell{" seen" if on else ""}" x="{column * size:.1f}" y="{y:.1f}" '
            f'width="{size:.1f}" height="{size:.1f}"/>'
        )
    canvas.reach(len(cells) * size, y + size)


def _orders(network: AutoregressiveNetwork) -> str:
    many = network.members > 1
    return f"the first of {network.members} orders" if many else "one order"
