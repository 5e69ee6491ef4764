"""The loop: what it reaches, what it keeps, when it ends, and what it leaves alone."""

from __future__ import annotations

import csv
import io
import math
import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from clock import clock_of_steps
from torch import Tensor, nn

import reparam as rp
from reparam import checkpoint
from reparam.data import Data, Split
from reparam.model import Loss, Model, Space
from reparam.train import NonFinite, fit
from reparam.train import fit as fit_function
from reparam.train.optimizers import FusedStep

loop = __import__("reparam.train.loop", fromlist=["_"])
F64 = torch.float64


class Toy(Model):
    """‖x − w‖², with a hook that may spoil the loss at chosen calls in training."""

    def __init__(self, space: Space, spoil: Callable[[int], float] = lambda call: 1.0) -> None:
        super().__init__(space)
        self.w = nn.Parameter(torch.zeros(space.dimension))
        self.spoil, self.calls = spoil, 0

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, c = self.prepare(x, c)
        error = (x - self.w).square().sum(1)
        if self.training:
            error = error * self.spoil(self.calls)
            self.calls += 1
        return Loss(error.mean(), {"squared_error": error})


def constant(value: float = 1.0, n: int = 8) -> Data:
    split = Split(torch.full((n, 2), value))
    return Data(split, split, split, Space((2,), "real"), "constant")


def binary_digits() -> Data:
    """scikit-learn's digits, gray over 7 of 16 as white."""
    from sklearn.datasets import load_digits

    x = torch.as_tensor(load_digits().images > 7).to(torch.uint8)[:, None]
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    splits = [Split(x[part]) for part in rows.split([1300, 200, 297])]
    return Data(*splits, Space((1, 8, 8), "binary"), "binary digits")


@pytest.fixture
def every_step(monkeypatch) -> None:
    """``watch`` is told after every step."""
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_NEWS", 0.0)


# ---------------------------------------------------------------------- what it reaches


def test_a_vae_beats_independent_pixels():
    """log p(x) on test images against Bernoulli pixels with the training frequencies."""
    data = binary_digits()
    p = (data.train.x.double().sum(0) + 1) / (len(data.train) + 2)
    x = data.test.x.double()
    floor = (x * p.log() + (1 - x) * (1 - p).log()).flatten(1).sum(1)
    torch.manual_seed(0)
    model = rp.build("vae", data.space, latent_dim=6, hidden=(64,))
    history = fit(model, data, progress=False, epochs=40, batch_size=64, lr=3e-3)
    found = model.log_prob(data.test.x, samples=20).value
    difference = found.double() - floor
    error = difference.std().item() / math.sqrt(len(difference))
    # Paired over 297 images; the floor is near −26 nats, a trained VAE several nats above it.
    assert difference.mean().item() > 2 + 4 * error
    assert history.ended == "all epochs"
    bounds = history.curve("valid/bound")
    assert max(bounds) > bounds[0] + 1


def test_it_leaves_the_weights_of_the_best_validation():
    """A model of few rows and many weights overfits: the last weights are not the best."""
    generator = torch.Generator().manual_seed(0)
    parts = [(torch.rand(n, 20, generator=generator) > 0.5).float() for n in (24, 60, 60)]
    data = Data(*(Split(p) for p in parts), Space((20,), "binary"), "noise")
    torch.manual_seed(0)
    model = rp.build("ae", data.space, latent_dim=16, hidden=(64,))
    history = fit(model, data, progress=False, epochs=300, lr=1e-2)
    curve = history.curve("valid/cross_entropy")
    assert curve[-1] > min(curve) + 1
    found = model.loss(data.valid.x).terms["cross_entropy"].mean().item()
    assert found == pytest.approx(min(curve), rel=1e-5)
    best = history.rows[int(np.argmin(curve))]
    assert history.best_epoch == best["epoch"]
    assert not model.training


def test_validation_means_count_the_last_partial_batch():
    """1500 rows are a batch of 1000 and one of 500: each row counts once."""
    x = torch.arange(3000, dtype=torch.float32).view(1500, 2)
    data = Data(Split(x), Split(x), Split(x), Space((2,), "real"), "ramp")
    model = Toy(data.space)
    fit(model, data, progress=False, epochs=1, batch_size=1500, lr=1e-12)
    history = fit(model, data, progress=False, epochs=1, batch_size=1500, lr=1e-12)
    wanted = x.double().square().sum(1).mean().item()
    assert history.rows[-1]["valid/squared_error"] == pytest.approx(wanted, rel=1e-6)
    assert history.rows[-1]["train/squared_error"] == pytest.approx(wanted, rel=1e-6)
    assert history.rows[-1]["valid/objective"] == pytest.approx(wanted, rel=1e-6)


