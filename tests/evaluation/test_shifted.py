"""Shifted images, and whether log p(x) tells them from the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import reparam as rp
from reparam.data import Split
from reparam.evaluation.ranking import exceedance
from reparam.evaluation.shifted import shifted_images, told_apart
from reparam.model import Density, LogProb, Space
from reparam.numerics import standard_normal_log_prob
from reparam.space import check_values

SPACES = {
    "binary": Space((1, 5, 7), "binary"),
    "levels": Space((3, 5, 3), "levels", 256),
    "real": Space((2, 4, 5), "real"),
}


def some_images(kind):
    space, generator = SPACES[kind], torch.Generator().manual_seed(0)
    if kind == "real":
        return space, torch.rand(6, *space.shape, generator=generator) * 7 - 3, (-3.0, 4.0)
    top = space.level_count - 1
    x = torch.randint(0, top + 1, (6, *space.shape), generator=generator)
    return space, x.to(torch.uint8), (0.0, float(top))


@pytest.mark.parametrize("kind", list(SPACES))
def test_shifted_images_are_what_they_say_and_values_of_the_space(kind):
    space, x, (low, high) = some_images(kind)
    split = Split(x, torch.arange(len(x)))
    sets = shifted_images(split, space, low, high)
    assert ("half contrast" in sets) == (kind != "binary")
    for part in sets.values():
        assert part.x.dtype == x.dtype and part.x.shape == x.shape
        assert torch.equal(part.labels, split.labels)
        check_values(part.x, space.level_count)
    there = x.double().numpy()
    assert (sets["blank"].x == low).all()
    assert np.array_equal(sets["mirrored"].x.double(), there[..., ::-1])
    np.testing.assert_allclose(sets["inverted"].x.double(), low + high - there, atol=1e-6)
    for (n, c, i, j), value in np.ndenumerate(sets["eroded"].x.double().numpy()):
        assert value == there[n, c, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2].min()
    if kind != "binary":
        mean = there.mean((1, 2, 3), keepdims=True)
        apart = np.abs(sets["half contrast"].x.double().numpy() - (there + mean) / 2)
        assert apart.max() <= (0.5 if kind == "levels" else 1e-6)


class Normal(Density):
    """Independent standard normals; −∞ where an entry is above 100."""

    def density(self, x, c, samples, generator):
        value = standard_normal_log_prob(x).flatten(1).sum(1)
        return LogProb(value.masked_fill((x > 100).flatten(1).any(1), -math.inf), "exact")

    def draw(self, n, c, generator):
        return torch.randn(n, *self.space.shape, generator=generator)


def rows(*values):
    return Split(torch.tensor(values)[:, None])


def test_aurocs_by_hand():
    """Of N(0, 1): log p + const = −x²/2, whose mean over ±1 is −½."""
    model = Normal(Space((1,), "real"))
    sets = {"near": rows(0.0, 0.5), "far": rows(3.0, 101.0)}
    told = told_apart(model, sets, rows(1.0, 1.5), rows(-1.0, 1.0))
    assert (told["test"].low, told["test"].atypical) == (0.5, 0.5)
    # ½ less x²/2 to either side: test rows are 0 and .625 from it, the near ones .5 and .375.
    assert (told["near"].low, told["near"].atypical) == (0.0, 0.5)
    assert (told["far"].low, told["far"].atypical) == (1.0, 1.0)
    assert told["near"].log_p.value == pytest.approx(-0.0625 - 0.5 * math.log(2 * math.pi))
    assert told["far"].log_p.value == -math.inf
    impossible = told_apart(model, sets, rows(1.0, 1.5), rows(-1.0, 101.0))
    assert impossible["near"].atypical == 0.5  # −∞ is left out of the typical log p
    assert math.isnan(exceedance(torch.tensor([1.0]), torch.tensor([torch.nan])))


def test_aurocs_in_closed_form():
    """y = s·x of one normal: |y| > |x| with 2/π·atan(s). Of many, the mode is not typical."""
    draws = [torch.randn(4000, 1) for _ in range(3)]
    sets = {"half": Split(0.5 * draws[0])}
    told = told_apart(Normal(Space((1,), "real")), sets, Split(draws[1]), Split(draws[2]))
    assert told["half"].low == pytest.approx(2 / math.pi * math.atan(0.5), abs=0.02)
    test, unseen, more = (Split(torch.randn(200, 300)) for _ in range(3))
    sets = {"mode": Split(torch.zeros(5, 300)), "more": more}
    told = told_apart(Normal(Space((300,), "real")), sets, test, unseen)
    assert (told["mode"].low, told["mode"].atypical) == (0.0, 1.0)
    assert all(abs(found - 0.5) < 0.1 for found in (told["more"].low, told["more"].atypical))


@pytest.mark.parametrize(
    ("preset", "options", "epochs"),
    [
        ("vae", {"latent_dim": 8, "hidden": (64,)}, 4),
        ("made", {"hidden": (64,)}, 3),
        ("nice", {"layers": 2, "hidden": (32,)}, 2),
    ],
)
def test_blank_digits_are_likely_and_inverted_ones_are_not(preset, options, epochs):
    data = rp.load_data("digits")
    model = rp.build(preset, data.space, seed=0, **options)
    rp.fit(model, data, epochs=epochs, progress=False, device="cpu", seed=0)
    test, unseen = (split.take(slice(0, 100)) for split in (data.test, data.valid))
    told = told_apart(model, shifted_images(test, data.space, 0, 16), test, unseen, samples=10)
    means = {name: found.log_p.value for name, found in told.items()}
    assert means["inverted"] < means["test"]
    if preset == "vae":
        assert means["blank"] > means["test"]


def test_whole_numbers_of_a_real_kind_may_become_fractions():
    x = torch.tensor([[[[0, 2, 5]]]])
    sets = shifted_images(Split(x), Space((1, 1, 3), "real"), 0.5, 5)
    halfway = [(v + 7 / 3) / 2 for v in (0, 2, 5)]
    assert sets["half contrast"].x.flatten().tolist() == pytest.approx(halfway)
    assert sets["inverted"].x.flatten().tolist() == [5.5, 3.5, 0.5]
