"""The optimizers of a descent: which weights decay, what they remember, and what spoiled it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from reparam.config import TrainConfig
from reparam.model import Player

RATE = "rate"  # of a group, the multiple of the learning rate that it is moved by
SMALL = 4096  # entries of a parameter whose gradient is looked at in every step

NO_MATRICES = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm)

Moments = dict[int, dict[str, Tensor]]  # what Adam remembers, by the place of its weight


def trainable(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """The parameters of some modules that gradients move."""
    return [p for module in modules for p in module.parameters() if p.requires_grad]


def make_optimizer(player: Player, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam on a player's parameters; with weight decay AdamW, which decays the matrices alone.

    Each of its modules is trained at its own multiple of the learning rate, where it has ``rates``.
    Fused: one pass over the weights instead of a dozen, and it skips a step on ``found_inf``. On
    CUDA the learning rate is a tensor, so that a captured step reads what it is now.
    """
    parameters = trainable(player.modules)
    captured = bool(parameters) and parameters[0].is_cuda
    betas = config.betas if player.betas is None else player.betas
    # Both would be the same without weight decay, but AdamW multiplies every weight by 1.
    kind = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    groups = _groups(player, config)
    rate = config.lr * player.lr
    optimizer = kind(groups or parameters, rate, betas, fused=True, capturable=captured)
    if captured:
        for group in optimizer.param_groups:  # float32, which the kernel reads
            group["lr"] = torch.tensor(float(group["lr"]), device=parameters[0].device)
    set_learning_rate(optimizer, rate)
    return optimizer


class FusedStep:
    """Steps of a fused Adam that are left out, on the device, where a scalar is 1.

    The same numbers as ``Optimizer.step`` with ``found_inf``, which collects its tensors anew in
    every step and counts back the steps that it left out: of a small network that takes longer
    than the kernel. It still makes the first step, and every one in which a weight has no gradient.
    What it remembers may be changed in place; where its tensors are replaced, they are found again.
    Hooks of the optimizer are called in its own steps only, so hardly ever after the first one:
    nobody outside training has that optimizer.

    Args:
        optimizer: as ``make_optimizer`` makes it.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer
        adamw = isinstance(optimizer, torch.optim.AdamW)
        self.kernel = torch._fused_adamw_ if adamw else torch._fused_adam_
        self.slots: list[list[list[Tensor]]] = []  # of every group: means, squares, steps

    @torch.no_grad()
    def __call__(self, skip: Tensor) -> None:
        """Move the weights by their gradients, unless ``skip``, a float32 scalar, is 1."""
        groups = self.optimizer.param_groups
        gradients = [[weight.grad for weight in group["params"]] for group in groups]
        missing = any(g is None for of_group in gradients for g in of_group)
        if missing or not self._holds():
            self.optimizer.found_inf = skip  # type: ignore[attr-defined]
            self.optimizer.step()
            self.slots = self._remembered()
            return
        made = 1 - skip
        for group, given, (means, squares, steps) in zip(
            groups, gradients, self.slots, strict=True
        ):
            torch._foreach_add_(steps, [made] * len(steps))  # of one tensor it asks for the number
            beta1, beta2 = group["betas"]
            self.kernel(
                group["params"],
                given,
                means,
                squares,
                [],
                steps,
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
                found_inf=skip,
            )

    def _holds(self) -> bool:
        """Whether the slots are the optimizer's: of as many groups, and not loaded since."""
        groups = self.optimizer.param_groups
        if not self.slots or len(groups) != len(self.slots):
            return False
        first, (_, _, steps) = groups[0]["params"][0], self.slots[0]
        return self.optimizer.state[first].get("step") is steps[0]

    def _remembered(self) -> list[list[list[Tensor]]]:
        """What the optimizer has of every weight; nothing while it lacks that of one."""
        state = self.optimizer.state
        groups = [group["params"] for group in self.optimizer.param_groups]
        if any(weight not in state for group in groups for weight in group):
            return []
        slots = ("exp_avg", "exp_avg_sq", "step")
        return [[[state[weight][slot] for weight in group] for slot in slots] for group in groups]


def _groups(player: Player, config: TrainConfig) -> list[dict[str, Any]]:
    """What decays and what does not, of all modules with the same multiple of the learning rate.

    A parameter that several modules have is moved at the rate of the first.
    """
    rates = player.rates or (1.0,) * len(player.modules)
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for module, rate in zip(player.modules, rates, strict=True):
        matrices = {id(p) for p in decaying(module)} if config.weight_decay else set()
        for p in trainable([module]):
            if id(p) not in seen:
                seen.add(id(p))
                decay = config.weight_decay if id(p) in matrices else 0.0
                found.setdefault((rate, decay), []).append(p)
    # The rates in their order, and of each what decays before what does not.
    order = sorted(found, key=lambda key: (rates.index(key[0]), -key[1]))
    return [{"params": found[key], RATE: key[0], "weight_decay": key[1]} for key in order]