def test_validation_uses_the_same_noise_each_time():
    data = binary_digits()
    model = rp.build("vae", data.space, latent_dim=4, hidden=(8,))
    history = fit(model, data, progress=False, epochs=18, lr=1e-30)
    assert len(history.rows) >= 2
    assert len(set(history.curve("valid/bound"))) == 1  # nothing moved, nothing was redrawn
    assert len(set(history.curve("train/bound"))) == len(history.rows)  # unlike in training


def test_the_seed_decides_the_run():
    data = binary_digits()
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        model = rp.build("vae", data.space, latent_dim=4, hidden=(8,))
        torch.manual_seed(random.randrange(10**6))  # what went before does not matter
        fit(model, data, progress=False, epochs=1, seed=seed)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


# ------------------------------------------------------------------- the optimizer's parts


def steps_of(config: dict[str, Any], data: Data | None = None) -> list[Tensor]:
    """w after every step of a toy run."""
    data = constant() if data is None else data
    model, seen = Toy(data.space), [torch.zeros(2)]
    fit(
        model,
        data,
        progress=False,
        watch=lambda news: seen.append(model.w.detach().clone()),
        **config,
    )
    return seen


def test_learning_rates_follow_warmup_and_schedule(every_step):
    """Adam's step on a constant gradient sign is lr at first: w moves by lr · factor."""
    lr, warmup, epochs = 1e-6, 4, 10  # so small that the gradient stays what it is
    seen = steps_of({"lr": lr, "epochs": epochs, "warmup": warmup, "schedule": "cosine"})
    moved = [(b - a)[0].item() / lr for a, b in zip(seen, seen[1:], strict=False)]
    wanted = [
        min(1, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * step / epochs))
        for step in range(epochs)
    ]
    # w ≤ 1e-5 is held in float32 with 1e-12, 1e-6 of a step; Adam's own ε of 1e-8 is far less.
    np.testing.assert_allclose(moved, wanted, rtol=1e-4)
    flat = steps_of({"lr": lr, "epochs": epochs})
    np.testing.assert_allclose(
        [(b - a)[0].item() / lr for a, b in zip(flat, flat[1:], strict=False)], 1, rtol=1e-4
    )


def test_averaged_weights_are_what_is_validated_and_kept(every_step):
    """The average warms up: it decays by (1 + s)/(10 + s) in step s while that is less."""
    decay = 0.6  # reached in step 13
    data = constant()
    model, seen = Toy(data.space), []
    history = fit(
        model,
        data,
        progress=False,
        watch=lambda news: seen.append(model.w.detach().double().clone()),
        epochs=20,
        lr=0.02,
        ema=decay,
    )
    average = torch.zeros(2, dtype=F64)
    for s, w in enumerate(seen):
        now = min(decay, (1 + s) / (10 + s))
        average = now * average + (1 - now) * w
    assert len(seen) == 20
    assert (average - seen[-1]).abs().max() > 0.01
    torch.testing.assert_close(model.w.detach().double(), average, rtol=1e-5, atol=0)
    wanted = (1 - average).square().sum().item()
    assert history.rows[-1]["valid/squared_error"] == pytest.approx(wanted, rel=1e-5)


def test_clipping_bounds_the_gradient_of_every_step(monkeypatch):
    norms = []
    step = FusedStep.__call__

    def spied(self: FusedStep, skip: Tensor) -> None:
        gradients = [p.grad for group in self.optimizer.param_groups for p in group["params"]]
        norms.append(math.sqrt(sum(g.square().sum().item() for g in gradients)))
        step(self, skip)

    monkeypatch.setattr(FusedStep, "__call__", spied)
    fit(Toy(constant().space), constant(50.0), progress=False, epochs=3, lr=0.01, clip=0.25)
    assert norms == pytest.approx([0.25] * 3, rel=1e-4)
    norms.clear()
    fit(Toy(constant().space), constant(50.0), progress=False, epochs=3, lr=0.01)
    assert min(norms) > 100


# ------------------------------------------------------------------------- when it ends


def test_patience_ends_a_run_that_no_longer_improves():
    """Validation at 0 while training pulls to 1: every row after the first is worse."""
    train, valid = Split(torch.ones(8, 2)), Split(torch.zeros(8, 2))
    data = Data(train, valid, valid, Space((2,), "real"), "apart")
    model = Toy(data.space)
    history = fit(model, data, progress=False, epochs=5000, lr=1e-3, patience=3)
    assert history.ended == "no further improvement"
    assert len(history.rows) == 1 + 3
    assert history.best_epoch == history.rows[0]["epoch"]
    # Kept is what the first row saw; training went on for three more.
    assert model.w[0].item() == pytest.approx(
        math.sqrt(history.rows[0]["valid/squared_error"] / 2), rel=1e-5
    )


