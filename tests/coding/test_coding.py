"""What is coded comes back bit for bit, and takes as many bits as the likelihood says."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Case
from torch import Tensor

import reparam as rp
from reparam import coding
from reparam.coding import leaves
from reparam.coding.file import read, write
from reparam.coding.leaves import Grid
from reparam.coding.rows import batch_size, raw_bits
from reparam.coding.stack import Stack
from reparam.distributions.densities import NormalDensity
from reparam.model import Density, Space

IMAGES = Space((1, 8, 8), "binary")
# A block begins with 33 bits and ends in a whole word of 32.
LEAST, MOST = 0, 64
# What has a likelihood of discrete data and makes no file, and a word of the reason.
FLOWS = ("planar-flow", "radial-flow", "nice", "real-nvp", "glow", "maf", "iaf")
FLOWS += ("spline-coupling", "spline-autoregressive", "spline-1d")
REFUSED = {
    **dict.fromkeys(("pca", "rbm", "ebm", "ddpm", "score-sde"), "is no product of conditionals"),
    "two-stage-vae": "conditionals",
    **dict.fromkeys(FLOWS, "is no product of conditionals"),
}
SMALL: dict[str, dict[str, Any]] = {
    "vae": {"latent_dim": 3, "hidden": (8,)},
    "made": {"hidden": (8,)},
    "pixel-cnn": {"width": 4, "layers": 1},
    "vq-vae": {"codes": 8, "channels": 4},
}
WHY = ("a flow's draws", "the mean over several orders", "second_stage")  # of options


def rows_of(space: Space, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    assert space.level_count is not None
    x = torch.randint(space.level_count, (n, *space.shape), generator=generator)
    return x.to(torch.uint8 if space.level_count <= 256 else torch.int32)


def within(payload: int, blocks: int, sum_of_bits: float) -> bool:
    """Between 0 and 64 bits a block, and the .05 % that rounded probabilities may take."""
    return LEAST * blocks <= payload - sum_of_bits <= MOST * blocks + 5e-4 * sum_of_bits


def some(preset: str, space: Space = IMAGES, **options: Any) -> Any:
    torch.manual_seed(0)
    return rp.build(preset, space, **options).eval()


@pytest.mark.one_shape
def test_every_preset_of_discrete_data_codes_or_says_why_not(case: Case):
    model = case.model(torch.float32)
    reason = coding.refusal(model)
    if case.space.has_reals or not isinstance(model, Density):
        assert reason and "\n" not in reason
        return
    if reason is not None:
        assert any(word in reason for word in (REFUSED.get(case.name), *WHY) if word), reason
        return
    x, c = case.x(5), case.c(5)
    coded = coding.code(model, x, c, rows=2, block=4, check=False)  # which is done here
    found = coding.decode(model, coded.file)
    assert torch.equal(found.x.double(), x.double()) and not found.damaged
    assert within(coded.payload_bits, 2, coded.bits.sum().item())
    if coded.way != "bits back":
        told = coding.estimate(model, x, c)
        # Parameters are rounded to 2⁻¹²: by as much, or less, does a log-probability change.
        assert torch.allclose(coded.bits, told, rtol=1e-3, atol=1e-3 * case.space.dimension)


@pytest.mark.parametrize("preset", ["vae", "pixel-cnn", "vq-vae"])
@pytest.mark.parametrize(
    "space",
    [Space((1, 20, 28), "binary"), Space((3, 16, 16), "levels", levels=5)],
    ids=["20x28", "3x16x16"],
)
def test_images_of_other_sizes_come_back(preset: str, space: Space):
    model, x = some(preset, space, **SMALL[preset]), rows_of(space, 3)
    assert torch.equal(rp.decompress(model, rp.compress(model, x, rows=2)), x)


@pytest.mark.parametrize("preset", ["vae", "made", "vq-vae"])
@pytest.mark.parametrize("size", [1, 7, 32])
def test_any_number_of_rows_comes_back(preset: str, size: int):
    model = some(preset, **SMALL[preset])
    for n in (1, size, size + 1):
        x = rows_of(IMAGES, n)
        assert torch.equal(rp.decompress(model, rp.compress(model, x, rows=size)), x)
    with pytest.raises(ValueError, match="^x: expected at least one row, got none"):
        rp.compress(model, x[:0], rows=size)


@pytest.mark.parametrize("preset", ["vae", "made", "vq-vae"])
def test_networks_that_are_given_other_numbers_of_rows_decode_the_same(preset: str):
    """Last digits of matrix products change with the number of rows."""
    model, x = some(preset, **SMALL[preset]), rows_of(IMAGES, 200)
    file = read(rp.compress(model, x, rows=32))
    for rows in (33, 64):
        assert torch.equal(rp.decompress(model, write(dataclasses.replace(file, rows=rows))), x)


CODED_ELSEWHERE = """
import sys, torch, reparam as rp
torch.set_num_threads(2)
x = rp.decompress(rp.load(sys.argv[1]), open(sys.argv[2], "rb").read())
sys.stdout.buffer.write(x.numpy().tobytes())
"""


def test_another_process_with_more_threads_decodes_a_loaded_model(tmp_path: Path):
    model, x = some("vae"), rows_of(IMAGES, 100)
    rp.save(model, tmp_path / "vae")
    (tmp_path / "x.rpz").write_bytes(rp.compress(model, x))
    words = [sys.executable, "-c", CODED_ELSEWHERE, str(tmp_path / "vae"), str(tmp_path / "x.rpz")]
    found = subprocess.run(words, capture_output=True, check=True, timeout=120)
    assert found.stdout == x.numpy().tobytes()


@pytest.mark.parametrize("preset", ["made", "vq-vae"])
def test_without_draws_a_file_is_as_long_as_the_likelihood_says(preset: str):
    model, x = some(preset, **SMALL[preset]), rows_of(IMAGES, 300)
    coded = coding.code(model, x, block=100)
    assert within(coded.payload_bits, 3, coding.estimate(model, x).sum().item())


def test_bits_back_take_the_evidence_lower_bound():
    """As a path of draws, and in the mean over paths what ``log_prob`` says of other draws."""
    model, x = some("vae", **SMALL["vae"]), rows_of(IMAGES, 1000)
    coded = coding.code(model, x, check=False)
    assert within(coded.payload_bits, 1, coded.bits.sum().item())
    late = coded.paid
    assert coded.first == (~late).sum() < 5 and torch.equal(coded.expected > 0, late)
    apart = (coded.bits - coding.estimate(model, x, seed=1))[late]
    assert abs(apart.mean()) < 4 * apart.std() / math.sqrt(len(apart))
    popped = (coded.back - coded.expected)[late]  # of an untrained model, near to its prior
    assert abs(popped.mean()) < 4 * popped.std() / math.sqrt(len(popped))


def test_what_is_popped_of_random_bits_is_a_draw():
    """Its cost is then around the entropy, and the draws have the distribution's moments."""
    words = np.random.default_rng(0).integers(1, 2**32, 200_000, dtype=np.uint32)
    stack, n = Stack(Grid(6, 32), words), 20_000
    mean, log_scale = torch.tensor([0.5, -1.0]).double(), torch.tensor([0.3, -1.2]).double()
    q = NormalDensity(mean.expand(n, 2), log_scale.expand(n, 2))
    drawn = stack.draw(q, n)
    apart = drawn.cost - drawn.expected
    assert abs(apart.mean()) < 4 * apart.std() / math.sqrt(n)
    standard = (drawn.value - mean) / log_scale.exp()
    for at in (0.5, 1.0, 2.0):  # as wide as several steps of the grid, 1/64
        share, said = (standard.abs() < at).double().mean(0), math.erf(at / math.sqrt(2))
        # A bin more or less at either end changes the share by its density times a step of 1/19.
        assert (share - said).abs().max() < 4 * math.sqrt(said * (1 - said) / n) + 0.04 * 0.5
    before = len(words) * 32 - stack.bits
    assert abs(before - drawn.cost.sum()) < 64
    stack.give_back(q, drawn.value, n)
    assert np.array_equal(stack.words, words)


