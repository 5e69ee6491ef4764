"""Estimates of real x stay within the range of the training data where noise outweighs x."""

import torch

import reparam as rp
from reparam.diffusion.schedules import VP
from reparam.model import Batch, Solve


def test_estimates_are_clipped_where_noise_outweighs_x_and_nowhere_else():
    model = rp.build("ddpm", rp.Space((2,), "real"), times=50, hidden=(4, 4), blocks=1).double()
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)).double() * 3 + 5
    for stage in model.stages:
        if isinstance(stage, Solve) and stage.name != "reverse variances":
            stage.solve(model, [Batch(x[:50]), Batch(x[50:])])
    y = model.units(x)[0]
    low, high = model.units.low, model.units.high
    torch.testing.assert_close(low, y.amin(0), rtol=0, atol=1e-12)
    torch.testing.assert_close(high, y.amax(0), rtol=0, atol=1e-12)
    # The last layer starts at 0, so that no noise is seen and x̂ is x_t/α, of any size.
    process, state = model.process(None), torch.full((1, 2), 30.0).double()
    for t in (0.2, 0.6, 1.0):
        time = torch.tensor([t])
        level = model.schedule(time)
        found = process.estimate(state, time)
        wanted = high[None] if level.noise > level.signal else state / level.signal
        torch.testing.assert_close(found.x, wanted)
        again = level.signal * found.x + level.noise * found.noise
        torch.testing.assert_close(again, state)  # the noise goes with x̂


def test_draws_of_real_data_stay_near_them_in_few_steps():
    model = rp.build("ddpm", rp.Space((2,), "real"), times=50, hidden=(4, 4), blocks=1, seed=0)
    x = torch.rand(400, 2, generator=torch.Generator().manual_seed(0)) * 8 - 4
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(x)])
    for sampler in (rp.DDIM(steps=10), rp.DDPM(steps=10)):
        drawn = model.through(sampler).sample(200, generator=torch.Generator().manual_seed(1))
        # Untrained: noise of deviation 1 remains from where noise no longer outweighs x.
        assert drawn.abs().max() < 10 * x.abs().max(), sampler


def test_the_range_of_dequantized_entries_is_that_of_their_boxes():
    """The mean of x given a far x_t is beyond the middle of the last box: it is not cut."""
    law = rp.Space((1,), "binary")

    class Best(torch.nn.Module):
        """Of ones alone, which are uniform on 0 … 1 in the units of noise."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, y: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            level = model.schedule(t)
            state = y * level.norm[:, None]
            x = torch.linspace(0, 1, 2001).to(y)
            away = (state - level.signal[:, None] * x) / level.noise[:, None]
            mean = (-0.5 * away.square()).softmax(1) @ x
            return (
                self.weight * (state - level.signal[:, None] * mean[:, None]) / level.noise[:, None]
            )

    model = rp.Diffusion(law, Best(), VP()).double()
    for stage in model.stages:
        if isinstance(stage, Solve):
            stage.solve(model, [Batch(torch.ones(5, 1).double())])
    assert (model.units.low.item(), model.units.high.item()) == (0, 1)
    state, t = torch.tensor([[4.0]]).double(), torch.tensor([0.5]).double()
    free, cut = model._estimate(state, t, None), model.process(None).estimate(state, t)
    assert free.x.item() > 0.55
    torch.testing.assert_close(cut.x, free.x)
    # Of the levels that are seen alone, as of all in a table.
    columns = (rp.Column("a", "levels", 5), rp.Column("b", "real"))
    table = rp.build("ddpm", rp.Space((2,), "mixed", columns=columns), times=6).double()
    x = torch.tensor([[1.0, 0.5], [3.0, -0.5], [2.0, 0.0]]).double()
    for stage in table.stages:
        if isinstance(stage, Solve) and stage.name != "reverse variances":
            stage.solve(table, [Batch(x)])
    torch.testing.assert_close(table.units.low[0].item(), 2 * 1 / 5 - 1)
    torch.testing.assert_close(table.units.high[0].item(), 2 * 4 / 5 - 1)
    torch.testing.assert_close(table.units.high[1], table.units(x)[0][:, 1].max())
