"""Flows: densities that integrate to 1, codes that come back, bounds below the truth."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

import reparam as rp
from reparam.bijections.base import Bijection, Chain
from reparam.bijections.dequantization import Uniform
from reparam.bijections.logit import Logit
from reparam.bijections.own import Elementwise
from reparam.bijections.shape import Reverse
from reparam.bijections.transforms import Affine
from reparam.evaluation.samples import sample_scores
from reparam.inspection import SamplesNotFinite
from reparam.model import Batch, Space
from reparam.models.flow import Flow
from reparam.presets import PRESETS

PLANE, LINE = Space((2,), "real"), Space((1,), "real")
SMALL = {
    "planar-flow": {"layers": 3},
    "radial-flow": {"layers": 3},
    "nice": {"hidden": (8,)},
    "real-nvp": {"layers": 3, "hidden": (8,)},
    "maf": {"layers": 2, "hidden": (8,)},
    "iaf": {"layers": 2, "hidden": (8,)},
    "spline-coupling": {"layers": 2, "hidden": (8,), "bins": 4},
    "spline-autoregressive": {"layers": 2, "hidden": (8,), "bins": 4},
}
EXACT_STARTS = [name for name in SMALL if name != "radial-flow"]


def built(name: str, space: Space = PLANE, jitter: float = 0.0, **parameters: object) -> Flow:
    model = rp.build(name, space, seed=0, **(SMALL.get(name, {}) | parameters)).double()
    assert isinstance(model, Flow)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(jitter * noise)
    return model.eval()


def test_every_flow_is_tested_here():
    flows = {name for name, found in PRESETS.items() if issubclass(found.model, Flow)}
    assert flows == {*SMALL, "glow", "spline-1d"}


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_densities_of_the_plane_integrate_to_one(name):
    model = built(name, jitter=0.3)
    points = 601 if name == "spline-coupling" else 241  # splines make narrow peaks
    side = torch.linspace(-12, 12, points, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    mass = model.log_prob(x).value.exp().sum() * (side[1] - side[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-2)


@torch.no_grad()
def test_a_density_of_the_line_integrates_to_one():
    """By trapezoids, fine where the spline is: it is C¹, so that the density has kinks at knots,
    where they are off by h² / 12 of the change of slope, and jumps nowhere."""
    model = built("spline-1d", LINE, jitter=1.0)
    lines = ((-40, -5, 10_000), (-5, 5, 400_000), (5, 40, 10_001))
    x = torch.cat([torch.linspace(a, b, n, dtype=torch.float64) for a, b, n in lines])
    p = model.log_prob(x[:, None]).value.exp()
    assert p[[0, -1]].max() < 1e-9
    assert torch.trapezoid(p, x).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", [*EXACT_STARTS, "spline-1d"])
@torch.no_grad()
def test_a_flow_starts_at_its_base(name):
    space = LINE if name == "spline-1d" else PLANE
    model, x = built(name, space), 3 * torch.randn(50, space.dimension, dtype=torch.float64)
    wanted = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    torch.testing.assert_close(
        model.log_prob(x).value, wanted, rtol=0, atol=1e-6 if "planar" in name else 1e-12
    )


@pytest.mark.parametrize("name", [*SMALL, "spline-1d", "glow"])
@pytest.mark.parametrize("condition", [{"classes": 3}, {"attributes": 2}], ids=str)
@torch.no_grad()
def test_a_condition_moves_the_density(name, condition):
    """And rows by different conditions have what each has alone."""
    shape = {"spline-1d": (1,), "glow": (2, 4, 4)}.get(name, (2,))
    small = {"layers": 1, "channels": 4} if name == "glow" else {}
    model = built(name, Space(shape, "real", **condition), 0.3, conditional=True, **small)
    x = torch.randn(1, *shape, dtype=torch.float64).expand(3, *shape)
    c = torch.arange(3) if "classes" in condition else torch.eye(3, 2, dtype=torch.float64)
    log_p = model.log_prob(x, c).value
    assert len({round(value, 8) for value in log_p.tolist()}) == 3
    for row in range(3):
        alone = model.log_prob(x[:1], c[row : row + 1]).value.item()
        assert alone == pytest.approx(log_p[row].item(), abs=1e-9)
    assert model.layers == () or sum(model.layers) == model.space.dimension


@torch.no_grad()
def test_a_uniform_base_is_uniform_behind_the_logistic_function():
    x = 3 * torch.randn(50, 2, dtype=torch.float64)
    model = built("real-nvp", base="uniform")
    wanted = stats.logistic.logpdf(x.numpy()).sum(1)
    torch.testing.assert_close(model.log_prob(x).value.numpy(), wanted, rtol=0, atol=1e-12)
    far = torch.tensor([[300.0, -300.0]], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        model.log_prob(far).value.sum().backward()
    torch.testing.assert_close(far.grad, torch.tensor([[-1.0, 1.0]], dtype=torch.float64))
    u = torch.sigmoid(model.encode(model.sample(4000)))
    assert stats.kstest(u.flatten().numpy(), "uniform").pvalue > 1e-4


def quadrant(at: Tensor) -> Tensor:
    return (at[:, 0] > 0).long() * 2 + (at[:, 1] > 0)


@pytest.mark.parametrize("name", SMALL)
@torch.no_grad()
def test_codes_come_back_and_samples_follow_the_density(name):
    model = built(name, jitter=0.2)
    x = torch.randn(40, 2, dtype=torch.float64)
    torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=1e-8)
    drawn = model.sample(4000, generator=torch.Generator().manual_seed(0))
    # Shares of four quadrants against the mass of the density there.
    side = torch.linspace(-12, 12, 240, dtype=torch.float64)  # no point on an axis
    grid = torch.cartesian_prod(side, side)
    mass = model.log_prob(grid).value.exp()
    wanted = torch.zeros(4, dtype=torch.float64).index_add(0, quadrant(grid), mass)
    found = quadrant(drawn).bincount(minlength=4)
    assert stats.chisquare(found, wanted / wanted.sum() * 4000).pvalue > 1e-4


@pytest.mark.parametrize("dequantize", ["uniform", "variational"])
@torch.no_grad()
def test_a_dequantized_density_is_a_bound_on_a_mass(dequantize):
    """Σ_x P(x), the mass of the boxes by quadrature, is at most 1, and bounds lie below it."""
    space = Space((2,), "levels", levels=4)
    model = built("real-nvp", space, jitter=0.1, dequantize=dequantize, alpha=0.05)
    images = torch.cartesian_prod(torch.arange(4.0), torch.arange(4.0)).double()
    steps = (torch.arange(60, dtype=torch.float64) + 0.5) / 60
    u = torch.cartesian_prod(steps, steps)
    z, ladj = model.bijection((images[:, None] + u).flatten(0, 1))
    log_p = (model.base().log_prob(z) + ladj).view(16, -1)
    mass = log_p.logsumexp(1) - math.log(u.shape[0])
    assert 0.5 < mass.exp().sum() <= 1 + 1e-3
    generator = torch.Generator().manual_seed(0)
    one = torch.stack([model.log_prob(images, generator=generator).value for _ in range(400)])
    error = one.std(0) / 20
    assert (one.mean(0) <= mass + 4 * error).all()
    ratios = (one - mass).exp()  # whose mean is 1: importance weights are unbiased
    off = (ratios.mean(0) - 1).abs() / (ratios.std(0) / 20)
    many = model.log_prob(images, samples=4000, generator=generator).value
    # log of a mean of 4000 weights of that deviation; a mean of their logs lies far below it.
    assert ((many - mass).abs() <= 5 * ratios.std(0) / 4000**0.5 + 1e-3).all()
    assert off.max() < 5 and model.log_prob(images, samples=3).kind == "lower bound"
    assert torch.equal(model.reconstruct(images), images)


@torch.no_grad()
def test_constants_are_no_part_of_the_density():
    """log p of the rest: at its start the flow is standard normal in what varies."""
    x = torch.stack([torch.randn(200), torch.full((200,), 7.0), torch.randn(200)], 1).double()
    model = built("real-nvp", Space((3,), "real"))
    for stage in model.stages[:-1]:
        stage.solve(model, [Batch(x)])
    assert model.counted == 2 and model.log_prob_draws
    scale = x[:, [0, 2]].std(0, correction=0)
    y = (x[:, [0, 2]] - x[:, [0, 2]].mean(0)) / scale
    wanted = torch.distributions.Normal(0.0, 1.0).log_prob(y).sum(1) - scale.log().sum()
    found = model.log_prob(x)
    assert found.kind == "lower bound"
    torch.testing.assert_close(found.value, wanted, rtol=0, atol=1e-6)
    assert torch.equal(model.sample(5)[:, 1], torch.full((5,), 7.0).double())
    torch.testing.assert_close(model.reconstruct(x), x)


def test_a_linear_maf_reaches_the_closed_form_of_normal_data():
    torch.manual_seed(0)
    root = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.3, 0.9]])
    x = torch.randn(2000, 3) @ root.T + 1
    split = rp.Split(x)
    data = rp.Data(split, split, split, Space((3,), "real"), "normal")
    model = rp.build("maf", data.space, hidden=(), layers=1)
    rp.fit(model, data, epochs=30, lr=0.02, schedule="cosine", progress=False, device="cpu")
    found = model.log_prob(x).value.mean().item()
    covariance = torch.cov(x.T.double(), correction=0)
    wanted = -0.5 * (3 * math.log(2 * math.pi) + covariance.logdet().item() + 3)
    # A little more is possible: log-scales are linear in the entries before, too.
    assert found == pytest.approx(wanted, abs=3 * 2e-3)


@torch.no_grad()
def test_samples_at_a_temperature_are_nearer_to_the_center():
    model = built("nice", jitter=0.1)
    cold, warm = (
        model.encode(model.sample(500, temperature=t, generator=torch.Generator().manual_seed(0)))
        for t in (0.5, 1.0)
    )
    torch.testing.assert_close(cold, 0.5 * warm)
    with pytest.raises(ValueError, match="temperature"):
        model.sample(2, temperature=-1)


def test_a_table_of_several_kinds_is_dequantized_where_it_is_whole():
    columns = (
        rp.Column("age", "levels", 50, low=18),
        rp.Column("pay", "log"),
        rp.Column("x", "real"),
    )
    space = Space((3,), "mixed", columns=columns)
    x = torch.stack([torch.randint(18, 68, (300,)), torch.randn(300).exp(), torch.randn(300)], 1)
    data = rp.Data(*[rp.Split(x)] * 3, space, "table")
    model = rp.build("spline-coupling", space, layers=2, hidden=(8,))
    rp.fit(model, data, epochs=1, progress=False, device="cpu")
    assert model.log_prob(x).kind == "lower bound"
    drawn = model.sample(20)
    assert (drawn[:, 0] == drawn[:, 0].floor()).all() and (drawn[:, 1] > 0).all()
    torch.testing.assert_close(model.reconstruct(x), x, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="names"):
        city = rp.Column("city", "category", 3)
        rp.build("maf", Space((1,), "mixed", columns=(city,)))


def test_one_entry_and_odd_images_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match="spline-1d"):
        rp.build("real-nvp", LINE)
    with pytest.raises(ValueError, match="vectors of one entry, got 2"):
        rp.build("spline-1d", PLANE)
    with pytest.raises(ValueError, match="--pad"):
        rp.build("glow", Space((1, 7, 7), "levels", levels=4))


@pytest.mark.parametrize("name", ["glow", "real-nvp", "spline-coupling"])
@torch.no_grad()
def test_images_come_back_as_real_numbers_with_the_log_determinant(name):
    """Behind the rounding to levels an error of less than half a level would not be seen."""
    space = Space((1, 4, 4), "real")
    small = dict(PRESETS[name].small) | {"scales": 2}
    for dtype, bound in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        model = built(name, space, jitter=0.1, **small).to(dtype)
        x = torch.randn(3, 1, 4, 4, dtype=dtype)
        torch.testing.assert_close(model.reconstruct(x), x, rtol=0, atol=bound)
    model.double()
    x = x[:1].double()
    with torch.enable_grad():
        jacobian = torch.autograd.functional.jacobian(lambda x: model.encode(x), x).view(16, 16)
    slope = torch.linalg.slogdet(jacobian)[1]
    assert model.log_slope(x).item() == pytest.approx(slope.item(), abs=1e-9)


@pytest.mark.parametrize("name", [*SMALL, "glow"])
@torch.no_grad()
def test_every_entry_moves_by_what_others_are(name):
    """At the start of training, when matrices mix nothing yet: with networks jittered alone."""
    space = Space((1, 4, 4), "levels", 17) if name == "glow" else Space((6,), "real")
    options = {"layers": 4, "channels": 4} if name == "glow" else SMALL[name]
    model = rp.build(name, space, seed=0, **options).double().eval()
    x = torch.randint(0, 17, (8, *space.shape)).double()
    before = model.encode(x)
    for part in model.bijection.modules():
        for parameter in getattr(part, "network", torch.nn.Module()).parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        if hasattr(part, "row"):
            part.row.start += 0.3 * torch.randn_like(part.row.start)
    assert (model.encode(x) != before).any(0).all()


def test_norms_are_set_by_a_stage_from_many_rows():
    space = Space((1, 4, 4), "levels", 17)
    model = rp.build("glow", space, layers=2, channels=4, seed=0).double()
    x = torch.randint(0, 17, (3000, 1, 4, 4)).double()
    seen: list[Tensor] = []
    norms = [part for part in model.modules() if isinstance(part, rp.ActNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda module, given, out: seen.append(out[0]))
    (stage,) = [s for s in model.stages if s.name == "actnorm"]
    stage.solve(model, [Batch(part) for part in x.split(700)])
    assert len(seen) == len(norms) == 1 + 2 * 2 * 1 and len(seen[0]) >= 512
    for z in seen:
        assert z.mean((0, 2, 3)).abs().max() < 1e-9
        assert (z.var((0, 2, 3), correction=0) - 1).abs().max() < 1e-9
    state = {k: v for k, v in model.state_dict().items() if "log_scale" in k}
    again = rp.build("glow", space, layers=2, channels=4, seed=0).double()
    again.load_state_dict(model.state_dict())
    assert state and torch.equal(again.encode(x[:5]), model.encode(x[:5]))


def test_whole_numbers_far_from_zero_have_digits_for_the_noise():
    """In float32 1e7 + u is 1e7: a flow would see spikes, whose density has no bound."""
    columns = (rp.Column("batch", "levels", 4, low=10_000_000), rp.Column("x", "real"))
    space = Space((2,), "mixed", columns=columns)
    x = torch.stack([10_000_000 + torch.randint(0, 4, (2000,)), torch.randn(2000)], 1).float()
    data = rp.Data(*[rp.Split(x)] * 3, space, "table")
    model = rp.build("spline-autoregressive", space, layers=1, bins=32, hidden=(16,), seed=0)
    rp.fit(model, data, epochs=12, progress=False, device="cpu")
    truth = -math.log(4) - 0.5 * math.log(2 * math.pi * math.e)
    with torch.no_grad():
        found = model.log_prob(x).value.mean().item()
    assert truth - 0.5 < found < truth + 0.1  # 2000 rows of 2 columns say 0.03 more or less
    shares = model.sample(4000)[:, 0].sub(10_000_000).long().bincount(minlength=4) / 4000
    assert (shares - 0.25).abs().max() < 0.06


def test_codes_of_images_say_their_scales():
    model = rp.build("glow", Space((1, 8, 8), "levels", levels=17), layers=1, channels=4)
    assert sum(model.layers) == 64 and len(model.layers) == 2
    x = torch.randint(0, 17, (4, 1, 8, 8)).float()
    model.stages[0].solve(model, [Batch(x)])
    assert torch.equal(model.reconstruct(x), x)


@torch.no_grad()
def test_many_draws_of_few_rows_take_few_passes():
    model = built("nice", Space((4,), "levels", levels=4))
    passes: list[int] = []
    model.bijection.register_forward_hook(lambda part, given, out: passes.append(len(out[0])))
    x = torch.tensor([[0.0, 1.0, 2.0, 3.0], [3.0, 3.0, 0.0, 1.0]])
    value = model.log_prob(x, samples=700).value
    alone = model.log_prob(x[:1], samples=1000).value
    assert passes == [1400, 1000] and value.shape == (2,)
    assert value[0].item() == pytest.approx(alone.item(), abs=0.3)


class Overflowing(Bijection):
    """The identity from data to noise; back, rows whose first entry is positive are infinite."""

    def forward(self, x, context=None):
        return x, x.new_zeros(len(x))

    def inverse(self, z, context=None):
        return torch.where(z[:, :1] > 0, math.inf, z), z.new_zeros(len(z))


@pytest.mark.parametrize("temperature", [1, 0.5])
@pytest.mark.parametrize("kind", ["real", "levels"])
def test_samples_that_are_not_finite_name_the_member_that_made_them(kind, temperature):
    """Also where a member after it squashes, and levels would hide what is infinite."""
    members = [Reverse(), Overflowing(), Elementwise(Affine(), (2,))]  # data first
    if kind == "levels":
        space, before = Space((2,), "levels", levels=4), [Logit(0.05)]
        noise = Uniform(space)
    else:
        space, before, noise = PLANE, [], None
    model = Flow(space, Chain(*before, *members), rp.StandardNormal(2), noise)
    with pytest.warns(SamplesNotFinite) as told:
        x = model.sample(50, temperature=temperature, generator=torch.Generator().manual_seed(0))
    lost = (~x.isfinite().all(1)).sum().item()
    assert 10 < lost < 40 and len(told) == 1
    count = len(list(model.bijection.members()))
    assert str(told[0].message) == (
        f"samples: {lost} of 50 are not finite, the first of them since Overflowing, member 2 of "
        f"{count} from noise to data; the model has diverged, train it with a smaller lr"
    )


def test_evaluation_refuses_samples_that_are_not_finite_by_the_member_that_made_them():
    model = Flow(PLANE, Chain(Overflowing(), Reverse()), rp.StandardNormal(2))
    split = rp.Split(torch.randn(20, 2))
    with pytest.raises(
        ValueError, match="^samples: .* since Overflowing, member 2 of 2 from .*lr$"
    ):
        sample_scores(model, rp.Data(split, split, split, PLANE, "normal"))
