"""Edit examples by attribute as a user types it."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

import reparam as rp


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Small runs: conditional, of a generator, on a table of mixed columns, and on photographs."""
    folder = tmp_path_factory.mktemp("edited")
    digits = rp.load_data("digits")
    for name in ("cvae", "gan"):
        model = rp.build(name, digits.space, latent_dim=2, hidden=(16,))
        rp.fit(model, digits, epochs=1, out=folder / name, progress=False)
    rng = np.random.default_rng(0)
    age, kind = rng.normal(40, 9, 90), rng.integers(0, 2, 90)
    noise = rng.normal(size=(3, 90))
    x = np.stack([age + noise[0], 1000 * kind + 50 * noise[1], 0.1 * noise[2], age], 1)
    cells = zip(x, kind, strict=True)
    rows = [f"{a:.3f},{b:.1f},{w:.4f},{c:.3f},{'ny'[k]}" for (a, b, w, c), k in cells]
    (folder / "t.csv").write_text("\n".join(["height,weight,waist,age,ill", *rows]))
    table = rp.load_data(folder / "t.csv", label="ill", attributes=["age"])
    rp.fit(rp.build("pca", table.space, latent_dim=2), table, out=folder / "table", progress=False)
    (folder / "photos").mkdir()
    for i in range(14):
        pixels = rng.integers(0, 256, (9, 7 + i % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / f"{i:02}.png")
    photos = rp.load_data(folder / "photos", size=(6, 5))
    rp.fit(rp.build("pca", photos.space, latent_dim=3), photos, out=folder / "rgb", progress=False)
    return folder


def test_a_strip_of_a_measure(reparam, runs, tmp_path):
    out = tmp_path / "s.npz"
    words = ["edit", runs / "vae", 3, "--attribute", "slant", "--steps", 5]
    code, said, err = reparam(*words, "-o", out)
    assert code == 0 and "moved_slant" in said and "5 strengths from -2 to 2" in said, err
    stored = np.load(out)
    assert stored["strength"].tolist() == [-2, -1, 0, 1, 2] and stored["x"].shape == (5, 1, 8, 8)
    model, data = rp.load(runs / "vae"), rp.load_data("digits")
    x = model.reconstruct(data.test.x[3:4])
    assert np.array_equal(stored["x"][2], x[0].detach().numpy())
    measured = rp.use.moments.measure_images(torch.tensor(stored["x"]), "slant", (0, 16))
    assert stored["slant"].tolist() == measured.tolist()
    first, last = measured[0].item(), measured[-1].item()
    assert f"measured on what is decoded: {first:.3g}° to {last:.3g}°" in said
    assert reparam(*words, "-o", tmp_path / "s.png")[0] == 0
    picture = Image.open(tmp_path / "s.png")
    assert 5.5 < picture.width / picture.height < 7.5  # the example, a gap, and five edits
    assert reparam(*words, "-o", tmp_path / "s")[0] == 0
    names = sorted(path.name for path in (tmp_path / "s").iterdir())
    assert names == [f"3-{i}.png" for i in range(5)]


def test_toward_a_class_and_what_stays(reparam, runs, tmp_path):
    words = ["edit", runs / "vae", 3, "--toward", 7, "--strength", 1]
    code, said, err = reparam(*words, "--keep", "slant", "-o", tmp_path / "a.npz")
    assert code == 0 and "3 toward 7 at strength 1" in said and "1 other" in said, err
    assert "Leaks most into slant" in said
    assert "1 others" not in said
    data, model = rp.load_data("digits"), rp.load(runs / "vae")
    direction = rp.attribute_directions(model, data, ["7", "slant"])["7"]
    x = rp.edit(model, data.test.x[3:4], direction, strength=1)[0]
    assert np.array_equal(np.load(tmp_path / "a.npz")["x"], x.numpy())


def test_all_that_can_be_edited(reparam, runs, made):
    code, said, err = reparam("edit", runs / "vae", "--list")
    assert code == 0 and "attributes explain" in said, err
    for name in ("9", "slant", "width", "height", "thickness"):
        assert any(line.startswith(f"{name} ") and "±" in line for line in said.splitlines()), name
    code, said, err = reparam("edit", made / "cvae", "--list")
    assert code == 0 and "condition" in said, err


def test_a_class_of_a_conditional_model_is_its_condition(reparam, made, tmp_path):
    code, _, err = reparam("edit", made / "cvae", 3, "--toward", 7, "-o", tmp_path / "c.npz")
    assert code == 0, err
    model, data = rp.load(made / "cvae"), rp.load_data("digits")
    x, c = data.test.x[3:4], data.test.labels[3:4]
    code = model.encode(x, c)
    expected = torch.cat([model.decode(code, c), model.decode(code, torch.tensor([7]))])
    assert np.array_equal(np.load(tmp_path / "c.npz")["x"], expected.detach().numpy())
    words = ["edit", made / "cvae", 3, "--toward", 7, "--strength", 0.5]
    code, _, err = reparam(*words, "-o", tmp_path / "d.npz")
    assert code == 2 and "is a condition" in err and not (tmp_path / "d.npz").exists()


def test_a_table_goes_to_a_value(reparam, made, tmp_path):
    out = tmp_path / "t.csv"
    words = ["edit", made / "table", 0, "--attribute", "age"]
    code, said, err = reparam(*words, "--to", 60, "-o", out)
    assert code == 0 and "to 60" in said, err
    header, row = csv.reader(out.open())
    assert header == ["height", "weight", "waist"]
    assert float(row[0]) == pytest.approx(60, abs=4)  # which is age but for noise
    code, _, err = reparam(*words, "-o", tmp_path / "t.png")
    assert code == 2 and "not images" in err


def test_a_table_beside_photographs_brings_attributes(reparam, made, tmp_path):
    table = tmp_path / "mood.csv"
    table.write_text("file,mood\n" + "".join(f"{i:02}.png,{i % 5}\n" for i in range(14)))
    words = ["edit", made / "rgb", made / "photos" / "03.png", "--attribute", "mood"]
    out = tmp_path / "m.png"
    code, said, err = reparam(*words, "--attribute-table", table, "-o", out)
    assert code == 0 and "moved_mood" in said and out.exists(), err
    words_to = [*words, "--attribute-table", table, "--to", 3, "-o", tmp_path / "n.png"]
    code, _, err = reparam(*words_to)
    assert code == 2 and "give --strength" in " ".join(err.split())
    assert not (tmp_path / "n.png").exists()
    code, _, err = reparam(*words, "-o", tmp_path / "n.png")
    assert code == 2 and "bring a table with --attribute-table" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([3], "--toward CLASS or --attribute NAME, one of the two"),
        ([3, "--toward", "7", "--attribute", "ink"], "one of the two"),
        ([3, "--toward", "x"], "toward: expected one of 0, 1"),
        ([3, "--attribute", "slam"], "attribute: expected some of"),
        ([3, "--attribute", "slant", "--keep", "slam"], "keep: expected some of"),
        ([3, "--attribute", "slant", "--keep", "ink", "--method", "difference"], "keep: nothing"),
        ([3, "--attribute", "slant", "--strength", "nan"], "strength: expected finite"),
        ([3, "--attribute", "slant", "--from", "inf"], "strength: expected finite"),
        ([3, "--attribute", "slant", "--to", "1", "--strength", "1"], "to: is a value in place"),
        ([3, "--attribute", "slant", "--to", "1", "--steps", "3"], "steps: is of a strip"),
        ([3, "--attribute", "slant", "--steps", "0"], "steps: expected a positive"),
        ([3, "--toward", "7", "--to", "1"], "to: '7' is a class"),
        ([999, "--toward", "7"], "expected the number of a test example"),
        (["--toward", "7"], "expected an example"),
        ([3, "--list"], "list: shows all"),
        (["--list", "--to", 2], "list: shows all"),
        ([3, "--attribute", "slant", "--attribute-table", "no.csv"], "expected a file"),
        ([3, "--toward", "7", "--label", "3"], "label: "),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(reparam, runs, tmp_path, words, said):
    out = tmp_path / "e.npz"
    code, _, err = reparam("edit", runs / "vae", *words, "-o", out)
    assert code == 2 and said in " ".join(err.split()) and not out.exists(), err


def test_models_without_codes_to_move(reparam, made, runs, tmp_path):
    for run in (made / "gan", runs / "made"):
        words = ["edit", run, 3, "--toward", "7", "-o", tmp_path / "e.npz"]
        code, _, err = reparam(*words)
        assert code == 2 and "use an autoencoder or a VAE" in " ".join(err.split()), err
