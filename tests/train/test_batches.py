"""Batches: permutations that depend on seed and epoch alone."""

from __future__ import annotations

import pytest
import torch

from reparam.data import Split
from reparam.data.binarization import Gray, draw
from reparam.train.batches import Batches

CPU = torch.device("cpu")


def numbered(n: int) -> Split:
    return Split(torch.arange(n)[:, None])


def epoch_of(batches: Batches, epoch: int) -> list[int]:
    per_epoch = batches.steps_per_epoch
    steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
    return [row for step in steps for row in batches.at(step).x[:, 0].tolist()]


@pytest.mark.parametrize("n,batch_size", [(12, 4), (7, 7), (5, 128), (9, 1)])
def test_an_epoch_is_a_permutation(n, batch_size):
    batches = Batches(numbered(n), batch_size, seed=3, device=CPU)
    for epoch in range(3):
        assert sorted(epoch_of(batches, epoch)) == list(range(n))


def test_what_does_not_fill_a_batch_is_left_out_differently_each_time():
    batches = Batches(numbered(103), 10, seed=0, device=CPU)
    left_out = []
    for epoch in range(12):
        rows = epoch_of(batches, epoch)
        assert len(rows) == len(set(rows)) == 100
        left_out.append(frozenset(range(103)) - set(rows))
    assert len(set(left_out)) == 12


def test_order_depends_on_seed_and_epoch_alone():
    one = Batches(numbered(50), 10, seed=1, device=CPU)
    torch.manual_seed(7)
    again = Batches(numbered(50), 10, seed=1, device=CPU)
    # Asked in another order, as after a resume, and after other draws.
    for step in (17, 3, 4):
        assert torch.equal(again.at(step).x, one.at(step).x)
    state = torch.get_rng_state()
    one.at(44)
    assert torch.equal(torch.get_rng_state(), state)
    orders = {
        tuple(epoch_of(Batches(numbered(50), 10, seed, CPU), epoch))
        for seed in range(4)
        for epoch in range(4)
    }
    assert len(orders) == 16  # seed 1, epoch 0 is not seed 0, epoch 1


def test_every_turn_of_a_step_goes_through_the_data_in_an_order_of_its_own():
    batches, again = (Batches(numbered(48), 6, seed=1, device=CPU) for _ in range(2))
    asked = [(step, turn) for step in range(16) for turn in range(3)]
    seen = {key: batches.at(*key).x[:, 0].tolist() for key in asked}
    for turn in range(3):
        for epoch in (range(8), range(8, 16)):
            assert sorted(row for step in epoch for row in seen[step, turn]) == list(range(48))
    assert len({tuple(rows) for rows in seen.values()}) == len(asked)
    for key in ((11, 2), (3, 1), (3, 0), (12, 2)):  # in any order, as after a resume
        assert again.at(*key).x[:, 0].tolist() == seen[key]
    plain = [Batches(numbered(48), 6, seed=1, device=CPU).at(step) for step in range(16)]
    assert [batch.x[:, 0].tolist() for batch in plain] == [seen[step, 0] for step in range(16)]


@pytest.mark.parametrize("dynamic", [False, True])
def test_streamed_turns_are_those_of_data_on_the_device(monkeypatch, dynamic):
    """What is read ahead is the turn that comes next, whichever that is."""
    split = gray() if dynamic else numbered(60)
    held = Batches(split, 20, seed=0, device=CPU)
    monkeypatch.setattr("reparam.train.batches.fits", lambda x, device: False)
    streamed = Batches(split, 20, seed=0, device=CPU)
    streamed.turns, read = 2, []
    monkeypatch.setattr(
        streamed, "_read", lambda *key: read.append(key) or Batches._read(streamed, *key)
    )
    asked = [(step, turn) for step in range(6) for turn in range(2)]
    for key in asked:
        assert torch.equal(streamed.at(*key).x, held.at(*key).x)
    assert streamed.ahead is not None and streamed.ahead.result()
    assert read == [*asked, (6, 0)]  # each once
    drawn = [held.at(3, turn).x for turn in range(3)]
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_conditions_stay_with_their_rows():
    batches = Batches(numbered(20), 6, seed=0, device=CPU, c=torch.arange(20) * 10)
    for step in range(9):
        x, c, _ = batches.at(step)
        assert torch.equal(c, x[:, 0] * 10)
    assert Batches(numbered(20), 6, 0, CPU).at(0).c is None


def test_solves_read_every_row_once_in_order():
    batches = Batches(numbered(2500), 64, seed=0, device=CPU)
    for _ in range(2):  # re-iterable
        assert torch.cat([batch.x for batch in batches])[:, 0].tolist() == list(range(2500))


# ------------------------------------------------------------------------- gray data

LEVELS = 17


def gray(n: int = 60, width: int = LEVELS) -> Split:
    """Row i holds the levels 0 … 16, all rows alike; the fixed draw is all zeros."""
    values = torch.arange(width, dtype=torch.uint8).expand(n, width).contiguous()
    return Split(torch.zeros_like(values), gray=Gray(values, LEVELS))


def gray_batches(seed: int = 0, rows: int = 20) -> Batches:
    return Batches(gray(), rows, seed, CPU)


@pytest.mark.parametrize(
    "levels,dtype", [(2, torch.uint8), (256, torch.uint8), (1000, torch.int32)]
)
def test_a_draw_has_the_probability_of_its_level(levels, dtype):
    """Each frequency within 5 standard deviations of g/(K−1), the ends certain."""
    n, values = 20_000, torch.tensor([0, 1, levels // 3, levels - 2, levels - 1], dtype=dtype)
    generator = torch.Generator().manual_seed(0)
    drawn = draw(values.expand(n, 5).contiguous(), levels, generator)
    p = values.double() / (levels - 1)
    frequency = drawn.double().mean(0)
    assert drawn.dtype == torch.uint8 and frequency[0] == 0 and frequency[-1] == 1
    assert ((frequency - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()


def test_batches_of_gray_data_are_draws_whose_mean_is_the_gray_value():
    batches, epochs = gray_batches(), 100
    drawn = torch.cat([batches.at(step).x for step in range(3 * epochs)]).double()
    assert len(drawn) == 60 * epochs and set(drawn.unique().tolist()) == {0.0, 1.0}
    p = torch.arange(LEVELS).double() / (LEVELS - 1)
    assert ((drawn.mean(0) - p).abs() <= 5 * (p * (1 - p) / len(drawn)).sqrt()).all()


def test_draws_depend_on_seed_and_step_alone_and_differ_between_steps():
    one, again = gray_batches(), gray_batches()
    state = torch.get_rng_state()
    for step in (17, 3, 4):
        assert torch.equal(again.at(step).x, one.at(step).x)
    assert torch.equal(torch.get_rng_state(), state)
    each = [gray_batches(seed).at(step).x for seed in range(3) for step in range(9)]
    assert not any(torch.equal(a, b) for i, a in enumerate(each) for b in each[:i])


def test_a_solve_reads_the_same_draw_in_every_pass():
    batches = Batches(gray(2500), 64, seed=0, device=CPU)
    first, second = (torch.cat([batch.x for batch in batches]) for _ in range(2))
    assert torch.equal(first, second) and len(first) == 2500
    assert not torch.equal(first[:1024], first[1024:2048])
    p = torch.arange(LEVELS).double() / (LEVELS - 1)
    assert ((first.double().mean(0) - p).abs() <= 5 * (p * (1 - p) / 2500).sqrt()).all()
