"""What is no x of the data is refused where people ask, and never looked for in training."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import reparam as rp
from reparam.evaluation.annealing import annealed_log_prob
from reparam.evaluation.denoising import repair
from reparam.model import Batch, Codec, Completer, Density, LatentVariable, Solve, Space
from reparam.space import _all_allowed, _allowed, check_values
from reparam.train import fit

SPACES = {
    "binary": Space((4,), "binary", classes=3),
    "levels": Space((4,), "levels", 17, classes=3),
    "real": Space((4,), "real", classes=3),
}
SMALL: dict[str, dict[str, Any]] = {
    "pca": {"latent_dim": 2},
    "vae": {"latent_dim": 2, "hidden": (4,)},
    "cvae": {"latent_dim": 2, "hidden": (4,)},
    "made": {"hidden": (4,)},
    "ae": {"latent_dim": 2, "hidden": (4,)},
    "ae-gmm": {"codec": {"latent_dim": 2, "hidden": (4,)}, "generator": {"components": 2}},
    "sparse-ae": {"latent_dim": 2},
    "hierarchical-vae": {"latent_dims": (2, 2), "hidden": (4,), "between": (4,)},
}


def rows(space: Space, n: int = 12) -> Tensor:
    x = torch.rand(n, 4, generator=torch.Generator().manual_seed(0))
    k = space.level_count
    return 3 + 2 * x if k is None else (x * k).floor()


def built(name: str, space: Space) -> Any:
    model = rp.build(name, space, **SMALL.get(name, SMALL["ae"]))
    for stage in model.stages:
        if isinstance(stage, Solve):
            c = torch.arange(12) % 3 if model.conditional else None
            stage.solve(model, [Batch(rows(space), c)] * 2)
    return model.eval()


def asked(model: Any, x: Tensor) -> dict[str, Any]:
    """What people ask of x, by name: of its probability, and of its code."""
    c = torch.zeros(len(x), dtype=torch.int64) if model.conditional else None
    calls: dict[str, Any] = {"loss": lambda: model.loss(x, c)}
    if isinstance(model, Density):
        calls["log_prob"] = lambda: model.log_prob(x, c)
    if isinstance(model, LatentVariable):
        calls["annealed"] = lambda: annealed_log_prob(model, x, c, temperatures=1, chains=1)
        calls["posterior"] = lambda: model.posterior(x, c)
        calls["variations"] = lambda: rp.variations(model, x[4:5], 2, None if c is None else c[:1])
    if model.class_frequencies is not None:
        calls["classify"] = lambda: rp.classify(model, x, samples=1)
    if isinstance(model, Completer):
        calls["complete"] = lambda: model.complete(x, torch.ones(4, dtype=torch.bool), c)
    if isinstance(model, Codec):
        calls["encode"] = lambda: model.encode(x, c)
        calls["reconstruct"] = lambda: model.reconstruct(x, c)
        calls["interpolate"] = lambda: rp.interpolate(model, x, x, c=c)
        calls["traverse"] = lambda: rp.traverse(model, x, 0, torch.ones(2), c)
    if isinstance(model, Codec) and model.hidden_units(rows(model.space)) is not None:
        calls["hidden_units"] = lambda: model.hidden_units(x, c)
    return calls


OF_CODES = {
    *("posterior", "variations", "encode", "reconstruct", "interpolate", "traverse"),
    "hidden_units",
}
every_model = pytest.mark.parametrize("name", SMALL)


def all_refuse(model: Any, x: Tensor, said: str, but: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    for what, call in asked(model, x).items():
        if what not in but:
            with pytest.raises(ValueError, match=f"^x: expected .*{said}"):
                call()
                pytest.fail(f"{what} answers")


@every_model
@pytest.mark.parametrize("kind", SPACES)
def test_rows_that_are_not_finite_are_refused_and_others_are_not(name, kind):
    space = SPACES[kind]
    model, x = built(name, space), rows(space)
    for call in asked(model, x).values():
        call()
    for bad, said in ((math.nan, "got NaN in "), (math.inf, "got inf in "), (-math.inf, "-inf in")):
        spoiled = x.clone()
        spoiled[4, 1] = bad
        all_refuse(model, spoiled, said)


@every_model
@pytest.mark.parametrize("kind", ["binary", "levels"])
def test_values_beyond_the_range_are_refused(name, kind):
    space = SPACES[kind]
    model, x = built(name, space), rows(space)
    if getattr(model, "encodes", "range") == "finite":  # of codecs whose means leave the range
        with pytest.raises(ValueError, match="^x: expected"):
            asked(model, x + 99)["loss"]()
        return
    all_refuse(model, x + 99, r"got (1\d\d|99) in (12 of 12|1 of 1) rows")
    all_refuse(model, x - 99.5, r"got -\d\d.5 in (12 of 12|1 of 1) rows")


@every_model
def test_levels_that_were_scaled_are_refused_whoever_is_asked(name):
    """The commonest mistake; its log-probabilities look like any others."""
    model, x = built(name, SPACES["levels"]), rows(SPACES["levels"])
    all_refuse(model, x / 16, r"values in \[0, 1\]; .*: give \(x \* 16\).round\(\)")
    all_refuse(model, x / 8 - 1, r"values in \[-1, 1\]; .*: give \(\(x \+ 1\) \* 8\).round\(\)")


@every_model
@pytest.mark.parametrize("kind", ["binary", "levels"])
def test_values_between_the_levels_have_codes_and_no_probability(name, kind):
    model, x = built(name, SPACES[kind]), rows(SPACES[kind])
    between = (x - 0.5).clamp(min=0)
    all_refuse(model, between, r"(0 or 1|integers 0 … 16).* got 0?\d*\.5 ", but=OF_CODES)
    for what, call in asked(model, between).items():
        if what in OF_CODES:
            call()


def test_messages_say_what_was_expected_what_came_in_which_row_and_what_to_do():
    x = torch.zeros(10, 4)
    x[4, 1], x[6], x[9, 0] = math.nan, math.nan, math.nan
    said = (
        "x: expected finite numbers, got NaN in 3 of 10 rows (first: row 4, column 1); "
        "leave such rows out, or fill them in"
    )
    assert refusal("pca", "real", x) == said
    assert refusal("made", "levels", torch.full((2, 4), 2.5)) == (
        "x: expected integers 0 … 16 (levels), got 2.5 in 2 of 2 rows (first: row 0, column 0); "
        "give x.round()"
    )
    assert refusal("made", "levels", torch.full((2, 4), 20, dtype=torch.uint8)) == (
        "x: expected integers 0 … 16 (levels), got 20 in 2 of 2 rows (first: row 0, column 0); "
        "give x in the units of the training data"
    )
    assert refusal("made", "binary", torch.full((2, 4), 0.3)) == (
        "x: expected 0 or 1 (binary), got 0.3 in 2 of 2 rows (first: row 0, column 0); "
        "give (x > 0.5).float()"
    )
    assert refusal("made", "levels", torch.full((2, 4), -0.3)) == (
        "x: expected integers 0 … 16 (levels), got values in [-1, 1]; they seem to be mapped to "
        "[-1, 1]: give ((x + 1) * 8).round()"
    )
    assert refusal("made", "real", [[1.0] * 3]).startswith("x: expected a tensor of shape (B ≥ 1")


def refusal(name: str, kind: str, x: Any) -> str:
    with pytest.raises(ValueError) as found:
        built(name, SPACES[kind]).log_prob(x)
    return str(found.value)


@pytest.mark.parametrize("levels", [4, 17, 256])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_remedies_give_the_levels_back(levels, dtype):
    """x/(K−1) in float32 is a rounding away from a level: what the message says mends that."""
    space = Space((levels,), "levels", levels)
    x = torch.arange(levels, dtype=dtype).unsqueeze(0)
    model = rp.build("made", space, hidden=(4,))
    top = levels - 1
    assert torch.equal((x / top * top).round(), x)
    assert torch.equal(((2 * x / top - 1 + 1) * (top / 2)).round(), x)
    for scaled in (x / top, 2 * x / top - 1):
        with pytest.raises(ValueError, match="they seem to be"):
            model.log_prob(scaled)
    assert model.log_prob(x).value.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.int64, torch.float16])
def test_values_of_any_type_are_the_same_values(dtype):
    model, x = built("made", SPACES["binary"]), rows(SPACES["binary"])
    assert torch.equal(model.log_prob(x.to(dtype)).value, model.log_prob(x).value)


def test_gradients_reach_real_x():
    model = built("made", SPACES["real"])
    x = rows(SPACES["real"]).requires_grad_()
    model.log_prob(x).value.sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


# ----------------------------------------------------------------------------- what has a code


def test_a_denoiser_takes_noise_beyond_the_range_and_a_vae_does_not():
    space, x = SPACES["levels"], rows(SPACES["levels"])
    noisy = x + 16 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    assert noisy.min() < 0 and noisy.max() > 16
    denoiser = rp.build("denoising-ae", space, corruption="gaussian", latent_dim=2, hidden=(4,))
    plain = built("vae", space)
    assert denoiser.reconstruct(noisy).isfinite().all()
    for bad in (noisy * math.nan, x / 16):
        with pytest.raises(ValueError, match="^x: expected finite numbers, got"):
            denoiser.reconstruct(bad)
    with pytest.raises(ValueError, match=r"^x: expected values in \[0, 16\], got "):
        plain.reconstruct(noisy)
    part = rp.Split(x)
    found = repair(plain, denoiser.noise, part, part, 1.0)  # every codec meets the same noise
    assert math.isfinite(found.repaired.value)


def test_what_is_not_given_is_not_looked_at():
    model, x = built("made", SPACES["real"]), rows(SPACES["real"])
    given = torch.tensor([True, True, False, False])
    missing = x.clone()
    missing[:, 2:] = math.nan
    found = [
        model.complete(v, given, generator=torch.Generator().manual_seed(1)) for v in (x, missing)
    ]
    assert torch.equal(*found)
    missing[3, 0] = math.nan
    with pytest.raises(ValueError, match=r"NaN in 1 of 12 rows \(first: row 3, column 0\)"):
        model.complete(missing, given)


@pytest.mark.parametrize("name", ["pca", "vae", "ae", "ae-gmm"])
def test_codes_that_are_not_finite_are_refused(name):
    model = built(name, SPACES["binary"])
    code = torch.zeros(3, 2)
    assert model.decode(code).isfinite().all()
    code[1] = math.nan
    with pytest.raises(ValueError, match=r"^code: expected finite .* NaN in 1 of 3 rows"):
        model.decode(code)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_conditions_that_are_none_are_refused(bad):
    space = replace(SPACES["real"], classes=None, attributes=2)
    model, x = rp.build("cvae", space, **SMALL["cvae"]), rows(space)
    c = torch.full((12, 2), bad)
    for call in (lambda: model.encode(x, c), lambda: model.log_prob(x, c)):
        with pytest.raises(ValueError, match="^c: expected finite attributes"):
            call()
    with pytest.raises(ValueError, match="^c: expected labels 0 … 2, got 0 … 3"):
        built("cvae", SPACES["real"]).encode(x, torch.arange(12) % 4)


# ------------------------------------------------------------------------------- training


def made_up(space: Space, x: Tensor, **beside: Any) -> rp.Data:
    part = rp.Split(x, **beside)
    return rp.Data(part, part, part, space, "made up")


def test_data_made_by_hand_are_looked_at_once_when_they_are_made():
    x, labels = rows(SPACES["levels"]), torch.arange(12) % 3
    made_up(SPACES["levels"], x, labels=labels)
    for bad, said in ((x / 16, "values in"), (x + 99, "expected integers"), (x * math.nan, "NaN")):
        with pytest.raises(ValueError, match=f"^train: .*{said}"):
            made_up(SPACES["levels"], bad)
    with pytest.raises(ValueError, match="^train: labels: expected labels 0 … 2, got 1 … 3"):
        made_up(SPACES["levels"], x, labels=labels + 1)
    space = replace(SPACES["real"], attributes=1)
    with pytest.raises(ValueError, match="^train: attributes: expected finite attributes"):
        made_up(space, x, attributes=torch.full((12, 1), math.nan))
    far = torch.zeros(3000, 4)
    far[2500, 0] = math.nan  # rows are looked at some at a time
    with pytest.raises(ValueError, match=r"NaN in 1 of 3000 rows \(first: row 2500, column 0\)"):
        made_up(SPACES["real"], far)


class Looks(TorchDispatchMode):
    """Counts how often a value of a tensor is read by the host: on a GPU it would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "is_nonzero", "nonzero", "equal", "item"):
            self.reads[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", [*SMALL, "denoising-ae"])
def test_a_loss_in_training_reads_no_value_and_one_that_is_asked_for_does(name):
    space = SPACES["levels"]
    model, x = built(name, space).train(), rows(space)
    c = torch.arange(12) % 3 if model.conditional else None
    with Looks() as training:
        objective = model(x, c).objective
        if objective.requires_grad:  # PCA has no weights
            objective.backward()
    assert not training.reads
    with Looks() as asked_for:
        model.loss(x, c)
    assert asked_for.reads


def test_training_and_validation_do_not_look(monkeypatch):
    """Neither in steps nor in validations of all stages; the data were looked at before."""
    space = SPACES["levels"]
    data = made_up(space, rows(space, 200), labels=torch.arange(200) % 3)
    looked: list[str] = []
    monkeypatch.setattr("reparam.model.check_values", lambda *a, **k: looked.append("x"))
    for name in ("cvae", "made"):
        model = rp.build(name, space, **SMALL[name])
        fit(model, data, epochs=3, progress=False)
    assert not looked
    model.log_prob(data.test.x)
    assert looked == ["x"]


def test_the_check_ends_with_the_loss_that_fails():
    """An error within a trusted loss must not leave later calls unchecked."""
    model, x = built("vae", SPACES["levels"]), rows(SPACES["levels"])
    with pytest.raises(RuntimeError), pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "loss", lambda *a: (_ for _ in ()).throw(RuntimeError("no")))
        model(x)
    with pytest.raises(ValueError, match="^x: expected"):
        model.log_prob(x / 16)


