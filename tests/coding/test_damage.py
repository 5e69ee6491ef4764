"""Files that came to harm, and models that are not the one: no row comes back wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from damage import damaged, flipped

import reparam as rp
from reparam import coding
from reparam.coding import Compressed, code, decode, decompress
from reparam.coding.file import read, write

pytest.importorskip("constriction")

N, BLOCK, ROWS = 22, 8, 4  # blocks of 8, 8 and 6 rows
PLAIN = rp.Space((1, 4, 4), "binary")
LABELED = rp.Space((1, 3, 4), "levels", levels=5, classes=3)
MODELS = {
    "bits back": ("vae", PLAIN, {"latent_dim": 2, "hidden": (4,)}),
    "two parts": ("vq-vae", PLAIN, {}),
    "direct": ("made", PLAIN, {"hidden": (8,)}),
    "with labels": ("cvae", LABELED, {"latent_dim": 2, "hidden": (4,)}),
}


class Made(NamedTuple):
    model: rp.Model
    x: torch.Tensor
    c: torch.Tensor | None
    coded: Compressed

    @property
    def head(self) -> int:
        """Bytes before the payload."""
        return len(self.coded.file) - self.coded.payload_bits // 8

    def words(self) -> list[range]:
        """Where in the file each block's words are."""
        sizes = [4 * block.words.size for block in read(self.coded.file).blocks]
        edges = [self.head, *(self.head + np.cumsum(sizes)).tolist()]
        return [range(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True)]


@cache
def made(kind: str) -> Made:
    preset, space, options = MODELS[kind]
    model = rp.build(preset, space, seed=0, **options)
    with torch.no_grad():
        for weights in model.parameters():
            weights *= 2  # an untrained decoder makes the same x of every z, the wrong one too
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(space.level_count, (N, *space.shape), generator=generator).byte()
    c = torch.arange(N) % 3 if model.conditional else None
    return Made(model, x, c, code(model, x, c, block=BLOCK, rows=ROWS, names=[*map(str, range(N))]))


def decoded_or_refused(kind: str, file: bytes) -> int:
    """How many rows come back, each of them right; every complaint is one line."""
    model, x, *_ = made(kind)
    try:
        found = decode(model, file)
    except ValueError as error:
        assert "\n" not in str(error) and str(error)
        return 0
    assert found.rows.tolist() == sorted({*found.rows.tolist()}) and found.count == N
    torch.testing.assert_close(found.x, x[found.rows], rtol=0, atol=0)
    missing = {*range(N)} - {*found.rows.tolist()}
    assert all("\n" not in line for line in found.damaged)
    assert bool(found.damaged) == bool(missing)
    return len(found.x)


@pytest.mark.parametrize("kind", MODELS)
def test_whole_files_come_back(kind):
    model, x, c, coded = made(kind)
    found = decode(model, coded.file)
    assert torch.equal(found.x, x) and found.x.dtype == x.dtype and not found.damaged
    assert found.names == [*map(str, range(N))]
    assert (found.c is None) == (c is None)
    assert c is None or found.c.flatten().tolist() == c.tolist()


