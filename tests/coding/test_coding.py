"""What is coded comes back bit for bit, and takes as many bits as the likelihood says."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from conftest import Case
from torch import Tensor

import reparam as rp
from reparam import coding
from reparam.coding import blocks
from reparam.coding.file import read
from reparam.model import Density, Space
from reparam.models.vae import VAE
from reparam.objectives.bounds import ELBO

IMAGES = Space((1, 8, 8), "binary")
# A block begins with 33 bits and ends in a whole word of 32.
LEAST, MOST = 0, 64
# What has a likelihood of discrete data and makes no file, and a word of the reason.
REFUSED = {
    "rbm": "no product",
    "ebm": "no product",
    "ddpm": "no product",
    "score-sde": "no product",
    "two-stage-vae": "conditionals",
    **dict.fromkeys(("planar-flow", "radial-flow", "nice", "real-nvp", "glow"), "no product"),
    **dict.fromkeys(("maf", "iaf", "spline-coupling", "spline-autoregressive"), "no product"),
}
REFUSED_OPTIONS = ("flows", "orders")  # flow posteriors and priors; ensembles


def rows_of(space: Space, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    assert space.level_count is not None
    x = torch.randint(space.level_count, (n, *space.shape), generator=generator)
    return x.to(torch.uint8 if space.level_count <= 256 else torch.int32)


def within(payload: int, blocks: int, sum_of_bits: float) -> bool:
    """Between 0 and 64 bits a block, and the .05 % that rounded probabilities may take."""
    return LEAST * blocks <= payload - sum_of_bits <= MOST * blocks + 5e-4 * sum_of_bits


def some(preset: str, space: Space = IMAGES, **options: Any) -> Any:
    torch.manual_seed(0)
    return rp.build(preset, space, **options).eval()


@pytest.mark.one_shape
def test_every_preset_of_discrete_data_codes_or_says_why_not(case: Case):
    model, reason = case.model(torch.float32), None
    reason = coding.refusal(model)
    if case.space.has_reals or not isinstance(model, Density):
        assert reason and "\n" not in reason
        return
    if reason is not None:
        assert case.name in REFUSED or case.changes.keys() & {*REFUSED_OPTIONS, "prior"}, reason
        return
    x, c = case.x(5), case.c(5)
    coded = coding.code(model, x, c, rows=2, block=3)
    found = coding.decode(model, coded.file)
    assert torch.equal(found.x.double(), x.double()) and not found.damaged
    assert within(coded.payload_bits, 2, coded.bits.sum().item())
    if coded.way != "bits back":
        told = coding.estimate(model, x, c)
        # Parameters are rounded to 2⁻¹²: by as much, or less, does a log-probability change.
        assert torch.allclose(coded.bits, told, rtol=1e-3, atol=1e-3 * case.space.dimension)