def test_what_a_codec_decodes_it_encodes_again(model_and_rows):
    """Linear decoders leave the range, dark means look like scaled data, and sums round."""
    model, x, c = model_and_rows
    for n in (len(x), 1):
        told = None if c is None else c[:n]
        code = model.encode(model.reconstruct(x[:n], told), told)
        assert code.shape[0] == n and code.isfinite().all()


@pytest.fixture(params=sorted(SMALL))
def name(request):
    return request.param


@pytest.fixture(params=["dark", "bright"])
def model_and_rows(request, name):
    space = replace(SPACES["levels"], levels=256)
    model = built(name, space)
    if not isinstance(model, Codec):
        pytest.skip("has no codes")
    parameters = dict(model.named_parameters())
    with torch.no_grad():  # wide outputs, so that means come near both ends of the range
        for p in parameters.values():
            p.mul_(4)
    x = torch.zeros(12, 4) if request.param == "dark" else torch.full((12, 4), 255.0)
    x[0, 0] = 1.0 if request.param == "dark" else 254.0
    return model, x, torch.arange(12) % 3 if model.conditional else None


@pytest.mark.parametrize("mean", [255.0 * (1 + 1e-6), 0.3, 1e-6])
def test_means_of_levels_have_codes(mean):
    """Of one sum over levels that rounds beyond the last one, and of dark images."""
    model = built("vae", replace(SPACES["levels"], levels=256))
    assert model.encode(torch.full((2, 4), mean)).isfinite().all()


