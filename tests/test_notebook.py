"""What notebooks show: every piece is HTML that is safe, small and follows the page's colors."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import torch

import reparam as rp
from reparam.comparison import Comparison
from reparam.data import Data, Split
from reparam.display import Displayed
from reparam.evaluation.probing import WHOLE, Probe, Probing
from reparam.evaluation.scores import ScoreTable
from reparam.notebook import html
from reparam.notebook.training_curves import PANELS, POINTS, shown_terms
from reparam.report import TrainedModel
from reparam.report.label_curves import Learned
from reparam.train import History
from reparam.transfer_study import Transfer

EVIL = "<script>alert('x')</script>\x1b[2J"
FEW_KB = 4_000  # of the small pieces; the style alone is a third of it
VOID = {"img", "br", "polyline", "circle"}


class Checked(HTMLParser):
    """Every element that is opened is closed; which there are, and their text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def checked(thing) -> Checked:
    """The piece of a thing, which is well formed, without scripts, links, and colors of its own."""
    text = thing._repr_html_()
    found = Checked(text)
    assert not found.tags & {"script", "iframe", "link", "object", "form"}
    for name, value in found.attributes:
        assert not name.startswith("on") and name not in ("href", "id"), name
        assert name != "src" or value.startswith("data:image/png;base64,")
    drawn = re.sub(r"#8888", "", text)  # a gray that shows on both
    assert not re.search(r"(?<!-)(?:color|background|fill|stroke):?=?\"?\s*#", drawn)
    assert "\x1b" not in text and EVIL not in text
    return found


@pytest.fixture(scope="module")
def digits():
    return rp.load_data("digits")


def data_named(name: str) -> Data:
    x = torch.arange(24.0).reshape(6, 1, 2, 2) % 3
    split = Split(x, torch.tensor([0, 1, 0, 1, 0, 1]))
    space = rp.Space((1, 2, 2), "levels", levels=3, classes=2)
    names = (name, "b")
    return Data(split, split, split, space, name, class_names=names, notes=(f"{name}.",) * 5)


def test_scores_say_marks_errors_units_and_protocol():
    scores = ScoreTable(
        log_likelihood=rp.Score(-88.712, "nats", 100, "test", 0.25, "lower bound", samples=50),
        bits_per_dim=rp.Score(1.5, "bits", 100, "test", 0.01, "lower bound"),
        elbo=rp.Score(-90.1, "nats", 100, "test", 0.25, "lower bound", seed_stderr=0.031),
        linear_probe_accuracy=rp.Score(1.0, "accuracy", 30, "test", stderr=0.0),
    )
    found = checked(scores)
    for words in ("≥ −88.71", "± 0.25", "≤ 1.500", "(± 0.031)", "100.0 %", "(88.6–100.0 %)"):
        assert words in found.text
    assert "≥ a lower bound, ≤ an upper bound" in found.text
    assert "100 test examples, 50 samples" in found.text and "nats" in found.text
    titles = [value for name, value in found.attributes if name == "title"]
    assert any("log p" in title for title in titles)


def test_scores_stay_a_dictionary(digits):
    scores = rp.evaluate(_pca(digits), digits)
    assert isinstance(scores, dict) and {**scores} == scores
    assert "_repr_html_" not in repr(scores) and repr(scores) == repr(dict(scores))
    assert checked(scores).text.count("test examples") > 3


def _pca(data):
    model = rp.build("pca", data.space, latent_dim=4)
    rp.fit(model, data, progress=False)
    return model


def test_one_score_and_none():
    exact = rp.Score(-1.5, "nats", 9, "test", 0.1, "exact")
    assert "= −1.50 ± 0.10 nats · 9 test examples" in checked(exact).text
    assert "± " not in checked(rp.Score(3.0, "s", 9, "train")).text
    assert "0 scores" in checked(ScoreTable()).text


def test_what_users_name_is_escaped():
    data = data_named(EVIL)
    model = rp.build("pca", data.space, latent_dim=1)
    entry = TrainedModel(EVIL, model, {"elbo": rp.Score(1.0, EVIL, 9, "test")}, History())
    things = [
        data,
        Comparison(data, (entry,), notes=(EVIL,)),
        ScoreTable({EVIL: rp.Score(1.0, EVIL, 9, EVIL, predictor=EVIL)}),
        rp.Score(1.0, EVIL, 9, EVIL),
        History([{"step": i, f"valid/{EVIL}": float(i)} for i in range(3)], warnings=[EVIL]),
        Probing((Probe(10, EVIL, (0.5,), (), True, 9, 9),), EVIL, "", 9, (0,)),
        rp.show(
            torch.zeros(2, 2),
            Data(*[Split(torch.zeros(2, 2))] * 3, rp.Space((2,), "real"), "t", columns=(EVIL, "b")),
        ),
    ]
    for thing in things:
        assert "alert(" in checked(thing).text


