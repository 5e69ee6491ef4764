"""The page: complete and self-contained, and what stands on it."""

import math
import re

import numpy as np
import pytest
import torch
from browsers import HANGS
from pages import build, data_of, entry

import reparam as rp
from reparam.evaluation.scores import Score
from reparam.measures import HEADLINES
from reparam.model import Space
from reparam.presets import PRESETS
from reparam.report import TrainedModel, plots, write_page
from reparam.report.colors import MODELS
from reparam.report.sections.training import panel_of, training_curves
from reparam.terms import TERMS
from reparam.train.history import History


def curves():
    rows = [
        {"epoch": e, "train/bound": -90 - 1 / e, "train/objective": 90 + 1 / e, "valid/bound": -91}
        for e in (1.0, 2.0, 3.0)
    ]
    return History(rows, ["the rate collapsed <at once>"], 1.0, 3.0)


@pytest.fixture(scope="module")
def digits():
    return rp.load_data("digits")


@pytest.fixture(scope="module")
def page(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    exact = Score(-80.5, "nats", 359, "test", 0.25, "exact")
    bound = Score(-90.5, "nats", 359, "test", 0.25, "lower bound", 50, 0)
    error = Score(0.03, "per entry", 359, "test", 0.001)
    entries = [
        entry("PCA", build("pca", digits), log_likelihood=exact),
        entry("<b>AE</b>", build("ae", digits, latent_dim=3), reconstruction_mse=error),
        TrainedModel("VAE", build("vae", digits).eval(), {"log_likelihood": bound}, curves()),
    ]
    assert write_page(path, digits, entries) == path
    return path


@pytest.fixture(scope="module")
def html(page):
    return page.read_text(encoding="utf-8")


def cells(html):
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    return re.findall(r"<td.*?</td>", body, re.DOTALL)


def test_likelihoods_carry_their_marks_and_the_best_is_marked(html):
    pca, no_error, ae, _, vae, _ = cells(html)
    assert 'class="explained best"' in pca and '<span class="mark">=</span>' in pca
    assert "−80.50" in pca and "± 0.25" in pca
    assert 'class="explained"' in vae and '<span class="mark">≥</span>' in vae and "± 0.25" in vae
    assert 'class="absent explained"' in ae and "data-key" not in ae and ">—<" in ae
    assert "A plain autoencoder has no likelihood" in ae and "Not measured" in no_error


def test_every_number_is_explained_without_a_pointer(html):
    """By focus, so that keys and fingers reach it, and by name, so that screen readers read it."""
    assert not re.search(r"<(?!svg|path)[^>]* title=", html)
    for described in re.findall(r'aria-describedby="([^"]+)"', html):
        assert f'role="tooltip" id="{described}">' in html
    explained = cells(html)
    assert len(explained) == 6
    assert all('tabindex="0"' in cell and 'class="tip"' in cell for cell in explained)
    assert "standard error 0.25 over the examples" in explained[0]


def test_first_come_the_scores_that_everyone_looks_for(digits, tmp_path):
    """Five columns; the others are folded, by group, with the models that have them."""
    looked_for = {name: Score(1.5, "nats", 359, "test", 0.1) for name in HEADLINES}
    for name in (
        "conditional_log_likelihood",
        "regret",
        "restoration_mean_mse",
        "hidden_mse",
        "accuracy",
    ):
        del looked_for[name]
    further = {"psnr": Score(20.0, "dB", 359, "test", 0.1), "rate": Score(2.0, "nats", 9, "test")}
    both = looked_for | further
    entries = [
        entry("VAE", build("vae", digits), **both),
        entry("PCA", build("pca", digits), **looked_for, psnr=further["psnr"]),
        entry("Bare", build("ae", digits)),
    ]
    floor = {"frechet_distance": Score(1.25, "features²", 359, "test", 0.01)}
    path = write_page(tmp_path / "r.html", digits, entries, reference=floor)
    text = path.read_text("utf-8")
    first, *more = re.findall(r'<table class="scores">.*?</table>', text, re.DOTALL)
    heads = re.findall(r"<button.*?<span>([^<&]+)", first)
    assert heads == [
        "Log-likelihood", "MSE", "Linear probe", "Fréchet distance", "Training"
    ]  # fmt: skip
    assert "floor 1.25" in first and "<tfoot" not in first and ">Bare<" not in first
    assert "Without any of these scores: Bare." in text
    assert text.index('<details class="more-scores">') < text.index(more[0])
    rate, psnr = more
    assert "Rate" in rate and "VAE" in rate and "PCA" not in rate
    assert "PSNR" in psnr and "VAE" in psnr and "PCA" in psnr


def test_the_page_says_what_each_model_is_and_when_to_use_it(digits, tmp_path):
    score = Score(1.5, "nats", 359, "test", 0.1)
    entries = [
        entry(label, build(name, digits), log_likelihood=score)
        for label, name in (("A", "vae"), ("B", "vae"), ("C", "pca"))
    ]
    text = write_page(tmp_path / "r.html", digits, entries).read_text("utf-8")
    kinds = re.search(r'<dl class="kinds">.*?</dl>', text, re.DOTALL)[0]
    assert [re.findall(r'class="name">(\w)<', dt) for dt in kinds.split("</dt>")[:2]] == [
        ["A", "B"], ["C"]
    ]  # fmt: skip
    for preset in (PRESETS["vae"], PRESETS["pca"]):
        assert f"<dd>{preset.summary} {preset.when}</dd>" in kinds


def test_every_preset_says_in_a_sentence_when_to_use_it():
    for name, preset in PRESETS.items():
        assert preset.when.endswith(".") and preset.when[:-1].count(". ") == 0, name
        assert len(preset.when) < 100, name


def test_the_opening_names_its_rows(html):
    opening = html[html.index('<div class="opening">') : html.index("<summary>About the data")]
    assert re.findall(r"<small>(.*?)</small>", opening) == ["", "restores them", "new samples"]


def test_every_section_is_there_and_linked(html):
    sections = re.findall(r'<section id="(\w+)"', html)
    assert sections == [
        "scores", "reconstructions", "samples", "completions", "interpolations", "latent",
        "filters", "traversals", "rates", "shifted", "training", "reading",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#(\w+)"', html) == sections


def test_every_section_is_named_by_its_heading(html):
    """For screen readers, by the attribute that they know."""
    named = re.findall(r'<section id="\w+" aria-labelledby="([^"]+)"', html)
    assert len(named) == len(re.findall("<section ", html)) > 3
    assert all(re.search(rf'<h2[^>]* id="{name}"', html) for name in named)


def test_the_page_asks_no_other_host(html):
    rest = html.replace("http://www.w3.org/", "")  # names of XML vocabularies, never fetched
    assert not re.search(r"https?://|//[a-z]+\.[a-z]", rest)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)


def test_text_of_users_is_escaped(html):
    assert "<b>AE</b>" not in html and "&lt;b&gt;AE&lt;/b&gt;" in html
    assert "the rate collapsed &lt;at once&gt;" in html


def test_ids_are_unique_and_colors_follow_the_theme(html):
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert "#0102" not in html and "var(--model-2)" in html and "<dc:date>" not in html


def test_the_objective_is_left_out_where_it_is_a_term_over_again(html):
    assert "Training curves of bound" in html and "Training curves of objective" not in html
    assert "Solved in closed form, so without curves: PCA." in html


def test_curves_of_exact_likelihoods_have_a_scale_in_bits_per_dimension(digits, monkeypatch):
    figures = []
    drawn = plots.svg
    monkeypatch.setattr(plots, "svg", lambda f, alt: figures.append(f) or drawn(f, alt))
    rows = [{"epoch": e, "train/nll": 90 + 1 / e, "valid/nll": 91.0} for e in (1.0, 2.0)]
    model = rp.build("made", digits.space, hidden=(4,))
    found = training_curves([TrainedModel("MADE", model, {}, History(rows, [], 1.0, 3.0))])
    assert len(found.panels) == 1 and "bits/dim" in found.panels[0]
    (axis,) = figures[0].axes
    (right,) = axis.child_axes
    wanted = [nats / (64 * math.log(2)) for nats in axis.get_ylim()]
    assert right.get_ylim() == pytest.approx(wanted)


def test_the_python_keeps_its_blank_lines_and_the_page_has_no_others(html):
    start, end = html.index("<pre"), html.index("</pre>")
    code = html[start:end]
    assert "import reparam as rp\n\ndata = " in code and code.count("\n\n#") == 3
    assert not re.search(r"\n\s*\n", html[:start] + html[end:])


def test_a_single_row_of_curves_has_an_axis_from_the_start(digits, monkeypatch):
    figures = []
    drawn = plots.svg
    monkeypatch.setattr(plots, "svg", lambda f, alt: figures.append(f) or drawn(f, alt))
    rows = [{"epoch": 3.0, "step": 60.0, "train/nll": 90.0, "valid/nll": 91.0}]
    model = rp.build("made", digits.space, hidden=(4,))
    for epoch, wanted in ((3.0, (0, 6)), (0.0, (0, 1))):
        rows[0]["epoch"] = epoch
        training_curves([TrainedModel("MADE", model, {}, History(rows, [], 1.0, epoch))])
        assert figures[-1].axes[0].get_xlim() == wanted


def test_what_one_player_has_stands_beside_its_validation(digits, monkeypatch):
    """The critic's cost in training and in validation is one panel, its objective another."""
    figures = []
    drawn = plots.svg
    monkeypatch.setattr(plots, "svg", lambda f, alt: figures.append(f) or drawn(f, alt))
    names = ("train/generator_loss", "train/critic/objective", "train/critic/critic_loss")
    rows = [{"epoch": e, **dict.fromkeys(names, e), "valid/critic_loss": 2 * e} for e in (1.0, 2.0)]
    model = rp.build("made", digits.space, hidden=(4,))
    training_curves([TrainedModel("gan", model, {}, History(rows, [], 1.0, 2.0))])
    found = {figure.axes[0].get_title("left"): figure.axes[0] for figure in figures}
    assert list(found) == ["generator loss", "critic/objective", "critic loss"]
    curves = [line.get_ydata().tolist() for line in found["critic loss"].lines]
    assert curves == [[1.0, 2.0], [2.0, 4.0], [4.0]]


def test_no_label_of_a_panel_is_cut_off(digits):
    model = rp.build("made", digits.space, hidden=(4,))
    for term in TERMS:
        rows = [{"epoch": e, f"valid/{term}": 1000 * e} for e in (1.0, 2.0)]
        figure = panel_of([TrainedModel("any", model, {}, History(rows, [], 1.0, 2.0))], term)
        figure.canvas.draw()
        label = figure.axes[0].yaxis.label.get_window_extent()
        assert figure.bbox.y0 <= label.y0 and label.y1 <= figure.bbox.y1, term


def test_images_have_alternative_texts(html):
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", html))


def test_weight(page):
    assert page.stat().st_size < 1_000_000


def test_nothing_global_changes(digits, tmp_path):
    vae = build("vae", digits).train()
    before, modes = torch.get_rng_state(), [m.training for m in vae.modules()]
    write_page(tmp_path / "a.html", digits, [TrainedModel("VAE", vae, {}, History())])
    assert torch.equal(torch.get_rng_state(), before) and torch.is_grad_enabled()
    assert [m.training for m in vae.modules()] == modes


def test_same_seed_same_page(digits, tmp_path):
    entries = [entry("VAE", build("vae", digits))]
    texts = [
        re.sub(r"\d\d:\d\d UTC", "", write_page(tmp_path / n, digits, entries).read_text("utf-8"))
        for n in ("a.html", "b.html")
    ]
    assert texts[0] == texts[1]


def test_double_precision(digits, tmp_path):
    vae = build("vae", digits).double()
    page = write_page(tmp_path / "r.html", digits, [entry("VAE", vae)])
    assert '<section id="traversals"' in page.read_text("utf-8")


def test_wrong_entries_are_refused(digits, tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        write_page(tmp_path / "r.html", digits, [])
    other = rp.build("pca", Space((4,), "real"), latent_dim=2)
    with pytest.raises(ValueError, match="PCA: expected"):
        write_page(tmp_path / "r.html", digits, [entry("PCA", other)])


def test_the_page_says_what_is_over_seeds(digits, tmp_path):
    plain, several = (
        write_page(
            tmp_path / "r.html",
            digits,
            [
                entry(
                    "P",
                    build("pca", digits),
                    log_likelihood=Score(1.0, "nats", 9, "test", 0.1, seed=s, seed_stderr=e),
                )
            ],
        ).read_text("utf-8")
        for s, e in ((None, None), ([3, 4], 0.07))
    )
    said = "Trained with seeds 3, 4: scores are means over them, pictures and curves are those"
    assert said in several and "Trained with seeds" not in plain
    assert "One standard error over the examples." in plain
    assert "and in brackets over the seeds" in several and "over the seeds" not in plain
    assert '<small>± 0.10</small> <small class="seeds">(± 0.07)</small>' in several


def test_the_legend_says_that_bounds_and_exact_values_are_not_ranked(html):
    assert "best is the best value shown: a bound's true value may be better" in html


def test_the_legend_explains_only_what_some_number_bears(digits, tmp_path):
    model = build("pca", digits)

    def legend(*values):
        entries = [entry(f"P{i}", model, **{name: s}) for i, (name, s) in enumerate(values)]
        text = write_page(tmp_path / "r.html", digits, entries).read_text("utf-8")
        lead = re.search(r'id="scores-h".*?<p class="lead">(.*?)</p>', text, re.DOTALL)[1]
        return re.findall(r'class="swatch (\w+)"', lead), "an interval of 95 %" in lead

    def psnr(value):
        return "psnr", Score(value, "dB", 9, "test", 0.1)

    accuracy = "linear_probe_accuracy", Score(0.5, "accuracy", 9, "test", 0.1)
    assert legend(psnr(1.0)) == ([], False)
    assert legend(psnr(1.0), psnr(2.0)) == (["best"], False)
    assert legend(psnr(1.0), psnr(1.05)) == (["best", "tied"], False)
    assert legend(accuracy) == ([], True)


def test_more_models_than_colors(digits, tmp_path):
    pca = build("pca", digits)
    entries = [entry(f"P{i}", pca) for i in range(MODELS + 2)]
    text = write_page(tmp_path / "r.html", digits, entries).read_text("utf-8")
    assert f"P{MODELS + 1}" in text and f"var(--model-{MODELS})" not in text


def test_training_data_stay_below_the_models_and_few_rows_are_told(digits, tmp_path):
    entries = [entry("PCA", build("pca", digits), sample_recall=Score(0.5, "share", 9, "test"))]
    reference = {"sample_recall": Score(0.9, "share", 9, "test")}
    write_page(tmp_path / "r.html", digits, entries, reference=reference)
    text = (tmp_path / "r.html").read_text("utf-8")
    foot = text[text.index("<tfoot>") : text.index("</tfoot>")]  # which sorting leaves alone
    assert "training data" in foot and "90.0 %" in foot and "Left out" not in text
    few = data_of(torch.randn(9, 5), Space((5,), "real"))
    few_entries = [entry("PCA", build("pca", few), sample_recall=Score(0.5, "share", 9, "test"))]
    text = write_page(tmp_path / "f.html", few, few_entries).read_text("utf-8")
    assert "<tfoot>" not in text and "Left out: frechet_distance, which needs 128 rows" in text


def test_in_a_browser(page, browser):
    problems, requests = [], []
    tab = browser.new_page(
        viewport={"width": 360, "height": 800}, color_scheme="light", has_touch=True
    )
    tab.set_default_timeout(HANGS)
    tab.on("console", lambda message: problems.append(message.text))
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") == 360  # only boxes scroll
    picture = tab.locator("img").first.bounding_box()
    assert picture["y"] + picture["height"] < 800  # on the first screen
    # An explanation by a finger, within the window.
    cell = tab.locator("td.explained.best")
    cell.tap()
    tip = cell.locator(".tip").bounding_box()
    assert tip["x"] >= 0 and tip["x"] + tip["width"] <= 360 and tip["y"] + tip["height"] <= 800
    tab.click("#theme")
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
    tab.click("thead th[aria-sort] button")
    names = "rows => rows.map(row => row.textContent)"
    assert tab.eval_on_selector_all("tbody th .name", names) == ["PCA", "VAE", "<b>AE</b>"]
    tab.click(".classes button >> nth=1")
    assert tab.locator("svg.scatter .away").count() > 0
    loaded = "images => images.every(i => (i.loading = 'eager', i.naturalWidth > 0))"
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    tab.eval_on_selector_all("img", loaded)
    tab.wait_for_function("[...document.images].every(i => i.complete && i.naturalWidth)")
    assert not problems
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []


def test_by_keys_alone_and_without_scripts(page, browser):
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, java_script_enabled=False
    )
    tab = context.new_page()
    tab.set_default_timeout(HANGS)
    tab.goto(page.as_uri())
    # 8 768 before it folded, and without completions.
    assert tab.evaluate("document.documentElement.scrollHeight") < 5700
    heights = "sections => sections.map(section => section.offsetHeight)"
    assert max(tab.eval_on_selector_all("section", heights)) < 800  # each within a screen
    picture = tab.locator("img").first.bounding_box()
    assert picture["y"] + picture["height"] < 800  # on the first screen
    tab.locator(".first thead button").first.focus()
    seen = tab.locator(".tip:visible")
    assert seen.count() == 1 and "log p(x): How probable" in seen.inner_text()
    for _ in range(2):  # the other heading, then the first number
        tab.keyboard.press("Tab")
    assert seen.count() == 1 and seen.inner_text().startswith("-80.5; exact")
    folded = tab.locator("#reading details").first
    folded.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert folded.locator("dl").is_visible() and seen.count() == 0
    context.close()


def test_names_of_classes_stay_within_a_map(browser):
    """Also where there is one example of each, at an edge: measured as a browser draws them."""
    from importlib.resources import files

    from reparam.report.scatter import scatter

    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
    names = (
        "goldfinch",
        "hawfinch & co",
        "日本の鳥",
        "A recreational vehicle of the eighties",
        "ij",
    )
    style = files("reparam.report").joinpath("style.css").read_text(encoding="utf-8")
    drawn = scatter(points, torch.arange(5), names, "five points")
    tab = browser.new_page()
    tab.set_content(f"<style>{style}</style><div style='width:400px'>{drawn}</div>")
    cut = tab.evaluate(
        """() => [...document.querySelectorAll("text.cluster")].filter(one => {
            const box = one.getBBox(), rim = 3  // half of the rim around letters
            return !(box.x >= rim && box.x + box.width <= 400 - rim
                && box.y >= -3 && box.y + box.height <= 403)
        }).map(one => one.textContent)"""
    )
    assert cut == []
    middle = tab.locator("text.cluster").nth(4)
    assert middle.get_attribute("x") == "200" and middle.get_attribute("style") is None
    tab.close()


def test_map_places_points_upwards_and_by_class():
    from reparam.report.scatter import scatter

    points = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    svg = scatter(points, torch.tensor([1, 0]), ("a", "b"), "two points")
    found = re.findall(r'data-class="(\d)" data-rows="(\d)" d="M([\d.]+) ([\d.]+)h0"', svg)
    assert found == [("0", "1", "388.0", "12.0"), ("1", "0", "12.0", "388.0")]
    assert np.isfinite([float(v) for row in found for v in row]).all()
