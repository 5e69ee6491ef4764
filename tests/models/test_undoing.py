"""What diffusion models tell of how they undo noise, against closed forms."""

import math

import pytest
import torch

import reparam as rp
from reparam.model import Batch, Density

MEAN, DEVIATION = 5.0, 3.0
SMALL = {"hidden": (8, 8), "blocks": 1}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal_rows(n):
    return MEAN + DEVIATION * torch.randn(n, 2, generator=seeded(1), dtype=torch.float64)


class Exact(torch.nn.Module):
    """ε of x_t where standardized x is N(0, I) and α² + σ² is 1: E[ε | x_t] = σ x_t."""

    products = 1

    def __init__(self, schedule):
        super().__init__()
        self.schedule = schedule

    def forward(self, unit, t, c=None, kept=None):
        return self.schedule(t).noise.to(unit)[:, None] * unit


def model_of(preset="ddpm", exact=True, **options):
    model = rp.build(preset, rp.Space((2,), "real"), seed=0, **SMALL, **options).double().eval()
    scale = model.units.standardize
    data = torch.tensor([[MEAN - DEVIATION] * 2, [MEAN + DEVIATION] * 2], dtype=torch.float64)
    for stage in model.units.stages:
        stage.solve(model, [Batch(data, None)])
    torch.testing.assert_close(scale(data)[0].abs(), torch.ones(2, 2).double())
    if exact:
        model.network = Exact(model.schedule)
    return model