@pytest.mark.parametrize("domain", ["support", "range", "finite"])
def test_scaled_data_are_recognized_by_their_grid(domain):
    """In float32 k/(K−1) times K−1 is k but for its rounding; a mean is hardly ever so."""
    x = torch.randint(256, (5, 4), generator=torch.Generator().manual_seed(0)) / 255
    with pytest.raises(ValueError, match="divided by 255"):
        check_values(x, 256, domain)


@pytest.mark.parametrize("name", ["vae", "pca"])
def test_rows_may_be_mapped(name):
    """Under vmap no value can be read: Jacobians of every row at once."""
    model = built(name, SPACES["real"])
    x = rows(SPACES["real"])
    one = torch.func.vmap(lambda row: model.encode(row.unsqueeze(0)).squeeze(0))(x)
    torch.testing.assert_close(one, model.encode(x))
    slopes = torch.func.vmap(torch.func.jacrev(lambda r: model.encode(r.unsqueeze(0))[0]))(x)
    assert slopes.shape == (12, 2, 4)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.float64]
)
@pytest.mark.parametrize("domain", ["support", "range", "finite"])
@pytest.mark.parametrize("levels", [None, 2, 5])
def test_extremes_tell_what_every_entry_does(dtype, domain, levels):
    """Values inside and outside, at the edges, between whole numbers, and not finite."""
    nan, inf = float("nan"), float("inf")
    found = set()
    for values in ([0, 1], [1, 4], [0, 5], [-1, 0], [0.5, 1], [0, 1.001], [0, nan], [inf, 0], []):
        x = torch.tensor(values, dtype=torch.float64)
        if not dtype.is_floating_point:
            x = x.nan_to_num(0, 0)
        x = x.to(dtype)
        wanted = bool(_allowed(x, levels, domain).all())
        assert _all_allowed(x, levels, domain) == wanted
        found.add(wanted)
    assert True in found
    assert False in found or not dtype.is_floating_point


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_unsigned_integers_are_real_data(dtype):
    """PyTorch compares none of them: that none is infinite needs no look."""
    x = torch.tensor([[1, 0, 7, 65_535]]).to(dtype)
    for domain in ("support", "finite"):
        assert _all_allowed(x, None, domain)
    assert _all_allowed(x, 256, "finite")
    model = built("vae", SPACES["real"])
    torch.testing.assert_close(model.encode(x), model.encode(x.double()), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["made", "vae"])