class Reshaped(torch.nn.Module):
    """A layer whose outputs are two parameters of two entries."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).view(-1, 2, 2)


def test_rows_under_an_exact_posterior_take_the_evidence():
    """x = w z + b + noise: log p(x) is that of a normal, whatever z is drawn."""
    space, top = Space((2,), "levels", levels=256), 255
    weight, narrow = torch.tensor([20.0, -12.0]).double(), -1.5
    offset = torch.tensor([120.0, 135.0]).double()
    p_x = rp.DiscretizedNormal(space)
    sigma = p_x(torch.full((1, 2, 2), narrow).double()).log_scale.exp()[0, 0]
    precision = 1 + (weight @ weight) / sigma**2
    encoder, decoder = torch.nn.Linear(2, 2).double(), torch.nn.Linear(1, 4).double()
    with torch.no_grad():  # networks see x / 255, and say a location as 127.5 (1 + l)
        mean = weight / sigma**2 / precision
        encoder.weight.copy_(torch.stack([mean * top, torch.zeros(2)]))
        encoder.bias.copy_(torch.stack([-(mean @ offset), -precision.log() / 2]))
        decoder.weight.copy_(torch.cat([weight, torch.zeros(2)])[:, None] * 2 / top)
        decoder.bias.copy_(torch.cat([offset * 2 / top - 1, torch.full((2,), narrow)]))
    parts = (rp.DiagonalNormal(1), rp.StandardNormal(1), p_x)
    model = rp.VAE(space, encoder, Reshaped(decoder), *parts).double().eval()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, 3, generator=generator, dtype=torch.float64)
    x = (offset + noise[:, :1] * weight + sigma * noise[:, 1:]).round().clamp(0, top)
    covariance = torch.outer(weight, weight) + sigma**2 * torch.eye(2)
    normal = torch.distributions.MultivariateNormal(offset, covariance.double())
    coded = coding.code(model, x)
    late = coded.back > 0
    apart = coded.bits[late] + normal.log_prob(x)[late] / math.log(2)
    # z lies on 2⁻⁶, 1/30 of its posterior's scale, and x on 1, a sixth of sigma: of an integral
    # over a bin of width h of a normal of scale s the midpoint is off by h²/24s², here 1e-3.
    assert abs(apart.mean()) < 5e-3 and apart.abs().max() < 0.2


def test_a_uniform_model_takes_eight_bits_an_entry():
    space = Space((1, 4, 4), "levels", levels=256)
    model = some("made", space, likelihood="categorical", hidden=(4,))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    coded = coding.code(model, rows_of(space, 50))
    assert within(coded.payload_bits, 1, 8.0 * 16 * 50)
    assert raw_bits(space) == 8 * 16


def test_images_that_are_always_the_same_take_next_to_nothing():
    model = some("made", hidden=(4,))
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
        model.network.head.bias.fill_(-30.0)  # of every entry p(1) = 1e-13
    coded = coding.code(model, torch.zeros(500, 1, 8, 8, dtype=torch.uint8))
    assert coded.payload_bits <= 64
    one = coding.code(model, torch.ones(1, 1, 8, 8, dtype=torch.uint8))  # as improbable as can be
    assert within(one.payload_bits, 1, 64 * 24)


def test_conditions_are_in_the_file_or_given_again():
    space = dataclasses.replace(IMAGES, classes=3)
    model, x, c = some("cvae", space, **SMALL["vae"]), rows_of(space, 9), [0, 1, 2] * 3
    assert torch.equal(rp.decompress(model, rp.compress(model, x, c)), x)
    bare = rp.compress(model, x, c, bare=True)
    assert torch.equal(coding.decode(model, bare, c).x, x)
    with pytest.raises(ValueError, match="^c: the file was written without its conditions"):
        rp.decompress(model, bare)


def test_names_and_labels_are_kept():
    model, x = some("made", hidden=(4,)), rows_of(IMAGES, 3)
    names = ["a.png", "ü/b.png", "c"]
    found = coding.decode(model, coding.code(model, x, names=names, labels=[5, -1, 0]).file)
    assert found.names == names and found.labels is not None
    assert found.labels.tolist() == [5, -1, 0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: some("ae"), "ae: has no likelihood"),
        (lambda: some("vae", Space((4,), "real")), "vae: its data are real, and a density has no"),
        (lambda: some("made", orders=2), "made: orders: the mean over several orders or masks"),
        (lambda: some("vae", prior="flow-affine"), "vae: a flow's draws have no one-dimensional"),
        (lambda: some("real-nvp"), "real-nvp: its log p"),
    ],
)
def test_what_makes_no_file_is_refused_with_the_reason(model: Any, said: str):
    built = model()
    reason = coding.refusal(built)
    assert reason is not None and reason.startswith(said)
    x = torch.zeros(1, *built.space.shape)
    with pytest.raises(ValueError, match="^" + re.escape(reason)):
        rp.compress(built, x)


@pytest.mark.parametrize("preset", ["made", "vae", "vq-vae"])
def test_a_model_that_says_no_number_is_refused(preset: str):
    """Of which the coder makes anything, or panics."""
    model = some(preset, **SMALL[preset])
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(torch.nan)
    said = f"^{preset}: its networks give parameters that are not finite"
    for check in (True, False):
        with pytest.raises(ValueError, match=said):
            coding.code(model, rows_of(IMAGES, 3), check=check)


def test_a_decoder_that_says_no_number_is_refused():
    model = some("vae", **SMALL["vae"])
    with torch.no_grad():
        [*model.decoder.parameters()][-1][3] = torch.nan
    with pytest.raises(ValueError, match="^vae: its networks give parameters that are not finite"):
        rp.compress(model, rows_of(IMAGES, 3))


def test_rows_of_many_levels_are_few_at_once():
    """Their tables of all levels are in memory together: 2²⁵ numbers at most, or one row's."""
    assert batch_size(IMAGES) == batch_size(Space((1, 28, 28), "levels", levels=256)) == 32
    assert batch_size(Space((3, 256, 256), "binary")) == 1
    assert batch_size(Space((1, 28, 28), "levels", levels=2**12)) == 10
    columns = rp.Column("a", "binary"), rp.Column("b", "levels", 2**20)
    assert batch_size(Space((2,), "mixed", columns=columns)) == 16