def test_every_class_that_is_displayed_is_known():
    """A class that asks for HTML and has none would show nothing in its place."""

    def all_below(cls):
        return [sub for one in cls.__subclasses__() for sub in (one, *all_below(one))]

    assert Displayed()._repr_html_() is None
    for cls in all_below(Displayed):
        assert html.dispatch(cls) is not html.dispatch(object), cls


def test_data_show_kind_splits_notes_and_examples(digits):
    found = checked(digits)
    words = ("images of 8 × 8", "0 … 16", "train 1,258", "valid 180", "A fixed random split")
    assert all(w in found.text for w in words)
    assert "img" in found.tags
    assert len(digits._repr_html_()) < 2 * FEW_KB
    assert repr(digits).startswith("Data 'digits'")


def test_tables_show_a_few_rows_by_their_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"age": [31.0, 22.5] * 8, "city": ["Bern", "Rome"] * 8})
    data = rp.load_data(frame)
    found = checked(data)
    assert "age" in found.text and ("Bern" in found.text or "Rome" in found.text)
    assert "img" not in found.tags


def test_models_say_what_they_are_and_can(digits):
    vae = rp.build("vae", digits.space, latent_dim=2, hidden=(8,))
    found = checked(vae)
    for words in ("latent_dim=2", "2 numbers", "a lower bound, by draws", "Kingma & Welling"):
        assert words in found.text
    methods = "encode decode reconstruct posterior prior likelihood sample log_prob"
    assert methods in found.text
    assert "log_prob" not in checked(rp.build("gan", digits.space)).text
    assert "class" in checked(rp.build("cvae", digits.space, hidden=(8,))).text
    assert len(vae._repr_html_()) < FEW_KB
    assert repr(vae).startswith("VAE(")


def test_a_model_of_ones_own_needs_no_preset(digits):
    from reparam.model import Loss, Model

    class Mine(Model):
        def loss(self, x, c=None, player="model"):
            return Loss(x.mean(), {})

    found = checked(Mine(digits.space))
    assert "Mine" in found.text and "draws nothing" in found.text


def test_curves_are_thinned_and_the_judge_is_first():
    rows = [
        {
            "epoch": float(i),
            "step": 10 * i,
            "train/objective": 9.0 / i,
            "train/rate": 1.0 / i,
            "valid/objective": 8.0 / i,
            "valid/bound": -8.0 / i,
            "train/bound": -9.0 / i,
        }
        for i in range(1, 500)
    ]
    history = History(rows, judge="bound", best_epoch=400.0, ended="all epochs")
    assert shown_terms(history)[0] == "bound" and len(shown_terms(history)) <= PANELS
    text = history._repr_html_()
    found = checked(history)
    assert found.text.count("all epochs") == 1 and "circle" in found.tags
    assert len(text) < 3 * FEW_KB
    lines = re.findall(r'points="([^"]*)"', text)
    assert max(len(line.split()) for line in lines) == POINTS
    places = [tuple(map(float, p.split(","))) for line in lines for p in line.split()]
    assert all(0 <= x <= 230 and 0 <= y <= 92 for x, y in places)


def test_a_history_without_curves_says_how_it_ended(digits):
    assert "solved" in checked(History(ended="solved")).text
    gaps = History([{"step": 1, "valid/nll": float("nan")}, {"step": 2, "valid/nll": 1.0}])
    assert "History" in checked(gaps).text


def test_comparisons_show_the_best_and_fold_the_rest():
    data = data_named("three levels")
    model = rp.build("pca", data.space, latent_dim=1)

    def entry(label, value):
        scores = {
            "elbo": rp.Score(value, "nats", 9, "test", 0.1, "lower bound"),
            "log_likelihood": rp.Score(value, "nats", 9, "test", 0.1, "lower bound"),
        }
        return TrainedModel(label, model, scores, History())

    comparison = Comparison(data, (entry("good", -1.0), entry("bad", -5.0)))
    text = comparison._repr_html_()
    assert "<b>≥ −1.00</b>" in text and "<span>≥ −5.00</span>" in text
    assert "details" in checked(comparison).tags
    assert "good" in repr(comparison) and "<" not in repr(comparison)


def test_probes_and_transfers_are_in_percent():
    probe = Probe(100, WHOLE, (0.7, 0.8), (1.0, 1.0), True, 400, 80)
    assert "75.0 ± 7.1" in checked(Probing((probe,), "digits", "", 99, (0, 1))).text
    data = data_named("d")
    learned = Learned("ours", (probe,))
    assert "75.0 ± 7.1" in checked(Transfer(data, (learned,), (100,), 2)).text
