"""In which mode models are measured, and that they are handed back as they were."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from reparam.model import Model


@contextmanager
def evaluating(models: Sequence[Model]) -> Iterator[None]:
    """Without gradients and in evaluation mode, each module's own mode put back afterwards.

    >>> from reparam.model import Space
    >>> from reparam.presets import build
    >>> model = build("ae", Space((9,), "real"), latent_dim=2).train()
    >>> with evaluating([model]):
    ...     model.training
    False
    >>> model.training
    True
    """
    modes = [(module, module.training) for model in models for module in model.modules()]
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
