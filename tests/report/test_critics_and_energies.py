"""The sections of critics and energies, of chains, and of priors under codes."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from pages import data_of, entry

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.absent import why_absent
from reparam.evaluation.scores import Score
from reparam.inspection import DrawnByChains, FromPrior, Judgment
from reparam.model import Space
from reparam.report import TrainedModel, write_page
from reparam.report.scatter import in_sight, scatter
from reparam.report.section import Shown
from reparam.report.sections import chains, judged, latent_map, nearest, plane
from reparam.report.summary import findings
from reparam.report.table import score_table
from reparam.train.history import History

IMAGES = Space((1, 3, 3), "levels", 5)
BITS, POINTS = Space((6,), "binary"), Space((2,), "real")
SMALL = {
    "gan": {"latent_dim": 2, "hidden": (8,)},
    "aae": {"latent_dim": 2, "hidden": (8,), "critic": (8,)},
    "vae": {"latent_dim": 2, "hidden": (8,)},
    "vae-gan": {"latent_dim": 2, "hidden": (8,), "critic": (8, 6)},
    "ebm": {"hidden": (8,), "chains": 4, "draw_sweeps": 40, "runs": 8, "temperatures": 10},
    "rbm": {"hidden": 3, "chains": 4, "draw_sweeps": 40},
}


def made(preset, space, **options):
    model = rp.build(preset, space, seed=0, **{**SMALL[preset], **options})
    with torch.no_grad():  # so that all x differ to critics and energies
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def random_x(space, n=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if space.kind == "real":
        return torch.randn(n, *space.shape, generator=generator)
    return torch.randint(space.level_count, (n, *space.shape), generator=generator).float()


def shown(space, *presets, **options):
    data = data_of(random_x(space), space)
    return Shown(data, [entry(name, made(name, space, **options)) for name in presets])


# ------------------------------------------------------------------------------------- judgments


@pytest.mark.parametrize("preset, space", [("rbm", BITS), ("ebm", BITS), ("ebm", POINTS)], ids=str)
def test_an_energy_is_minus_log_p_up_to_a_constant(preset, space):
    model, x = made(preset, space).double(), random_x(space, 9).double()
    found = model.judgment
    constant = found.of(x, None) + model.log_prob(x).value
    assert found.energy and found.unit == "nats"
    torch.testing.assert_close(constant, constant[:1].expand(9), rtol=0, atol=1e-9)
    of_units = model.units(x, None)[1][0]  # log |det ∂y/∂x|
    torch.testing.assert_close(of_units - constant[0], model.log_partition.value.to(constant))


def test_energies_of_levels_have_no_noise():
    model, x = made("ebm", IMAGES), random_x(IMAGES, 5)
    assert torch.equal(model.judgment.of(x, None), model.judgment.of(x, None))


def test_critics_judge_what_their_networks_see():
    x = random_x(IMAGES, 5)
    gan, vae_gan = made("gan", IMAGES), made("vae-gan", IMAGES)
    seen = 2 * x / 4 - 1
    torch.testing.assert_close(gan.judgment.of(x, None), gan.critic(seen).flatten())
    critic = vae_gan.objective.critic
    torch.testing.assert_close(vae_gan.judgment.of(x, None), critic(x / 4, None).flatten())
    assert not gan.judgment.energy and gan.judgment.unit == vae_gan.judgment.unit == "nats"
    assert made("gan", IMAGES, loss="wasserstein").judgment.unit == ""
    assert made("vae", IMAGES).judgment is made("aae", IMAGES).judgment is None


# ---------------------------------------------------------------------------------- the histograms


def test_what_is_judged_and_how_often_it_is_preferred():
    about = shown(POINTS, "gan", "ebm", "vae")
    gan, ebm = judged.build(about)
    assert [gan.label, ebm.label] == ["gan", "ebm"]
    # Training and test rows are the same here, ties counted half.
    assert gan.sentences[0] == (
        "A training row has a higher logit of the critic than a test row in 50 % of all pairs."
    )
    assert "has a lower energy than a test row in 50 %" in ebm.sentences[0]
    log_z = r"log Z ≈ −?\d+\.\d+ ± \d+\.\d+ nats, by 8 runs of annealing that are worth [\d.]+ of"
    assert re.match(log_z, ebm.sentences[2])
    assert gan.plot.count("Uniform") == 0 and ebm.plot.count("Uniform") == 1
    (rbm,) = judged.build(shown(BITS, "rbm"))
    assert rbm.sentences[-1].endswith("nats, by a sum over 8 states.")


def test_a_model_that_prefers_its_training_rows_is_told():
    train, test = torch.ones(4, 2), torch.tensor([[0.0, 0], [0, 0], [2, 0], [1, 0]])
    data = Data(Split(train), Split(test), Split(test), POINTS, "made")
    model = made("gan", POINTS)
    about = Shown(data, [entry("one", model)])
    high = Judgment("logit", "", lambda x, c: x[:, 0])
    sets = judged.judged(about, model, high)
    # Of four pairs with each training row two are won, one is a tie and one is lost.
    assert judged._preferred(high, sets["training"], sets["test"]) == 2.5 / 4
    assert judged._preferred(replace(high, energy=True), sets["training"], sets["test"]) == 1.5 / 4


def test_conditional_critics_are_told_the_condition_of_every_row():
    space = replace(POINTS, classes=3)
    data = data_of(random_x(space), space, torch.arange(60) % 3)
    model = made("gan", space, conditional=True)
    sets = judged.judged(Shown(data, [entry("gan", model)]), model, model.judgment)
    torch.testing.assert_close(sets["test"], model.logits(data.test.x, data.test.labels).detach())
    assert len(sets["draws"]) == judged.MOST_ROWS and sets["draws"].isfinite().all()


def test_noise_is_x_of_the_space_and_shuffled_entries_keep_their_values():
    for space in (IMAGES, BITS, POINTS):
        about = shown(space)
        train = about.data.train
        noise = judged._noise(about, train)
        shuffled, uniform = noise["shuffled"].x, noise["uniform"].x
        assert torch.equal(shuffled.sort(0).values, train.x.sort(0).values)
        assert not torch.equal(shuffled, train.x) and uniform.shape == train.x.shape
        if space.level_count is None:
            assert (uniform <= train.x.amax(0)).all() and (uniform >= train.x.amin(0)).all()
        else:
            assert set(uniform.unique().tolist()) == set(range(space.level_count))


@pytest.mark.filterwarnings("error")
def test_draws_that_are_not_finite_leave_the_rest(monkeypatch):
    about = shown(POINTS, "gan")
    model = about.entries[0].model
    monkeypatch.setattr(model, "draw", lambda n, c, generator: torch.full((n, 2), torch.nan))
    (card,) = judged.build(about)
    assert len(card.sentences) == 1 and card.plot.startswith("<svg")


# ---------------------------------------------------------------------------------- the plane


def test_the_plane_shows_what_critics_and_energies_say_of_it():
    about = shown(POINTS, "gan", "ebm", "vae")
    _, gan, ebm, vae = plane.build(about)
    assert [len(card.figures) for card in (gan, ebm, vae)] == [2, 3, 2]
    assert gan.figures[1][0].startswith("Logit of the critic: from ")
    assert ebm.figures[2][0].startswith("Energy: from ") and " nats, dark, to " in ebm.figures[2][0]


# ---------------------------------------------------------------------------------- chains


@pytest.mark.parametrize("preset, space", [("rbm", BITS), ("ebm", BITS), ("ebm", IMAGES)], ids=str)
def test_chains_lead_from_the_base_to_draws(preset, space):
    model = made(preset, space)
    path = model.chain_path(5, (0, 0.5, 1), torch.Generator().manual_seed(3))
    assert list(path) == [0, 20, 40]
    drawn = model.sample(5, generator=torch.Generator().manual_seed(3))
    assert torch.equal(path[40], drawn)
    start = model.back(model.first(5, torch.Generator().manual_seed(3)))
    assert torch.equal(path[0], start)


def test_only_models_that_draw_by_chains_have_their_section():
    about = shown(IMAGES, "gan", "ebm")
    (card,) = chains.build(about)
    assert card.label == "ebm" and card.columns == ["0", "10", "20", "30", "40"]
    (card,) = chains.build(shown(POINTS, "ebm", "vae"))
    assert card.figures[0][0] == "start" and card.figures[-1][0] == "40 sweeps"
    assert chains.SECTION.applies(about) and not chains.SECTION.applies(shown(BITS, "rbm"))
    ddpm = rp.build("ddpm", IMAGES, network="mlp", hidden=(8, 8), times=4)
    assert not isinstance(ddpm, DrawnByChains)


# ---------------------------------------------------------------------------------- priors


def test_draws_of_the_prior_lie_under_the_codes_in_the_same_projection(monkeypatch):
    seen = []
    monkeypatch.setattr(latent_map, "scatter", lambda *args: seen.append(args) or "")
    about = shown(IMAGES, "aae", "vae", latent_dim=3)
    ae = rp.build("ae", IMAGES, latent_dim=3, hidden=(8,)).eval()
    assert isinstance(about.entries[0].model, FromPrior) and not isinstance(ae, FromPrior)
    for coded in about.coded:
        _, said = latent_map.drawn_map(about, coded)
        points, *_, under = seen.pop()
        share = latent_map.in_sight(points, under).float().mean()
        assert said.endswith(f"; {100 * share:.0f} % of p(z) in sight") == (share < 1)
        z = coded.model.prior().repeat(60).sample(torch.Generator().manual_seed(0))
        # Principal components by the singular value decomposition, up to their signs.
        axes = torch.linalg.svd(coded.code - coded.code.mean(0)).Vh[:2].T
        for found, of in ((points, coded.code), (under, z)):
            torch.testing.assert_close(
                found.abs(), ((of - coded.code.mean(0)) @ axes).abs(), rtol=1e-3, atol=1e-4
            )
    with_ae = Shown(about.data, [entry("ae", ae)])
    assert "p(z)" not in latent_map.drawn_map(with_ae, with_ae.coded[0])[1]
    assert seen.pop()[-1] is None


def test_points_stay_large_beside_a_wide_prior():
    points = torch.tensor([[-1.0, 0.0], [1.0, 0.5]])
    under = torch.tensor([[0.0, 1.2], [1.5, 0.0], [9.0, 0.0]])
    assert in_sight(points, under).tolist() == [True, True, False]
    drawn = scatter(points, None, (), "", under)
    assert drawn.count("h0") == 4 and '<path class="under"' in drawn
    left, right = re.search(r'class="dots".*d="M([\d.]+) [\d.]+h0M([\d.]+)', drawn).groups()
    assert float(right) - float(left) > 400 / 1.6 * 0.9


# ---------------------------------------------------------------------------- tables and findings


def test_no_density_is_told_and_samples_come_early():
    gan, vae = made("gan", IMAGES), made("vae", IMAGES)
    near, far = Score(3.0, "features²", 99, "test", 0.1), Score(9.0, "features²", 99, "test", 0.1)
    p = Score(-30.0, "nats", 99, "test", 0.1, kind="lower bound")
    error = Score(0.1, "", 99, "test", 0.01)

    def models(of_gan, of_vae):
        pairs = (("gan", gan, of_gan), ("vae", vae, of_vae))
        return [TrainedModel(name, model, scores, History()) for name, model, scores in pairs]

    usual = {"log_likelihood": p, "frechet_distance": far, "reconstruction_mse": error}
    both = models({"frechet_distance": near}, usual)
    table = score_table(both)
    assert [h.name for h in table.headers] == [
        "log_likelihood",
        "frechet_distance",
        "reconstruction_mse",
    ]
    assert table.rows[0][0].absent == "This model draws x, but has no explicit density"
    assert why_absent(made("aae", IMAGES), "bits_per_dim") == table.rows[0][0].absent
    (only,) = findings(both)  # of what both have
    assert only.model == 0 and "Fréchet" in only.text
    alone = score_table(models(usual, usual)[1:])
    assert alone.headers[1].name == "reconstruction_mse"


def test_an_estimated_constant_stands_in_the_table():
    about = shown(POINTS, "ebm")
    model = about.entries[0].model
    scores = rp.evaluate(model, about.data)
    table = score_table([TrainedModel("ebm", model, scores, History())])
    (density,) = [part for part in table.more if part.title == "Density"]
    cells = dict(zip([h.title for h in density.headers], density.rows[0][1], strict=True))
    assert cells["log Z"].mark == "≈" and cells["log Z"].error
    assert 1 <= cells["Effective runs"].key <= 8
    assert table.first.rows[0][1][0].mark == "≈"


def test_nearest_images_are_for_pages_with_a_model_that_might_copy():
    for preset in ("gan", "aae", "ebm", "vae-gan"):
        assert nearest.SECTION.applies(shown(IMAGES, "vae", preset))
    assert not nearest.SECTION.applies(shown(IMAGES, "vae"))


def test_a_page_of_all_of_them(tmp_path):
    about = shown(IMAGES, "gan", "aae", "vae-gan", "ebm")
    html = write_page(tmp_path / "r.html", about.data, about.entries).read_text("utf-8")
    sections = re.findall(r'<section id="(\w+)"', html)
    wanted = ["samples", "chains", "nearest", "judged", "latent"]
    assert [name for name in sections if name in wanted] == wanted
    assert html.count('<path class="under"') >= 2  # of aae and vae-gan
    assert "Without a critic of x or an energy: aae." in html