def test_more_levels_than_the_coder_has_probabilities_are_refused():
    columns = rp.Column("a", "binary"), rp.Column("b", "levels", 2**20 + 1)
    model = some("made", Space((2,), "mixed", columns=columns), hidden=(4,))
    said = "^made: its data have up to 1,048,577 levels, and the .* room for 1,048,576; take"
    with pytest.raises(ValueError, match=said):
        rp.compress(model, torch.zeros(1, 2))


def test_tables_come_back_whose_values_count_from_anywhere():
    """Rows that only fill up a batch are 0 there, which is no value of theirs."""
    columns = (
        rp.Column("rooms", "levels", 4, low=5),
        rp.Column("city", "category", 3),
        rp.Column("below", "levels", 300, low=-1000),
        rp.Column("one", "category", 1),
        rp.Column("far", "levels", 50, low=2**40),
        rp.Column("flag", "binary", low=1),
    )
    space, generator = Space((6,), "mixed", columns=columns), torch.Generator().manual_seed(0)
    draws = [torch.randint(c.count or 0, (7,), generator=generator) + c.low for c in columns]
    x = torch.stack(draws, 1)
    for preset in ("made", "vae"):
        model = some(preset, space, **SMALL[preset])
        coded = coding.code(model, x, rows=4, check=False)
        assert torch.equal(rp.decompress(model, coded.file), x)
        assert within(coded.payload_bits, 1, coded.bits.sum().item())


