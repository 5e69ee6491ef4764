"""What Python users give to models and what they get: arrays, conditions, gradients, printing."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(60, 2)) @ RNG.normal(size=(2, 4))).astype(np.float32)
Y = np.where(X[:, 0] > 0, "dog", "cat")
DATA = rp.load_data((X, Y))


def tiny(name="vae", space=DATA.space, **options):
    sizes = {"latent_dim": 2, "hidden": (4,)} if name.endswith("vae") else {}
    return rp.build(name, space, seed=0, **(sizes | options)).eval()


@pytest.mark.parametrize("form", [X[:3], X[:3].tolist(), X[:3].astype(">f8"), pd.DataFrame(X[:3])])
def test_models_take_arrays_lists_and_frames(form):
    model, x = tiny(), torch.from_numpy(X[:3])
    assert torch.allclose(model.encode(form).float(), model.encode(x))
    assert torch.allclose(model.loss(form).terms["rate"].float(), model.loss(x).terms["rate"])
    code = model.encode(x)
    assert torch.equal(model.decode(code.tolist()), model.decode(code))
    made = tiny("made", rp.Space((4,), "binary"))
    bits = X[:3] > 0
    mask = np.array([True, True, False, False])
    done = made.complete(bits, mask, generator=torch.Generator().manual_seed(0))
    assert np.array_equal(done[:, :2], bits[:, :2])
    assert torch.equal(made.log_prob(bits).value, made.log_prob(torch.tensor(bits)).value)


def test_what_is_no_rows_of_numbers_is_refused():
    model = tiny()
    with pytest.raises(ValueError, match=r"got \(4,\); one example is x\[None\]"):
        model.encode(X[0])
    with pytest.raises(ValueError, match="x: rows must have one shape"):
        model.encode([[1, 2, 3, 4], [1]])
    with pytest.raises(ValueError, match="x: expected a tensor or array of numbers, got Split"):
        model.encode(DATA.test)
    for n in (0, 2.5, -1):
        with pytest.raises(ValueError, match=f"n: expected a positive whole number, got {n}"):
            model.sample(n)
        with pytest.raises(ValueError, match="samples: expected a positive whole number"):
            rp.evaluate(model, DATA, samples=n)


def test_editing_takes_arrays():
    model = tiny()
    x = torch.from_numpy(X)
    assert torch.equal(rp.interpolate(model, X[:2], X[2:4]), rp.interpolate(model, x[:2], x[2:4]))
    values = np.array([-1.0, 1.0])
    moved = rp.traverse(model, X[:2], 0, values)
    assert torch.equal(moved, rp.traverse(model, x[:2], 0, torch.from_numpy(values)))
    assert rp.variations(model, X[:1].tolist(), 3).shape == (3, 4)


def fitted(tmp_path):
    model = tiny("cvae")
    rp.fit(model, DATA, epochs=1, progress=False, out=tmp_path / "run")
    return model


def test_a_condition_is_a_class_by_name_or_one_for_all(tmp_path):
    model = fitted(tmp_path)

    def drawn(c, model=model):
        return model.sample(3, c, generator=torch.Generator().manual_seed(0))

    dogs = drawn(torch.tensor([1, 1, 1]))
    for c in (
        "dog",
        1,
        np.int64(1),
        [1, 1, 1],
        np.array([1, 1, 1]),
        ["dog"] * 3,
        np.array(["dog"] * 3),
        torch.ones(3).long(),
    ):
        assert torch.equal(drawn(c), dogs)
    assert not torch.equal(drawn(["dog", "cat", "dog"]), dogs)
    x = torch.from_numpy(X[:2])
    assert torch.equal(model.reconstruct(X[:2], "cat"), model.reconstruct(x, torch.tensor([0, 0])))
    moved = rp.traverse(model, X[:2], 0, [0.0, 1.0], "cat")
    assert moved.shape == (2, 2, 4)
    assert rp.variations(model, X[:1], 3, "dog").shape == (3, 4)
    with pytest.raises(ValueError, match="c: expected one of cat, dog; got 'cow'"):
        drawn("cow")
    with pytest.raises(ValueError, match=r"c: expected labels 0 … 1, got 2 … 2"):
        drawn(2)
    with pytest.raises(
        ValueError, match=r"the numbers of classes, whose names are not known; got 'dog'"
    ):
        tiny("cvae").sample(3, "dog")


def test_names_of_classes_are_kept_with_the_model(tmp_path):
    model = fitted(tmp_path)
    rp.save(model, tmp_path / "saved")
    x = X[:2]
    for other in (rp.load(tmp_path / "run"), rp.load(tmp_path / "saved")):
        assert torch.equal(other.reconstruct(x, "dog"), model.reconstruct(x, "dog"))


def test_attributes_for_all_rows():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = tiny("cvae", rp.load_data(frame, attributes="d").space)
    x = X[:2, :3]
    both = torch.tensor([[30.0], [30.0]])
    for c in (30, 30.0, [30], [[30.0], [30.0]], np.full((2, 1), 30)):
        assert torch.equal(model.reconstruct(x, c), model.reconstruct(x, both))
    model = tiny("cvae", rp.load_data(frame, attributes=["c", "d"]).space)
    assert torch.equal(
        model.reconstruct(X[:2, :2], [1.0, 2.0]),
        model.reconstruct(X[:2, :2], torch.tensor([[1.0, 2.0]] * 2)),
    )
    with pytest.raises(ValueError, match=r"c: expected floats, attributes of shape \(2, 2\)"):
        model.reconstruct(X[:2, :2], 1.0)


def test_gradients_are_what_the_words_say():
    x = torch.from_numpy(X[:3])
    vae, made = tiny(), tiny("made", rp.Space((4,), "real"))
    assert vae.encode(x).requires_grad and made.log_prob(x).value.requires_grad
    assert not vae.log_prob(x, samples=3).value.requires_grad  # of many draws nothing is kept
    with torch.no_grad():
        assert not vae.encode(x).requires_grad
        assert not vae.log_prob(x.clone().requires_grad_()).value.requires_grad


def test_gradient_of_a_bound_is_that_of_its_value():
    model = tiny().double()

    def bound(x):
        draws = torch.Generator().manual_seed(0)
        return model.log_prob(x, samples=5, generator=draws).value.sum()

    x = torch.from_numpy(X[:3].astype(np.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(bound(x), x)
    step = torch.zeros_like(x)
    step[1, 2] = 1e-6
    slope = (bound(x.detach() + step) - bound(x.detach() - step)) / 2e-6
    assert gradient[1, 2].item() == pytest.approx(slope.item(), rel=1e-5)


@pytest.mark.parametrize("form", [(X, Y), DATA, {"x": X, "y": Y}, ((X, Y), (X[:9], Y[:9]))])
def test_fit_and_evaluate_take_what_load_data_takes(form):
    model, same = tiny("cvae"), tiny("cvae")
    data = form if isinstance(form, rp.Data) else rp.load_data(form)
    rp.fit(model, form, epochs=1, progress=False)
    rp.fit(same, data, epochs=1, progress=False)
    assert all(map(torch.equal, model.state_dict().values(), same.state_dict().values()))
    scores = rp.evaluate(model, form, samples=2)
    again = rp.evaluate(same, data, samples=2)
    assert scores | {"samples_per_second": again["samples_per_second"]} == again
    assert scores["conditional_elbo"].n == len(data.test)


def test_arrays_are_read_as_values_of_the_models_kind():
    bits = (X > 0).astype(np.float32)
    model = tiny("made", rp.Space((4,), "real"))
    rp.fit(model, bits, epochs=1, progress=False)
    gray = (X * 50).astype(int) % 9
    made = tiny("made", rp.Space((4,), "levels", 9))
    rp.fit(made, gray / 8, epochs=1, progress=False)
    assert rp.evaluate(made, pd.DataFrame(gray))["log_likelihood"].n == 12
    with pytest.raises(ValueError, match="data: expected Space"):
        rp.fit(model, X[:, :3], progress=False)
    with pytest.raises(ValueError, match=r"got a DataLoader; give loader\.dataset"):
        rp.fit(model, DataLoader(TensorDataset(torch.from_numpy(X))))


def test_resume_takes_the_same_arrays(tmp_path):
    model = tiny()
    rp.fit(model, X, epochs=1, progress=False, out=tmp_path / "run")
    resumed, history = rp.resume(tmp_path / "run", data=X, epochs=2, progress=False)
    assert history.rows[-1]["epoch"] == 2


def test_a_model_of_float64_stays_so():
    model = tiny().double()
    rp.fit(model, DATA, epochs=1, progress=False)
    assert model.encode(DATA.test.x).dtype == torch.float64
    rp.fit(model, DATA, epochs=1, progress=False, precision="float32")  # as asked
    assert model.encode(DATA.test.x).dtype == torch.float32
    with pytest.raises(ValueError, match=r"got torch.float16; give model.float\(\), and precision"):
        rp.fit(tiny().half(), DATA, epochs=1, progress=False)


def test_called_back_at_every_validation():
    seen, model, alone = [], tiny(), tiny()

    def validated(step, terms, trained):
        assert trained is model and not trained.training
        seen.append((step, terms["rate"], trained.sample(2), torch.is_grad_enabled()))

    words = {"epochs": 36, "seed": 0, "progress": False, "ema": 0.9}
    history = rp.fit(model, DATA, validated=validated, **words)
    assert [step for step, *_ in seen] == [row["step"] for row in history.rows]
    assert [rate for _, rate, *_ in seen] == history.curve("valid/rate")
    assert len(seen) > 1 and not any(gradients for *_, gradients in seen)
    rp.fit(alone, DATA, **words)  # what it drew changed nothing
    assert all(map(torch.equal, model.state_dict().values(), alone.state_dict().values()))


def test_printed_in_ten_lines():
    frame = pd.DataFrame(RNG.normal(size=(60, 40)), columns=[f"c{i}" for i in range(40)])
    data = rp.load_data(frame.assign(y=Y, c7=1.0, c8=RNG.integers(0, 2, 60)), label="y")
    model = tiny()
    history = rp.fit(model, DATA, epochs=2, progress=False)
    history.warnings += ["lr"] * 20
    assert repr(rp.History([{"valid/rate": 1.0}])).startswith("History of 1 validation in")
    posterior = model.posterior(torch.from_numpy(X))
    for shown in (data, data.train, history, posterior, model.likelihood(torch.zeros(50, 2))):
        assert len(repr(shown).splitlines()) <= 10, repr(shown)
        assert all(len(line) < 400 for line in repr(shown).splitlines())
    assert repr(posterior) == "NormalDensity of 60 rows (mean (60, 2), log_scale (60, 2))"
    assert repr(data.test) == "Split of 12: x (12, 40) float32, labels (12,) int64"
    for words in ("train 42, valid 6, test 12", "class names: cat, dog", "columns: c0, c1", "real"):
        assert words in repr(data)
    assert f"valid/rate {history.kept['valid/rate']:.5g}" in repr(history)


def test_frames():
    model = tiny()
    history = rp.fit(model, DATA, epochs=2, progress=False)
    curves = history.to_frame()
    assert curves["valid/rate"].tolist() == history.curve("valid/rate")
    scores = rp.evaluate(model, DATA, samples=2)
    table = scores.to_frame()
    assert table.loc["elbo", "value"] == scores["elbo"].value
    assert table.loc["elbo", "kind"] == "lower bound" and table.loc["elbo", "n"] == 12


class Mine(rp.VAE):
    """A VAE that no preset builds."""


def mine(beta=1.0):
    torch.manual_seed(0)
    nets = torch.nn.Linear(4, 4), torch.nn.Linear(2, 8)
    return Mine(
        DATA.space,
        encoder=nets[0],
        decoder=nets[1],
        posterior=rp.DiagonalNormal(2),
        prior=rp.StandardNormal(2),
        likelihood=rp.HeteroscedasticNormal(DATA.space),
        objective=rp.ELBO(rp.Beta(beta)),
    )


def test_own_models_are_compared(tmp_path, monkeypatch):
    monkeypatch.setattr("reparam.comparison.write_page", lambda *_, **__: None)  # slow
    first = mine()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    models = {"one": first, "half": mine(0.5)}
    words = {"out": tmp_path, "epochs": 1, "samples": 2}
    found = rp.compare((X, Y), ["pca latent_dim=1", *models.items()], **words)
    assert repr(found) == "Comparison of 3 models on 'array': pca latent_dim=1, one, half"
    assert [entry.label for entry in found.entries] == ["pca latent_dim=1", "one", "half"]
    trained = mine(0.5)
    rp.fit(trained, DATA, epochs=1, progress=False)
    for name, value in found.entries[2].model.state_dict().items():
        assert torch.equal(value, trained.state_dict()[name])
    assert all(
        torch.equal(before[k], v) for k, v in first.state_dict().items()
    )  # copies are trained
    with pytest.raises(ValueError, match=r"is not empty.*choose another folder or force"):
        rp.compare(DATA, models, **words)
    assert len(rp.compare(DATA, "pca latent_dim=1", out=tmp_path / "two").entries) == 1
    with pytest.raises(ValueError, match="models: expected a model, got int for 'a'"):
        rp.compare(DATA, {"a": 3}, **words)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert list(scores["models"]) == ["pca latent_dim=1", "one", "half"]


def test_a_report_of_models_at_hand(tmp_path, monkeypatch):
    pages = []
    monkeypatch.setattr("reparam.own_report.write_page", lambda *given, **_: pages.append(given))
    model, other = mine(), tiny("pca", latent_dim=1)
    history = rp.fit(model, DATA, epochs=1, progress=False)
    rp.fit(other, DATA, progress=False)
    rp.write_report([(model, history), other, other], (X, Y), tmp_path / "r.html", samples=2)
    _, data, entries = pages[0]
    assert data.fingerprint() == DATA.fingerprint() and entries[0].history is history
    assert [one.label for one in entries] == ["Mine", "pca latent_dim=1", "pca latent_dim=1 (2)"]
    assert entries[0].scores["train_seconds"].value == history.seconds
    rp.write_report({"by name": other}, DATA)
    assert [one.label for one in pages[1][2]] == ["by name"]
    with pytest.raises(ValueError, match="models: expected at least one"):
        rp.write_report([], DATA)
    rp.write_report({"a": other, "a (2)": other, "b": (model, history), "a (3)": other}, DATA)
    assert [one.label for one in pages[2][2]] == ["a", "a (2)", "b", "a (3)"]
    rp.write_report((model, history), DATA, samples=2)
    assert [one.history for one in pages[3][2]] == [history]


@pytest.mark.parametrize(
    "models, said",
    [
        (["vae"], "models: expected models, got str"),
        ("vae", "models: expected models, got str"),
        (None, "models: expected models, got NoneType"),
        ({3: None}, "models: expected names as text, got 3"),
        ([(1, 2)], "models: expected models, got int"),
        ({"a": (tiny("pca", latent_dim=1), 2)}, r"models: expected \(model, history\), got int"),
    ],
)
def test_what_is_no_model_to_report_on_is_named(models, said):
    with pytest.raises(ValueError, match=said):
        rp.write_report(models, DATA)


def test_a_page_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("reparam.own_report.evaluate", None)
    with pytest.raises(ValueError, match="is a folder; expected the name of a file"):
        rp.write_report(tiny("pca", latent_dim=1), DATA, tmp_path)
    with pytest.raises(ValueError, match="^path: expected a path, got an empty one"):
        rp.write_report(tiny("pca", latent_dim=1), DATA, "")
    for name in ("a" * 300, "a" * 245):
        with pytest.raises(ValueError, match="html: cannot be written: File name too long"):
            rp.write_report(tiny("pca", latent_dim=1), DATA, tmp_path / f"{name}.html")


def test_other_classes_than_those_in_training_are_refused():
    """Their numbers would be those of other names."""
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.array(["cat", "dog", "wolf"] * 20)
    data = rp.load_data((x, y))
    model = rp.build("cvae", data.space, latent_dim=1, hidden=(4,))
    rp.fit(model, data, epochs=1, progress=False)
    assert rp.evaluate(model, (x, y), samples=2)
    for other in ("zebra", "ant"):
        with pytest.raises(ValueError, match="expected the classes cat, dog, wolf, as in training"):
            rp.evaluate(model, (x, np.where(y == "cat", other, y)), samples=2)


def test_callbacks_cannot_change_what_is_judged():
    data = rp.load_data("digits")
    histories = []
    for callback in (None, lambda step, terms, model: terms.clear()):
        model = rp.build("ae", data.space, latent_dim=2, hidden=(4,), seed=0)
        fitted = rp.fit(model, data, epochs=2, progress=False, validated=callback)
        histories.append([{k: v for k, v in row.items() if k != "seconds"} for row in fitted.rows])
    assert histories[0] == histories[1]


@pytest.mark.parametrize("label", ["..", ".", "", 3])
def test_names_of_own_models_stay_in_their_folder(label, tmp_path):
    data = rp.load_data(np.random.default_rng(0).normal(size=(40, 3)))
    model = rp.build("ae", data.space, latent_dim=1, hidden=(2,))
    with pytest.raises(ValueError, match="models: expected a name that a folder may have"):
        rp.compare(data, [(label, model)], out=tmp_path / "c", epochs=1)
    assert not list(tmp_path.iterdir())
    pair = [("a b", model), ("a/b", model)]
    with pytest.raises(ValueError, match="models: 'a b' would share the folder a_b with another"):
        rp.compare(data, pair, out=tmp_path / "c", epochs=1)


def test_masked_cells_are_nowhere_read_as_what_lies_below():
    masked = np.ma.masked_greater(X, 1.0)
    masked_rows = [np.ma.masked_greater(row, 1.0) for row in X]
    model, conditional = tiny("pca"), tiny("cvae")
    rp.fit(model, DATA, progress=False)
    for rows in (masked, masked_rows, masked_rows[5:]):
        for use in (
            lambda x: model.encode(x),
            lambda x: model.log_prob(x),
            lambda x: model.decode(x),
            lambda x: rp.fit(tiny("pca"), x, progress=False),
            lambda x: rp.evaluate(model, x),
            lambda x: rp.load_data((x, Y[: len(x)])),
            lambda x: rp.load_rows(x, DATA),
        ):
            with pytest.raises(ValueError, match="has masked cells, which cannot be learned from"):
                use(rows)
    with pytest.raises(ValueError, match="c: has masked cells"):
        conditional.encode(X[:2], np.ma.masked_array([0, 1], [False, True]))
    whole = np.ma.masked_array(X, False)
    assert torch.equal(model.encode(whole), model.encode(X))


def test_a_scalar_tensor_is_a_condition_for_all_rows():
    model, x = tiny("cvae"), X[:3]
    assert torch.equal(model.encode(x, torch.tensor(1)), model.encode(x, 1))
    data = rp.load_data({"x": X, "attributes": X[:, :1]})
    model = tiny("cvae", data.space)
    rp.fit(model, data, epochs=1, progress=False)
    assert torch.equal(model.encode(x, torch.tensor(0.5)), model.encode(x, 0.5))
    with pytest.raises(ValueError, match="c: expected 3 integer labels"):
        tiny("cvae").encode(x, torch.tensor(0.5))


def test_an_error_of_a_callback_leaves_the_model_in_training():
    model = tiny()

    def validated(step, terms, trained):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        rp.fit(model, DATA, epochs=1, progress=False, validated=validated)
    assert model.training
