"""reparam figure: one figure of a report as a file of its own."""

import base64
import io
from xml.etree import ElementTree

import pytest
from commands import succeed
from PIL import Image

import reparam as rp
from reparam.report.single_figure import draw_figure
from reparam.report.trained import TrainedModel

SVG, LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def drawn(path):
    return ElementTree.fromstring(path.read_text(encoding="utf-8"))  # noqa: S314  (our own file)


def pictures(tree):
    """The images in a figure, and how large each is drawn."""
    for found in tree.iter(f"{SVG}image"):
        data = base64.b64decode(found.get(LINK).partition(",")[2])
        yield Image.open(io.BytesIO(data)), float(found.get("width"))


def test_without_a_name_the_figures_are_listed(reparam, runs):
    code, said, _ = reparam("figure", runs / "vae")
    names = [line.split()[0] for line in said.splitlines()[1:] if line.strip()]
    assert code == 0 and {"latent", "training", "reconstructions"} <= set(names)
    assert "scores" not in names and "plane" not in names  # a table; of two columns


def test_a_figure_is_a_drawing_that_needs_no_page(reparam, runs, tmp_path):
    path = tmp_path / "new" / "latent.svg"
    assert reparam("figure", runs / "vae", "latent", "-o", path)[0] == 0
    tree, text = drawn(path), path.read_text()
    rows = [e for e in tree.iter(f"{SVG}path") if e.get("class") == "dots"]
    assert len(rows) == 10 and text.count("--class-9:") == 2  # a color each, in light and dark
    assert len(list(pictures(tree))) == 1 and "data-rows" not in text  # decoded over the plane
    width, height = (float(tree.get(name)) for name in ("width", "height"))
    assert tree.get("viewBox") == f"0 0 {width:g} {height:g}" and width <= 910
    inner = [part for part in tree if part.tag == f"{SVG}svg"]
    assert all(0 < float(part.get("x")) + float(part.get("width")) < width for part in inner)
    used = {name for name in ("--ink", "--page", "--soft", "--line") if f"var({name})" in text}
    assert all(f"{name}:" in text for name in used)  # nothing hangs on the page's own style


def test_several_runs_stand_under_their_names(reparam, runs, tmp_path):
    path = tmp_path / "both.svg"
    words = ("reconstructions", "--beside", runs / "ae", "--beside", runs / "pca", "-o", path)
    assert reparam("figure", runs / "vae", *words)[0] == 0
    tree = drawn(path)
    labels = [e for e in tree.iter(f"{SVG}text") if e.get("class") == "label"]
    found = ["".join(label.itertext()) for label in labels]
    assert found[0] == "Originals" and [text.split()[0] for text in found[1:]] == [
        "vae",
        "ae",
        "pca",
    ]
    shown = list(pictures(tree))
    assert len(shown) == 4 and len({image.size for image, _ in shown}) == 1
    assert len({image.tobytes() for image, _ in shown}) == 4


def test_rates_are_measured_where_the_figure_shows_them(runs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "reparam.own_report.evaluate", lambda model, data, **words: asked.append(model) or {}
    )
    data, model = rp.load_data("digits"), rp.load(runs / "vae")
    rp.write_figure(model, data, "latent", tmp_path / "latent.svg")
    assert not asked
    with pytest.raises(ValueError, match="rates has nothing to show of vae"):
        rp.write_figure(model, data, "rates", tmp_path / "rates.svg")  # one point alone is no plane
    assert asked == [model]


def test_what_cannot_be_drawn_is_one_line_and_no_file(reparam, runs, tmp_path):
    vae, path = runs / "vae", tmp_path / "x.svg"
    for words, said in (
        (("latnt", "-o", path), "figure: expected one of reconstructions"),
        (("scores", "-o", path), "figure: expected one of reconstructions"),
        (("codebook", "-o", path), "codebook has nothing to show of vae latent_dim=2"),
        (("latent", "-o", tmp_path / "x.png"), "expected a name ending in .svg"),
        (("latent", "-o", path, "--beside", tmp_path), "no run"),
    ):
        code, _, error = reparam("figure", vae, *words)
        assert code == 2 and said in error and len(error.strip().splitlines()) == 1, error
    assert not list(tmp_path.iterdir())


def test_runs_of_other_data_are_refused(reparam, runs, tmp_path):
    other = tmp_path / "other"
    succeed("fit", "pca", "digits", "--without", 8, "-o", other)
    code, _, error = reparam("figure", runs / "vae", "latent", "--beside", other)
    assert code == 2 and "beside: expected runs of digits" in error


def test_nothing_is_written_over(reparam, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reparam("figure", runs / "pca", "filters")[0] == 0  # filters.svg, as nothing is said
    kept = (tmp_path / "filters.svg").read_bytes()
    assert reparam("figure", runs / "pca", "filters", "--seed", 1)[0] == 2
    assert (tmp_path / "filters.svg").read_bytes() == kept
    assert reparam("figure", runs / "pca", "filters", "--force")[0] == 0


def test_a_mistyped_name_is_guessed(reparam, runs):
    code, _, said = reparam("figure", runs / "vae", "latents")
    assert code == 2 and "(did you mean latent?)" in said


def test_a_label_is_no_place_of_a_block():
    data = rp.load_data("digits")
    model = rp.build("pca", data.space, latent_dim=2, seed=0)
    rp.fit(model, data, progress=False)
    entries = [TrainedModel(label, model, {}, rp.History()) for label in ("{x}", "{y}")]
    drawn = str(draw_figure("filters", data, entries))
    assert ">{x}</tspan>" in drawn and ">{y}</tspan>" in drawn and "\0" not in drawn