def test_an_estimate_takes_the_conditions_that_a_file_takes():
    space = dataclasses.replace(IMAGES, classes=3)
    model, x = some("cvae", space, **SMALL["vae"]), rows_of(space, 3)
    assert torch.equal(coding.estimate(model, x, 1), coding.estimate(model, x, [1, 1, 1]))
    with pytest.raises(ValueError, match="^c: "):
        coding.estimate(model, x, [0, 1])


def test_a_narrow_mixture_as_posterior_is_told_of():
    model = some("vae", posterior="mixture", **SMALL["vae"])
    x = rows_of(IMAGES, 3)
    assert not coding.code(model, x).warnings
    (warning,) = coding.code(model, x, grid=0).warnings
    assert "narrowest posterior" in warning


def test_parameters_of_what_is_moved_are_rounded_too():
    from reparam.bijections.elementwise import Standardize
    from reparam.distributions.transformed import Transformed

    mean = torch.tensor([[0.1, 0.2]]).double()
    moved = Transformed(NormalDensity(mean, mean), Standardize(Space((2,), "real")).double())
    base = moved.rounded(12).base
    assert isinstance(base, NormalDensity) and bool((base.mean * 2**12 % 1 == 0).all())


def test_without_the_coder_models_that_make_no_file_still_say_why(monkeypatch: Any):
    monkeypatch.setitem(sys.modules, "constriction", None)
    leaves.coder.cache_clear()
    said = [coding.refusal(some(preset)) or "" for preset in ("ae", "vae")]
    leaves.coder.cache_clear()
    assert said[0].startswith("ae: has no likelihood") and "reparam[compress]" in said[1]