def test_a_budget_ends_a_run_and_its_last_steps_are_in_the_curves(monkeypatch):
    """A second for every step: seven of them, in rows of 50."""
    model = clock_of_steps(monkeypatch).counts(Toy(constant().space))
    history = fit(model, constant(), progress=False, epochs=10**7, budget=7)
    assert history.ended == "budget used up"
    assert history.seconds == 7
    assert [(row["step"], row["seconds"]) for row in history.rows] == [(7, 7)]


def test_the_solved_run_has_no_rows():
    data = constant()
    x = torch.randn(50, 2)
    data = Data(Split(x), Split(x), Split(x), data.space, "x")
    history = fit(rp.build("pca", data.space, latent_dim=1), data, progress=False)
    assert (history.ended, history.rows) == ("solved", [])


# ------------------------------------------------------------------------- not finite


def test_a_step_that_is_not_finite_is_as_if_it_had_not_been(every_step):
    """All batches are alike here, so skipping step 5 must give the run without it, one step late:
    weights, Adam's moments and Adam's count of steps."""

    def run(spoil: Callable[[int], float], epochs: int) -> tuple[list[Tensor], Any]:
        model, seen = Toy(constant().space, spoil), []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = fit(
                model,
                constant(),
                progress=False,
                watch=lambda news: seen.append(model.w.detach().clone()),
                epochs=epochs,
                lr=0.1,
                weight_decay=0.1,
                clip=1.0,
            )
        return seen, (history, [str(w.message) for w in caught])

    clean, (_, silent) = run(lambda call: 1.0, 20)
    for bad in (math.nan, math.inf, -math.inf):
        seen, (history, said) = run(lambda call, bad=bad: bad if call == 5 else 1.0, 21)
        assert torch.equal(seen[5], seen[4])
        for ours, theirs in zip(seen[:5] + seen[6:], clean, strict=True):
            assert torch.equal(ours, theirs)
        (message,) = history.warnings
        assert "squared_error in 1 steps" in message
        assert "smaller lr" in message
        assert said == [message]
        # The mean of the row leaves the bad step out and stays finite.
        assert math.isfinite(history.rows[0]["train/squared_error"])
    assert silent == []


def test_training_means_leave_spoiled_steps_out():
    data = constant(2.0)
    with pytest.warns(RuntimeWarning, match="not finite"):
        history = fit(
            Toy(data.space, lambda call: math.nan if call % 3 == 0 else 1.0),
            data,
            progress=False,
            epochs=50,
            lr=1e-30,
        )
    assert history.rows[0]["train/squared_error"] == pytest.approx(8.0, rel=1e-5)


def test_nan_for_ever_stops_the_run_and_what_is_saved_stays_good(tmp_path):
    model = Toy(constant().space, lambda call: math.nan if call >= 70 else 1.0)
    with pytest.raises(NonFinite, match=r"squared_error in \d+ steps"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        fit(model, constant(), progress=False, out=tmp_path, epochs=500, save_every=0.0)
    assert model.w.isfinite().all()
    back = rp.load(tmp_path, model=Toy(constant().space))
    assert back.w.isfinite().all()
    assert back.w[0] > 0
    tensors, header = checkpoint.read_tensors(tmp_path / "state.safetensors")
    assert all(t.isfinite().all() for n, t in tensors.items() if n.startswith(("model/", "opt")))
    assert header["step"] >= 50


def test_nan_from_the_first_step_stops_at_the_first_row():
    model = Toy(constant().space, lambda call: math.nan)
    with pytest.raises(NonFinite, match="objective in 50 steps"):
        fit(model, constant(), progress=False, epochs=5000)
    assert torch.equal(model.w, torch.zeros(2))


# ----------------------------------------------------------------------- what it leaves alone


def test_random_states_outside_are_untouched(tmp_path):
    data = binary_digits()
    model = rp.build("vae", data.space, latent_dim=2, hidden=(8,))
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    fit(model, data, progress=False, epochs=1, out=tmp_path)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])
    assert random.getstate() == before[2]


@pytest.mark.parametrize("flush", [False, True])
def test_denormals_are_flushed_inside_only(flush):
    class Watched(Toy):
        seen: list[bool] = []

        def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
            self.seen.append(flushed())
            return super().loss(x, c, player)

    if not torch.set_flush_denormal(flush):
        pytest.skip("this CPU cannot flush denormals")
    try:
        assert flushed() == flush
        fit(Watched(constant().space), constant(), progress=False, epochs=1)
        assert all(Watched.seen)
        assert flushed() == flush
    finally:
        torch.set_flush_denormal(False)


