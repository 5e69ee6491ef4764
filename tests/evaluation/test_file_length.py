"""The score that is the length of a file: it is one, and says what it is beside."""

from __future__ import annotations

import math

import pytest
import torch

import reparam as rp
from reparam.coding import code, leaves
from reparam.data import Data, Split
from reparam.evaluation import absent, file_length
from reparam.evaluation.file_length import CODED, coded_scores, rows_coded
from reparam.evaluation.scores import difference, mark
from reparam.model import Space

BINARY = Space((1, 8, 8), "binary")


def made(space, rows=40, classes=None, seed=0):
    """Rows of few levels, which a model may learn, the same in all splits."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, *space.shape, generator=generator) ** 3 * space.level_count
    labels = None if classes is None else torch.arange(rows) % classes
    part = Split(x.byte(), labels)
    return Data(part, part, part, space, "made")


def built(name, space, **options):
    return rp.build(name, space, seed=0, **options).double()


@pytest.fixture(scope="module")
def vae():
    return built("vae", BINARY, latent_dim=2, hidden=(8,))


def bits_of(file):
    return 8 * len(file)


def test_it_is_the_length_of_the_file_over_the_entries(vae):
    data = made(BINARY)
    x = data.test.x
    score = rp.evaluate(vae, data, samples=2, coded=True)[CODED]
    file = code(vae, x, bare=True).file
    assert score.value == pytest.approx(bits_of(file) / x.numel(), rel=1e-12)
    assert (score.kind, score.unit, score.n, score.samples) == ("file", "bits", 40, None)
    assert mark(score, CODED) == "file"
    # What a row took, in the order of the split, and an even share of what none of them took.
    bits = code(vae, x, bare=True).bits / 64
    assert torch.allclose(score.values - bits, (score.values - bits).mean().expand(40))
    assert score.values.mean().item() == pytest.approx(score.value, rel=1e-12)
    assert score.stderr == pytest.approx(bits.std().item() / math.sqrt(40))


def test_notes_say_how_it_was_made_and_what_it_is_beside(vae):
    data = made(BINARY)
    score = coded_scores(vae, data.test)[CODED]
    made_how, beside, back = score.notes
    coded = code(vae, data.test.x, bare=True)
    assert made_how == (
        f"40 rows by bits-back coding: {coded.payload_bits:,} bits, and {coded.header_bits:,} of "
        "header"
    )
    percent = float(beside.split(" %")[0])
    own = float(beside.split("beside the ")[1].split()[0])
    assert score.value == pytest.approx(own * (1 + percent / 100), rel=1e-3)
    popped = coded.back > 0
    assert 0 < popped.sum() < 40
    assert f"took {coded.back[popped].mean():,.1f} bits a row" in back
    assert f"where {coded.expected[popped].mean():,.1f} are expected" in back


@pytest.mark.parametrize(
    ("name", "options", "how"),
    [
        ("pixel-cnn", {"width": 4, "layers": 1}, "direct coding"),
        ("made", {"hidden": (8,)}, "direct coding"),
        ("vq-vae", {"codes": 4, "code_dim": 3, "channels": 4, "blocks": 1}, "coding in two parts"),
    ],
)
def test_what_draws_nothing_is_as_long_as_its_likelihood_says(name, options, how):
    data = made(BINARY)
    model = built(name, BINARY, **options)
    (score,) = coded_scores(model, data.test).values()
    assert how in score.notes[0] and len(score.notes) == 2
    with torch.no_grad():
        said = -model.log_prob(data.test.x).value.sum().item() / math.log(2)
    coded = code(model, data.test.x, bare=True)
    # The coder ends on a word and rounds probabilities to 24 bits, parameters to 12.
    assert -0.5 < coded.payload_bits - said < 64 + 0.0005 * said
    assert score.value * 40 * 64 == pytest.approx(coded.payload_bits + coded.header_bits)


def test_where_there_is_no_file_the_reason_stands_in_its_place():
    real, names = Space((3,), "real"), ("pca", "ae")
    generator = torch.Generator().manual_seed(0)
    part = Split(torch.randn(30, 3, generator=generator))
    data = Data(part, part, part, real, "made")
    pca, ae = (rp.build(name, real, latent_dim=2) for name in names)
    rp.fit(pca, data, progress=False)
    assert CODED not in rp.evaluate(pca, data, coded=True)
    assert absent.why_absent(pca, CODED).startswith("No file: pca: ")
    assert "levels" in file_length.why_no_file(pca)[0]
    assert absent.why_absent(ae, CODED) == "A plain autoencoder has no likelihood"


def test_it_is_measured_where_it_is_asked_for(vae, monkeypatch):
    data = made(BINARY)
    assert CODED not in rp.evaluate(vae, data, samples=2)
    assert absent.why_absent(vae, CODED) == absent.NOT_ASKED
    assert file_length.lacks_file(vae, {}) and file_length.why_no_file(vae) == []

    def missing():
        raise ValueError("constriction: is not installed")

    monkeypatch.setattr("reparam.evaluation.coder", missing)
    with pytest.raises(ValueError, match="constriction"):  # before anything is measured
        rp.evaluate(vae, data, coded=True)
    assert leaves.coder is not missing


def test_of_many_rows_some_are_coded(vae, monkeypatch):
    monkeypatch.setattr(file_length, "MOST_ROWS", 25)
    score = rp.evaluate(vae, made(BINARY), samples=2, coded=True)[CODED]
    assert score.n == 25 and score.values is None  # they are no pairs of all rows
    assert score.notes[0] == "coded were 25 of 40 rows, chosen at random"
    chain = built("pixel-cnn", BINARY, width=4, layers=1)
    monkeypatch.setattr(file_length, "MOST_VISITS", 64 * 10)
    monkeypatch.setattr(file_length, "LEAST_ROWS", 2)
    assert (rows_coded(chain, 40), rows_coded(vae, 40), rows_coded(chain, 4)) == (10, 25, 4)
    assert (rows_coded(chain, 40, share=0.5), rows_coded(chain, 40, share=0.01)) == (5, 2)
    monkeypatch.setattr(file_length, "MOST_LEVELS", 2 * 64 * 7)
    assert rows_coded(vae, 40) == 7


def test_rows_with_missing_cells_are_left_out():
    columns = rp.Column("rooms", "levels", 4, low=5), rp.Column("owned", "binary")
    space, generator = Space((2,), "mixed", columns=columns), torch.Generator().manual_seed(0)
    x = torch.randint(2, (40, 2), generator=generator).double() + torch.tensor([5.0, 0.0])
    x[::5, 1] = torch.nan
    part = Split(x)
    data, model = Data(part, part, part, space, "made"), built("made", space, hidden=(4,))
    score = rp.evaluate(model, data, samples=2, coded=True)[CODED]
    assert score.n == 32 and score.notes[0] == (
        "coded were 32 of 40 rows; 8 have missing cells, which have no code"
    )
    assert score.value * 64 == pytest.approx(bits_of(code(model, x[~x.isnan().any(1)]).file))
    assert coded_scores(model, part.take(slice(1))) == {}  # whose only row is one of them


def test_a_condition_makes_it_another_score():
    space = Space((1, 8, 8), "binary", classes=3)
    model = built("cvae", space, latent_dim=2, hidden=(8,))
    scores = rp.evaluate(model, made(space, classes=3), samples=2, coded=True)
    assert f"conditional_{CODED}" in scores and CODED not in scores
    assert absent.why_absent(model, CODED) == "This model uses conditions"


def test_models_differ_row_by_row(vae):
    data = made(BINARY)
    other = built("made", BINARY, hidden=(8,))
    (first,), (second,) = (coded_scores(m, data.test).values() for m in (vae, other))
    apart = difference(first, second)
    assert apart.pairs == 40 and apart.value == pytest.approx(first.value - second.value)
