"""Augmentation: pixels that move, in training alone, as seed and step decide."""

from __future__ import annotations

import pytest
import torch

import reparam as rp
from reparam.data import Split
from reparam.train.augmentation import DRAWS, augmented
from reparam.train.batches import Batches

CPU = torch.device("cpu")
WAYS = ("flip", "shift", "crop")


def decided(**numbers):
    """Uniform numbers of one image, ½ where nothing else is said."""
    places = dict(flip=0, size=1, top=2, left=3, down=4, right=5)
    uniform = torch.full((1, DRAWS), 0.5)
    for name, value in numbers.items():
        uniform[0, places[name]] = value
    return uniform


def image(height=16, width=24, channels=2):
    return torch.arange(channels * height * width).view(1, channels, height, width)


def test_half_of_the_images_are_flipped_left_and_right():
    x = image()
    assert torch.equal(augmented(x, ["flip"], decided(flip=0.49)), x.flip(3))
    assert torch.equal(augmented(x, ["flip"], decided(flip=0.5)), x)


def test_a_shift_repeats_the_edge():
    x = image()  # an eighth: 2 down, 3 across
    moved = augmented(x, ["shift"], decided(down=0.0, right=0.999))
    assert torch.equal(moved[..., 2:, :-3], x[..., :-2, 3:])
    assert torch.equal(moved[..., :2, :-3], x[..., :1, 3:].expand(1, 2, 2, 21))
    assert torch.equal(moved[..., 2:, -3:], x[..., :-2, -1:].expand(1, 2, 14, 3))
    assert torch.equal(augmented(x, ["shift"], decided()), x)


def test_a_shift_of_small_images_is_by_a_pixel():
    x = image(4, 1)
    assert torch.equal(augmented(x, ["shift"], decided(down=0.0, right=0.0)), x[:, :, [0, 0, 1, 2]])


def test_a_model_that_is_solved_for_says_that_nothing_was_moved():
    data = rp.load_data("digits")
    with pytest.warns(RuntimeWarning, match="augment: this model is solved for"):
        rp.fit(rp.build("pca", data.space, latent_dim=2), data, augment="flip", progress=False)


def test_a_crop_is_a_window_enlarged():
    x = image(10, 10)
    found = augmented(x, ["crop"], decided(size=0.35, top=0.0, left=1.0))  # 8.7 of 10 pixels
    rows, columns = (((torch.arange(10) + 0.5) * 0.87 + at).long() for at in (0, 1.3))
    assert torch.equal(found, x[:, :, rows][..., columns])
    assert rows.tolist() == [0, 1, 2, 3, 3, 4, 5, 6, 7, 8] and columns[[0, 9]].tolist() == [1, 9]
    assert torch.equal(augmented(x, ["crop"], decided(size=1.0)), x)


def test_every_way_is_taken_as_often_as_it_says():
    """Of 4000 draws: flips within 4 errors of a half, shifts evenly, and crops in between."""
    n, x = 4000, torch.arange(40).view(1, 1, 1, 40)
    uniform = torch.rand(n, DRAWS, generator=torch.Generator().manual_seed(0))
    many = x.expand(n, 1, 1, 40)
    flipped = augmented(many, ["flip"], uniform)[:, 0, 0, 0] == 39
    assert abs(flipped.double().mean() - 0.5) < 4 * 0.5 / n**0.5
    shift = augmented(many, ["shift"], uniform)[:, 0, 0, 20] - 20
    counts = torch.bincount(shift + 5)
    share = 1 / 11  # of −5 … 5
    assert len(counts) == 11
    assert (abs(counts / n - share) < 4 * (share * (1 - share) / n) ** 0.5).all()
    width = augmented(many, ["crop"], uniform)[:, 0, 0].amax(1) + 1
    assert 31 <= width.min() < 34 and width.max() == 40


def test_batches_are_augmented_by_seed_and_step_and_solves_are_not():
    x = torch.rand(40, 1, 8, 8)
    made = dict(batch_size=10, device=CPU, augment=WAYS)
    one, again = (Batches(Split(x), seed=1, **made) for _ in range(2))
    plain = Batches(Split(x), 10, 1, CPU)
    assert torch.equal(one.at(7).x, again.at(7).x)
    assert not torch.equal(one.at(7).x, plain.at(7).x)
    other = Batches(Split(x), seed=2, **made)
    assert not torch.equal(other.at(7).x, one.at(7).x)
    assert torch.equal(torch.cat([batch.x for batch in one]), x)
    # Of one row, so that only the draws differ: others in every step and in every turn.
    single = Batches(Split(x[:1]), 1, 0, CPU, augment=WAYS)
    assert len({tuple(single.at(s, t).x.flatten().tolist()) for s in range(3) for t in (0, 1)}) > 3


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_no_value_is_made(dtype):
    x = (255 * torch.rand(20, 3, 9, 13)).to(dtype)
    found = augmented(x, WAYS, torch.rand(20, DRAWS))
    assert found.dtype == dtype and found.shape == x.shape
    for before, after in zip(x, found, strict=True):
        assert all(
            set(b.flatten().tolist()) <= set(a.flatten().tolist())
            for b, a in zip(after, before, strict=True)
        )


def test_training_sees_it_and_validation_does_not(tmp_path):
    data = rp.load_data("digits")
    seen = []

    def watched(augment):
        model = rp.build("vae", data.space, latent_dim=2, hidden=(4,), seed=0)
        model.register_forward_pre_hook(lambda m, given: seen.append((m.training, given[0])))
        seen.clear()
        rp.fit(model, data, epochs=1, augment=augment, progress=False)
        return {training: [x for t, x in seen if t == training] for training in (True, False)}

    plain, moved = watched(()), watched(("shift",))
    assert len(plain[True]) == len(moved[True])
    assert not torch.equal(plain[True][0], moved[True][0])
    assert all(torch.equal(a, b) for a, b in zip(plain[False], moved[False], strict=True))


def test_vectors_are_refused_and_a_resumed_run_keeps_it(tmp_path):
    table = rp.load_data(torch.rand(40, 5).numpy())
    with pytest.raises(ValueError, match="augment: expected images, got vectors"):
        rp.fit(rp.build("ae", table.space, latent_dim=2), table, augment=("flip",))
    assert rp.TrainConfig(augment="flip") == rp.TrainConfig(augment=("flip",))
    with pytest.raises(ValueError, match="augment: expected flip, shift, crop, one or several"):
        rp.TrainConfig(augment=("flop",))
    data = rp.load_data("digits")
    model = rp.build("ae", data.space, latent_dim=2, hidden=(4,))
    rp.fit(model, data, epochs=1, augment=("flip",), out=tmp_path / "r", progress=False)
    with pytest.raises(ValueError, match="augment: cannot change"):
        rp.resume(tmp_path / "r", augment=())
