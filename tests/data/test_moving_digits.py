"""Moving digits: whole digits in every frame, straight on, and the same whenever they are drawn."""

from __future__ import annotations

import torch

import reparam as rp


def test_every_frame_has_the_whole_digit_of_its_label():
    digits, clips = rp.load_data("digits"), rp.load_data("moving-digits")
    assert clips.space.shape == (8, 16, 16)
    assert clips.space.levels == 17
    known = {
        image.numpy().tobytes(): int(label)
        for image, label in zip(digits.test.x[:, 0], digits.test.labels, strict=True)
    }
    for clip, label in zip(clips.test.x[:20], clips.test.labels[:20], strict=True):
        totals = clip.long().sum((1, 2))
        assert (totals == totals[0]).all()  # none is cut off
        windows = {
            clip[0, i : i + 8, j : j + 8].contiguous().numpy().tobytes()
            for i in range(9)
            for j in range(9)
        }
        assert int(label) in {known[w] for w in windows & known.keys()}


def test_digits_move_and_come_back_from_the_edges():
    clips = rp.load_data("moving-digits").train.x[:200].double()
    mass = clips.sum((2, 3))
    rows = (clips.sum(3) * torch.arange(16)).sum(2) / mass  # centers
    steps = rows.diff(dim=1).abs()
    assert steps.max() <= 3  # two pixels, and rounding at both ends
    assert (rows.std(1) > 0.5).double().mean() > 0.5
    moves = rows.diff(dim=1)
    assert ((moves > 0).any(1) & (moves < 0).any(1)).any()


def test_they_are_the_same_every_time():
    first, second = (rp.load_data("moving-digits") for _ in range(2))
    assert first.fingerprint() == second.fingerprint()
