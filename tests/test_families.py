"""Comparisons of families, and the taxonomy: where every preset stands, and what is shown of it."""

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pytest

import reparam as rp
from reparam import comparison, comparison_families
from reparam.comparison import limits_for
from reparam.comparison_families import chosen_models, family_models, refused_families
from reparam.comparison_runs import Candidate
from reparam.comparison_tree import taxonomy
from reparam.evaluation import Score
from reparam.measures import measure
from reparam.model import Column, Model, Space
from reparam.presets import PRESETS, build
from reparam.presets.places import IMPLICIT, OF, place_of, place_of_trained, places
from reparam.report.family_tree import Leaf, family_tree
from reparam.report.section import Shown
from reparam.report.sections import SECTIONS, family_draws, family_facts
from reparam.report.sections import taxonomy as taxonomy_section
from reparam.report.trained import TrainedModel
from reparam.train.history import History

TRACTABLE, VARIATIONAL = OF["tractable"], OF["variational"]
PLACES = {
    TRACTABLE: "pca fvbn nade made pixel-cnn gated-pixel-cnn pixel-cnn++ pixel-rnn "
    "image-transformer planar-flow radial-flow nice real-nvp glow maf iaf spline-coupling "
    "spline-autoregressive spline-1d multi-scale-pixel-rnn multi-scale-pixel-cnn",
    VARIATIONAL: "vae beta-vae sigma-vae cvae iwae beta-tcvae factor-vae dip-vae info-vae wae "
    "annealed-vae capacity-vae free-bits-vae l-vae dl-vae control-vae dynamic-vae "
    "hierarchical-vae ladder-vae very-deep-vae pixel-vae vq-vae vq-vae-2 fsq-vae rq-vae "
    "two-stage-vae ddpm vae-gan",
    OF["markov chain"]: "rbm ebm",
    OF["flow solver"]: "score-sde",
    IMPLICIT: "gan aae ae-gmm latent-diffusion regression",
    None: "ae linear-ae denoising-ae sparse-ae k-sparse-ae contractive-ae mae simmim dino "
    "classifier",
}
LEVELS = Space((1, 8, 8), "levels", levels=17)
BINARY, TABLE = Space((1, 8, 8), "binary"), Space((5,), "real")
MIXED = Space((2,), "mixed", columns=(Column("city", "category", 3), Column("height", "real")))


# ----------------------------------------------------------------------------------- the taxonomy


def test_every_preset_stands_where_the_literature_has_it():
    wanted = {name: place for place, names in PLACES.items() for name in names.split()}
    assert places() == wanted


def test_every_preset_says_its_objective():
    assert all(re.match(r"(max|min|D: max) ", preset.formula) for preset in PRESETS.values())
    assert PRESETS["iwae"].formula != PRESETS["vae"].formula == PRESETS["sigma-vae"].formula


def test_presets_are_placed_without_a_draw_of_the_default_generator():
    import torch

    places_of = comparison_families.place_of_trained.__globals__["_usual_place"]
    places_of.cache_clear()
    state = torch.get_rng_state()
    places()
    assert torch.equal(state, torch.get_rng_state())


def test_places_are_not_kinds_of_numbers():
    flow = build("real-nvp", LEVELS, blocks=1, channels=4)  # dequantized: its number is a bound
    assert place_of_trained(flow) == TRACTABLE
    rbm = build("rbm", BINARY, hidden=4)  # summed over all states: its number is exact
    assert place_of(rbm) == TRACTABLE and place_of_trained(rbm) == OF["markov chain"]


def test_a_model_with_a_density_that_its_preset_has_not_stands_by_it():
    plain, bound = (build("aae", TABLE, posterior=p) for p in ("deterministic", "normal"))
    assert place_of_trained(plain) == IMPLICIT and place_of_trained(bound) == VARIATIONAL


def test_a_model_of_your_own_stands_where_it_declares():
    model = build("vae", TABLE, latent_dim=2)
    model.recipe = None
    assert place_of_trained(model) == VARIATIONAL
    model.approximation = "flow solver"
    assert place_of_trained(model) == OF["flow solver"]


# ------------------------------------------------------------------------------- which are trained


@pytest.mark.parametrize(
    "space, names",
    [
        (LEVELS, "pca ae-gmm vae vq-vae made real-nvp gan ebm ddpm"),
        (BINARY, "pca ae-gmm vae vq-vae made real-nvp gan rbm ddpm"),
        (Space((1, 9, 9), "binary"), "pca ae-gmm vae vq-vae gated-pixel-cnn nice gan rbm ddpm"),
        (TABLE, "pca ae-gmm vae vq-vae made spline-coupling gan ebm ddpm"),
        (MIXED, "ae-gmm vae vq-vae made"),
    ],
)
def test_one_of_each_family_by_kind_and_size_of_the_data(space, names):
    models = family_models(space, rows=100)
    assert [text.split()[0] for text in models] == names.split()
    for text in models:
        assert isinstance(Candidate.parse(text).build(space, seed=0), Model)


