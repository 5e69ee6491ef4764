"""How many codes are used, how many bits they take, and what is said of a collapse."""

from __future__ import annotations

import math

import pytest
import torch
from index_codecs import IMAGES, Cells, Grids, images

import reparam as rp
from reparam.data import Data, Split
from reparam.evaluation.absent import why_absent
from reparam.evaluation.code_use import code_use
from reparam.evaluation.diagnosis import diagnose
from reparam.measures import measure
from reparam.model import Space
from reparam.train.collapse import collapse, index_counts

SMALL = {"code_dim": 3, "channels": 4, "blocks": 1}
OWN = {"codes_in_use", "perplexity", "code_bits", "prior_bits"}
ROWS = [[0, 0, 0, 1, 1, 1], [0, 1, 0, 1, 0, 1]]  # two codes, each of them six times


def noise(n, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(4, (n, 1, side, side), generator=generator).to(torch.uint8)
    part = Split(x)
    return Data(part, part, part, Space((1, side, side), "levels", 4), "noise")


def test_use_and_bits_of_one_grid():
    found = code_use(Cells(IMAGES).eval(), Split(images(ROWS)))
    assert found["codes_in_use"].value == 2 and found["codes_in_use"].unit == "of 5 codes"
    assert found["perplexity"].value == pytest.approx(2)
    assert found["code_bits"].value == pytest.approx(6 * math.log2(5))
    assert found.keys() == OWN - {"prior_bits"}, "it has no p(z)"


def test_each_grid_has_its_own_use_the_one_next_to_x_being_layer_1():
    found = code_use(Grids(IMAGES).eval(), Split(images(ROWS)))
    value = {name: score.value for name, score in found.items()}
    assert value["codes_in_use_layer_2"] == 1 and value["perplexity_layer_2"] == 1  # always 0
    fine = torch.tensor([4 / 10, 6 / 10])  # of the other five places
    entropy = -(fine * fine.log()).sum().item()
    assert value["perplexity_layer_1"] == pytest.approx(math.exp(entropy))
    assert value["perplexity"] == pytest.approx(math.exp(5 / 6 * entropy))  # of an index
    assert value["codes_in_use"] == 3 and found["codes_in_use"].unit == "of 10 codes"
    assert measure("perplexity_layer_2").title == "Perplexity, layer 2"


@pytest.mark.parametrize("space", [IMAGES, Space((5,), "real")], ids=["images", "vectors"])
def test_every_level_of_depth_is_a_codebook(space):
    model = rp.build("rq-vae", space, codes=7, depth=3, tokens=4, **SMALL).eval()
    code = torch.arange(3).repeat_interleave(model.code_space.dimension // 3)
    code = code.view(1, *model.code_space.shape).repeat(2, *[1] * len(model.code_space.shape))
    counts = index_counts(model, code)
    assert torch.equal(counts.argmax(1), torch.arange(3))
    assert counts.shape == (3, 7) and counts.sum() == code.numel()


@pytest.mark.parametrize("stage", ["uniform", "made"])
def test_bits_under_the_prior_are_the_rate(stage):
    data = noise(30)
    model = rp.build("vq-vae", data.space, codes=6, second_stage=stage, **SMALL).eval()
    scores = rp.evaluate(model, data)
    bits, rate = scores["prior_bits"], scores["rate"]
    assert bits.value == pytest.approx(rate.value / math.log(2), rel=1e-5)
    assert bits.stderr == pytest.approx(rate.stderr / math.log(2), rel=1e-3, abs=1e-6)
    assert (bits.stderr > 1e-4) == (stage == "made")
    assert scores["code_bits"].value == pytest.approx(16 * math.log2(6))


def test_real_codes_have_no_such_scores(tmp_path):
    model = rp.build("vae", Space((5,), "real"), latent_dim=2)
    x = torch.randn(30, 5)
    part = Split(x)
    assert not OWN & rp.evaluate(model, Data(part, part, part, model.space, "x")).keys()
    assert {why_absent(model, name) for name in OWN} == {"Defined for codes that are indices"}
    assert why_absent(Cells(IMAGES), "prior_bits") == "This model has no p(z)"


def test_a_collapse_is_told_with_its_remedy():
    counts = torch.zeros(2, 50)
    counts[0], counts[1, :4] = 20, 100
    assert collapse(counts) == (
        "most of 50 codes are idle: perplexity 4 (layer 1); "
        "try fewer codes or more epochs; where codes are learned, restart above 0, "
        "start=k-means or a lower beta"
    )
    assert collapse(counts[:1]) == ""
    counts[1, :5] = 80
    assert collapse(counts) == "", "a tenth is no collapse"
    assert collapse(torch.eye(50)[:1]) == "", "one vector could not have shown more"


def test_training_and_evaluation_say_that_codes_collapsed():
    data = noise(60)
    options = {"codes": 64, "start": "random", "restart": 0, "codebook": "gradient", **SMALL}
    model = rp.build("vq-vae", data.space, seed=0, **options)
    with pytest.warns(RuntimeWarning, match="most of 64 codes are idle"):
        history = rp.fit(model, data, epochs=1, progress=False)
    (text,) = diagnose(model, data.test)
    assert text in history.warnings


def test_the_perplexity_of_two_grids_is_that_of_an_index():
    model = rp.build("vq-vae-2", Space((1, 16, 16), "levels", 4), codes=4, **SMALL).eval()
    coarse, fine = model.coder.sizes
    shares = torch.eye(4)[0], torch.full((4,), 0.25)
    for quantizer, share in zip(model.coder.quantizers, shares, strict=True):
        quantizer.codebooks[0].used.copy_(share)
    found = model.loss(noise(3, side=16).test.x).terms["perplexity"]
    torch.testing.assert_close(found, torch.full((3,), 4 ** (fine / (coarse + fine))))


def test_curves_follow_the_averaged_shares():
    data = noise(60)
    model = rp.build("rq-vae", data.space, codes=6, depth=2, seed=0, **SMALL)
    history = rp.fit(model, data, epochs=1, progress=False)
    assert {"valid/perplexity", "valid/codes_in_use", "train/perplexity"} <= set(history.columns)
    first, second = model.coder.quantizers[0].codebooks
    first.used.copy_(torch.tensor([3.0, 3.0, 0, 0, 0, 0]))
    second.used.copy_(torch.tensor([1.0, 1, 1, 1, 0.05, 0]))
    terms = model.eval().loss(data.test.x[:3]).terms
    shares = second.used / second.used.sum()
    other = -(shares[:5] * shares[:5].log()).sum()
    wanted = (0.5 * (math.log(2) + other)).exp()
    torch.testing.assert_close(terms["perplexity"], wanted.expand(3))
    assert terms["codes_in_use"].tolist() == [6, 6, 6]  # 2 and 4, one too rare