def decaying(module: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that weight decay acts on: matrices and kernels of networks.

    They have two dimensions or more and are called weights, as PyTorch's layers call them. A scale,
    mean or logit of a distribution, a learned weight of an objective, an example or an embedding is
    no such thing: 0 is no simpler than another value of it. Nor is a bias or the gain of a norm.
    Both factors decay of a weight under weight normalization.

    >>> [p.ndim for p in decaying(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)))]
    [2]
    """
    for part in module.modules():
        if isinstance(part, NO_MATRICES):
            continue
        for name, parameter in part.named_parameters(recurse=False):
            if parameter.ndim > 1 and "weight" in name:
                yield parameter
        # A weight that is computed from others: its direction and its gains, all of which decay, as
        # the direction alone would not shrink the weight.
        for name, computed in getattr(part, "parametrizations", {}).items():
            if "weight" in name:
                yield from computed.parameters()


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Of every group its own multiple of the rate; in place where it is a tensor."""
    for group in optimizer.param_groups:
        own = rate * group.get(RATE, 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(own)
        else:
            group["lr"] = own


def moments(optimizer: torch.optim.Optimizer, weights: list[nn.Parameter]) -> Moments:
    """What the optimizer remembers of each weight, by its place among ``weights``."""
    return {i: dict(optimizer.state[w]) for i, w in enumerate(weights) if w in optimizer.state}


def restore_moments(
    optimizer: torch.optim.Optimizer, weights: list[nn.Parameter], state: Moments
) -> None:
    """Give back what ``moments`` gave; ValueError where it is not of these weights."""
    _check(state, weights)
    order = {id(weight): place for place, weight in enumerate(weights)}
    content = optimizer.state_dict()
    grouped = [w for group in optimizer.param_groups for w in group["params"]]
    content["state"] = {
        index: {name: _laid_out(value, weight) for name, value in state[order[id(weight)]].items()}
        for index, weight in enumerate(grouped)
        if order[id(weight)] in state
    }
    optimizer.load_state_dict(content)


def _laid_out(value: Tensor, weight: Tensor) -> Tensor:
    """A moment in the memory layout of its weight: a fused optimizer reads both as they lie."""
    return value if value.shape != weight.shape else torch.empty_like(weight).copy_(value)


def _check(state: Mapping[int, Mapping[str, Tensor]], weights: list[nn.Parameter]) -> None:
    """ValueError where Adam's means are not of these weights; PyTorch would notice it later."""
    for index, slots in state.items():
        for name in ("step", "exp_avg", "exp_avg_sq"):
            if name not in slots:
                raise ValueError(f"{name} of weight {index} is missing")
        shape = tuple(weights[index].shape) if index < len(weights) else None
        for name, value in slots.items():
            expected = () if name == "step" else shape
            if tuple(value.shape) != expected:
                found = tuple(value.shape)
                raise ValueError(f"{name} of weight {index} has shape {found}, not {expected}")


def gradient_sum(parameters: Sequence[Tensor]) -> Tensor:
    """A scalar that is not finite where an error signal was not, at next to no cost.

    It adds up the gradients of biases and other small parameters: reading all of them would take
    2 % of the time of a step. An error signal that is not finite reaches the bias of its layer, and
    those of all layers before it. Where a large weight's gradient alone is not finite, these
    entries are spoiled, every later loss is not finite, and ``mend`` puts them back at the
    end of the row.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    small = [g for g in gradients if g.numel() <= SMALL] or gradients
    return torch.cat([g.flatten() for g in small]).sum()


@torch.no_grad()
def suspects(
    optimizer: torch.optim.Optimizer, weights: Sequence[nn.Parameter]
) -> list[nn.Parameter]:
    """Those weights that a gradient may have spoiled: a sum over each, and one wait for all.

    Adam's mean square is not finite where a gradient was not, or was too large to be squared.
    """
    known = [weight for weight in weights if weight in optimizer.state]
    if not known:
        return []
    sums = torch.stack([optimizer.state[weight]["exp_avg_sq"].sum() for weight in known])
    return [w for w, bad in zip(known, (~sums.isfinite()).tolist(), strict=True) if bad]


@torch.no_grad()
def mend(weight: Tensor, kept: Tensor | None, remembered: Mapping[str, Tensor]) -> bool:
    """Whether entries of a weight were spoiled; they are put back, to 0 where none was kept.

    An update by a gradient that is not finite leaves a weight that is not, or an Adam mean that
    holds it still for ever; either in the entries of that gradient alone. They forget it.
    """
    means = [value for value in remembered.values() if value.shape == weight.shape]
    good = weight.isfinite()
    for mean in means:
        good &= mean.isfinite()
    if good.all():
        return False
    before = torch.zeros_like(weight) if kept is None else kept
    weight.copy_(torch.where(weight.isfinite(), weight, before))
    for mean in means:
        mean.mul_(good).nan_to_num_(0.0)
    return True
