"""Quantizers: which code is nearest, what the decoder sees, and how codes move."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from reparam.nets.codebook import Codebook, nearest_code, straight_through
from reparam.nets.quantize import FiniteScalarQuantizer, VectorQuantizer

F64 = torch.float64


def vectors(n, width, offset=0.0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n + width)
    return offset + torch.randn(n, width, generator=generator, dtype=F64).to(dtype)


@pytest.mark.parametrize("offset", [0.0, 100.0])
@pytest.mark.parametrize("autocast", [False, True])
def test_the_nearest_code_is_that_of_exact_distances(offset, autocast):
    x, codes = vectors(3000, 16, offset), vectors(300, 16, offset)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = nearest_code(x, codes)
    exact = torch.cdist(x.double(), codes.double()).square()
    best, chosen = exact.min(1).values, exact.gather(1, found[:, None])[:, 0]
    # Where the two best differ by more than rounding of the squares, the choice is the best.
    room = 1e-5 * (x.double() - codes.mean(0)).square().sum(1).add(codes.square().sum(1).max())
    assert (chosen - best <= room).all()
    assert (found == exact.argmin(1)).float().mean() > 0.999


def test_of_equal_codes_the_first_is_chosen():
    codes = vectors(5, 3)[[0, 1, 1, 2, 0]]
    assert nearest_code(codes, codes).tolist() == [0, 1, 1, 3, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorQuantizer(16, 4),
        lambda: VectorQuantizer(16, 4, update="gradient", gradient="rotation"),
        lambda: VectorQuantizer(16, 4, depth=3, cosine=True),
        lambda: FiniteScalarQuantizer((4, 3, 2, 5)),
    ],
    ids=["vq", "rotation", "residual", "fsq"],
)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_the_decoder_sees_codes_bit_for_bit(make, compiled):
    torch.manual_seed(0)
    quantizer = make()
    quantizer.start(vectors(200, 4))
    z = (3 * vectors(60, 4)).view(5, 4, 4, 3).requires_grad_()
    call = torch.compile(quantizer, backend="aot_eager", fullgraph=True) if compiled else quantizer
    found = call(z)
    assert torch.equal(found.vectors, quantizer.lookup(found.indices))


def test_the_gradient_passes_as_it_is():
    e, z = vectors(7, 3), vectors(8, 3)[:7].requires_grad_()
    weight = vectors(9, 3)[:7]
    (straight_through(e, z) * weight).sum().backward()
    assert torch.equal(z.grad, weight)


def test_the_rotated_gradient_is_that_of_a_rotation_onto_the_code():
    """Angles between gradient and vector become those between the gradient and the code."""
    quantizer = VectorQuantizer(8, 5, gradient="rotation").double()
    quantizer.start(vectors(50, 5, dtype=F64))
    z = vectors(20, 5, dtype=F64).requires_grad_()
    found = quantizer(z)
    weight = vectors(21, 5, dtype=F64)[:20]
    (found.vectors * weight).sum().backward()
    e = found.vectors.detach()
    scale = e.norm(dim=1) / z.detach().norm(dim=1)
    torch.testing.assert_close(z.grad.norm(dim=1), scale * weight.norm(dim=1))
    inner = (z.grad * z.detach()).sum(1) / (z.grad.norm(dim=1) * z.detach().norm(dim=1))
    wanted = (weight * e).sum(1) / (weight.norm(dim=1) * e.norm(dim=1))
    torch.testing.assert_close(inner, wanted)


def test_each_term_has_a_gradient_to_one_side():
    quantizer = VectorQuantizer(10, 3, update="gradient").double()
    z = vectors(6, 3, dtype=F64).requires_grad_()
    found = quantizer(z)
    book = quantizer.codebooks[0].codebook
    assert torch.equal(found.terms["commitment"], found.terms["codebook"])
    found.terms["commitment"].sum().backward(retain_graph=True)
    assert book.grad is None and z.grad.abs().sum() > 0
    z.grad = None
    found.terms["codebook"].sum().backward()
    assert z.grad is None
    used = torch.zeros(10, dtype=torch.bool).index_fill(0, found.indices.flatten(), True)
    assert (book.grad[~used] == 0).all() and book.grad[used].any(1).all()
    e = book.detach()[found.indices[:, 0]]
    torch.testing.assert_close(found.terms["codebook"], (z.detach() - e).square().sum(1))


def step(book, x):
    found, _ = book(x)
    book.after_step(book.statistics(x, found))
    return found


def test_without_memory_used_codes_are_centroids_and_others_stay():
    book = Codebook(12, 3, decay=0.0, restart=0.0).double()
    before, x = book.codebook.clone(), vectors(9, 3, 2.0, F64)
    found = step(book, x)
    used = found.unique()
    assert len(used) < 12
    for k in range(12):
        if k in used:
            torch.testing.assert_close(book.codebook[k], x[found == k].mean(0))
        else:
            assert torch.equal(book.codebook[k], before[k])


def test_averages_are_those_of_all_vectors_with_weights_that_decay():
    """From nothing: shares and sums of steps t weigh γ^(T − t), and the first is not damped."""
    book = Codebook(2, 1, decay=0.5, restart=0.0).double()
    book.codebook.copy_(torch.tensor([[0.0], [10.0]]))
    first, second = torch.tensor([[1.0], [2.0], [9.0]]).double(), torch.tensor([[3.0]]).double()
    step(book, first)
    torch.testing.assert_close(book.codebook, torch.tensor([[1.5], [9.0]]).double())
    step(book, second)
    mean = (0.5 * (1 + 2) / 3 + 3) / (0.5 * 2 / 3 + 1)
    torch.testing.assert_close(book.codebook[0], torch.tensor([mean]).double())
    assert book.codebook[1].item() == 9.0
    torch.testing.assert_close((book.counts / book.weight).sum(), torch.ones((), dtype=F64))


def test_two_halves_of_a_batch_move_codes_as_the_whole():
    one, two = (Codebook(6, 2, restart=0.5).double() for _ in range(2))
    two.load_state_dict(one.state_dict())
    for seed in range(4):
        x = vectors(40 + seed, 2, dtype=F64)
        step(one, x)
        parts = [two.statistics(p, two(p)[0]) for p in (x[:15], x[15:])]
        two.after_step({name: parts[0][name] + parts[1][name] for name in parts[0]})
    assert one.restarts > 0
    for (name, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12, msg=name)


def test_statistics_that_are_not_finite_are_left_out():
    book = Codebook(4, 2)
    step(book, vectors(30, 2))
    before = {name: value.clone() for name, value in book.state_dict().items()}
    step(book, torch.full((5, 2), torch.nan))
    assert all(torch.equal(value, before[name]) for name, value in book.state_dict().items())


def test_an_idle_code_is_put_within_the_vectors_of_the_most_used():
    book = Codebook(3, 2, decay=0.5, restart=0.2).double()
    book.codebook.copy_(torch.tensor([[0.0, 0.0], [50.0, 0.0], [0.0, 900.0]]))
    x = torch.cat([vectors(60, 2, dtype=F64), vectors(20, 2, dtype=F64) + torch.tensor([50.0, 0])])
    step(book, x)
    assert book.restarts == 1
    mean, spread = x[:60].mean(0), x[:60].std(0, correction=0)
    beside = (book.codebook[2] - mean).abs()
    length = (spread**4).sum().sqrt() / (spread**2).sum().sqrt()
    torch.testing.assert_close(beside, spread * length / (spread**2).sum().sqrt())
    torch.testing.assert_close(book.counts[2], book.counts[0])
    moved = step(book, x)
    share = (moved == 2).double().sum() / 60
    assert 0.1 < share < 0.6, "a part of them is nearer to it from now on"
    assert book.restarts == 1


def test_more_idle_codes_than_used_ones_share_those():
    book = Codebook(5, 1, decay=0.0, restart=0.5).double()
    book.codebook.copy_(torch.tensor([[0.0], [900.0], [901.0], [902.0], [903.0]]))
    step(book, vectors(40, 1, dtype=F64))
    assert book.restarts == 4
    torch.testing.assert_close(book.counts, torch.full((5,), 0.2).double())
    assert book.codebook.isfinite().all()


def test_codes_that_were_moved_are_no_more_in_use_than_they_are():
    """Of equal vectors one code is nearest, wherever the others are put."""
    torch.manual_seed(0)
    quantizer, z = VectorQuantizer(16, 3, decay=0.9), torch.ones(50, 3, 1)
    for _ in range(60):
        quantizer.after_step(quantizer(z).statistics)
    assert quantizer.restarts > 16
    torch.testing.assert_close(quantizer.use, torch.ones(1, 2), rtol=0.01, atol=0)


def test_moved_codes_are_used_from_then_on():
    """From codes near 0 and vectors that are far away, where one code alone is nearest to all."""
    torch.manual_seed(0)
    book = Codebook(16, 4, decay=0.9, restart=0.2)
    assert len(step(book, vectors(400, 4, 3.0)).unique()) < 6
    for seed in range(60):
        found = step(book, vectors(401 + seed, 4, 3.0))
    assert len(found.unique()) == 16
    before = book.restarts.item()
    for seed in range(20):
        step(book, vectors(500 + seed, 4, 3.0))
    assert 12 < before < 60 and book.restarts - before < 3
    with pytest.raises(ValueError, match="restart"):  # of a fair code both halves were idle
        VectorQuantizer(4, 2, restart=0.5)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_after_the_start_hardly_a_vector_changes_its_code(depth):
    quantizer = VectorQuantizer(16, 6, depth, decay=0.99)
    z = vectors(1000, 6)
    quantizer.start(z)
    first = quantizer(z)
    quantizer.after_step(first.statistics)
    assert (quantizer(z).indices != first.indices).float().mean() < 0.05
    errors = []
    for level in range(depth):
        parts = VectorQuantizer(16, 6, level + 1)
        parts.books = nn.ModuleList(quantizer.codebooks[: level + 1])
        errors.append((parts(z).vectors - z).square().sum(1).mean().item())
    assert errors == sorted(errors, reverse=True)


def test_a_start_counts_as_one_step():
    """Codes follow an encoder that moves away from it, and unused ones are soon moved."""
    book = Codebook(8, 2).double()
    book.start(vectors(100, 2, dtype=F64))
    away = vectors(101, 2, 5.0, F64)
    assert len(step(book, away).unique()) < 4
    torch.testing.assert_close(book.weight, torch.tensor(1 - 0.99**2, dtype=F64))
    for _ in range(40):
        found = step(book, away)
    assert len(found.unique()) > 5 and book.restarts > 0


def test_residuals_of_one_level_are_plain_quantization():
    torch.manual_seed(0)
    z, one = vectors(30, 3), VectorQuantizer(8, 3, 1)
    found = one(z)
    book = one.codebooks[0]
    assert torch.equal(found.indices[:, 0], nearest_code(z, book.codebook))
    assert torch.equal(found.vectors, book.codebook[found.indices[:, 0]])


@pytest.mark.parametrize("cosine", [False, True])
def test_every_level_leaves_less_than_the_one_before(cosine):
    """The length of what is left is known to those levels only whose codes have any length."""
    torch.manual_seed(0)
    quantizer, rest = VectorQuantizer(16, 4, 4, cosine=cosine), vectors(1000, 4)
    quantizer.start(rest)
    rest = nn.functional.normalize(rest, dim=1) if cosine else rest
    errors = []
    for book in quantizer.codebooks:
        rest = rest - book(rest)[1]
        errors.append(rest.square().sum(1).mean().item())
    assert errors == sorted(errors, reverse=True)


def test_codes_of_length_one_are_chosen_by_cosine():
    quantizer = VectorQuantizer(9, 4, cosine=True).double()
    z = vectors(50, 4, dtype=F64)
    quantizer.start(z)
    codes = quantizer.codebooks[0].vectors
    torch.testing.assert_close(codes.norm(dim=1), torch.ones(9).double())
    cosine = nn.functional.normalize(z, dim=1) @ codes.T
    assert torch.equal(quantizer(z).indices[:, 0], cosine.argmax(1))


def test_fewer_vectors_than_codes_are_refused():
    with pytest.raises(ValueError, match="codes: expected at most the 3 vectors .* got 4"):
        VectorQuantizer(4, 2).start(torch.zeros(3, 2))


@pytest.mark.parametrize("levels", [(2,), (3, 2), (8, 5, 5, 5), (7, 4, 2), (1500,), (2001,)])
@pytest.mark.parametrize("dtype", [torch.float32, F64], ids=str)
def test_every_code_of_the_finite_scalar_quantizer_is_met_once(levels, dtype):
    quantizer = FiniteScalarQuantizer(levels).to(dtype)
    indices = torch.arange(quantizer.codes).view(-1, 1, 1)
    found = quantizer.lookup(indices)
    assert len(found.flatten(1).unique(dim=0)) == quantizer.codes
    for i, count in enumerate(levels):
        middle = count // 2
        wanted = (torch.arange(count) - middle).to(dtype) / middle
        assert torch.equal(found[:, i].unique(), wanted)
    # z of which tanh(z + s) h − o is that whole number
    half = quantizer.radius.double().view(-1, 1)
    digits = found.double() * (torch.tensor(levels) // 2).view(-1, 1)
    ratio = (digits + quantizer.offset.double().view(-1, 1)) / half
    z = torch.atanh(ratio) - quantizer.shift.double().view(-1, 1)
    assert torch.equal(quantizer(z.to(dtype)).indices, indices)
    far = torch.tensor(list(itertools.product([-1e4, 1e4], repeat=len(levels))), dtype=dtype)
    ends = quantizer(far.view(-1, len(levels), 1)).vectors.squeeze(-1)
    assert torch.equal(ends, torch.where(far < 0, found.amin(0).T, found.amax(0).T))
    zero = quantizer(torch.zeros(1, len(levels), 1, dtype=dtype))
    assert zero.vectors.abs().max() == 0