def test_a_refusal_asks_networks_for_one_row(monkeypatch: Any):
    model, asked = some("made"), []
    distribution = type(model).distribution
    monkeypatch.setattr(
        type(model),
        "distribution",
        lambda self, rows, c=None: asked.append(rows) or distribution(self, rows, c),
    )
    assert coding.refusal(model) is None and set(asked) == {1}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("preset", "space"),
    [("vq-vae", rp.Space((1, 4, 4), "binary")), ("cvae", rp.Space((4,), "binary", attributes=2))],
)
def test_weights_of_16_bits_are_refused_with_what_to_do(preset: str, space: Space, dtype: Any):
    model = rp.build(preset, space)
    x = torch.zeros(3, *space.shape)
    c = torch.zeros(3, 2) if model.conditional else None
    file = rp.compress(model, x, c)
    model.to(dtype)
    said = f"model: expected weights of float32 or float64, got {dtype}; give model.float(), or"
    assert said in (coding.refusal(model) or "")
    for use in (
        lambda: rp.compress(model, x, c),
        lambda: rp.decompress(model, file, c),
        lambda: coding.estimate(model, x, c),
    ):
        with pytest.raises(ValueError, match=re.escape(said)):
            use()
    rp.compress(model.float(), x, c)


def test_the_finest_grid_codes_and_comes_back():
    """Of 2^20 points to either side in all, as many as the coder tells apart."""
    model = rp.build("made", rp.Space((4,), "binary"), hidden=(4,))
    x = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]], dtype=torch.uint8)
    found = coding.code(model, x, grid=16)
    assert coding.decode(model, found.file).x.tolist() == x.tolist()


def test_a_value_that_32_bits_do_not_count_from_the_mean_is_refused():
    """Cut to 32 bits it is −2³¹, whose absolute value is negative and would pass."""
    entry = leaves.NearLeaf(torch.full((1, 1), -3e9).double(), torch.zeros(1, 1), Grid(0, 8))
    with pytest.raises(ValueError, match="farther from the mean than any draw"):
        entry.push(None, torch.ones(1, 1, dtype=torch.int32))