def flushed() -> bool:
    return (torch.tensor([2e-39]) * 0.5 * 2).item() == 0.0


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checkpoint, "write_atomically", lambda *a: pytest.fail("it writes"))
    fit(Toy(constant().space), constant(), progress=False, epochs=60, save_every=0.0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_printed(capfd):
    fit(Toy(constant().space), constant(), epochs=60)
    assert capfd.readouterr() == ("", "")


def test_the_data_are_untouched():
    data = binary_digits()
    fingerprint = data.fingerprint()
    fit(rp.build("vae", data.space, latent_dim=2, hidden=(8,)), data, progress=False, epochs=1)
    assert Data(data.train, data.valid, data.test, data.space, "").fingerprint() == fingerprint


def test_data_of_another_space_and_unknown_fields_are_refused():
    model = Toy(Space((3,), "real"))
    with pytest.raises(ValueError, match=r"data: expected Space\(shape=\(3,\).*got Space"):
        fit(model, constant(), progress=False)
    with pytest.raises(ValueError, match="epoch: no field of TrainConfig; it has epochs"):
        fit(Toy(constant().space), constant(), epoch=3)
    with pytest.raises(ValueError, match="device: 'nowhere' is not available"):
        fit(Toy(constant().space), constant(), device="nowhere")


# ------------------------------------------------------------------------------ history


def test_the_curves_parse_as_csv(tmp_path):
    history = fit(Toy(constant().space), constant(), progress=False, out=tmp_path, epochs=120)
    with open(tmp_path / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == history.rows
    assert len(rows) == 3  # every 50 epochs of one step, and the end
    assert [row["step"] for row in rows] == ["50.0", "100.0", "120.0"]
    assert {"epoch", "seconds", "train/squared_error", "valid/squared_error"} <= set(rows[0])


def test_a_row_that_lacks_a_column_stays_aligned():
    history = rp.History()
    history.rows += [{"epoch": 1.0, "a": 2.0}, {"epoch": 2.0, "b": 3.0}]
    rows = list(csv.DictReader(io.StringIO(history.to_csv())))
    assert rows == [{"epoch": "1.0", "a": "2.0", "b": ""}, {"epoch": "2.0", "a": "", "b": "3.0"}]
    assert history.curve("b") == [3.0]


@pytest.mark.parametrize("precision,dtype", [("float32", torch.float32), ("float64", F64)])
def test_precision_is_that_of_the_weights(precision, dtype):
    model = Toy(constant().space)
    fit_function(model, constant(), progress=False, epochs=2, precision=precision)
    assert model.w.dtype == dtype
    assert model.anchor.dtype == dtype


def test_bfloat16_keeps_weights_and_likelihoods_wide(monkeypatch):
    monkeypatch.setattr(loop, "lacks_bfloat16", lambda config, device: False)
    data = binary_digits()
    torch.manual_seed(0)
    model = rp.build("vae", data.space, latent_dim=4, hidden=(32,))
    history = fit(model, data, progress=False, epochs=6, precision="bfloat16")
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert math.isfinite(history.rows[-1]["valid/bound"])


def test_tensorboard_gets_every_row(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fields = {"epochs": 3, "lr": 0.1, "progress": False, "tensorboard": True}
    history = fit(Toy(constant().space), constant(), out=tmp_path / "run", **fields)
    events = reader.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    values = [event.value for event in events.Scalars("valid/squared_error")]
    assert values == pytest.approx(history.curve("valid/squared_error"))


def test_gradients_are_there_whoever_calls():
    """Also within no_grad, as where a fit is started while another model is measured."""
    data = rp.load_data(torch.randn(40, 2, generator=torch.Generator().manual_seed(0)))
    model = rp.build("ae", data.space, latent_dim=1, hidden=(2,), seed=0)
    with torch.no_grad():
        history = rp.fit(model, data, epochs=1, progress=False)
    assert history.ended == "all epochs"


def test_whoever_is_shown_a_model_may_move_it_and_put_it_back():
    """To another device, or dtype as here: its buffers are others afterwards, and averaged too."""
    space, x = Space((4,), "real"), torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    data = Data(*map(Split, x.split([64, 16, 16])), space, "made up")

    def moved(step: int, terms: dict[str, float], model: Model) -> None:
        model.double().float()

    models = [rp.build("vae", space, hidden=(4,), batch_norm=True, seed=0) for _ in range(2)]
    for model, validated in zip(models, (None, moved), strict=True):
        # Two rows of the history, so that what moved is averaged for the second.
        options = {"batch_size": 16, "ema": 0.9, "seed": 0, "progress": False}
        fit_function(model, data, epochs=26, validated=validated, **options)
    for name, value in models[0].state_dict().items():
        assert value.equal(models[1].state_dict()[name]), name
