"""Where a loss that is not finite comes from: which module, which gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from reparam.model import Batch, Loss, Model
from reparam.train.random import seeded
from reparam.wording import listed


def diagnose(model: Model, batch: Batch, player: str, seed: int) -> str:
    """What is not finite when the loss of a batch is computed again, in a few words.

    The noise is another one than in the step that failed, and the weights have moved since, so it
    may be finite now. Nothing is changed: gradients are left empty, generators as they were.

    Args:
        model: in training mode.
        batch: the one whose loss or gradient was not finite.
        player: whose loss it is.
        seed: of the noise.
    """
    if not bool(batch.x.isfinite().all()):
        return "the data of that batch are not finite"
    weights = listed([n for n, p in model.named_parameters() if not bool(p.isfinite().all())])
    if weights:
        return f"weights are not finite: {weights}"
    found: list[str] = []
    hooks = [
        module.register_forward_hook(_noting(found, f"{name} ({type(module).__name__})"))
        for name, module in model.named_modules()
        if name
    ]
    try:
        with seeded(seed, model.anchor.device):
            loss: Loss = model(batch.x, batch.c, player, **batch.targets)
    finally:
        for hook in hooks:
            hook.remove()
    terms = listed([name for name, term in loss.terms.items() if not bool(term.isfinite().all())])
    model.zero_grad(set_to_none=True)
    loss.objective.backward()
    spoiled = [
        name
        for name, p in model.named_parameters()
        if p.grad is not None and not bool(p.grad.isfinite().all())
    ]
    model.zero_grad(set_to_none=True)
    said = [f"the first output that is not finite is that of {found[0]}"] if found else []
    said += [f"it arises in the term {terms}, after all modules"] if terms and not found else []
    said += [f"gradients that are not finite: {listed(spoiled)}"] if spoiled else []
    return "; ".join(said) or "computed again with other noise, that batch is finite"


def _noting(found: list[str], name: str) -> Any:
    """A hook that notes a module where its output is not finite."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        parts = output if isinstance(output, tuple) else (output,)
        if any(isinstance(p, Tensor) and not bool(torch.isfinite(p).all()) for p in parts):
            found.append(name)

    return hook