@pytest.mark.parametrize("hurt", range(3))
@pytest.mark.parametrize("kind", MODELS)
def test_a_flipped_bit_costs_the_rows_of_its_block_only(kind, hurt):
    """Whichever word it is in: the last, which is read first, the first, or one between them."""
    model, x, _, coded = made(kind)
    words = made(kind).words()[hurt]
    rows = range(BLOCK * hurt, min(N, BLOCK * (hurt + 1)))
    for place, bit in [(words[0], 0), (words[len(words) // 2], 5), (words[-4], 1)]:
        file = flipped(coded.file, place, bit)
        found = decode(model, file)
        assert found.rows.tolist() == [i for i in range(N) if i not in rows]
        assert torch.equal(found.x, x[found.rows])
        (line,) = found.damaged
        assert f"rows {rows[0]} to {rows[-1]} do not come back" in line
        with pytest.raises(ValueError, match=f"rows {rows[0]} to {rows[-1]} do not come back"):
            decompress(model, file)


def test_blocks_that_changed_places_are_damaged():
    """Their words are whole, but are not those of these rows."""
    model, x, _, coded = made("direct")
    first, second, third = read(coded.file).blocks
    turned = replace(first, words=second.words), replace(second, words=first.words), third
    found = decode(model, write(replace(read(coded.file), blocks=turned)))
    assert found.rows.tolist() == [16, 17, 18, 19, 20, 21] and len(found.damaged) == 2
    assert torch.equal(found.x, x[16:])


FORGED = {
    "crc": {"crc": 0},
    "batches": {"batches": (2, 1, 3, 2), "back": (False, True, True, False)},
    "bits of the first rows": {"batches": (4, 4), "back": (True, True)},
    "no bits": {"batches": (4, 4), "back": (False, False)},
    "no words": {"words": np.zeros(0, np.uint32)},
    "a word": {"words": np.ones(1, np.uint32)},
    "zeros": {"words": np.zeros(9, np.uint32)},
    "narrow": {"reach": 1},
    "wide": {"reach": 2**10},
}


@pytest.mark.parametrize("changed", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize("kind", MODELS)
def test_a_block_that_was_forged_is_damaged_or_right(kind, changed):
    """A header with its CRC, of what no encoder would write."""
    model, x, _, coded = made(kind)
    contents = read(coded.file)
    blocks = (replace(contents.blocks[0], **changed), *contents.blocks[1:])
    found = decode(model, write(replace(contents, blocks=blocks)))
    assert torch.equal(found.x, x[found.rows])
    assert found.rows.tolist()[-14:] == [*range(8, N)]  # the other blocks, always


@pytest.mark.parametrize("changed", [{"grid": 0}, {"grid": 5}, {"grid": 8}, {"rows": 5}])
@pytest.mark.parametrize("kind", MODELS)
def test_a_header_that_was_forged_brings_no_wrong_rows(kind, changed):
    model, x, _, coded = made(kind)
    found = decode(model, write(replace(read(coded.file), **changed)))
    assert torch.equal(found.x, x[found.rows])
    if kind in ("bits back", "with labels") and "grid" in changed:
        assert len(found.damaged) == 3
    if "rows" in changed:  # float64 leaves no trace of how many the networks are given
        assert not found.damaged


def perturbed(model: rp.Model, size: float) -> rp.Model:
    """Relative to every weight; float32 has steps of 6e-8 to 1.2e-7."""
    other = rp.build(model.recipe["preset"], model.space, seed=0, **model.recipe["parameters"])
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        for weights in other.parameters():
            weights *= 1 + size
    return other


@pytest.mark.parametrize("kind", MODELS)
def test_other_weights_are_refused_however_near(kind):
    model, _, _, coded = made(kind)
    with pytest.raises(ValueError, match="file: was made with other weights"):
        decode(perturbed(model, 1e-7), coded.file)
    preset, space, options = MODELS[kind]
    with pytest.raises(ValueError, match="file: was made with other weights"):
        decode(rp.build(preset, space, seed=1, **options), coded.file)


@pytest.mark.parametrize("size", [1e-7, 1e-5, 1e-2])
@pytest.mark.parametrize("kind", MODELS)
def test_other_weights_would_be_found_out_by_the_rows(kind, size, monkeypatch):
    """As if another machine computed so much differently, which no checksum of weights shows."""
    model, x, _, coded = made(kind)
    monkeypatch.setattr(coding, "refuse_other", lambda model, contents: None)
    found = decode(perturbed(model, size), coded.file)
    assert torch.equal(found.x, x[found.rows])
    assert size < 1e-2 or len(found.damaged) == 3


@pytest.mark.parametrize("kind", ["bits back", "with labels"])
def test_truncated_files_are_refused(kind):
    model, _, _, coded = made(kind)
    for size in (30, made(kind).head - 1, made(kind).head, len(coded.file) - 1):
        with pytest.raises(ValueError, match="is truncated"):
            decode(model, coded.file[:size])
    with pytest.raises(ValueError, match="goes on for 1 bytes"):
        decode(model, coded.file + b"\0")
    with pytest.raises(ValueError, match="^file: is no .rpz file"):
        decode(model, b"")


def test_models_of_other_data_are_refused():
    model, *_ = made("bits back")
    with pytest.raises(ValueError, match="file: holds 5 levels data of shape"):
        decode(model, made("with labels").coded.file)
    labeled = made("with labels")
    file = write(replace(read(labeled.coded.file), levels=9))
    with pytest.raises(ValueError, match="file: holds 9 levels data .* a model of 5 levels data"):
        decode(labeled.model, file)


def test_conditions_are_in_the_file_or_given_again():
    model, x, c, coded = made("with labels")
    bare = code(model, x, c, block=BLOCK, rows=ROWS, bare=True)
    assert len(bare.file) < len(coded.file)
    with pytest.raises(ValueError, match="c: the file was written without its conditions"):
        decode(model, bare.file)
    assert torch.equal(decode(model, bare.file, c).x, x)
    with pytest.raises(ValueError, match="c: "):
        decode(model, bare.file, c[:-1])
    with pytest.raises(ValueError, match="c: .* not conditional"):
        decode(made("direct").model, made("direct").coded.file, c)


def test_other_conditions_spoil_the_blocks_that_have_them_only():
    model, x, c, coded = made("with labels")
    other = c.clone()
    other[10] = (other[10] + 1) % 3
    found = decode(model, coded.file, other)
    assert torch.equal(found.x, x[found.rows])
    assert {*range(8), *range(16, N)} <= {*found.rows.tolist()}
    assert len(found.damaged) == 1


@pytest.mark.parametrize("kind", MODELS)
def test_no_damage_brings_wrong_rows(kind):
    rng = np.random.default_rng(0)
    file = made(kind).coded.file
    counts = [decoded_or_refused(kind, damaged(file, rng, made(kind).head)) for _ in range(60)]
    assert 0 in counts and any(0 < count < N for count in counts)


@pytest.mark.parametrize("kind", MODELS)
def test_no_words_make_the_decoder_fail(kind):
    """Words that no encoder left: random, equal, the largest, and ending in 0."""
    rng = np.random.default_rng(0)
    model, x, _, coded = made(kind)
    size = len(coded.file) - made(kind).head
    for payload in (rng.bytes(size), bytes(size), b"\xff" * size, b"\1\0\0\0" * (size // 4)):
        found = decode(model, coded.file[: made(kind).head] + payload)
        assert torch.equal(found.x, x[found.rows]) and len(found.damaged) == 3


@pytest.mark.parametrize("kind", ["bits back", "two parts", "direct"])
@pytest.mark.parametrize("words", [[], [7], [3, 2**31, 5, 9, 2**32 - 1]])
def test_more_rows_than_words_can_hold_are_not_decoded(kind, words):
    """Hours of passes are claimed by 60 kB: they end where the stack does."""
    one, batches = made(kind), 20_000
    contents = read(one.coded.file)
    (first, *_), n = contents.blocks, ROWS * batches
    sizes, back = (ROWS,) * batches, (kind == "bits back",) * (batches - 1)
    claimed = replace(
        first, rows=n, batches=sizes, back=(False, *back), words=np.array(words, np.uint32)
    )
    forged = replace(contents, block=n, n=n, names=None, blocks=(claimed,))
    passes = 0

    def count(*_):
        nonlocal passes
        passes += 1

    hooks = [part.register_forward_pre_hook(count) for part in one.model.modules()]
    try:
        found = decode(one.model, write(forged))
    finally:
        for hook in hooks:
            hook.remove()
    assert len(found.rows) == 0 and found.damaged == [
        f"rows 0 to {n - 1} do not come back: their block is damaged"
    ]
    assert passes < 2000


def test_a_grid_that_the_coder_has_no_probabilities_for_is_refused():
    one = made("bits back")
    contents = read(one.coded.file)
    reach = 2**20 >> contents.grid
    first, *others = contents.blocks
    with pytest.raises(ValueError, match=f"block 0 has a grid that reaches to {reach} in steps"):
        write(replace(contents, blocks=(replace(first, reach=reach), *others)))
