"""Errors there and back against bijections whose error is known."""

from __future__ import annotations

import math

import pytest
import torch

import reparam as rp
from reparam.bijections.base import Bijection, Chain
from reparam.data import Split
from reparam.evaluation.round_trip import RoundTrip, round_trips
from reparam.model import Space
from reparam.models.flow import Flow
from reparam.report.sections.invertibility import _note


class Lossy(Bijection):
    """x + 1 and back, off by so much; what is above a limit gets lost there."""

    def __init__(self, error: float, limit: float = math.inf) -> None:
        super().__init__()
        self.error, self.limit = error, limit

    def forward(self, x, context=None):
        return x + 1, x.new_zeros(x.shape[0])

    def inverse(self, z, context=None):
        x = z - 1 + self.error
        return torch.where(x > self.limit, torch.nan, x), z.new_zeros(z.shape[0])


def flow(*members: Bijection, size: int = 4) -> Flow:
    return Flow(Space((size,), "real"), Chain(*members), rp.StandardNormal(size)).eval()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_errors_add_up_member_by_member(precision):
    model = flow(Lossy(0.5), Lossy(0.0), Lossy(0.25))
    found = round_trips(model, Split(torch.zeros(100, 4)), precision)
    assert found == [
        RoundTrip(1, 0.5, 0.5, 0, 256),
        RoundTrip(2, 0.5, 0.5, 0, 256),
        RoundTrip(3, 0.75, 0.75, 0, 256),
    ]
    assert model.anchor.dtype == torch.float32


def test_what_is_not_finite_is_counted_and_no_error_is_flattered_by_it():
    x = torch.zeros(50, 4)
    x[0, 1] = 9.0
    found = round_trips(flow(Lossy(0.0), Lossy(0.5, limit=2.0)), Split(x), "float32")
    assert found[0] == RoundTrip(1, 0.0, 0.0, 0, 200)
    assert found[1] == RoundTrip(2, math.inf, 0.5, 1, 200)
    assert "Not finite of 200 entries: 1 after 2." in _note("float32", found)
    x[:3] = 9.0  # more than one in a hundred: so is the percentile
    (_, last) = round_trips(flow(Lossy(0.0), Lossy(0.5, limit=2.0)), Split(x), "float32")
    assert (last.typical, last.not_finite) == (math.inf, 12)


def test_members_of_every_scale_are_passed_in_either_precision():
    space = Space((1, 8, 8), "levels", levels=17, classes=3)
    model = rp.build(
        "glow", space, scales=3, layers=1, channels=4, conditional=True, base="class", seed=0
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    split = Split(torch.randint(0, 17, (9, *space.shape)), torch.arange(9) % 3)
    x, members = model.passage(split.x, split.labels)
    z = x
    for member, context in members:
        z = member(z, context)[0]
    torch.testing.assert_close(z, model.encode(split.x, split.labels))
    rough, fine = (round_trips(model, split, precision) for precision in ("float32", "float64"))
    # Logits with their scale, then squeeze, norm, matrix and coupling by scale, and two priors.
    assert len(members) == 3 + 3 * 4 + 2 + 2 + 1 and rough[-1].members == len(members)
    assert 1e-8 < rough[-1].largest < 1e-3 and fine[-1].largest < 1e-11
    assert all(trip.entries == 9 * 64 and not trip.not_finite for trip in rough + fine)
