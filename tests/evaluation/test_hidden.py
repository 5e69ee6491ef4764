"""Errors of hidden entries against closed forms, and against scikit-learn's covariance."""

from __future__ import annotations

import pytest
import torch
from sklearn.covariance import ledoit_wolf
from torch import nn

import reparam as rp
from reparam.data import Split
from reparam.evaluation.denoising import linear_repair, repair
from reparam.evaluation.hidden import Hidden
from reparam.inspection import Noise
from reparam.model import Space

D = 5
CPU = torch.device("cpu")


def correlated(rows: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, D, generator=generator, dtype=torch.float64)
    mix = torch.randn(D, D, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    return 3 + x @ mix


def of_images(x: torch.Tensor) -> tuple[Space, Split]:
    """Real images have no units of their own, so that errors are in those of the data."""
    return Space((1, 1, D), "real"), Split(x[:, None, None])


def hiding(entries: list[int]) -> Noise:
    """A noise that hides these entries, whatever the level."""
    gone = torch.zeros(D, dtype=torch.bool)
    gone[entries] = True
    return Noise("holes", "share", 0.5, 1.0, lambda x, _: torch.where(gone, torch.nan, x), True, D)


def test_the_covariance_is_that_of_ledoit_and_wolf():
    x = correlated(60)
    wanted, _ = ledoit_wolf(x.numpy())
    found = Hidden(*of_images(x))._covariance.numpy()
    assert found == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("entries", [[1], [0, 3], [0, 1, 2, 4], [0, 1, 2, 3, 4]])
def test_the_linear_guess_is_the_conditional_mean(entries):
    """By the covariance or by its inverse, whichever part is smaller; and its error is the trace
    of the conditional covariance, where there are many rows."""
    x, test = correlated(20_000), correlated(4_000, seed=1)
    space, train = of_images(x)
    hidden = Hidden(space, train)
    found = linear_repair(hiding(entries), of_images(test)[1], hidden, 0.5, CPU)
    there = [i for i in range(D) if i not in entries]
    covariance = hidden._covariance
    rest = covariance[entries][:, entries]
    if there:
        across = covariance[entries][:, there]
        rest = rest - across @ torch.linalg.solve(covariance[there][:, there], across.T)
    # The mean of 4 000 squares at least, and of 20 000 rows that the map is of.
    assert found.value == pytest.approx(rest.trace().item() / len(entries), rel=0.1)
    assert "hidden entries alone" in found.unit
    by_hand = x.mean(0)[entries].expand(len(test), -1)
    if there:
        w = torch.linalg.solve(covariance[there][:, there], across.T)
        by_hand = by_hand + (test[:, there] - x.mean(0)[there]) @ w
    wanted = (by_hand - test[:, entries]).square().mean().item()
    assert found.value == pytest.approx(wanted, rel=1e-9)


def test_what_never_varies_is_known_without_regression():
    x = correlated(50)
    x[:, 2] = 7.0
    space, split = of_images(x)
    hidden = Hidden(space, split)
    assert linear_repair(hiding([2]), split, hidden, 0.5, CPU).value == pytest.approx(0, abs=1e-3)
    assert linear_repair(hiding([0, 2]), split, hidden, 0.5, CPU).value < 1e3


class Seen(rp.Codec):
    """Remembers what it was given, and reconstructs everything as 1."""

    def __init__(self, space: Space, takes_missing: bool) -> None:
        super().__init__(space)
        self.takes_missing, self.given = takes_missing, torch.empty(0)
        self.weight = nn.Parameter(torch.zeros(()).double())

    @property
    def code_space(self) -> Space:
        return Space((1,), "real")

    def encode(self, x, c=None):
        self.given = x
        return x.new_zeros(len(x), 1)

    def decode(self, code, c=None):
        return torch.ones(len(code), *self.space.shape, dtype=torch.float64)

    def loss(self, x, c=None, player="model"):
        raise NotImplementedError


@pytest.mark.parametrize("takes_missing", [True, False])
def test_codecs_get_nan_or_the_mean_and_errors_are_of_hidden_entries_alone(takes_missing):
    space, split = of_images(correlated(30))
    model, gone = Seen(space, takes_missing), [1, 4]
    found = repair(model, hiding(gone), split, split, 0.4)
    x = split.x[:, 0, 0]
    means = x.mean(0)[gone].expand(30, -1)
    assert found.repaired.value == pytest.approx((x[:, gone] - 1).square().mean().item())
    assert found.corrupted.value == pytest.approx((x[:, gone] - means).square().mean().item())
    given = model.given[:, 0, 0]
    if takes_missing:
        assert given[:, gone].isnan().all()
    else:
        torch.testing.assert_close(given[:, gone], means)
    assert torch.equal(given[:, [0, 2, 3]], x[:, [0, 2, 3]])
    assert found.repaired.unit.endswith("of hidden entries alone")


def test_what_was_never_known_is_no_error():
    space, split = of_images(correlated(30))
    holes = split.x.clone()
    holes[0, 0, 0, 1] = torch.nan
    hidden, seen = Hidden(space, split), hiding([1, 4]).corrupt(holes, 0.4)
    for total, count in (
        hidden.errors(hidden.by_mean(seen), seen, holes),
        hidden.linear_errors(seen, holes),
    ):
        assert count.tolist() == [1.0] + [2.0] * 29
        assert total.isfinite().all()


def test_columns_of_tables_count_in_their_deviations():
    x = correlated(5_000) * torch.tensor([1, 1e3, 1e-3, 1, 50]).double()
    space, split = Space((D,), "real"), Split(x)
    hidden = Hidden(space, split)
    seen = hiding([1, 2]).corrupt(x, 0.4)
    total, count = hidden.errors(hidden.by_mean(seen), seen, x)
    assert (total.sum() / count.sum()).item() == pytest.approx(1)


def test_few_examples_are_measured_where_x_is_large():
    many = [
        Hidden(Space((d,), "real"), Split(torch.randn(2, d))).examples(6) for d in (64, 784, 2048)
    ]
    assert many[0] == 500 > many[1] > many[2] >= 20
    assert not Hidden(Space((3000,), "real"), Split(torch.randn(2, 3000))).linear


def test_levels_of_a_masked_autoencoder_are_of_the_same_patches_for_every_codec():
    space = Space((1, 8, 8), "levels", levels=17)
    x = torch.randint(17, (12, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    split = Split(x)
    mae = rp.build("mae", space, seed=0, width=8, layers=1, heads=2).double().eval()
    others = [mae, rp.build("ae", space, seed=0, hidden=(8,)).double().eval()]
    for level in (0.5, 0.95):
        found = [repair(model, mae.noise, split, split, level) for model in others]
        assert found[0].corrupted == found[1].corrupted
        assert found[0].repaired.value != found[1].repaired.value
