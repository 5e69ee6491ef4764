"""The loss through ``torch.compile``; as it is, with the reason, where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from reparam.model import Loss, Model
from reparam.train.random import generator_states, restore_generators


class Compiled:
    """A model's loss as compiled code.

    Each player's loss is tried once, with its backward pass, and what that moved is put back:
    random generators, buffers, gradients. Where it fails, the loss runs uncompiled from then on.

    Args:
        model: whose loss it is.
        device: where it runs.
        warn: is told the reason, where it cannot be compiled.
    """

    def __init__(self, model: Model, device: torch.device, warn: Callable[[str], None]) -> None:
        self.model, self.device, self.warn = model, device, warn
        self.run: Callable[..., Loss] = torch.compile(model)
        self.tried: set[str] = set()

    def __call__(self, x: Tensor, c: Tensor | None, player: str, **targets: Tensor) -> Loss:
        if self.run is not self.model and player not in self.tried:
            self._try(x, c, player, targets)
        return self.run(x, c, player, **targets)

    def _try(self, x: Tensor, c: Tensor | None, player: str, targets: Mapping[str, Tensor]) -> None:
        self.tried.add(player)
        states = generator_states(self.device)
        buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
        try:
            self.run(x, c, player, **targets).objective.backward()
        except Exception as error:  # of any kind: a compiler's, or the model's own, raised again
            self.run = self.model
            reason = (str(error).strip() or "no reason given").splitlines()[0]
            self.warn(f"compile: the loss runs uncompiled: {type(error).__name__}: {reason}")
        finally:
            restore_generators(states, self.device)
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
            for parameter in self.model.parameters():
                parameter.grad = None