def test_numbers_of_binary_rows_may_be_mapped(name):
    """Where no gradient is asked, their logarithms are taken together: mapped, and one by one."""
    model, x = built(name, SPACES["binary"]).double(), rows(SPACES["binary"]).double()

    def value(row: Tensor) -> Tensor:
        return model.log_prob(row.unsqueeze(0)).value[0]

    def of_same_noise(call: Any, x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return call(x)

    with torch.no_grad():
        mapped = of_same_noise(torch.func.vmap(value, randomness="same"), x)
        torch.testing.assert_close(mapped, torch.stack([of_same_noise(value, row) for row in x]))


def test_slopes_of_a_loss_along_a_direction_are_those_of_its_gradient():
    """Forward mode marks no tensor as one whose gradient is asked."""
    model, x = built("made", SPACES["binary"]), rows(SPACES["binary"])
    weights = {n: p.detach() for n, p in model.named_parameters()}
    direction = {n: torch.randn_like(p) for n, p in weights.items()}

    def loss(given: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, given, (x,)).objective

    _, slope = torch.func.jvp(loss, (weights,), (direction,))
    gradient = torch.func.grad(loss)(weights)
    torch.testing.assert_close(slope, sum((direction[n] * g).sum() for n, g in gradient.items()))
    mapped = torch.func.vmap(lambda row: model(row.unsqueeze(0)).objective)(x)
    torch.testing.assert_close(mapped.mean(), loss(weights))
