"""Decoded folders on disk: read back as they were, noticed when out of date, rebuilt if damaged."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from reparam.data import large_arrays, load_data
from reparam.data.images import image_folders

RNG = np.random.default_rng(0)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of two classes with a broken file, few as they are worth a cache; and the cache."""
    monkeypatch.setattr(image_folders, "MANY", 5)
    monkeypatch.setenv(image_folders.VARIABLE, str(tmp_path / "cache"))
    for i in range(20):
        write(tmp_path / "photos" / "ab"[i % 2] / f"{i:02d}.png", i)
    (tmp_path / "photos" / "a" / "07.png").write_text("no image")
    for file in (tmp_path / "photos").rglob("*.png"):  # long ago: some clocks of files are coarse
        os.utime(file, (1000, 1000))
    return tmp_path / "photos"


def write(path, seed, shape=(6, 5, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)


def kept(photos):
    return sorted((photos.parent / "cache" / "folders").glob("*.npy"))


def from_cache(data):
    return any(note.startswith("Pixels from the cache") for note in data.notes)


def no_decoding(monkeypatch):
    monkeypatch.setattr(image_folders, "decode_all", lambda *a: pytest.fail("it decodes"))


def same(one, two):
    return all(
        torch.equal(ours.x, theirs.x) and torch.equal(ours.labels, theirs.labels)
        for ours, theirs in zip(one.splits.values(), two.splits.values(), strict=True)
    )


def test_the_second_time_nothing_is_decoded_and_all_is_the_same(photos, monkeypatch):
    first = load_data(photos)
    assert not from_cache(first) and len(kept(photos)) == 1
    assert len(first.train) + len(first.valid) + len(first.test) == 20  # 20 and a broken one
    no_decoding(monkeypatch)
    second = load_data(photos)
    assert from_cache(second) and same(first, second)
    assert first.fingerprint() == second.fingerprint()
    assert any("1 of 21 images could not be read" in note for note in second.notes)
    assert [n for n in second.notes if not n.startswith("Pixels")] == list(first.notes)
    assert load_data(**first.source).fingerprint() == first.fingerprint()


def test_another_way_of_reading_is_another_entry(photos, monkeypatch):
    whole = load_data(photos)
    small, padded = load_data(photos, size=4), load_data(photos, size=(4, 9), fit_size="pad")
    assert len(kept(photos)) == 3
    shapes = [data.space.shape for data in (whole, small, padded)]
    assert shapes == [(3, 6, 5), (3, 4, 4), (3, 4, 9)]
    no_decoding(monkeypatch)
    assert same(load_data(photos, size=4), small) and from_cache(load_data(photos, size=4))


@pytest.mark.parametrize("change", ["pixels", "touched", "added", "removed", "renamed", "repaired"])
def test_what_has_changed_is_decoded_again(photos, change):
    before, file = load_data(photos), photos / "b" / "03.png"
    if change == "pixels":
        write(file, 99)
    if change == "touched":
        os.utime(file, (1, 1))
    if change == "added":
        write(photos / "b" / "99.png", 99)
    if change == "removed":
        file.unlink()
    if change == "renamed":
        file.rename(photos / "b" / "98.png")
    if change == "repaired":
        write(photos / "a" / "07.png", 99)
    after = load_data(photos)
    assert not from_cache(after) and len(kept(photos)) == 1  # the old one is replaced
    assert (after.fingerprint() == before.fingerprint()) == (change == "touched")
    assert from_cache(load_data(photos)) and same(after, load_data(photos))


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize(
    "damage", ["cut", "flipped", "no file of this kind", "empty", "headless", "zip", "huge"]
)
def test_a_damaged_entry_is_rebuilt_silently(photos, damage, suffix):
    first = load_data(photos)
    entry = kept(photos)[0].with_suffix(suffix)
    content = bytearray(entry.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1  # one bit of one pixel, or of a note
    other = {
        "cut": content[:-9],
        "no file of this kind": b"hello",
        "empty": b"",
        "headless": content[:40],
        "zip": b"PK\x03\x04" + content,
        "huge": content.replace(b"[0,", b"[1e400,").replace(b"(20,", b"(99,"),
    }
    entry.write_bytes(other.get(damage, content))
    again = load_data(photos)
    assert not from_cache(again) and same(first, again)
    assert from_cache(load_data(photos)) and same(first, load_data(photos))


def test_no_flipped_bit_of_a_header_goes_further(photos):
    first = load_data(photos)
    (entry,) = kept(photos)
    content = entry.read_bytes()
    cache = image_folders.FolderCache(
        entry, json.loads(entry.with_suffix(".json").read_text())["fingerprint"]
    )
    assert cache.read() is not None
    for bit in range(8 * 128):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        entry.write_bytes(flipped)
        found = cache.read()
        assert found is None or found.x.tobytes() == content[128:], bit
    assert same(first, load_data(photos))


def test_nothing_is_kept_where_that_is_not_wanted_or_not_worth_it(photos, monkeypatch):
    monkeypatch.setenv(image_folders.VARIABLE, "off")
    assert not from_cache(load_data(photos)) and not from_cache(load_data(photos))
    monkeypatch.setenv(image_folders.VARIABLE, str(photos.parent / "cache"))
    monkeypatch.setattr(image_folders, "MANY", 100)
    load_data(photos)
    assert not (photos.parent / "cache").exists()


def test_a_cache_that_cannot_be_written_does_no_harm(photos):
    (photos.parent / "cache").write_text("a file where the folder would be")
    first, second = load_data(photos), load_data(photos)
    assert same(first, second) and not from_cache(second)


def test_by_default_it_lies_in_the_cache_folder_of_the_platform(photos, monkeypatch):
    monkeypatch.delenv(image_folders.VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(photos.parent / "home"))  # Linux; others have theirs
    cache = image_folders.folder_cache(photos, sorted(photos.rglob("*.png")), {})
    assert "reparam" in str(cache.place) and cache.place.suffix == ".npy"


def test_a_large_folder_is_mapped_the_first_time_and_from_the_cache(photos, monkeypatch):
    inside = load_data(photos)
    (photos / "a" / "01.png").write_text("no image either")  # so that rows are taken out
    os.utime(photos / "b" / "03.png", (1, 1))
    inside = load_data(photos)
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1)
    monkeypatch.setenv(image_folders.VARIABLE, str(photos.parent / "other"))
    decoded, again = load_data(photos), load_data(photos)
    assert from_cache(again) and not from_cache(decoded)
    assert decoded.train.streamed and again.train.streamed and not inside.train.streamed
    assert same(decoded, inside) and same(again, inside)


def test_a_disk_without_room_is_said_before_anything_is_decoded(photos, monkeypatch):
    monkeypatch.setattr(large_arrays, "MAPPED_FROM", 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ValueError, match="no room for 0.0 GB .No space left on device.; TMPDIR"):
        load_data(photos)
