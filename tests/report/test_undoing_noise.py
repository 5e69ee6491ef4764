"""The sections of models that draw by undoing noise, and of the nearest training images."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest
import torch
from pages import entry

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.scores import Score
from reparam.model import Space
from reparam.report import queries, write_page
from reparam.report.section import Shown
from reparam.report.sections import (
    bound_by_time,
    from_noise,
    guidance,
    line,
    nearest,
    plane,
    sampled_images,
)
from reparam.report.sections import sampling_steps as steps

SPACE = Space((1, 4, 4), "levels", 5, classes=3)
TINY = {"network": "mlp", "hidden": (8, 8), "blocks": 1}


def data_of(space, n=150):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2 * n, *space.shape, generator=generator)
    if space.levels:
        x = torch.randint(space.levels, (2 * n, *space.shape), generator=generator).float()
    labels = None if space.classes is None else torch.arange(2 * n) % space.classes
    train, test = (
        Split(x[rows], None if labels is None else labels[rows])
        for rows in (slice(n), slice(n, None))
    )
    return Data(train, test, test, space, "made")


def made(preset, space, **options):
    torch.manual_seed(0)
    tiny = TINY if preset in ("ddpm", "score-sde") else {"hidden": (8,)}
    return rp.build(preset, space, **tiny, **options)


@pytest.fixture(scope="module")
def data():
    return data_of(SPACE)


@pytest.fixture(scope="module")
def ddpm():
    return made("ddpm", SPACE, times=12)


def shown(data, *models):
    return Shown(data, [entry(f"M{i}", model) for i, model in enumerate(models)])


def built(section, about):
    with torch.no_grad():
        return section.build(about)


def test_paths_have_a_column_for_each_time(data, ddpm, monkeypatch):
    seen = []
    monkeypatch.setattr(from_noise, "grid", lambda x, *a, **k: seen.append(x))
    (card,) = built(from_noise, shown(data, made("vae", SPACE), ddpm))
    assert card.model == 1 and len(card.columns) == from_noise.INSTANTS
    assert card.columns[0] == "1" and card.columns[-1] == "0"
    forward, states, estimates = seen
    assert any(torch.equal(forward[-1], x) for x in data.test.x)  # without noise
    assert torch.equal(states[-1], estimates[-1]) and not torch.equal(states[0], estimates[0])
    assert all(x.shape == (from_noise.INSTANTS, *SPACE.shape) for x in seen)


def test_copies_are_told_and_come_first(data, ddpm):
    about = shown(data, ddpm)
    far = (data.train.x[:3] + 2) % SPACE.levels
    draws = torch.cat([far, data.train.x[5:7]])
    about.__dict__["samples"] = {0: queries.Samples(draws)}
    test, card = built(nearest, about)
    assert card.note.endswith("2 of 5 are copies") and test.note.startswith("distance 1, ")
    near = nearest.Nearest(about)
    assert near.distances(draws)[3:].eq(0).all() and near.distances(draws)[:3].gt(0).all()
    share = near.distances(draws).mean() / near.distances(data.test.x[: nearest.OF_TEST]).mean()
    assert card.note.startswith(f"distance {share:.2f},")


def test_nearest_images_are_those_that_a_search_finds(data, ddpm, monkeypatch):
    seen = []
    monkeypatch.setattr(nearest, "grid", lambda x, *a, **k: seen.append(x))
    about = shown(data, ddpm)
    built(nearest, about)
    for tiles in seen:
        above, below = tiles.flatten(1).chunk(2)
        apart = torch.cdist(above, data.train.x.flatten(1))
        torch.testing.assert_close((above - below).norm(dim=1), apart.min(1).values)
        assert (apart.min(1).values.diff() >= 0).all()  # the nearest first


def test_guidance_has_a_row_without_the_class_and_two_halves_with_it(data, monkeypatch):
    seen = []
    monkeypatch.setattr(guidance, "grid", lambda x, *a, **k: seen.append(x))
    model = made("ddpm", SPACE, times=6, conditional=True)
    with torch.no_grad():  # so that the class matters before any training
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    about = shown(data, model)
    (card,) = built(guidance, about)
    assert [name for name, _ in card.figures] == ["any class", "0", "1", "2"]
    without, *by_class = seen
    assert len(without) == guidance.PER_CLASS and card.note.startswith("By 6 steps of ddim")
    for number, tiles in enumerate(by_class):
        for weight, half in zip((1.0, 3.0), tiles.chunk(2), strict=True):
            same = model.through(rp.DDIM(steps=6, guidance=weight))
            c = torch.full((guidance.PER_CLASS,), number)
            wanted = same.sample(len(c), c, generator=queries.seeded_generator(0))
            assert torch.equal(half, wanted)
    assert not sampled_images.samples_by_class(about)


def test_classes_are_those_of_the_model_whatever_the_test_split_has(data):
    """Named as it knows them, without those that its training had not."""
    guided = made("ddpm", SPACE, times=6, conditional=True)
    others = made("ddpm", SPACE, times=6, conditional=True, drop_condition=0.0)
    for model in (guided, others):
        model.class_names = ("ant", "bee", "cat")
        model.frequencies.copy_(torch.tensor([0.0, 0.5, 0.5]))
    bare = Data(data.train, data.valid, Split(data.test.x), SPACE, "made")
    about = shown(bare, guided, others)
    (card,) = built(guidance, about)
    assert [name for name, _ in card.figures] == ["any class", "bee", "cat"]
    with torch.no_grad():
        (card,) = sampled_images.samples_by_class(about)
    assert [name for name, _ in card.figures] == ["bee", "cat"]


def test_who_always_saw_the_class_is_shown_class_by_class_without_guidance(data):
    model = made("ddpm", SPACE, times=6, conditional=True, drop_condition=0.0)
    about = shown(data, model)
    assert built(guidance, about) == [] and built(guidance, shown(data, made("vae", SPACE))) == []
    with torch.no_grad():
        assert len(sampled_images.samples_by_class(about)) == 1


def test_steps_are_measured_for_every_sampler_and_beside_other_models(data, ddpm):
    found = built(steps, shown(data, ddpm, made("vae", SPACE)))
    (card,) = found.cards
    assert card.names == ["ddim", "ddpm"] and found.n == 150 and not card.dear
    assert [k for k, _ in card.rows] == [2, 5, 10, 12]  # all there are at last
    assert all(len(cells) == 2 and cells[0][2].endswith(" s") for _, cells in card.rows)
    assert ">M1<" in card.plot and float(found.floor) > 0


def test_what_is_said_of_steps_is_what_is_there(data, ddpm):
    """Diamonds only where other models are, and fewer rows only where the table has more."""
    by_rows = {n: Score(1.0, "squared feature deviations", n, "test") for n in (150, 151)}
    vae = made("vae", SPACE)
    for models, rows, diamonds, fewer in (([ddpm], 150, 0, 0), ([ddpm, vae], 151, 1, 1)):
        scored = [entry(f"M{i}", m, frechet_distance=by_rows[rows]) for i, m in enumerate(models)]
        found = built(steps, Shown(data, scored))
        lead = jinja2.Template(steps.SECTION.lead).render(content=found)
        assert lead.count("Diamonds") == diamonds and lead.count("fewer rows") == fewer
        assert f"in place of samples,\n{found.floor}." in lead
        assert (found.beside, found.fewer) == (bool(diamonds), bool(fewer))


def test_steps_that_take_long_are_left_out_and_told(data, ddpm, monkeypatch):
    monkeypatch.setattr(steps, "MOST_PASSED", 128 * 16 * 8)
    (card,) = built(steps, shown(data, ddpm)).cards
    assert [k for k, _ in card.rows] == [2, 5] and list(card.dear) == [10, 12]


def test_few_rows_have_no_distances(ddpm):
    assert built(steps, shown(data_of(SPACE, n=100), ddpm)) is None


def test_samples_that_are_data_are_at_distance_0(data):
    class Remembers:
        anchor, space = torch.zeros(()), SPACE

        def sample(self, n, generator):
            return data.test.x[:n]

    measure = steps.QualityByTime(data, 150)
    found = measure(Remembers())
    assert found.distance == pytest.approx(0, abs=1e-6) and measure.floor > 0.1
    assert 0 < found.seconds < 60


def test_bounds_by_time_add_up_to_what_is_told(data, ddpm, monkeypatch):
    seen = []
    note = bound_by_time._note
    monkeypatch.setattr(bound_by_time, "_note", lambda spent: seen.append(spent) or note(spent))
    (card,) = built(bound_by_time, shown(data, ddpm, made("score-sde", SPACE)))
    (spent,) = seen
    total = sum(part.nats.double() for part in spent)
    assert card.note.startswith(f"In all {total.mean():.2f} ± ")
    assert f"{spent[-1].nats.mean():.2f} at the last step" in card.note
    assert "time t, from noise to data" in card.figures[0][1]


def test_the_plane_shows_instants_with_the_score_and_maps_within_the_budget(monkeypatch):
    space = Space((2,), "real")
    models = made("ddpm", space, times=50), made("score-sde", space, sampling_steps=50)
    monkeypatch.setattr(plane.noise_in_plane, "MAP_PASSED", 1)
    maps = []
    heat = plane._heat
    monkeypatch.setattr(plane, "_heat", lambda v, *a: maps.append(len(v)) or heat(v, *a))
    _, *cards = built(plane, shown(data_of(space), *models))
    assert maps == [plane.noise_in_plane.LEAST_SIDE**2] * 2
    bounded, solved = ([text for text, _ in card.figures] for card in cards)
    assert "a bound by 50 times" in bounded[1] and "by the flow" in solved[1]
    for card in cards:
        captions, figures = zip(*card.instants, strict=True)
        assert captions[0] == "t = 1" and captions[-1] == "t = 0" and len(captions) == 7
        # Arrows are one collection of as many paths as there are cells.
        arrows = [figure.count("PolyCollection") + figure.count("Quiver") for figure in figures]
        assert all(arrows[:-1]) and not arrows[-1]


def test_the_plane_tells_of_arrows_and_times_only_where_they_are():
    """Of codes no score is drawn, and of a few times no bound by more."""
    space = Space((2,), "real")
    small = {"codec.hidden": (8,), "generator.hidden": (8, 8), "generator.blocks": 1}
    of_codes = rp.build("latent-diffusion", space, seed=0, **small, **{"generator.times": 8})
    _, card, few = built(plane, shown(data_of(space), of_codes, made("ddpm", space, times=9)))
    assert not card.arrows and few.arrows and "a bound by 9 times" in few.figures[1][0]
    for one, count in ((card, 0), (few, len(few.instants) - 1)):
        assert sum("and the score" in str(figure) for _, figure in one.instants) == count
    partial = (Path(plane.__file__).parent / "plane.html.j2").read_text("utf-8")
    page = jinja2.Environment(autoescape=True).from_string(partial)
    words = {"name": lambda *a: "", "without": lambda *a: "", "generators": []}
    assert "arrows" not in page.render(content=[card], **words)
    assert "arrows are the score" in page.render(content=[few], **words)


def test_the_line_tells_how_many_times_a_bound_has():
    space = Space((1,), "real")
    models = (made(name, space, **more) for name, more in (("ddpm", {"times": 9}), ("vae", {})))
    _, *cards = built(line, shown(data_of(space), *models))
    told = [card.figures[0][0] for card in cards]
    assert told[0].startswith("p(x), a bound by 9 times,")
    assert told[1].startswith(f"p(x) by {plane.DRAWS} draws,")


def test_the_page_has_the_sections_in_their_order(data, ddpm, tmp_path):
    path = write_page(tmp_path / "r.html", data, [entry("D", ddpm), entry("V", made("vae", SPACE))])
    html = path.read_text("utf-8")
    sections = re.findall(r'<section id="(\w+)"', html)
    wanted = ["samples", "noise", "nearest", "steps", "bound"]
    assert [name for name in sections if name in wanted] == wanted
    assert html.count("<li>") > from_noise.INSTANTS and "guidance" not in sections


def test_nearest_images_are_for_pages_with_a_model_that_undoes_noise(data, ddpm):
    vae = made("vae", SPACE)
    assert nearest.SECTION.applies(shown(data, vae, ddpm))
    assert not nearest.SECTION.applies(shown(data, vae))


def test_dear_models_draw_fewer_rows_of_a_table(monkeypatch):
    space = Space((2,), "real")
    about = shown(data_of(space, n=600), made("ddpm", space, times=50), made("vae", space))
    monkeypatch.setattr("reparam.report.section.MOST_PASSED", 2 * 50 * 300)
    dear, cheap = (len(rows) for rows in about.drawn_rows.values())
    assert (dear, cheap) == (300, 600)
