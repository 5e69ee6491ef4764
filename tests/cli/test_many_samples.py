"""Samples in any number: drawn and written in parts, with the conditions they were drawn for."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import reparam as rp
from reparam import batching


@pytest.fixture
def parts_of_seven(monkeypatch):
    """At most seven draws at a time."""
    monkeypatch.setattr(batching, "draws_at_once", lambda space, device=None: 7)


@pytest.fixture(scope="module")
def cvae(tmp_path_factory):
    data, run = rp.load_data("digits"), tmp_path_factory.mktemp("cvae")
    model = rp.build("cvae", data.space, latent_dim=2, hidden=(4,), seed=0)
    rp.fit(model, data, epochs=1, out=run, progress=False)
    return model, run


def by_hand(model, n, seed=0):
    """What the command draws: all conditions, then x in parts, by one generator."""
    generator = torch.Generator().manual_seed(seed)
    c = model.draw_condition(n, generator)
    x = [model.sample(len(part), part, generator=generator) for part in c.split(7)]
    return torch.cat(x).numpy(), c.numpy()


def test_a_table_and_an_archive_hold_all_parts_and_their_classes(
    reparam, cvae, tmp_path, parts_of_seven
):
    model, run = cvae
    x, c = by_hand(model, 17)
    assert len(set(c.tolist())) > 2
    assert reparam("sample", run, "-n", 17, "-o", tmp_path / "x.npz")[0] == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as found:
        assert found["x"].shape == (17, 1, 8, 8) and found["x"].dtype == x.dtype
        assert np.array_equal(found["x"], x)
        assert found["label"].tolist() == list(map(str, c))
    assert reparam("sample", run, "-n", 17, "-o", tmp_path / "x.csv")[0] == 0
    header, *rows = csv.reader((tmp_path / "x.csv").open())
    assert header[-1] == "label" and len(rows) == 17
    assert [row[-1] for row in rows] == list(map(str, c))
    assert [[float(cell) for cell in row[:-1]] for row in rows] == x.reshape(17, -1).tolist()


def test_a_folder_and_a_picture_hold_all_parts(reparam, cvae, tmp_path, parts_of_seven):
    _, run = cvae
    code, _, error = reparam("sample", run, "-n", 15, "-o", f"{tmp_path}/many/")
    assert code == 0, error
    assert sorted(p.name for p in (tmp_path / "many").iterdir())[-1] == "14.png"
    assert len(list((tmp_path / "many").iterdir())) == 15
    assert reparam("sample", run, "-n", 15, "-o", tmp_path / "x.png")[0] == 0


def test_no_more_are_held_than_a_part(reparam, cvae, tmp_path, parts_of_seven, monkeypatch):
    model, run = cvae
    drawn, written = [], []
    draw = type(model).draw

    def counted(self, n, *rest):
        drawn.append((n, len(written)))
        return draw(self, n, *rest)

    from reparam.cli import outputs

    write = outputs.write_folder
    monkeypatch.setattr(type(model), "draw", counted)
    monkeypatch.setattr(outputs, "write_folder", lambda *a: (written.append(1), write(*a))[1])
    assert reparam("sample", run, "-n", 20, "-o", f"{tmp_path}/many/")[0] == 0
    assert drawn == [(7, 0), (7, 1), (6, 2)]  # each is written before the next is drawn


def test_conditions_that_were_asked_for_stand_beside(reparam, cvae, tmp_path):
    _, run = cvae
    assert reparam("sample", run, "-n", 3, "--label", "4", "-o", tmp_path / "x.npz")[0] == 0
    with np.load(tmp_path / "x.npz") as found:
        assert found["label"].tolist() == ["4"] * 3


def test_attributes_stand_beside_by_name_and_plain_models_have_none(reparam, tmp_path, runs):
    rows = np.random.default_rng(0).normal(size=(60, 4)).round(3)
    table = tmp_path / "t.csv"
    table.write_text("\n".join(["a,b,c,age", *(",".join(map(str, row)) for row in rows)]))
    words = ["fit", "cvae", table, "--attribute", "age", "latent_dim=1", "hidden=4"]
    assert reparam(*words, "--epochs", 1, "-o", tmp_path / "r")[0] == 0
    assert reparam("sample", tmp_path / "r", "-n", 30, "-o", tmp_path / "x.csv")[0] == 0
    header, *found = csv.reader((tmp_path / "x.csv").open())
    assert header == ["a", "b", "c", "age"]
    # Drawn as they occur in training.
    assert {float(row[3]) for row in found} <= set(rows[:, 3].tolist())
    assert reparam("sample", runs / "vae", "-n", 3, "-o", tmp_path / "y.npz")[0] == 0
    with np.load(tmp_path / "y.npz") as plain:
        assert plain.files == ["x"]
