"""Bijections of images and of their channels: shapes, codes of several scales, norms, logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.bijections.actnorm import ActNorm
from reparam.bijections.base import Bijection, Chain
from reparam.bijections.logit import Logit, Rescale
from reparam.bijections.multiscale import MultiScale, Split, scales_of
from reparam.bijections.shape import Flatten, Squeeze
from reparam.nets.coupling_conv import CouplingConv

F64 = torch.float64


def mixed(shape: tuple[int, ...], context: int = 0) -> Bijection:
    """Of images, a bijection that leaves no entry alone."""
    dense = rp.MaskedAffine(math.prod(shape), (8,), context=context)
    return Chain(Flatten(shape), dense, rp.Inverse(Flatten(shape)))


def block(shape: tuple[int, ...], scale: int, context: int = 2) -> Bijection:
    squeeze = Squeeze(shape)
    return Chain(squeeze, ActNorm(squeeze.gives), mixed(squeeze.gives, context))


def late(shape: tuple[int, ...], scale: int) -> Bijection:
    """The squeeze stands behind what is at full size, as checkerboards are."""
    return Chain(mixed(shape), Squeeze(shape))


MAPS = {
    "squeeze": (lambda: Squeeze((1, 2, 4)), (1, 2, 4)),
    "flatten": (lambda: Flatten((2, 1, 4)), (2, 1, 4)),
    "actnorm of images": (lambda: ActNorm((2, 2, 2)), (2, 2, 2)),
    "actnorm of vectors": (lambda: ActNorm((3,)), (3,)),
    "rescale": (lambda: Rescale(4), (1, 2, 2)),
    "logit": (lambda: Logit(0.05), (1, 2, 2)),
    "split": (lambda: Split((3, 1, 2), Flatten((1, 1, 2))), (3, 1, 2)),
    "one scale": (lambda: MultiScale((1, 2, 4), None, block), (1, 2, 4)),
    "two scales": (lambda: MultiScale((1, 4, 4), None, block), (1, 4, 4)),
    "late squeeze": (lambda: MultiScale((2, 2, 4), 1, late), (2, 2, 4)),
    "two scales with priors": (
        lambda: MultiScale((1, 4, 4), 2, block, lambda shape, scale: mixed(shape, 2)),
        (1, 4, 4),
    ),
}


def made(name: str) -> tuple[Bijection, Tensor, Tensor | None]:
    torch.manual_seed(3)
    make, shape = MAPS[name]
    bijection = make().double()
    for parameter in bijection.parameters():  # away from the identity
        parameter.data += 0.3 * torch.randn_like(parameter)
    features = bijection.context_features
    context = torch.randn(5, features, dtype=F64) if features else None
    return bijection, torch.rand(5, *shape, dtype=F64), context


@pytest.mark.parametrize("name", MAPS)
def test_there_and_back_with_the_determinant_of_the_jacobian(name):
    bijection, x, context = made(name)
    assert bijection.takes in (None, x.shape[1:])
    z, there = bijection(x, context)
    assert z.shape[1:] == (bijection.gives or x.shape[1:]) and there.shape == (5,)
    again, back = bijection.inverse(z, context)
    torch.testing.assert_close(again, x, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(there, -back, rtol=1e-10, atol=1e-10)
    own = None if context is None else context[:1]
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v, own)[0], x[:1])
    size = x[0].numel()
    slope = torch.linalg.slogdet(jacobian.view(size, size))[1]
    assert there[0].item() == pytest.approx(slope.item(), abs=1e-9)


def test_a_squeeze_makes_blocks_of_pixels_channels():
    pixels = torch.arange(16.0).view(1, 1, 4, 4)
    z, _ = Squeeze((1, 4, 4))(pixels)
    assert z.shape == (1, 4, 2, 2)
    assert z[0, :, 0, 1].tolist() == [2, 3, 6, 7]


def test_what_cannot_be_halved_is_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"even sides.*got 7 × 6.*--size 8x6 .*--pad"):
        Squeeze((1, 7, 6))
    with pytest.raises(ValueError, match="7 × 7; .* or take fewer scales"):
        MultiScale((1, 28, 28), 3, lambda shape, scale: Squeeze(shape))
    with pytest.raises(ValueError, match="images"):
        Squeeze((6,))
    with pytest.raises(ValueError, match="two channels"):
        MultiScale((1, 4, 4), 2, lambda shape, scale: Chain())
    with pytest.raises(ValueError, match="scales: expected at least 1, got 0"):
        MultiScale((1, 4, 4), 0, lambda shape, scale: Squeeze(shape))


def test_a_chain_says_which_members_do_not_fit():
    with pytest.raises(ValueError, match="Chain: Squeeze takes rows of .* and ActNorm before it"):
        Chain(ActNorm((1, 4, 6)), Squeeze((1, 6, 4)))


@pytest.mark.parametrize(
    ("sides", "count"), [((20, 28), 2), ((28, 28), 2), ((32, 32), 3), ((8, 8), 2), ((27, 28), 1)]
)
def test_scales_are_as_many_as_the_image_allows(sides, count):
    assert scales_of((3, *sides)) == count


def test_a_code_holds_every_entry_once_and_the_coarsest_part_first():
    flow = MultiScale((1, 4, 8), 2, lambda shape, scale: Squeeze(shape))
    x = torch.arange(32.0).view(1, 1, 4, 8)
    z, _ = flow(x)
    assert flow.layers == (16, 16) and sum(flow.layers) == flow.gives[0]
    assert sorted(z[0].tolist()) == x.flatten().tolist()
    # The second channels of the first squeeze, the lower pixels of each block, are done at once.
    assert set(z[0, 16:].tolist()) == set(x[0, 0, 1::2].flatten().tolist())


def test_parts_of_scales_that_are_done_are_not_changed_by_later_scales():
    flow, x, context = made("two scales")
    first = flow.bijections[0](x, context)[0]
    z, _ = flow(x, context)
    assert torch.equal(z[:, flow.layers[0] :], first[:, 2:].flatten(1))
    flow.bijections[-1].rest.bijections[0].bijections[1].shift.data += 1
    assert torch.equal(flow(x, context)[0][:, flow.layers[0] :], first[:, 2:].flatten(1))


def test_actnorm_is_set_through_a_whole_chain():
    """Of every norm, each after those before it: mean 0 and variance 1 of what it gives."""
    torch.manual_seed(0)
    flow = MultiScale((1, 8, 8), 2, lambda shape, scale: block(shape, scale, 0)).double()
    norms = [part for part in flow.modules() if isinstance(part, ActNorm)]
    for parameter in flow.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    rows = 3 + 50 * torch.randn(64, 1, 8, 8, dtype=F64).exp()
    seen: dict[ActNorm, Tensor] = {}
    for norm in norms:
        norm.register_forward_hook(lambda norm, _, out: seen.__setitem__(norm, out[0]))
    assert flow.learns and len(norms) == 2
    z = flow.learn(rows)
    assert torch.equal(z, flow(rows)[0])  # nothing is set by a pass
    for norm in norms:
        columns = seen[norm].movedim(1, -1).flatten(0, -2)
        torch.testing.assert_close(columns.mean(0), torch.zeros(len(columns[0]), dtype=F64))
        torch.testing.assert_close(columns.var(0, correction=0), torch.ones_like(columns[0]))


@pytest.mark.parametrize("constant", [0.0, 0.1, 1.7e9])
def test_actnorm_only_shifts_what_is_constant(constant):
    rows = torch.randn(999, 2, generator=torch.Generator().manual_seed(0), dtype=F64) * 4 + 1
    rows[:, 1] = constant
    norm = ActNorm((2,)).double()
    z = norm.learn(rows)
    assert z[:, 1].abs().max() <= 1e-15 * constant and norm.log_scale.tolist()[1] == 0
    assert z[:, 0].var(correction=0).item() == pytest.approx(1, abs=1e-5)
    assert all(part.isfinite().all() for part in (*norm(rows + 1), *norm.inverse(z)))
    assert not norm.learn(rows[:1]).any()  # of a single row all is constant


def test_actnorm_of_columns_far_from_zero_keeps_their_variance():
    rows = 1e4 + torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    z = ActNorm((1,)).learn(rows)
    assert z.mean().item() == pytest.approx(0, abs=1e-3)
    assert z.var(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_checkpoints_keep_what_actnorm_learned():
    norm, again = ActNorm((3, 2, 2)), ActNorm((3, 2, 2))
    norm.learn(5 * torch.randn(8, 3, 2, 2))
    again.load_state_dict(norm.state_dict())
    x = torch.randn(4, 3, 2, 2)
    assert all(torch.equal(a, b) for a, b in zip(again(x), norm(x), strict=True))


def test_logits_are_as_exact_near_one_as_near_zero():
    """Of 256 levels in float32 the form log p/(1 − p) would be off by 9e-3 at 255.9999."""
    y = torch.tensor([[255.9999], [0.0001], [128.0], [255.99998]])
    z, ladj = Chain(Rescale(256), Logit(1e-6))(y)
    exact, slope = Chain(Rescale(256), Logit(1e-6))(y.double())
    torch.testing.assert_close(z.double(), exact, rtol=2e-7, atol=1e-6)
    torch.testing.assert_close(ladj.double(), slope, rtol=3e-7, atol=1e-6)
    p = 1e-6 + (1 - 2e-6) * (y / 256)
    assert ((p / (1 - p)).log().double() - exact).abs().max() > 5e-3


def test_logits_are_finite_at_zero_and_beyond_what_they_are_asked():
    assert Logit(1e-6)(torch.zeros(1, 1))[0].isfinite().all()
    y, ladj = Logit(0.05).inverse(torch.tensor([[-1e3], [1e3]]))
    torch.testing.assert_close(y, torch.tensor([[-0.05 / 0.9], [0.95 / 0.9]]))
    assert ladj.isfinite().all()
    with pytest.raises(ValueError, match="alpha"):
        Logit(0.5)


def test_log_determinants_of_many_entries_are_summed_precisely():
    y = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 256
    chain = Chain(Rescale(256), Logit(0.05))
    assert chain(y)[1][0].item() == pytest.approx(chain(y.double())[1][0].item(), abs=2e-3)


def test_the_network_of_couplings_sees_the_context_in_every_pixel():
    torch.manual_seed(0)
    network = CouplingConv((2, 4, 6), 3, 8, context=5)
    x, context = torch.randn(2, 2, 4, 6), torch.randn(2, 5)
    assert network(x, context).shape == (2, 3, 4, 6) and not network(x, context).any()
    network.last.weight.data.normal_()
    assert (network(x, context) != network(x, context + 1)).all()
    assert CouplingConv((1, 1, 1), 2, 4)(torch.ones(1, 1, 1, 1)).shape == (1, 2, 1, 1)
