"""Which parameters decay, and gradients that are not finite in a large weight alone."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from reparam.config import TrainConfig
from reparam.data import Data, Split
from reparam.model import Descend, Loss, Model, Player, Space
from reparam.models.rbm import RBM
from reparam.nets.causal_conv import CausalConv
from reparam.nets.masked import NADE, MaskedLinear
from reparam.train import fit
from reparam.train.optimizers import (
    SMALL,
    FusedStep,
    make_optimizer,
    mend,
    moments,
    restore_moments,
    set_learning_rate,
    trainable,
)

MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, CausalConv, MaskedLinear, NADE, RBM)


def data(rows: int = 8) -> Data:
    split = Split(torch.ones(rows, 2))
    return Data(split, split, split, Space((2,), "real"), "ones")


# --------------------------------------------------------------------------------- weight decay


@pytest.mark.one_space
def test_weight_decay_reaches_the_matrices_of_linear_maps_and_nothing_else(case):
    """Every parameter once; those that decay are all weights of all linear maps, by their class."""
    model, config = case.model(), TrainConfig(weight_decay=0.1)
    owners = {
        id(p): (part, name)
        for part in model.modules()
        for name, p in part.named_parameters(recurse=False)
    }
    for stage in model.stages:
        if not isinstance(stage, Descend):
            continue
        for player in stage.players or (Player("model", (model,)),):
            groups = make_optimizer(player, config).param_groups
            grouped = [(p, group["weight_decay"]) for group in groups for p in group["params"]]
            moved = [p for module in player.modules for p in module.parameters() if p.requires_grad]
            assert sorted(map(id, moved)) == sorted(id(p) for p, _ in grouped)
            maps = any(isinstance(part, MAPS) for one in player.modules for part in one.modules())
            assert any(decay for _, decay in grouped) == maps
            for p, decay in grouped:
                part, name = owners[id(p)]
                # Weight normalization keeps the two factors of a weight in a list of its own.
                linear = isinstance(part, ParametrizationList) or (
                    isinstance(part, MAPS) and "weight" in name
                )
                assert decay == (0.1 if linear else 0.0), (type(part).__name__, name)


class Still(Model):
    """Parameters of every sort, and an objective that moves none of them."""

    def __init__(self) -> None:
        super().__init__(Space((2,), "real"))
        self.net = nn.Linear(3, 2)
        self.norm, self.table = nn.LayerNorm((2, 3)), nn.Embedding(3, 2)
        self.log_scale = nn.Parameter(torch.full((1, 4, 4), 2.0))
        nn.init.ones_(self.net.bias)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        nothing = sum((0 * p).sum() for p in self.parameters())
        return Loss(nothing + 0 * x.sum(), {"nll": x.sum(1)})


def test_decay_shrinks_a_matrix_by_its_factor_and_leaves_the_rest_bit_for_bit():
    """Adam's step on a gradient of 0 is 0: what moves is by decay, (1 − lr λ) a step."""
    model = Still()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    fit(model, data(), epochs=20, lr=0.05, weight_decay=0.2, progress=False)
    for name, p in model.named_parameters():
        wanted = before[name] * (1 - 0.05 * 0.2) ** 20 if name == "net.weight" else before[name]
        # 20 products, each rounded to 6e-8
        tolerance = 2e-6 if name == "net.weight" else 0.0
        torch.testing.assert_close(p.detach(), wanted, rtol=tolerance, atol=0.0)


# ----------------------------------------------------------- spoiled by one gradient of a matrix