def test_a_path_ends_where_the_same_draw_does():
    model = model_of(times=20).through(rp.DDIM(steps=10))
    start, middle, end = model.from_noise.path(4, [0, 0.5, 1], generator=seeded())
    assert (start.t, middle.t, end.t) == (1.0, 0.5, 0.0)
    torch.testing.assert_close(end.state, model.sample(4, generator=seeded()))
    assert torch.equal(end.x, end.state) and not torch.equal(middle.x, middle.state)
    noise = torch.randn(4, 2, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(start.state, MEAN + DEVIATION * noise)


@pytest.mark.parametrize("kind", ["real", "levels", "binary"])
def test_a_path_of_ancestral_sampling_ends_with_its_last_draw(kind):
    """x_0 is drawn around x̂: on the way its last x̂ is another."""
    space = rp.Space((3,), kind, levels=5 if kind == "levels" else None)
    model = rp.build("ddpm", space, seed=0, times=8, network="mlp", **SMALL).double().eval()
    *_, late, end = model.from_noise.path(40, [place / 8 for place in range(9)], None, seeded())
    assert torch.equal(end.state, model.sample(40, generator=seeded()))
    assert torch.equal(end.x, end.state) and (end.x != late.x).any()
    states = model.path(40, generator=seeded())
    assert torch.equal(model.units.back(states[-1].state), end.x)


def test_a_path_takes_conditions_as_sample_does():
    space = rp.Space((2,), "real", classes=3)
    model = rp.build("ddpm", space, seed=0, times=6, conditional=True, **SMALL).double().eval()
    view = model.from_noise
    drawn = view.path(2, [1], [0, 2], seeded())[-1].x
    assert torch.equal(drawn, model.sample(2, [0, 2], generator=seeded()))
    for wrong, said in (([0, 3], "c: expected"), ([0], "c: expected"), ("cat", "c: expected")):
        with pytest.raises(ValueError, match=said):
            view.path(2, [1], wrong)
    with pytest.raises(ValueError, match="c: Diffusion is not conditional"):
        model_of(times=6).from_noise.path(2, [1], [0, 1])


def test_noise_is_added_as_the_schedule_has_it_and_is_the_same_at_all_times():
    model, x = model_of(times=20), normal_rows(50)
    none, half, full = model.from_noise.noised(x, [0.0, 0.5, 1.0], seeded())
    torch.testing.assert_close(none, x)
    middle, late = (model.schedule(torch.tensor(t)) for t in (0.5, 1.0))
    noise = (full - MEAN - late.signal * (x - MEAN)) / late.noise
    mixed = middle.signal * (x - MEAN) + middle.noise * noise
    torch.testing.assert_close(half, MEAN + mixed)


@pytest.mark.parametrize("times", [6, 50])
def test_parts_of_the_bound_cover_every_step_once(times, monkeypatch):
    """Each step is made to take as many nats as its number, so that parts are known sums."""
    model, x = model_of(times=times), normal_rows(4000)
    monkeypatch.setattr(model.bound, "of_step", lambda y, found, t, kind: (t * times).to(y))
    prior, *steps, last = model.from_noise.spent(x, None, seeded())
    assert (prior.start, prior.end, steps[0].start, last.end) == (1.0, 1.0, 1.0, 0.0)
    assert [a.end for a in steps] == [b.start for b in [*steps[1:], last]]
    for part in steps:
        first, end = round(part.end * times) + 1, round(part.start * times)
        error = part.nats.std() / math.sqrt(len(x))
        assert abs(part.nats.mean() - sum(range(first, end + 1))) <= 4 * error + 1e-9


def test_parts_add_up_to_the_bound_that_the_model_gives():
    model, x = model_of(times=50), normal_rows(3000)
    total = sum(part.nats for part in model.from_noise.spent(x, None, seeded()))
    bound = -model.log_prob(x, samples=50, generator=seeded(2)).value
    error = math.sqrt((total.var() + bound.var()) / len(x))
    assert abs(total.mean() - bound.mean()) < 4 * error < 0.5


def test_the_score_of_normal_data_points_to_their_mean():
    model, x = model_of(times=20), normal_rows(30)
    for t in (1.0, 0.5, 0.05):
        score = model.from_noise.score(x, t)
        torch.testing.assert_close(score, -(x - MEAN) / DEVIATION**2, rtol=1e-6, atol=1e-9)


def test_values_far_from_0_keep_their_precision():
    model = rp.build("ddpm", rp.Space((2,), "real"), seed=0, times=20, **SMALL).eval()
    x = 1.7e9 + normal_rows(40)
    for stage in model.units.stages:
        stage.solve(model, [Batch(x, None)])
    torch.testing.assert_close(model.from_noise.noised(x, [0.0])[0], x, rtol=0, atol=1e-4)
    near = [model.from_noise.score(x, 0.5), *(p.nats for p in model.from_noise.spent(x, None))]
    far = model.units.standardize(x)[0]
    assert all(value.isfinite().all() for value in near) and far.abs().max() < 5


def test_only_continuous_time_has_a_flow_and_it_is_the_density():
    assert model_of(times=20).from_noise.flow(10) is None
    flow, x = model_of("score-sde").from_noise.flow(10), normal_rows(30)
    assert isinstance(flow, Density)
    wanted = torch.distributions.Normal(MEAN, DEVIATION).log_prob(x).sum(1)
    # The exact flow of standard normal rows stays where it is: the solver has no error but at the
    # end, whose ε̂ is that of the first time, σ = 0.001 times y, over half a step of about 0.16.
    end = 0.001 * 0.16 / 2 * ((x - MEAN) / DEVIATION).square().sum(1).max().item()
    torch.testing.assert_close(flow.log_prob(x).value, wanted, rtol=0, atol=2 * end)


def test_samplers_are_those_of_the_kind_of_time():
    discrete, continuous = (model_of(name, False) for name in ("ddpm", "score-sde"))
    assert discrete.from_noise.samplers == {"ddim": 1000, "ddpm": 1000}
    assert continuous.from_noise.samplers == {"ddim": None, "reverse-sde": None, "ode": None}
    for model in (discrete, continuous):
        for name in model.from_noise.samplers:
            drawn = model.from_noise.by(name, 4)
            assert drawn.passes_per_draw == (8 if name == "ode" else 4)


def test_of_codes_pictures_are_decoded():
    space = rp.Space((1, 8, 8), "binary")
    model = rp.build("latent-diffusion", space, **{"generator.times": 8}).eval()
    view, x = model.from_noise, torch.zeros(2, *space.shape)
    path = view.path(3, [0, 1], generator=seeded())
    assert [one.state.shape for one in path] == [(3, *space.shape)] * 2
    assert ((path[0].state >= 0) & (path[0].state <= 1)).all()  # means of binary x
    whole = view.noised(x, [0.0], seeded())[0]
    torch.testing.assert_close(whole, model.reconstruct(x), rtol=0, atol=1e-4)
    assert view.spent(x, None) == [] and view.score(x, 0.5) is None and view.flow(3) is None
    assert view.by("ddim", 2).passes_per_draw == 2 and model.passes_per_draw == 8


def test_what_draws_otherwise_has_no_noise_to_undo():
    space = rp.Space((9,), "binary")
    for preset in ("vae", "made"):
        assert rp.build(preset, space).from_noise is None


def test_a_sampler_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="^sampler: expected ddpm, ddim, .* ode, got 'euler'$"):
        model_of(times=4).from_noise.by("euler", 2)
    latent = rp.build("latent-diffusion", rp.Space((2,), "real"), seed=0)
    with pytest.raises(ValueError, match="^sampler: expected ddpm"):
        latent.from_noise.by("euler", 2)
