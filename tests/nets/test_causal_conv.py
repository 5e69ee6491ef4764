"""Causal convolutions: what they see, proved by their Jacobian, and their steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.nets import causal_conv
from reparam.nets.autoregressive_network import AutoregressiveNetwork, raster_ranks
from reparam.nets.causal_conv import CausalConv, Line, channel_groups
from reparam.nets.pixels import PixelNetwork
from reparam.nets.wavefront import Stack, wavefront_slope, wavefronts

F64 = torch.float64
PLAIN = [
    {"layers": 5},  # the 7 × 7, five 3 × 3
    {"layers": 2, "first_kernel": 3},
    {"layers": 1, "kernel": 5, "first_kernel": 3},
    {"layers": 2, "first_kernel": 3, "kernel": 7},
    {"layers": 3, "residual": True, "first_kernel": 5},
]
GATED = [{"layers": 2, "first_kernel": 3}, {"layers": 1, "first_kernel": 5}]


def linear_network(cls: type, shape: tuple[int, int, int], **sizes: int) -> PixelNetwork:
    """Positive weights and inputs: rectifiers pass all, and no paths cancel."""
    torch.manual_seed(0)
    network = cls(shape, 1, width=3, **sizes).double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 + 0.1 * torch.rand_like(parameter))
    return network


def seen_right(network: PixelNetwork, shape: tuple[int, int, int]) -> dict[int, int]:
    """By rows upwards, the farthest column to the right on which any output depends."""
    x = torch.rand(1, *shape, dtype=F64)
    jacobian = torch.autograd.functional.jacobian(lambda x: network(x), x)
    jacobian = jacobian.reshape(*shape, *shape).abs().sum((0, 3))  # (H, W, H, W)
    found: dict[int, int] = {}
    for i, j, row, column in jacobian.nonzero().tolist():
        up = i - row
        found[up] = max(found.get(up, column - j), column - j)
    return found


@pytest.mark.parametrize("sizes", PLAIN, ids=str)
def test_pixels_along_a_wavefront_do_not_see_each_other_and_no_gentler_one_would_do(sizes):
    shape = (1, 5, 17)
    network = linear_network(rp.PixelCNN, shape, **sizes)
    seen = seen_right(network, shape)
    assert network.slope is not None
    assert all(right < network.slope * up for up, right in seen.items() if up)
    assert max(right for up, right in seen.items() if not up) == -1
    kernels = [sizes.get("first_kernel", 7), sizes.get("kernel", 3)]
    if kernels[0] == max(kernels):  # pixels would see each other
        assert any(right >= (network.slope - 1) * up for up, right in seen.items() if up)
    else:  # a hidden layer would see, one row up, what it computes on the same wavefront
        assert max(kernels) // 2 == network.slope - 1


@pytest.mark.parametrize(
    "cls,sizes", [(rp.PixelCNN, s) for s in PLAIN] + [(rp.GatedPixelCNN, s) for s in GATED], ids=str
)
def test_the_derived_reach_is_that_of_the_jacobian(cls, sizes):
    shape = (1, 4, 23)
    network = linear_network(cls, shape, **sizes)
    seen = seen_right(network, shape)
    assert set(seen) <= set(network.reach)
    for up, right in seen.items():
        assert min(network.reach[up], shape[2] - 1) == right


def test_the_slope_of_the_published_network_is_four():
    """Its 7 × 7 reaches 3 columns to the right in one row; gates of 3 × 3 reach further in all."""
    assert rp.PixelCNN((1, 28, 28), 1).slope == 4
    gated = rp.GatedPixelCNN((1, 28, 28), 1, layers=3)
    assert wavefront_slope(gated.reach) == 1 + (3 + 1 + 1 + 1)


@pytest.mark.parametrize("i,j", [(3, 4), (2, 2)])
def test_the_blind_spot_of_the_plain_network_is_seen_by_the_gated_one(i, j):
    shape, sizes = (1, 5, 14), {"layers": 3, "first_kernel": 3}
    for cls, blind in ((rp.PixelCNN, True), (rp.GatedPixelCNN, False)):
        network = linear_network(cls, shape, **sizes)
        x = torch.rand(1, *shape, dtype=F64, requires_grad=True)
        (gradient,) = torch.autograd.grad(network(x)[0, 0, 0, i, j], x)
        one_row_up = gradient[0, 0, i - 1]
        assert (one_row_up[: j + 2] != 0).all()  # r_max = 1
        assert (one_row_up[j + 2] == 0) == blind


def test_every_position_lies_on_one_wavefront_after_all_it_sees():
    height, width, slope = 5, 7, 3
    time = {}
    for index, line in enumerate(wavefronts(height, width, slope)):
        sites = range(height * width)[line.sites(width)]
        assert len(sites) == line.count
        for k, site in enumerate(sites):
            assert divmod(site, width) == (line.row + k * line.down, line.column + k * line.right)
            assert site not in time
            time[site] = index
    assert len(time) == height * width
    for site, when in time.items():
        i, j = divmod(site, width)
        assert when == j + slope * i
    assert len(wavefronts(28, 28, 4)) == 136


WALKED: list[tuple[type[AutoregressiveNetwork], dict]] = [
    (rp.PixelCNN, {"layers": 2, "first_kernel": 5}),
    (rp.PixelCNN, {"layers": 1, "first_kernel": 3, "kernel": 5, "residual": True}),
    (rp.PixelCNN, {"layers": 2, "first_kernel": 3, "residual": True}),
    (rp.PixelCNN, {"layers": 0, "first_kernel": 19}),  # steeper than wide: pixel by pixel
    (rp.GatedPixelCNN, {"layers": 2, "first_kernel": 5}),
    (rp.GatedPixelCNN, {"layers": 0, "first_kernel": 3}),
    (rp.PixelRNN, {"layers": 2, "first_kernel": 3}),
    (rp.PixelRNN, {"layers": 1, "first_kernel": 3, "recurrence": "row"}),
    (rp.CausalTransformer, {"layers": 2, "heads": 2}),
    (rp.PixelCNNPlusPlus, {"blocks": 2, "scales": 2}),
    (rp.PixelCNNPlusPlus, {"blocks": 1, "scales": 0}),
]


@pytest.mark.parametrize("cls,sizes", WALKED, ids=str)
@pytest.mark.parametrize("shape", [(1, 6, 9), (3, 5, 8)], ids=str)
@pytest.mark.parametrize("context", [(), (4,), (4, "by position")], ids=str)
def test_a_walk_gives_the_parameters_of_a_full_pass(cls, sizes, shape, context):
    torch.manual_seed(1)
    network = cls(shape, 2, width=6, context=4 if context else 0, **sizes).double().eval()
    x = torch.rand(3, *shape, dtype=F64)
    size = (3, 4, *shape[1:]) if len(context) > 1 else (3, 4)
    given = torch.randn(size, dtype=F64) if context else None
    full = network(x, given).flatten(2)
    found = torch.full_like(full, torch.nan)

    def draw(parameters: Tensor, sites: slice) -> Tensor:
        found[..., sites] = parameters
        return x.view(network.layout(3))[..., sites]

    with torch.no_grad():
        network.generate(3, draw, given)
    torch.testing.assert_close(found, full, rtol=1e-12, atol=1e-12)


def test_inputs_of_two_rows_are_kept_only_while_they_are_seen():
    """For s + 3 wavefronts: memory does not grow with the width but by the wavefronts there are."""
    rows, units, height, slope = 4, 8, 12, 2
    sizes = [
        Stack([CausalConv(units, units, 3)], rows, (height, width), slope, None).size
        for width in (20, 40)
    ]
    assert sizes[1] - sizes[0] == 20 * units
    assert sizes[1] < 0.25 * rows * units * height * 40


@pytest.mark.parametrize("cls", [rp.PixelCNN, rp.PixelRNN, rp.CausalTransformer])
def test_a_context_by_position_is_that_of_its_pixel_and_may_be_the_same_everywhere(cls):
    """It acts on all channels of its pixel and on what comes after, and on nothing before it."""
    torch.manual_seed(1)
    shape, sizes = (3, 3, 2), {"heads": 3} if cls is rp.CausalTransformer else {}
    network = cls(shape, 2, width=9, layers=1, context=4, **sizes).double()
    assert network.context_by_position
    x, everywhere = torch.rand(1, *shape, dtype=F64), torch.randn(1, 4, dtype=F64)
    maps = everywhere[:, :, None, None].repeat(1, 1, 3, 2)
    before = network(x, maps)
    torch.testing.assert_close(network(x, everywhere), before, rtol=0, atol=1e-12)
    maps[:, :, 1, 0] += 1
    same = torch.isclose(network(x, maps), before, rtol=1e-12, atol=1e-13)[0].flatten(1).all(0)
    ranks = raster_ranks(shape)
    assert same[ranks < 6].all()  # two pixels of three channels
    assert not same[(ranks >= 6) & (ranks < 9)].any()


@pytest.mark.parametrize("mask", ["A", "B", "none"])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_masked_convolution_is_one_with_zeros_where_it_must_not_see(mask, kernel):
    torch.manual_seed(0)
    channels, width = 3, 7
    inputs, outputs = channel_groups(5, channels), channel_groups(width, channels)
    conv = CausalConv(inputs, outputs, kernel, mask).double()
    half = kernel // 2
    weight = torch.zeros(width, 5, kernel, kernel, dtype=F64)
    right = conv.weight.shape[3]
    weight[:, :, : half + 1, :right] = conv.weight.detach()
    for out in range(width):
        for unit in range(5):
            own = inputs[unit] < outputs[out] if mask == "A" else inputs[unit] <= outputs[out]
            if mask != "none":
                weight[out, unit, half, half] *= float(own)
                weight[out, unit, half, half + 1 :] = 0
    x = torch.randn(2, 5, 6, 4, dtype=F64)
    expected = torch.nn.functional.conv2d(x, weight, conv.bias, padding=half)
    torch.testing.assert_close(conv(x), expected)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="kernel: expected an odd width, got 4"):
        CausalConv(1, 1, 4)
    with pytest.raises(ValueError, match="width: expected at least the 3 channels of x, got 2"):
        rp.PixelCNN((3, 4, 4), 1, width=2)
    with pytest.raises(ValueError, match=r"shape: expected images \(C, H, W\), got \(7,\)"):
        rp.GatedPixelCNN((7,), 1)


def test_lines_of_one_pixel_and_of_a_row():
    assert Line(2, 3).sites(5, plane=10) == slice(23, 24, 1)
    assert Line(1, 0, 5).sites(5) == slice(5, 10, 1)
    assert causal_conv.compose({0: 0, 2: -1}, {1: 3}) == {1: 3, 3: 2}


@pytest.mark.parametrize("recurrence,sees_all", [("diagonal", True), ("row", False)])
def test_the_diagonal_lstm_sees_all_before_a_pixel_and_the_row_lstm_a_triangle(
    recurrence, sees_all
):
    shape = (1, 4, 9)
    network = linear_network(rp.PixelRNN, shape, layers=1, first_kernel=3, recurrence=recurrence)
    x = torch.rand(1, *shape, dtype=F64, requires_grad=True)
    i, j = 3, 3
    (gradient,) = torch.autograd.grad(network(x)[0, 0, 0, i, j], x)
    seen = gradient[0, 0] != 0
    assert not seen[i, j:].any()
    assert seen[i, j - 2 : j].all() and seen[i, :j].all() == sees_all
    above = seen[:i].clone()
    if sees_all:  # but for the end of the row above: what it puts in there has not seen it itself
        assert not above[-1, -1]
        above[-1, -1] = True
    assert above.all() == sees_all
    for up in range(1, i + 1):  # a column further to the right with every row
        assert seen[i - up, : j + up + 1].all()
        assert sees_all or not seen[i - up, j + up + 1 :].any()


def test_skewing_puts_diagonals_into_columns():
    from reparam.nets.pixelrnn import _skew, _unskew

    x = torch.arange(12.0).view(1, 1, 3, 4) + 1
    skewed = _skew(x)
    expected = torch.tensor([[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12.0]])
    assert torch.equal(skewed[0, 0], expected)
    assert torch.equal(_unskew(skewed, 4), x)
