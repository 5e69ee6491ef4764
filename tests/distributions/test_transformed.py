"""Standardize and distributions pushed through bijections: Jacobians, integrals, statistics."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from reparam.bijections.base import Bijection
from reparam.bijections.elementwise import Standardize
from reparam.distributions.densities import NormalDensity
from reparam.distributions.transformed import Transformed
from reparam.model import Batch, Space

F64 = torch.float64


class Sinh(Bijection):
    """y = A sinh x: neither linear nor elementwise, and invertible in closed form."""

    matrix = torch.tensor([[1.0, 0.4], [-0.3, 0.8]], dtype=F64)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        log_det = torch.linalg.slogdet(self.matrix).logabsdet
        return x.sinh() @ self.matrix.T, x.cosh().log().sum(1) + log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = torch.asinh(z @ torch.linalg.inv(self.matrix).T)
        return x, -self.forward(x)[1]


def standardize_2d() -> Standardize:
    bijection = Standardize(Space((2,), "real")).double()
    with torch.no_grad():
        bijection.shift.copy_(torch.tensor([0.5, -3.0]))
        bijection.scale.copy_(torch.tensor([0.2, 4.0]))
    return bijection


BASE = NormalDensity(torch.tensor([[0.3, -0.5]], dtype=F64), torch.tensor([[-0.4, 0.2]], dtype=F64))


@pytest.mark.parametrize("bijection", [standardize_2d(), Sinh()], ids=["standardize", "sinh"])
def test_log_prob_is_base_plus_slogdet_of_the_jacobian(bijection):
    p = Transformed(BASE, bijection)
    x = torch.tensor([[0.1, 0.7], [-1.0, 2.0], [0.6, -3.5]], dtype=F64)
    found = p.log_prob_terms(x)
    # Columns of the two entries, where they stay apart.
    assert found.shape == ((3, 2) if isinstance(bijection, Standardize) else (3, 1))
    for row, total in zip(x, found.sum(1), strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0][0], row)
        y = bijection(row[None])[0][0].detach().numpy()
        base = stats.norm(BASE.mean[0].numpy(), BASE.log_scale[0].exp().numpy()).logpdf(y).sum()
        wanted = base + torch.linalg.slogdet(jacobian).logabsdet.item()
        assert total.item() == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "bijection,low,high",
    [(standardize_2d(), (-1.5, -45.0), (2.5, 40.0)), (Sinh(), (-4.5, -4.5), (4.5, 4.5))],
    ids=["standardize", "sinh"],
)
def test_density_integrates_to_one(bijection, low, high):
    """The trapezoid rule on a density that has died out at the borders converges faster than any
    power of the step; cosh growth of the argument of the Gaussian makes 400 steps ample."""
    axes = [np.linspace(a, b, 401) for a, b in zip(low, high, strict=True)]
    grid = torch.as_tensor(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    p = Transformed(BASE, bijection)
    cell = math.prod(axis[1] - axis[0] for axis in axes)
    assert p.log_prob_terms(grid).sum(1).exp().sum().item() * cell == pytest.approx(1.0, abs=1e-8)


def test_draws_and_center_go_back_through_the_bijection():
    for bijection in (standardize_2d(), Sinh()):
        p = Transformed(BASE, bijection)
        torch.testing.assert_close(bijection(p.center)[0], BASE.mean)
        draws = p.repeat(5000).sample(torch.Generator().manual_seed(0))
        y = bijection(draws)[0].numpy()
        for column in range(2):
            law = stats.norm(BASE.mean[0, column].item(), BASE.log_scale[0, column].exp().item())
            assert stats.kstest(y[:, column], law.cdf).pvalue > 1e-4
        again = p.repeat(5000).sample(torch.Generator().manual_seed(0))
        assert torch.equal(draws, again)


def test_kind_rows_repeat_and_detach_are_those_of_the_base():
    mean = torch.zeros(2, 2, dtype=F64, requires_grad=True)
    p = Transformed(NormalDensity(mean, mean), Sinh())
    assert p.kind == "exact"
    assert (p.rows, p.repeat(3).rows) == (2, 6)
    x = torch.tensor([[0.1, 0.2], [0.3, -0.4]], dtype=F64)
    repeated = p.repeat(3).log_prob_terms(x.repeat_interleave(3, 0))
    torch.testing.assert_close(repeated, p.log_prob_terms(x).repeat_interleave(3, 0))
    assert p.log_prob_terms(x).requires_grad
    assert not p.detach().log_prob_terms(x).requires_grad

    class Bound(NormalDensity):
        kind = "lower bound"

    assert Transformed(Bound(mean, mean), Sinh()).kind == "lower bound"


# ------------------------------------------------------------------------- Standardize


def solved(x: Tensor, space: Space, dtype: torch.dtype = F64) -> Standardize:
    bijection = Standardize(space).to(dtype)
    (stage,) = bijection.stages
    cut = len(x) // 3
    stage.solve(None, [Batch(x[:cut]), Batch(x[cut:])])
    return bijection


@pytest.mark.parametrize(
    "space",
    [
        Space((4,), "real"),
        Space((2, 3, 2), "real"),
        Space((4,), "levels", 17),
        Space((2, 3, 2), "levels", 256),
        Space((4,), "binary"),
    ],
    ids=lambda s: f"{s.kind}-{len(s.shape)}d",
)
def test_standardize_inverts_both_ways_with_the_jacobian_of_autograd(space):
    generator = torch.Generator().manual_seed(1)
    data = 5 + 3 * torch.randn(50, *space.shape, generator=generator, dtype=F64)
    if space.kind != "real":
        data = data.abs().round().clamp(0, space.level_count - 1)
    bijection = solved(data, space) if space.kind == "real" else Standardize(space).double()
    x = data[:3]
    z, ladj = bijection(x)
    back, back_ladj = bijection.inverse(z)
    torch.testing.assert_close(back, x, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(bijection(bijection.inverse(x)[0])[0], x, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(back_ladj, -ladj)
    assert ladj.shape == (3,)
    jacobian = torch.autograd.functional.jacobian(lambda v: bijection(v[None])[0][0], x[0])
    square = jacobian.reshape(space.dimension, space.dimension)
    wanted = torch.linalg.slogdet(square).logabsdet
    torch.testing.assert_close(ladj[0], wanted, rtol=1e-12, atol=1e-12)
    if space.kind == "levels":
        assert z.min() >= 0
        assert z.max() <= 1


def test_solved_statistics_are_numpys():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 6)) * [1, 5, 0.01, 1e-3, 1e4, 1] + [0, 7, -3, 1e6, 0, 1e6]
    x[:, 0], x[:, 5] = 0.1, 1e6 + rng.normal(size=1000)
    bijection = solved(torch.as_tensor(x), Space((6,), "real"))
    np.testing.assert_allclose(bijection.shift[1:], x.mean(0)[1:], rtol=1e-14, atol=1e-12)
    wanted = x.std(0)
    wanted[0] = 1.0  # of a constant column there is none
    # Column 3 is 1e6 ± 1e-3: each value carries 1.2e-10 of rounding, 1e-7 of its deviation, which
    # both sides see alike; their means differ by roundings of 1e6, again 1e-7 of it, squared.
    np.testing.assert_allclose(bijection.scale.numpy(), wanted, rtol=1e-10)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7e8, 1e-300])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_constant_columns_become_0_and_come_back_exactly(value, dtype):
    x = torch.randn(5000, 2, dtype=dtype)
    x[:, 0] = value
    bijection, alone = (solved(v, Space((v.shape[1],), "real"), dtype) for v in (x, x[:, 1:]))
    z, ladj = bijection(x)
    assert (z[:, 0] == 0).all()
    wanted = alone(x[:, 1:])
    torch.testing.assert_close((z[:, 1:], ladj), wanted)  # sums over two columns round otherwise
    back, back_ladj = bijection.inverse(torch.ones_like(z))  # whatever a network says of it
    assert torch.equal(back[:, 0], x[:, 0]) and torch.equal(back_ladj, -ladj)
    assert bijection.slope[0] == 0 and bijection.count == 1


def test_an_x_whose_constant_differs_has_probability_0():
    x = torch.randn(50, 3, dtype=F64)
    x[:, 0], x[:, 2] = 0.001, 1.7e9
    bijection = solved(x, Space((3,), "real"))
    other = x[:4].clone()
    other[1, 0], other[2, 2] = 0.002, 1.7e9 + 5
    other[3, 0] = torch.tensor(0.001).double()  # what float32 makes of the constant is it
    z, ladj = bijection(other)
    assert ladj.isneginf().tolist() == [False, True, True, False]
    assert (z[:, [0, 2]] == 0).all()
    # Data in float32 know no finer difference, in whatever type they are asked about.
    coarse = solved(x.float(), Space((3,), "real"), torch.float32)
    exact = x[:1].repeat(2, 1)
    exact[1, 0] = 0.0011
    assert coarse(exact)[1].isneginf().tolist() == [False, True]


def test_data_come_back_in_the_precision_they_came_in():
    x = 1.7e9 + torch.rand(300, 2, dtype=F64) * 2000 - 1000
    for given, dtype, wanted in (
        (x, torch.float32, F64),
        (x.float(), torch.float32, torch.float32),
        (x.float(), F64, F64),
        (x.long(), torch.float32, F64),  # float32 does not hold such integers either
        (x.long().remainder(100).to(torch.int8), torch.float32, torch.float32),
    ):
        bijection = solved(given, Space((2,), "real"), dtype)
        back = bijection.inverse(bijection.scaled(given))[0]
        assert back.dtype == wanted
        # float32 knows one number in 128 there; else z, up to 2 deviations of 600, is rounded.
        limit = 64 if given.dtype == torch.float32 == wanted else 2**-24 * 2 * 600
        assert (back.double() - given.double()).abs().max() <= limit


def test_constant_pixels_of_images_are_left_out_of_the_statistics():
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.normal(size=(60, 2, 3, 4)) + 5)
    x[:, :, 0], x[:, 1, :, 3] = 1e6, -3.0  # a border of each channel
    bijection, inner = solved(x, Space((2, 3, 4), "real")), x[:, :, 1:]
    wanted = [inner[:, 0].std(correction=0), inner[:, 1, :, :3].std(correction=0)]
    torch.testing.assert_close(bijection.scale.flatten(), torch.stack(wanted))
    assert bijection.count == 8 + 6
    ladj = bijection(x)[1]
    torch.testing.assert_close(-ladj[0], 8 * wanted[0].log() + 6 * wanted[1].log())
    assert torch.equal(bijection.inverse(bijection(x)[0] + 1)[0][:, :, 0], x[:, :, 0])
    channel = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # one without anything that varies
    bijection = solved(channel, Space((3, 3, 4), "real"))
    assert bijection.scale.flatten()[2] == 1 and bijection.count == 14
    assert torch.equal(bijection.inverse(bijection(channel)[0])[0][:, 2], channel[:, 2])


def test_what_is_known_of_constants_is_saved():
    x = torch.randn(20, 3, dtype=F64)
    x[:, 1] = 0.1
    bijection, other = solved(x, Space((3,), "real")), Standardize(Space((3,), "real"))
    other.load_state_dict(bijection.state_dict())
    assert (other.count, other.inverse(torch.zeros(1, 3))[0].dtype) == (2, F64)
    assert torch.equal(other.inverse(torch.zeros(1, 3))[0], bijection.inverse(torch.zeros(1, 3))[0])


def test_columns_far_from_zero_in_float32():
    """float32 resolves 1e6 to 1/16: the deviation of what is stored is still right."""
    rng = np.random.default_rng(0)
    x = (1e6 + 3 * rng.normal(size=(2000, 1))).astype(np.float32)
    bijection = solved(torch.as_tensor(x), Space((1,), "real"), torch.float32)
    assert bijection.scale.item() == pytest.approx(x.astype(float).std(), rel=1e-6)


def test_statistics_of_images_are_per_channel():
    rng = np.random.default_rng(0)
    x = (
        rng.normal(size=(60, 3, 4, 5)) * np.array([1, 2, 9])[:, None, None]
        + np.array([0, 50, -3])[:, None, None]
    )
    bijection = solved(torch.as_tensor(x), Space((3, 4, 5), "real"))
    assert bijection.shift.shape == (3, 1, 1)
    np.testing.assert_allclose(bijection.shift.flatten().numpy(), x.mean((0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(bijection.scale.flatten().numpy(), x.std((0, 2, 3)), rtol=1e-12)
    _, ladj = bijection(torch.as_tensor(x[:1]))
    assert ladj.item() == pytest.approx(-20 * np.log(x.std((0, 2, 3))).sum(), rel=1e-12)


def test_integers_are_read_as_they_are_stored():
    """Batches hold compact dtypes: uint8 sums must not overflow, nor lose their fractions."""
    x = torch.tensor(list(itertools.product([250, 255], [0, 3])), dtype=torch.uint8)
    bijection = solved(x.repeat(100, 1), Space((2,), "real"))
    assert bijection.shift.tolist() == [252.5, 1.5]
    assert bijection.scale.tolist() == [2.5, 1.5]


def test_the_sum_over_repeated_rows_counts_the_jacobian_in_each():
    bijection = Standardize(Space((2,), "real")).double()
    bijection.scale.copy_(torch.tensor([10.0, 0.5]))
    mean = torch.tensor([[0.5, -1.0], [0.0, 2.0]], dtype=torch.float64)
    p = Transformed(NormalDensity(mean, torch.zeros_like(mean)), bijection).repeat(3)
    x = torch.tensor([[3.0, 1.0], [-2.0, 0.25]], dtype=torch.float64)
    expected = p.log_prob_terms(x.repeat_interleave(3, 0)).sum(1)
    torch.testing.assert_close(p.log_prob(x), expected, rtol=1e-13, atol=1e-13)
