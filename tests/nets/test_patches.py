"""Cutting into patches against torch's own unfolding, attention against torch's, permutations."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from reparam.nets.attention import Attention, AttentionBlock
from reparam.nets.patches import Patches, parse_patch, put, taken
from reparam.nets.vision_transformer import (
    MaskTokenEncoder,
    PatchDecoder,
    PlaceEmbedding,
    VisibleEncoder,
    VisionTransformer,
)


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("shape", "patch"), [((3, 6, 4), (3, 3, 2)), ((1, 5, 7), (1, 2, 3))])
def test_patches_of_images_are_those_of_unfold(shape, patch):
    x = random(2, *shape)
    side = [-size % part for size, part in zip(shape[1:], patch[1:], strict=True)]
    padded = F.pad(x, (0, side[1], 0, side[0]))
    wanted = F.unfold(padded, patch[1:], stride=patch[1:]).transpose(1, 2)
    patches = Patches(shape, patch)
    assert torch.equal(patches(x), wanted)
    assert torch.equal(patches.inverse(patches(x)), x)


def test_frames_are_cut_one_after_the_other():
    x, patches = random(2, 5, 4, 4), Patches((5, 4, 4), (2, 2, 4))
    cut = patches(x)
    assert patches.grid == (3, 2, 1)
    assert torch.equal(cut[:, 0], x[:, 0:2, 0:2].flatten(1))
    assert torch.equal(cut[:, 1], x[:, 0:2, 2:4].flatten(1))
    assert torch.equal(cut[:, 2], x[:, 2:4, 0:2].flatten(1))
    assert torch.equal(cut[:, 4, :8], x[:, 4, 0:2].flatten(1))
    assert not cut[:, 4, 8:].any()  # the frame that is not there
    assert torch.equal(patches.inverse(cut), x)


def test_groups_of_a_vector():
    x, patches = random(2, 7), Patches((7,), (1, 1, 3))
    assert torch.equal(patches(x)[:, 1], x[:, 3:6])
    assert torch.equal(patches.inverse(patches(x)), x)


@pytest.mark.parametrize("order", [*itertools.permutations(range(5))])
def test_tokens_come_back_to_where_they_were(order):
    tokens, index = random(2, 5, 3), torch.tensor([order, order[::-1]])
    assert torch.equal(put(taken(tokens, index), index, torch.zeros(3).double(), 5), tokens)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (4, 33, 21), (100,)])
def test_usual_patches_are_16_to_64(shape):
    assert 16 <= Patches(shape, parse_patch("auto", shape)).count <= 64


@pytest.mark.parametrize("height", [1, 2, 7, 28, 100, 257])
def test_usual_sides_are_those_of_a_search_through_all_sides(height):
    for width in (*range(1, 70), 96, 224, 1000):
        counts = {p: -(-height // p) * -(-width // p) for p in range(1, max(height, width) + 1)}
        grown = {
            p: (-(-width // p) if height == 1 else count * p) * p for p, count in counts.items()
        }
        usual = [p for p, count in counts.items() if 16 <= count <= 64] or [1]
        expected = min(usual, key=lambda p: (grown[p], abs(math.log(counts[p] / 32)), -p))
        assert parse_patch("auto", (1, height, width))[1:] == (
            min(expected, height),
            min(expected, width),
        )


@pytest.mark.parametrize("text", ["", "x", "4x", "0.5", "1x2x3x4", "-1"])
def test_what_is_no_patch_is_refused(text):
    with pytest.raises(ValueError, match=r"^patch: expected auto or sides, as 4, 4x4 or"):
        parse_patch(text, (1, 8, 8))
    with pytest.raises(ValueError, match=r"^patch: expected auto or entries, as 4"):
        parse_patch("2x2", (9,))


@pytest.mark.parametrize("patch", [(1, 9, 8), (2, 2, 2), (1, 0, 1)])
def test_patches_larger_than_x_are_refused(patch):
    with pytest.raises(ValueError, match=r"^patch: expected sides of 1 to .* 1 x 8 x 8, got"):
        Patches((1, 8, 8), patch)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_that_of_torch(causal):
    ours, h = Attention(6, 3, causal).double(), random(2, 4, 6)
    mask = torch.ones(4, 4, dtype=torch.bool).triu(1) if causal else None
    wanted, weights = F.multi_head_attention_forward(
        h.transpose(0, 1),
        *[h.transpose(0, 1)] * 2,
        6,
        3,
        ours.project.weight,
        ours.project.bias,
        None,
        None,
        False,
        0.0,
        ours.out.weight,
        ours.out.bias,
        attn_mask=mask,
        average_attn_weights=False,
    )
    torch.testing.assert_close(ours(h), wanted.transpose(0, 1))
    torch.testing.assert_close(ours.weights(h), weights)


def test_a_block_is_that_of_torch():
    """With the normalization before each part."""
    ours, h = AttentionBlock(6, Attention(6, 3)).double(), random(2, 4, 6)
    theirs = torch.nn.TransformerEncoderLayer(
        6, 3, 24, 0.0, F.gelu, batch_first=True, norm_first=True, dtype=torch.float64
    )
    with torch.no_grad():
        for place, p in enumerate(ours.norms.parameters()):
            p += 0.1 * (place + 1)
    parts = (
        (theirs.self_attn.in_proj_weight, ours.attention.project.weight),
        (theirs.self_attn.in_proj_bias, ours.attention.project.bias),
        (theirs.self_attn.out_proj.weight, ours.attention.out.weight),
        (theirs.self_attn.out_proj.bias, ours.attention.out.bias),
    )
    layers = (theirs.norm1, ours.norms[0]), (theirs.norm2, ours.norms[1])
    layers += (theirs.linear1, ours.mlp[0]), (theirs.linear2, ours.mlp[2])
    with torch.no_grad():
        for other, mine in parts:
            other.copy_(mine)
    for other, mine in layers:
        other.load_state_dict(mine.state_dict())
    torch.testing.assert_close(ours(h), theirs(h))


def test_a_place_is_that_of_its_frame_row_and_column():
    grid = (2, 3, 4)
    embedding = PlaceEmbedding(grid, 5).double()
    frames, rows, columns = embedding.axes
    for n, (f, r, c) in enumerate(itertools.product(*map(range, grid))):
        torch.testing.assert_close(embedding()[n], frames[f] + rows[r] + columns[c])


@pytest.mark.parametrize("kind", [VisionTransformer, VisibleEncoder, MaskTokenEncoder])
def test_tokens_know_their_places(kind):
    """Of the same patch everywhere, and of hidden ones, all tokens that are computed differ."""
    torch.manual_seed(0)
    encoder = kind(Patches((1, 6, 4), (1, 2, 2)), 8, 1, 2).double()
    same = random(1, 1, 4).expand(1, 6, 4)
    hidden = torch.tensor([[True] * 3 + [False] * 3])
    found = [encoder(same)[0]]
    if kind is VisibleEncoder:
        found += [encoder(same, hidden, 3)[0, 3:], encoder(same, hidden)[0, 3:]]
    elif kind is MaskTokenEncoder:
        found.append(encoder(same, hidden)[0])
    for tokens in found:
        apart = torch.cdist(tokens, tokens) + torch.eye(len(tokens))
        assert apart.min() > 1e-3


def test_a_decoder_knows_its_places():
    torch.manual_seed(0)
    decoder = PatchDecoder(Patches((1, 6, 4), (1, 2, 2)), 8, 4, 1, 2).double()
    found = decoder(random(1, 1, 8).expand(1, 6, 8))[0]
    assert (torch.cdist(found, found) + torch.eye(6)).min() > 1e-3