class Large(Model):
    """‖W − 1‖² + ‖b − 1‖² with W too large to be looked at in every step; one gradient is bad."""

    def __init__(self, bad: float, at: int) -> None:
        super().__init__(Space((2,), "real"))
        self.weight = nn.Parameter(torch.zeros(SMALL // 64, 65))
        self.bias = nn.Parameter(torch.zeros(3))
        self.bad, self.at, self.calls = bad, at, 0
        self.weight.register_hook(self.spoil)

    def spoil(self, gradient: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            gradient = gradient.clone()
            gradient[5, 7] = self.bad
        return gradient

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        error = (self.weight - 1).square().sum() + (self.bias - 1).square().sum()
        return Loss(error, {"squared_error": error.detach().expand(len(x))})


@pytest.mark.parametrize(
    ("bad", "at", "fields"),
    [
        (math.nan, 10, {}),  # before anything was kept
        (math.inf, 60, {"ema": 0.5}),
        (math.nan, 60, {"weight_decay": 1e-9}),
        (1e30, 60, {}),
    ],
)
def test_one_bad_gradient_of_a_matrix_spoils_nothing(bad, fields, at):
    """The run goes on from the row after; every entry, the spoiled one too, gets where it was to.

    1e30 is finite, but its square is not: Adam would hold that entry still for ever.
    """
    model = Large(bad, at)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, data(), epochs=300, lr=0.05, progress=False, **fields)
    row = 50 * math.ceil(at / 50)
    (message,) = history.warnings
    assert message == str(caught[0].message)
    assert message.startswith(f"not finite before step {row}: gradients of weight alone")
    assert history.ended == "all epochs" and len(history.rows) == 6
    torch.testing.assert_close(
        model.weight.detach(), torch.ones_like(model.weight), atol=1e-3, rtol=0
    )
    assert history.kept["valid/squared_error"] < 1e-3


def test_the_spoiled_run_is_the_clean_one_but_for_the_row_that_was_skipped():
    """All batches are alike: the other entries are those of a run without the skipped steps."""
    spoiled, clean = Large(math.nan, 60), Large(0.0, -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fit(spoiled, data(), epochs=110, lr=1e-3, progress=False)
    fit(clean, data(), epochs=70, lr=1e-3, progress=False)  # 60 steps, and 10 of the third row
    others = torch.ones_like(clean.weight, dtype=torch.bool)
    others[5, 7] = False
    assert torch.equal(spoiled.weight[others], clean.weight[others])
    assert torch.equal(spoiled.bias, clean.bias)
    assert spoiled.weight[5, 7].isfinite() and spoiled.weight[5, 7] != clean.weight[5, 7]


def test_mending_touches_what_is_not_finite_only():
    weight, kept = torch.tensor([1.0, math.nan, 3.0]), torch.tensor([7.0, 8.0, 9.0])
    means = {"exp_avg": torch.tensor([0.1, math.nan, 0.3]), "step": torch.tensor(5.0)}
    means["exp_avg_sq"] = torch.tensor([0.1, math.nan, math.inf])
    assert mend(weight, kept, means) and not mend(weight, kept, means)
    assert weight.tolist() == [1.0, 8.0, 3.0]
    torch.testing.assert_close(means["exp_avg"], torch.tensor([0.1, 0.0, 0.0]))
    torch.testing.assert_close(means["exp_avg_sq"], torch.tensor([0.1, 0.0, 0.0]))
    assert means["step"] == 5
    bare: Any = torch.tensor([math.inf, 2.0])
    assert mend(bare, None, {}) and bare.tolist() == [0.0, 2.0]


# ----------------------------------------------------------------------- rates of single modules


def rated(
    weight_decay: float, dtype: torch.dtype = torch.float32
) -> tuple[tuple[nn.Linear, ...], torch.optim.Optimizer, TrainConfig]:
    layers = tuple(nn.Linear(3, 3, dtype=dtype) for _ in range(3))
    config = TrainConfig(lr=0.1, weight_decay=weight_decay)
    return (
        layers,
        make_optimizer(Player("p", layers, lr=2.0, rates=(0.0, 0.25, 1.0)), config),
        config,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_each_module_moves_by_its_own_multiple_of_the_rate(weight_decay):
    """Adam's first step is its rate times the sign of the gradient; decay shrinks by the rate."""
    layers, optimizer, _ = rated(weight_decay)
    before = [layer.weight.detach().clone() for layer in layers]
    for factor in (0.5, 1.0):  # as a schedule sets it
        set_learning_rate(optimizer, 0.2 * factor)
        assert sorted({g["lr"] for g in optimizer.param_groups}) == [
            0.0,
            0.05 * factor,
            0.2 * factor,
        ]
    sum((layer.weight.sum() + layer.bias.sum()) for layer in layers).backward()
    optimizer.step()
    for layer, weight, rate in zip(layers, before, (0.0, 0.05, 0.2), strict=True):
        wanted = weight * (1 - rate * weight_decay) - rate
        torch.testing.assert_close(layer.weight.detach(), wanted)
    assert torch.equal(layers[0].weight, before[0]), "a rate of 0 leaves weights bit for bit"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_fused_step_is_that_of_torch_bit_for_bit(weight_decay, dtype):
    """With steps that are left out, rates that change, and what is remembered replaced.

    In one step a weight has no gradient; before another the state is loaded anew, from a copy.
    """
    runs = []
    for own in (True, False):
        torch.manual_seed(0)
        layers, optimizer, _ = rated(weight_decay, dtype)
        weights, step = trainable(layers), FusedStep(optimizer)
        for at in range(9):
            for k, weight in enumerate(weights):
                weight.grad = None if (at, k) == (4, 3) else torch.randn_like(weight)
            set_learning_rate(optimizer, 0.1 / (1 + at))
            if at == 6:
                optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
            skip = torch.tensor(float(at in (0, 3, 5)))
            before = [weight.detach().clone() for weight in weights]
            if own:
                step(skip)
            else:
                optimizer.found_inf = skip  # type: ignore[attr-defined]
                optimizer.step()
            same = [torch.equal(a, b) for a, b in zip(before, weights, strict=True)]
            assert all(same) if skip else not all(same[2:])
        runs.append((weights, moments(optimizer, weights), optimizer.state_dict()))
    (ours, slots, state), (theirs, wanted, of_torch) = runs
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all(torch.equal(slots[i][name], wanted[i][name]) for i in wanted for name in wanted[i])
    assert [s["step"].item() for s in slots.values()] == [6.0, 6.0, 6.0, 5.0, 6.0, 6.0]
    assert state["param_groups"] == of_torch["param_groups"]


def test_groups_that_are_added_are_stepped():
    layers, optimizer, _ = rated(0.0)
    late, step = nn.Linear(3, 3), FusedStep(optimizer)
    for at in range(4):
        if at == 2:
            optimizer.add_param_group({"params": list(late.parameters()), "lr": 0.1})
        for weight in (*trainable(layers), *late.parameters()):
            weight.grad = torch.ones_like(weight)
        before = late.weight.detach().clone()
        step(torch.zeros(()))
        assert torch.equal(late.weight, before) == (at < 2)
    assert optimizer.state[late.weight]["step"] == 2


def test_moments_come_back_to_their_weights_whatever_the_groups():
    layers, optimizer, config = rated(0.1)
    weights = trainable(layers)
    sum((k + 1) * p.square().sum() for k, p in enumerate(weights)).backward()
    optimizer.step()
    kept = {i: {n: v.clone() for n, v in s.items()} for i, s in moments(optimizer, weights).items()}
    other = make_optimizer(Player("p", layers, lr=2.0, rates=(0.0, 0.25, 1.0)), config)
    restore_moments(other, weights, kept)
    again = moments(other, weights)
    assert all(torch.equal(v, again[i][n]) for i, slots in kept.items() for n, v in slots.items())
    set_learning_rate(other, 1.0)
    assert {g["lr"] for g in other.param_groups} == {0.0, 0.25, 1.0}


def test_a_parameter_of_two_modules_moves_at_the_rate_of_the_first():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    player = Player("p", (first, second), rates=(0.5, 1.0))
    groups = make_optimizer(player, TrainConfig(lr=1.0)).param_groups
    assert [(g["lr"], len(g["params"])) for g in groups] == [(0.5, 2), (1.0, 1)]
