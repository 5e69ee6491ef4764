"""What diffusion models promise as models: rows, precision, tables, training."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from exact_denoisers import F64, Best, Normal, diffusion, one, with_best_variances
from noise import noise_from
from torch import Tensor

import reparam as rp
from reparam import numerics
from reparam.diffusion.schedules import VP, cosine
from reparam.model import Batch, Column, Solve, Space

TINY = {"width": 4, "hidden": (8, 8), "blocks": 1}
TABLE = (Column("a", "real"), Column("b", "levels", 4, low=2), Column("c", "binary"))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def awake(model: rp.Diffusion) -> rp.Diffusion:
    """Away from a last layer of zeros."""
    for index, parameter in enumerate(model.parameters()):
        noise = torch.randn(parameter.shape, generator=seeded(index), dtype=parameter.dtype)
        parameter.data += 0.2 * noise
    return model.eval()


def built(space: Space, name: str = "ddpm", **options: object) -> rp.Diffusion:
    times = {"times": 6} if name == "ddpm" else {}
    model = rp.build(name, space, **TINY | times | options)
    assert isinstance(model, rp.Diffusion)
    return awake(model.double())


@pytest.mark.parametrize("samples", [1, 4, 6])
def test_the_bound_of_a_row_depends_on_no_other(samples: int):
    """With noise of its own or shared, whichever rows stand beside it and however many at once."""
    model = built(Space((1, 8, 8), "levels", 17))
    x = torch.randint(17, (7, 1, 8, 8), generator=seeded()).double()

    def own(rows: list[int]) -> Tensor:
        with numerics.own_noise([seeded(100 + row) for row in rows]):
            return model.log_prob(x[rows], samples=samples).value

    def shared(rows: list[int]) -> Tensor:
        found = model.log_prob(x[rows], samples=samples, generator=seeded(), noise="shared")
        return found.value

    for found in (own, shared):
        all_rows = found(list(range(7)))
        for rows in ([3], [5, 3], [6, 5, 4, 3]):
            torch.testing.assert_close(found(rows), all_rows[rows], rtol=1e-12, atol=1e-9)


def test_what_an_estimate_says_of_a_row_depends_on_no_other():
    model = built(Space((36,), "levels", 5), "score-sde")  # with random signs and dequantization
    x = torch.randint(5, (4, 36), generator=seeded()).double()
    found = [
        model.log_prob(x[rows], generator=seeded(), noise="shared").value
        for rows in ([0, 1, 2, 3], [2], [3, 2])
    ]
    torch.testing.assert_close(found[1], found[0][[2]], rtol=1e-10, atol=1e-8)
    torch.testing.assert_close(found[2], found[0][[3, 2]], rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
def test_times_of_a_batch_are_spread_in_training_only(name: str):
    model = built(Space((3,), "real"), name)
    y = torch.zeros(60, 3, dtype=F64)
    assert model.couples_rows
    times = model.train()._times(y)
    assert (times.diff() >= 0).all()
    if name == "ddpm":
        assert torch.bincount((6 * times).round().long()).tolist() == [0] + 6 * [10]
    else:
        assert times.diff().max() < 1 / 60 + 1e-9 and times.min() >= model.schedule.first
    assert (model.eval()._times(y).diff() < 0).any()


def test_float32_is_near_float64():
    """Of the best denoiser, whose bound is a sum of differences of numbers near 1."""
    law = Normal(torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=F64))
    wide = with_best_variances(diffusion(law, cosine(100)), law)
    x = law.draw(20)

    class Narrow(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, y: Tensor, t: Tensor) -> Tensor:
            return wide.network(y.double(), t.double()).float()

    narrow = rp.Diffusion(wide.space, Narrow(), wide.schedule, sampler=rp.DDIM()).eval()
    narrow.bound.load_state_dict(wide.bound.state_dict())
    noise = torch.randn(20, 2, generator=seeded(), dtype=F64)
    drawn = [list(m.walk(noise.to(m.anchor)))[-1].state for m in (wide.through(rp.DDIM()), narrow)]
    torch.testing.assert_close(drawn[1].double(), drawn[0], rtol=0, atol=2e-2)
    bounds = []
    for model in (wide, narrow):
        assert model.log_prob(x[:1]).value.dtype == F64

        def same(like: Tensor) -> Tensor:
            rows = noise.repeat_interleave(len(like) // 20, 0)
            return rows.to(like) if like.ndim == 2 else torch.full_like(like, 0.5)

        with noise_from(same):
            bounds.append(model.log_prob(x.to(model.anchor), samples=100).value)
    torch.testing.assert_close(bounds[1], bounds[0], rtol=0, atol=1e-2)


def test_constants_in_real_data_are_no_part_of_the_bound():
    """They come back exactly, in samples too, and bits/dim are counted over the others."""
    x = torch.randn(50, 3, generator=seeded(), dtype=F64)
    x[:, 1] = 0.1
    for name in ("ddpm", "score-sde"):
        model = built(Space((3,), "real"), name)
        for stage in model.stages:
            if isinstance(stage, Solve):
                stage.solve(model, [Batch(x)])
        assert model.counted == 2
        steps = rp.DDPM(steps=6)
        assert (model.through(steps).sample(4)[:, 1] == 0.1).all()
        assert model.log_prob(x).value.isfinite().all()
        other = x.clone()
        other[:, 1] = 0.2
        assert (model.log_prob(other).value == -math.inf).all()


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
def test_constants_lose_their_noise_as_in_training(name: str):
    """A network, which never learns what to say of them, sees σ(t) ε of them in samplers too."""
    x = torch.randn(50, 3, generator=seeded(), dtype=F64)
    x[:, 1] = 0.1
    model = built(Space((3,), "real"), name)
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x)])
    noise = torch.randn(4, 3, generator=seeded(), dtype=F64)
    last = model.schedule(torch.ones((), dtype=F64)).noise
    for state in model.through(rp.DDIM(steps=6)).walk(noise):
        share = model.schedule(state.t).noise / last
        torch.testing.assert_close(state.state[:, 1], share * noise[:, 1])


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
def test_missing_and_infinite_values_are_refused(name: str):
    model = built(Space((3,), "real"), name)
    for value in (math.nan, math.inf):
        x = torch.zeros(2, 3)
        x[1, 0] = value
        for method in (model.loss, model.log_prob):
            with pytest.raises(ValueError, match="x: expected|x: .*missing"):
                method(x)


def test_attributes_that_are_not_finite_are_refused():
    model = built(Space((3,), "real", attributes=2), conditional=True)
    with pytest.raises(ValueError, match="c: .*finite"):
        model.log_prob(torch.zeros(1, 3), torch.tensor([[0.0, math.nan]]))


@pytest.mark.parametrize("name", ["ddpm", "score-sde"])
def test_images_with_a_side_of_one_are_refused(name: str):
    with pytest.raises(ValueError, match="expected images of 2 x 2 or more, got 1 x 5"):
        rp.build(name, Space((1, 1, 5), "levels", 4))


def test_the_bound_of_a_table_is_one_of_a_probability():
    """Σ ∫ exp(E log p) over a levels and a real column, by quadrature, is at most 1, and near it.

    Expectations over the noise of dequantization and of x_t are means of 400 draws.
    """
    space = Space((2,), "mixed", columns=(TABLE[1], TABLE[0]))
    law, schedule = Normal(torch.diag(torch.tensor([0.3, 1.0], dtype=F64))), cosine(20)
    model = rp.Diffusion(space, Best(law, schedule, "noise"), schedule).double().eval()
    with_best_variances(model, law)
    real = torch.linspace(-5, 5, 41, dtype=F64)
    cells = torch.cartesian_prod(torch.tensor([2.0, 3.0, 4.0, 5.0], dtype=F64), real)
    many = cells.repeat_interleave(400, 0)
    with torch.no_grad():
        value = model.log_prob(many, samples=20, generator=seeded()).value.view(-1, 400).mean(1)
    total = (value.exp().sum() * (real[1] - real[0])).item()
    assert 0.6 < total < 1


def test_tables_come_back_in_their_own_units():
    model = built(Space((3,), "mixed", columns=TABLE))
    x = model.sample(50, generator=seeded())
    assert ((x[:, 1] >= 2) & (x[:, 1] <= 5) & (x[:, 1] == x[:, 1].round())).all()
    assert ((x[:, 2] == 0) | (x[:, 2] == 1)).all()
    y, ladj = model.units(x, seeded())
    assert (model.units.back(y) == x)[:, 1:].all()
    torch.testing.assert_close(model.units.back(y), x)
    assert (y[:, 1:].abs() <= 1).all()
    torch.testing.assert_close(
        ladj, torch.full((50,), math.log(2 / 4) + math.log(2 / 2), dtype=F64)
    )
    names = Space((2,), "mixed", columns=(Column("a", "real"), Column("city", "category", 3)))
    with pytest.raises(ValueError, match="city: expected numbers, got names|ddpm"):
        rp.build("ddpm", names)


def test_posterior_variances_under_the_bound_are_warned_of():
    space = Space((2,), "real")
    with pytest.warns(UserWarning, match="variance: posterior"):
        rp.build("ddpm", space, objective="vlb", variance="posterior", **TINY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rp.build("ddpm", space, objective="vlb", **TINY)
        rp.build("ddpm", space, variance="posterior", **TINY)


@pytest.mark.parametrize("objective", ["simple", "vlb"])
@pytest.mark.parametrize("kind", ["real", "levels"])
def test_losses_compile_to_one_graph(objective: str, kind: str):
    space = Space((1, 4, 4), kind, 5 if kind == "levels" else None, classes=3)
    model = built(space, objective=objective, conditional=True).train()
    x, c = torch.ones(6, 1, 4, 4, dtype=F64), torch.arange(6) % 3
    graphs: list[object] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    torch.manual_seed(0)
    found = torch.compile(model, backend=backend, fullgraph=True)(x, c)
    torch.manual_seed(0)
    torch.testing.assert_close(found.objective, model(x, c).objective)
    assert len(graphs) == 1
    found.objective.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients and all(g.isfinite().all() for g in gradients)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path):
    """Averages of weights, and the variances measured after the descent, included."""
    x = torch.randn(200, 3, generator=seeded()).numpy()
    data = rp.load_data({"train": x, "valid": x[:50], "test": x[:50]})
    train = {"batch_size": 50, "ema": 0.9, "schedule": "constant", "seed": 3, "progress": False}
    runs = {}
    for name, epochs in (("whole", 4), ("part", 2)):
        torch.manual_seed(0)
        model = rp.build("ddpm", data.space, **TINY, times=6)
        rp.fit(model, data, out=tmp_path / name, epochs=epochs, **train)
        runs[name] = model
    resumed, _ = rp.resume(tmp_path / "part", data=data, epochs=4, progress=False)
    expected = runs["whole"].state_dict()
    assert (expected["bound.errors"][1:] != 1).all()
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, expected[name]), name
    other = [torch.equal(v, expected[k]) for k, v in runs["part"].state_dict().items()]
    assert not all(other)


def test_codes_are_carried_at_the_precision_of_the_model():
    model = diffusion(one(4.0), VP())
    codec = model.as_codec(sampling_steps=20)
    assert codec.encode(torch.ones(2, 1)).dtype == F64
    assert codec.anchor.device == model.anchor.device


@pytest.mark.parametrize("n", [0, -1, 2.5])
def test_paths_are_of_one_row_or_more(n):
    model = rp.build("ddpm", rp.Space((2,), "real"), times=3, hidden=(4, 4), blocks=1)
    with pytest.raises(ValueError, match="n: expected a positive whole number"):
        model.path(n)


def test_samplers_are_values_and_no_names():
    model = rp.build("ddpm", rp.Space((2,), "real"), times=3, hidden=(4, 4), blocks=1)
    with pytest.raises(ValueError, match=r"sampler: expected a Sampler, such as .*, got 'ddim'"):
        model.through("ddim")


def test_a_path_is_what_a_draw_goes_through():
    space = rp.Space((3,), "levels", levels=5, classes=2)
    model = rp.build("ddpm", space, times=8, conditional=True, seed=0, network="mlp", **TINY)
    model = awake(model).through(rp.DDIM(steps=4))
    states = model.path(6, generator=seeded(3))
    assert [state.t.item() for state in states] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert [state.x is None for state in states] == [False] * 4 + [True]
    assert all(0 <= state.x.min() and state.x.max() <= 4 for state in states[:-1])
    drawn = model.units.back(states[-1].state)
    assert torch.equal(drawn, model.sample(6, generator=seeded(3)))