def test_what_the_data_do_not_allow_is_left_out_and_named():
    assert refused_families(LEVELS, 100) == refused_families(BINARY, 100) == ()
    (note,) = refused_families(TABLE, 100)
    assert note == (
        "Left out of the families: gated-pixel-cnn, for images, got vectors of 5 entries; made "
        "stands for it."
    )
    named = [re.search(r"families: ([\w-]+), for", note)[1] for note in refused_families(MIXED, 9)]
    assert named == ["pca", "gated-pixel-cnn", "spline-coupling", "gan", "ebm", "ddpm"]
    few = refused_families(TABLE, 2)[0]
    assert few == (
        "Left out of the families: pca, for 2 rows of 5 entries that vary leave nothing to its "
        "noise."
    )
    assert not any(text.startswith("pca") for text in family_models(TABLE, rows=2))


def small_table(rows=60):
    return rp.load_data(np.random.default_rng(0).normal(size=(rows, 5)))


def test_models_that_are_asked_for_are_added():
    data = small_table()
    usual = family_models(data.space, len(data.train))
    families = [Candidate.parse(text).label for text in usual]
    found, notes = chosen_models(data, ["beta-vae beta=4", "made"], families=True)
    labels = [one.label for one in found]
    assert labels == [*(f for f in families if f != "made"), "beta-vae beta=4.0", "made"]
    assert notes == refused_families(data.space, len(data.train))
    assert [one.label for one in chosen_models(data, "ae")[0]] == ["ae"]
    assert chosen_models(data, "ae")[1] == ()


def test_families_train_for_the_same_seconds():
    """Patience would end some of them earlier."""
    assert limits_for({}, families=True) == {"budget": comparison.BY_DEFAULT["budget"]}
    assert limits_for({}, families=False) == comparison.BY_DEFAULT
    assert (
        limits_for({"budget": 3.0}, families=True) == {} == limits_for({"epochs": 1}, families=True)
    )
    assert "budget" in limits_for({"patience": 3}, families=True)


# ----------------------------------------------------------------------------------- a comparison

