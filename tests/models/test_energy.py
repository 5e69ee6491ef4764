"""Energy-based models beside sums over states and quadrature, and log Z that is never stale."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from conftest import random_x, solve_stages
from torch import nn

import reparam as rp
from reparam.chains.enumeration import states
from reparam.model import Space
from reparam.models.energy import EnergyModel

LIKE = torch.empty(0, dtype=torch.float64)
ALL = states(9, LIKE).view(-1, 1, 3, 3)
SMALL: dict[str, Any] = {"chains": 4, "sweeps": 2, "draw_sweeps": 20}


def of_bits(**options: Any) -> EnergyModel:
    """A model of 3 × 3 binary images."""
    torch.manual_seed(0)
    space = Space((1, 3, 3), "binary")
    network = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.SiLU(), nn.Linear(6, 1))
    model = EnergyModel(space, network, **(SMALL | options)).double()
    solve_stages(model, random_x(space, 40))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    return model.eval()


def test_probabilities_of_all_images_sum_to_one():
    model = of_bits()
    found = model.log_prob(ALL)
    assert found.kind == "exact" and model.approximation == "tractable"
    assert abs(found.value.exp().sum().item() - 1) < 1e-9
    assert found.value.std() > 1


def test_the_contrastive_gradient_is_that_of_the_likelihood():
    """Under the exact expectation over the model, state by state, to 1e-12."""
    model = of_bits(decay=0.0)
    x, weights = ALL[[3, 77, 200]], list(model.parameters())
    share = model.log_prob(ALL).value.exp().detach()
    found = [torch.zeros_like(w) for w in weights]
    for state, p in zip(ALL, share, strict=True):
        model.states = state.expand(4, 1, 3, 3)
        slopes = torch.autograd.grad(model.loss(x).objective, weights)
        found = [f + p * s for f, s in zip(found, slopes, strict=True)]
    wanted = torch.autograd.grad(-model.log_prob(x).value.mean(), weights)
    for mine, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, its, rtol=0, atol=1e-12)


def test_decay_is_the_mean_square_of_both_halves():
    model = of_bits(decay=0.25)
    x = ALL[:5]
    real, drawn = model.energy(x), model.energy(model.states)
    wanted = real.mean() - drawn.mean() + 0.25 * (real.square().mean() + drawn.square().mean())
    torch.testing.assert_close(model.loss(x).objective, wanted)


def test_annealing_finds_the_sum():
    exact = of_bits().log_partition
    found = of_bits(partition="annealed", runs=500, temperatures=60).log_partition
    assert (exact.kind, found.kind) == ("exact", "estimate")
    assert abs(found.value - exact.value) < 4 * found.stderr < 0.3
    assert 1 < found.effective_samples <= 500


@torch.no_grad()
def test_levels_have_the_integral_over_their_boxes():
    """One entry of four levels: P(x) by quadrature over u and over the box for Z."""
    torch.manual_seed(1)
    space = Space((1,), "levels", 4)
    network = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 1))
    options = SMALL | {"runs": 2000, "temperatures": 60}
    model = EnergyModel(space, network, **options).double().eval()
    for p in model.parameters():
        p.mul_(4)
    x = torch.tensor([0.0, 1, 1, 2, 3, 3, 3, 0]).double()[:, None]
    solve_stages(model, x)
    grid = torch.linspace(-1, 1, 8001, dtype=torch.float64)[:, None]
    density = model.log_weight(grid).exp()
    z = torch.trapezoid(density, dx=2 / 8000)
    masses = torch.stack(
        [torch.trapezoid(density[2000 * k : 2000 * k + 2001], dx=2 / 8000) / z for k in range(4)]
    )
    assert abs(masses.sum().item() - 1) < 1e-9
    levels = torch.arange(4).double()[:, None]
    found = model.log_prob(levels, samples=20_000, generator=torch.Generator().manual_seed(0))
    assert found.kind == "estimate"
    error = model.log_partition.stderr.item()
    torch.testing.assert_close(found.value, masses.log(), rtol=0, atol=4 * error + 0.02)
    draws = model.sample(50)
    assert set(draws.flatten().tolist()) <= {0.0, 1.0, 2.0, 3.0}


@torch.no_grad()
def test_probabilities_of_levels_sum_to_one_over_all_images():
    """Of two entries: the Jacobian is that of both, and the base has the variance of the noise."""
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(2, 8), nn.SiLU(), nn.Linear(8, 1))
    options = SMALL | {"runs": 2000, "temperatures": 40}
    model = EnergyModel(Space((2,), "levels", 3), network, **options).double().eval()
    for p in model.parameters():
        p.mul_(3)
    solve_stages(model, torch.tensor([[0.0, 1.0]] * 6).double())  # rows that are all alike
    torch.testing.assert_close(model.base.mean, torch.tensor([-2 / 3, 0.0]).double())
    scale = torch.full((2,), 2 / 3 / math.sqrt(12)).double()
    torch.testing.assert_close(model.base.scale, scale)
    x = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)).double()
    found = model.log_prob(x, samples=20_000, generator=torch.Generator().manual_seed(0))
    error = model.log_partition.stderr.item()
    assert abs(found.value.exp().sum().log().item()) < 4 * error + 0.02
    assert error < 0.03


@torch.no_grad()
def test_real_data_have_a_density_in_their_own_units():
    """Its integral over x is 1, by the trapezoid rule, up to the error of log Z."""
    torch.manual_seed(2)
    space = Space((1,), "real")
    network = nn.Sequential(nn.Linear(1, 8), nn.SiLU(), nn.Linear(8, 1))
    model = EnergyModel(space, network, **(SMALL | {"runs": 2000, "temperatures": 60})).double()
    for p in model.parameters():
        p.mul_(3)
    solve_stages(model.eval(), random_x(space, 60))
    x = torch.linspace(-60, 70, 30_001, dtype=torch.float64)[:, None]
    whole = torch.trapezoid(model.log_prob(x).value.exp(), x[:, 0])
    assert abs(whole.log().item()) < 4 * model.log_partition.stderr.item() + 1e-6 < 0.3


def test_constants_of_real_data_stay_what_they_are():
    space = Space((3,), "real")
    x = random_x(space, 30)
    x[:, 1] = 4.0
    model = rp.build("ebm", space, seed=0, runs=8, temperatures=5, **SMALL).double()
    solve_stages(model, x)
    assert (model.sample(10)[:, 1] == 4).all() and model.counted == 2
    assert model.log_prob(x).value.isfinite().all()
    changed = x.clone()
    changed[0, 1] = 5.0
    assert model.log_prob(changed).value[0] == -math.inf


class TestLogZIsOfTheWeightsThereAre:
    """It is kept with them, and measured anew where they have moved, however they have."""

    @pytest.fixture
    def model(self) -> EnergyModel:
        return of_bits(partition="annealed", runs=30, temperatures=10)

    @pytest.fixture
    def counted(self, monkeypatch) -> list[int]:
        calls: list[int] = []
        annealed = EnergyModel.annealed

        def counting(self, generator):
            calls.append(1)
            return annealed(self, generator)

        monkeypatch.setattr(EnergyModel, "annealed", counting)
        return calls

    def test_weights_that_stay_are_measured_once(self, model, counted):
        first = model.log_prob(ALL[:4]).value
        assert torch.equal(model.log_prob(ALL[:4]).value, first)
        assert len(counted) == 1

    def test_a_copy_has_the_number_of_the_weights_that_it_copies(self, model, counted):
        first = model.log_prob(ALL[:4]).value
        copied = copy.deepcopy(model)
        assert torch.equal(copied.log_prob(ALL[:4]).value, first)
        assert len(counted) == 1
        with torch.no_grad():
            copied.network[1].weight.mul_(1.5)
        assert not torch.equal(copied.log_prob(ALL[:4]).value, first)
        assert len(counted) == 2

    def test_weights_that_moved_are_measured_anew(self, model, counted):
        first = model.log_partition.value.clone()
        with torch.no_grad():
            model.network[1].weight.mul_(1.5)
        second = model.log_partition.value.clone()
        assert second != first and len(counted) == 2
        with torch.no_grad():
            model.network[1].weight.div_(1.5)
        assert abs(model.log_partition.value - first) < 1e-12, "by the same noise"

    def test_a_step_forgets_it(self, model, counted):
        model.log_prob(ALL[:4])
        with torch.no_grad():
            model.after_step(model.loss(ALL[:4]))
        assert not model.partition.measured
        model.log_prob(ALL[:4])
        assert len(counted) == 2

    def test_other_weights_bring_their_own(self, model, counted):
        model.log_prob(ALL[:4])
        other = of_bits(partition="annealed", runs=30, temperatures=10)
        counted.clear()
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.log_prob(ALL[:4]).value, model.log_prob(ALL[:4]).value)
        assert not counted
        with torch.no_grad():
            model.after_step(model.loss(ALL[:4]))
        other.load_state_dict(model.state_dict())
        other.log_prob(ALL[:4])
        assert len(counted) == 1, "those of a run that has not ended bring none"

    def test_a_cast_keeps_it_and_a_copy_finds_it_again(self, model, counted):
        value = model.log_partition.value.item()
        model.float().double()
        assert model.log_partition.value.item() == value and len(counted) == 1
        model = copy.deepcopy(of_bits(partition="annealed", runs=30, temperatures=10))
        assert abs(model.log_partition.value.item() - value) < 1e-12

    def test_weights_that_moved_are_saved_without_it(self, model, counted, tmp_path):
        model.log_prob(ALL[:4])
        with torch.no_grad():
            model.network[1].weight.mul_(1.5)
        other = of_bits(partition="annealed", runs=30, temperatures=10)
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.log_partition.value, model.log_partition.value)

    def test_weights_that_came_without_one_have_none(self, model, counted):
        other = of_bits(partition="annealed", runs=30, temperatures=10)
        other.log_prob(ALL[:4])
        state = {f"network.{name}": 2 * w for name, w in model.network.state_dict().items()}
        other.load_state_dict(state, strict=False)
        counted.clear()
        other.log_prob(ALL[:4])
        assert len(counted) == 1

    def test_what_a_captured_step_forgets_is_measured_anew(self, model, counted):
        """Its graph puts zeros here, and moves weights past their version counters."""
        value = model.log_partition.value.item()
        model.partition.found.zero_()
        assert model.log_partition.value.item() == value and len(counted) == 2

    def test_it_is_no_noise_of_an_example(self, model):
        """Measured within what draws by rows, it is the same number."""
        alone = model.log_partition.value.clone()
        model.partition.forget()
        shared = model.log_prob(ALL[:4], noise="shared").value
        assert model.log_partition.value == alone and shared.isfinite().all()


def test_chains_move_and_some_start_anew():
    model = of_bits(chains=400, sweeps=1, restart=0.5)
    before = model.states.clone()
    loss = model.loss(ALL[:4])
    assert torch.equal(model.states, before), "a loss moves nothing"
    with torch.no_grad():
        model.after_step(loss)
    changed = (model.states != before).flatten(1).sum(1)
    assert (changed <= 1).any() and (changed > 2).any()


def test_a_fit_ends_with_log_z_and_scores_say_how_it_was_found(tmp_path):
    space = Space((6,), "binary")
    data = rp.Data(*[rp.Split(random_x(space, 60).float())] * 3, space, "toy")
    options: dict[str, Any] = {"hidden": (8,), "partition": "annealed", "runs": 50, **SMALL}
    model = rp.build("ebm", space, temperatures=20, seed=0, **options)
    rp.fit(model, data, epochs=2, progress=False, out=tmp_path)
    assert model.partition.measured
    scores = rp.evaluate(model, data)
    log_z = model.log_partition
    assert scores["log_partition"].value == pytest.approx(log_z.value.item())
    assert scores["log_partition"].stderr == pytest.approx(log_z.stderr.item())
    assert scores["partition_effective_samples"].value == log_z.effective_samples.item()
    found = scores["log_likelihood"]
    assert found.kind == "estimate" and "50 runs × 20 temperatures" in found.notes[0]
    over_examples = (found.values.std() / math.sqrt(60)).item()
    assert found.stderr == pytest.approx(math.hypot(over_examples, log_z.stderr.item()))
    assert "so few runs" not in found.notes[0]
    model.partition.found[2] = 1.5
    few = rp.evaluate(model, data)["log_likelihood"]
    assert few.notes[0].endswith("so few runs that log p(x) may be too high by more than that")
    exact = rp.build("ebm", space, seed=0, hidden=(8,), **SMALL)
    rp.fit(exact, data, epochs=2, progress=False)
    sure = rp.evaluate(exact, data)
    assert sure["log_partition"].kind == sure["log_likelihood"].kind == "exact"
    assert "partition_effective_samples" not in sure and sure["log_partition"].n == 64
    apart = rp.evaluation.scores.difference(found, sure["log_likelihood"])
    assert apart.pairs == 60 and apart.stderr >= found.common_stderr


def test_bad_inputs_are_refused():
    space = Space((25,), "binary")
    with pytest.raises(ValueError, match=r"2\^20 states or fewer.*got 2\^25; take"):
        rp.build("ebm", space, partition="enumerate")
    with pytest.raises(ValueError, match="partition: expected binary data to enumerate"):
        rp.build("ebm", Space((2,), "real"), partition="enumerate")
    with pytest.raises(ValueError, match="chains: expected a whole number of at least 1, got 0"):
        rp.build("ebm", space, chains=0)
    with pytest.raises(ValueError, match="runs: expected a whole number of at least 2, got 1"):
        rp.build("ebm", space, runs=1)  # whose standard error would be said to be 0
    data = rp.Data(*[rp.Split(random_x(space, 20).float())] * 3, space, "toy")
    with pytest.raises(ValueError, match="patience: expected None for ebm, which keeps its last"):
        rp.fit(rp.build("ebm", space, **SMALL), data, patience=3, progress=False)
