"""Small autoregressive models of every preset, and all states that x can take."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.model import Space
from reparam.models.autoregressive import Autoregressive

F64 = torch.float64
DENSE: list[tuple[str, dict[str, Any]]] = [
    ("fvbn", {}),
    ("nade", {"hidden": 5}),
    ("made", {"hidden": (12,)}),
    ("made", {"hidden": (11, 9), "direct": False}),
    ("made", {"hidden": (12,), "orders": 3, "masks": 2}),
]
IMAGES: list[tuple[str, dict[str, Any]]] = [
    ("pixel-cnn", {"width": 6, "layers": 3, "first_kernel": 5}),
    ("pixel-cnn", {"width": 7, "layers": 1, "first_kernel": 3, "residual": True}),
    ("gated-pixel-cnn", {"width": 6, "layers": 2, "first_kernel": 5}),
    ("pixel-cnn", {"width": 6, "layers": 1, "first_kernel": 3, "inputs": "one-hot"}),
    ("gated-pixel-cnn", {"width": 6, "layers": 1, "first_kernel": 3, "inputs": "one-hot"}),
    ("pixel-rnn", {"width": 4, "layers": 2, "first_kernel": 3, "recurrence": "row"}),
    ("pixel-rnn", {"width": 3, "layers": 2, "first_kernel": 3}),
    ("pixel-cnn++", {"width": 3, "blocks": 1, "scales": 2, "components": 2}),
    ("pixel-cnn++", {"width": 2, "blocks": 2, "scales": 1, "components": 3}),
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("image-transformer", {"width": 6, "layers": 2, "heads": 2, "dropout": 0.2}),
]
CODES: list[tuple[str, dict[str, Any]]] = [  # what else sees entries one-hot
    ("fvbn", {"inputs": "one-hot"}),
    ("nade", {"hidden": 5, "inputs": "one-hot"}),
    ("made", {"hidden": (9, 8), "orders": 2, "inputs": "one-hot"}),
    ("image-transformer", {"width": 6, "layers": 1, "heads": 2, "inputs": "one-hot"}),
    ("pixel-rnn", {"width": 5, "layers": 1, "first_kernel": 3, "inputs": "one-hot"}),
]
MODELS = DENSE + IMAGES + OTHERS


def name_of(model: Any) -> str:
    return "-".join([model[0], *map(str, model[1].values())]) if isinstance(model, tuple) else None


every = pytest.mark.parametrize("which", MODELS, ids=name_of)
every_and_codes = pytest.mark.parametrize("which", MODELS + CODES, ids=name_of)


def random_model(which: tuple[str, dict[str, Any]], space: Space, **more: Any) -> Autoregressive:
    """Weights large enough that the entries depend on each other."""
    torch.manual_seed(3)
    model = rp.build(which[0], space, **which[1], **more).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    assert isinstance(model, Autoregressive)
    return model


def all_states(space: Space) -> Tensor:
    values = [range(space.level_count or 0)] * space.dimension
    return torch.tensor(list(itertools.product(*values)), dtype=F64).view(-1, *space.shape)