SMALL = [
    "pca latent_dim=2",
    "vae latent_dim=2 hidden=8",
    "made hidden=8",
    "gan latent_dim=2 hidden=8",
]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of small models on images, with an autoencoder that is asked for."""
    rng = np.random.default_rng(0)
    data = rp.load_data(rng.integers(0, 2, size=(60, 1, 4, 4)), kind="binary")
    folder = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison_families, "family_models", lambda *_: list(SMALL))
        of_families = (taxonomy_section, family_facts, family_draws)  # all others take longer
        patch.setattr("reparam.report.page.SECTIONS", tuple(s.SECTION for s in of_families))
        asked = {"families": True, "epochs": 1, "samples": 2, "out": folder}
        first = rp.compare(data, "ae latent_dim=2 hidden=8", **asked)
        patch.setattr(comparison, "write_page", lambda *_, **__: None)  # it is there
        yield first, rp.compare(data, "ae latent_dim=2 hidden=8", **asked), folder


def test_the_same_call_takes_everything_over(compared):
    first, again, folder = compared
    assert not first.found and len(again.found) == len(SMALL) + 1
    assert again.families and "families" in json.loads((folder / "scores.json").read_text())


def test_no_implicit_model_has_a_number_in_a_column_of_likelihoods(compared):
    content = json.loads((compared[2] / "scores.json").read_text())
    families = content["families"]
    assert families["gan latent_dim=2 hidden=8"] == {
        "family": "Adversarial models",
        "place": list(IMPLICIT),
    }
    assert families["ae latent_dim=2 hidden=8"]["place"] is None
    seen = {True: 0, False: 0}
    for label, scores in content["models"].items():
        implicit = families[label]["place"] in (None, list(IMPLICIT))
        found = [n for n in scores if "likelihood" in n or measure(n).group == "Density"]
        assert bool(found) != implicit, label
        seen[implicit] += 1
    assert seen == {True: 2, False: 3}


def test_the_page_says_what_families_are(compared):
    page = (compared[2] / "report.html").read_text("utf-8")
    for title in ("Taxonomy", "What each family is", "Draws of every family"):
        assert f">{title}</h2>" in page
    assert "is not in it, as no autoencoder is: it maps x to a code and back" in page
    facts = re.findall(r'<td data-of="(?:p\(x\)|Players)">([^<]*)<', page)
    assert facts[::2] == ["bound", "bound", "exact", "none", "none"]
    assert facts[1::2] == ["none, it is solved for", "one", "one", "2: model, critic", "one"]
    draws = re.findall(r'alt="([\w-]+): (12 test images|36 draws)"', page)
    assert draws == [("data", "12 test images"), *((t.split()[0], "36 draws") for t in SMALL)]


def test_other_pages_do_not(tmp_path):
    data, model = small_table(), build("pca", TABLE, latent_dim=1)
    entry = TrainedModel("pca", model, {}, History())
    sections = [taxonomy_section.SECTION, family_facts.SECTION]
    ids = {section.id for section in (*sections, family_draws.SECTION)}
    assert ids <= {section.id for section in SECTIONS}
    assert not any(section.applies(Shown(data, [entry])) for section in sections)
    assert all(section.applies(Shown(data, [entry], families=True)) for section in sections)


# --------------------------------------------------------------------------------------- drawings


def texts(svg):
    """Every text of a drawing; one that is no XML raises."""
    root = ElementTree.fromstring(svg)
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_tree_has_every_preset_that_draws_and_no_other():
    shown = {name for text in texts(taxonomy()) for name in text.split(" · ")}
    assert shown >= {name for name, place in places().items() if place}
    assert not shown & {name for name, place in places().items() if place is None}
    for branch in ("Tractable", "Approximate", "Variational", "Markov chain", "Direct"):
        assert branch in shown


def test_the_file_has_the_colors_of_light_and_dark_and_fetches_nothing():
    svg = taxonomy()
    assert "prefers-color-scheme: dark" in svg and "--page" in svg
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|url\(|@import", svg)


def test_trained_leaves_carry_their_numbers_with_their_marks():
    scores = {
        "log_likelihood": Score(-86.123, "nats", 9, "test", 0.41, kind="lower bound"),
        "frechet_distance": Score(4.05, "features²", 9, "test", 0.3),
        "samples_per_second": Score(98_000.0, "samples/s", 9, "none"),
    }
    leaf = Leaf("vae <b> latent_dim=2", "Variational autoencoders", VARIATIONAL, scores)
    found = texts(family_tree([leaf]))
    assert {"≥ −86.12", "± 0.41", "4.05", "± 0.30", "98 k"} <= set(found)
    assert any(text.startswith("vae <b> latent_dim=2") for text in found)  # escaped, and read back
    assert not any(text.split(" · ")[0] == "vae" for text in found)  # not among the untrained
    given = {"conditional_log_likelihood": scores["log_likelihood"]}
    cvae = Leaf("cvae", "Variational autoencoders", VARIATIONAL, given)
    assert "x|c ≥ −86.12" in texts(family_tree([cvae]))  # not comparable with log p(x)
    gan = Leaf("gan", "Adversarial models", IMPLICIT, {})
    assert texts(family_tree([gan])).count("—") == 3


def test_the_tree_of_a_comparison(compared, tmp_path):
    result, _, folder = compared
    found = texts(taxonomy(folder))
    assert any(text.startswith("gan latent_dim=2") for text in found)
    assert not any(text.startswith("ae latent_dim=2") for text in found)
    value = result.entries[2].scores["log_likelihood"].value
    assert any(text == f"= −{-value:.{len(text.split('.')[1])}f}" for text in found if "= " in text)
    # One that says nothing of families: its labels begin with presets.
    content = json.loads((folder / "scores.json").read_text())
    del content["families"]
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert texts(taxonomy(tmp_path)) == found


def test_the_command_writes_it_and_refuses_what_it_cannot(reparam, compared, tmp_path):
    path = tmp_path / "new" / "tree.svg"
    code, said, _ = reparam("taxonomy", compared[2], "-o", path)
    assert code == 0 and "taxonomy in" in said
    assert path.read_text("utf-8") == taxonomy(compared[2])
    for words, message in (
        (["-o", path], "exists already; choose another name or --force"),
        (["-o", tmp_path / "x.png"], "expected a name ending in .svg"),
        ([tmp_path, "-o", tmp_path / "x.svg"], "expected a folder with scores.json"),
    ):
        code, _, error = reparam("taxonomy", *words)
        assert code == 2 and message in error and len(error.strip().splitlines()) == 1
    assert not (tmp_path / "x.svg").exists()
    damaged = shutil.copytree(compared[2], tmp_path / "damaged")
    (damaged / "scores.json").write_text('{"models": {"vae": {"a": 1}}}')
    code, _, error = reparam("taxonomy", damaged, "-o", tmp_path / "x.svg")
    assert code == 2 and "scores.json: damaged, scores.models" in error


def test_the_command_compares_families_and_says_what_is_left_out(reparam, monkeypatch, tmp_path):
    path, asked = tmp_path / "table.csv", {}
    rows = np.random.default_rng(0).normal(size=(60, 3)).round(3).tolist()
    path.write_text("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in rows))

    def stop(data, models, **given):
        asked.update(given, models=models)
        raise ValueError("stop")

    monkeypatch.setattr(comparison, "compare", stop)
    words = ("--families", "--model", "beta-vae beta=4", "-o", tmp_path / "c")
    code, said, error = reparam("compare", path, *words)
    assert code == 2 and "stop" in error
    assert asked["families"] is True and asked["models"] == ["beta-vae beta=4"]
    notes = " ".join((said + error).split())
    assert "gated-pixel-cnn, for images, got vectors of 3 entries; made stands for it." in notes
