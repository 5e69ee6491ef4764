"""Transfer: the same labels for all, nothing measured twice, and a page that says what it shows."""

import json
from dataclasses import replace

import joblib
import pytest
import torch

import reparam as rp
from reparam import transfer_models
from reparam.evaluation.probing import MAJORITY, POOLED, RAW, WHOLE
from reparam.report.label_curves import TUNED
from reparam.transfer_models import Learner, Task, tunable
from reparam.use.finetuning import training_of

DIGITS = rp.load_data("digits")
SMALL = replace(
    DIGITS, train=DIGITS.train.take(slice(150)), test=DIGITS.test.take(slice(80)), source=None
)
AE, MAE = "ae latent_dim=3 hidden=8", "mae width=8 layers=1 heads=2 decoder_width=8 patch=4"
FAST = {"epochs": 1, "tuning_epochs": 1, "seeds": 2}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("transfer") / "runs"
    models = [f"scratch encoder='{AE}'", "pca", AE, MAE]
    return rp.transfer(SMALL, models, out=out, labels=(10, 40), **FAST), out


def test_what_is_measured_of_each(found):
    result, out = found
    kinds = {entry.label: entry.features for entry in result.entries}
    assert kinds == {
        f"scratch {AE}": [TUNED, WHOLE],
        "pca": [WHOLE],  # whose solution no gradient reaches
        AE: [TUNED, WHOLE],
        MAE: [TUNED, WHOLE, POOLED],
        "raw pixels": [RAW, MAJORITY],
    }
    assert result[AE].seconds > 0 and result[f"scratch {AE}"].seconds is None
    for entry in result.entries:
        assert [(p.labels, len(p.accuracies), p.n) for p in entry.of(entry.features[0])] == [
            (10, 2, 80),
            (40, 2, 80),
        ]
    content = json.loads((out / "transfer.json").read_text())
    assert content == json.loads(json.dumps(result.to_json()))
    assert [one["mean"] for one in content["models"][AE]["accuracies"]] == [
        probe.mean for probe in result[AE].probes
    ]


def test_all_are_measured_as_by_hand(found):
    """Probes of the run on the same draws, and a fine-tuning of it with their seeds."""
    result, out = found
    run = next(path for path in out.iterdir() if path.name.startswith("mae"))
    model = rp.load(run)
    by_hand = rp.probe(model, SMALL, (10, 40), 2)
    assert result[MAE][40, POOLED] == by_hand[40, POOLED]
    assert result["raw pixels"][40, RAW] == by_hand[40, RAW]
    few = SMALL.with_labels(40, 1)
    tuned = rp.finetune(model, few, epochs=1, seed=1, progress=False).eval()
    right = tuned.encode(SMALL.test.x).argmax(1) == SMALL.test.labels
    assert result[MAE][40, TUNED].accuracies[1] == pytest.approx(right.double().mean().item())
    scratch = rp.build("classifier", few.space, seed=1, encoder=AE, layer_decay=1.0)
    rp.fit(scratch, few, training_of(few, {}), epochs=1, seed=1, progress=False)
    right = scratch.eval().encode(SMALL.test.x).argmax(1) == SMALL.test.labels
    found = result[f"scratch {AE}"][40, TUNED].accuracies[1]
    assert found == pytest.approx(right.double().mean().item())


def test_models_are_tuned_where_they_were_trained(tmp_path):
    config = rp.TrainConfig(device="cpu", precision="float64")
    task = Task(SMALL, Learner.parse(AE), config, tmp_path, (10,), 1, None)
    tuning = task.tuning(SMALL.with_labels(10), 3)
    assert (tuning.device, tuning.precision, tuning.seed) == ("cpu", "float64", 3)


def test_the_page_shows_all_numbers_and_its_pictures_are_described(found):
    result, out = found
    text = (out / "report.html").read_text()
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://www.w3.org", "")
    for entry in result.entries:
        assert entry.label.split()[0] in text
        for probe in entry.probes:
            assert f"{100 * probe.mean:.1f}" in text
    assert text.count('class="plot"') == 4  # two of curves, one scatter for each number of labels
    assert "83.8 / 56.7" in text and "with 10 labels there are none for that" in text


def test_the_same_call_measures_nothing_again_and_more_goes_on(found, monkeypatch):
    result, out = found
    before = {path: path.read_bytes() for path in (out / "points").glob("*.json")}
    calls, tune = [], transfer_models.finetune

    def counted(*given, **named):
        calls.append(given)
        return tune(*given, **named)

    monkeypatch.setattr(transfer_models, "finetune", counted)
    again = rp.transfer(SMALL, ["pca", AE], out=out, labels=(10, 40), **FAST)
    assert not calls and again[AE] == result[AE] and again["pca"] == result["pca"]
    assert {path: path.read_bytes() for path in before} == before
    more = rp.transfer(SMALL, [AE], out=out, labels=(10, "all"), **FAST | {"seeds": 3})
    assert len(calls) == 2  # the third draw of ten labels, and all of them once
    assert more[AE][10, TUNED].accuracies[:2] == result[AE][10, TUNED].accuracies
    fewer = rp.transfer(SMALL, [AE], out=out, labels=(10, 40), **FAST)
    assert fewer[AE] == result[AE] and len(calls) == 2


def test_other_settings_and_other_folders_are_refused(found, tmp_path):
    _, out = found
    with pytest.raises(ValueError, match="measured with other settings or data"):
        rp.transfer(SMALL, [AE], out=out, labels=[10], **FAST | {"tuning_epochs": 2})
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"mine.txt is no part of a transfer"):
        rp.transfer(SMALL, [AE], out=tmp_path, labels=[10], **FAST)
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["mine.txt"]


def test_force_removes_what_is_measured_anew_and_nothing_else(tmp_path):
    out = tmp_path / "out"
    rp.transfer(SMALL, ["pca"], out=out, labels=[10], **FAST)
    (out / "points" / "mine.txt").write_text("mine")
    (out / "points" / "pca.json").write_text('{"tuned": 3}')
    with pytest.raises(ValueError, match="pca.json: damaged"):
        rp.transfer(SMALL, ["pca"], out=out, labels=[10], **FAST)
    again = rp.transfer(SMALL, ["pca"], out=out, labels=[10], **FAST, force=True)
    assert len(again["pca"][10, WHOLE].accuracies) == 2
    assert (out / "points" / "mine.txt").read_text() == "mine"


def test_two_at_a_time_find_the_same(found, tmp_path):
    result, _ = found
    models = ["pca", AE]
    with joblib.parallel_config("threading"):  # processes take as long to start as all the rest
        two = rp.transfer(SMALL, models, out=tmp_path / "two", labels=(10, 40), jobs=2, **FAST)
    for label in models:
        assert two[label].probes == result[label].probes


def test_scratch_is_the_untrained_encoder():
    """The same weights as its seed draws."""
    learner = Learner.parse(f"scratch encoder='{AE}'")
    assert not learner.pretrained and learner.encoder.label == AE
    expected = rp.build("ae", DIGITS.space, seed=3, latent_dim=3, hidden=8).state_dict()
    drawn = learner.untrained(DIGITS, 3).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in drawn.items())
    assert Learner.parse("scratch").encoder == Learner.parse("mae").encoder


def test_what_is_tuned():
    assert tunable(rp.build("vae", DIGITS.space))
    assert not tunable(rp.build("pca", DIGITS.space))
    assert not tunable(rp.build("vq-vae", DIGITS.space))


@pytest.mark.parametrize(
    ("models", "asked", "message"),
    [
        (["nade"], {}, "nade: model: .* has no codes; take one that has"),
        (["cvae"], {}, "cvae: .* told its condition"),
        (["scratch decoder=ae"], {}, "scratch: expected encoder="),
        (["scratch encoder=nade"], {}, "scratch nade: .* has no codes"),
        (["pca", "pca"], {}, "stands twice"),
        (["pca"], {"labels": [5]}, "labels: expected at least 10"),
        (["pca"], {"labels": [10**6]}, "labels: expected at most"),
        (["pca"], {"seeds": 0}, "seeds: expected"),
        (["pca"], {"jobs": 0}, "jobs: expected"),
        ([AE], {"tuning_epochs": 0}, "tuning_epochs: expected a positive whole number, got 0"),
    ],
)
def test_what_cannot_be(models, asked, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        rp.transfer(SMALL, models, out=tmp_path / "out", **{"labels": [10], **asked})
    assert not (tmp_path / "out").exists()
