"""Pure functions on tensors that probability needs and torch does not have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from itertools import compress
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.memory import keep_freed

# How many examples there are, which share their noise, or a generator of each.
_EXAMPLES: ContextVar[int | Sequence[torch.Generator] | None] = ContextVar("examples", default=None)
FACTORS = 100  # numbers of at least ½ whose product no float type in use rounds to 0
CACHED = 100_000  # logits that, with as many numbers made of them, stay in a cache of 1 MiB
LOG_SCALE_BOUNDS = (-8.0, 8.0)  # of z: beyond them e^{2 log σ} over- or underflows in float32
LEVELS_AT_ONCE = 16  # of which sums are taken in one broadcast
WIDE = 4.0  # levels: the scale from which a sum over levels is its integral, with corrections
# σ⁽ⁿ⁾ for n = 1, 3, 5, 7, 9 as polynomials in w = σ(1−σ), from w upwards, each with its
# coefficient B_{n+1}(½) / (n+1)! in the Euler–Maclaurin formula for midpoints.
MIDPOINT_TERMS = (
    (-1 / 24, (1,)),
    (7 / 5760, (1, -6)),
    (-31 / 967680, (1, -30, 120)),
    (127 / 154828800, (1, -126, 1680, -5040)),
    (-73 / 3503554560, (1, -510, 17640, -151200, 362880)),
)


def noise(
    like: Tensor,
    law: Literal["normal", "uniform"] = "normal",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Standard normal or uniform [0, 1) noise of the shape, dtype and device of ``like``.

    The one source of randomness in losses and samplers. A generator of another device draws there
    and the result is moved, so that one CPU generator gives the same noise everywhere. Within
    ``shared_noise`` and ``own_noise`` the first dimension is of examples, rows of each together.
    """
    examples = None if torch.compiler.is_compiling() else _EXAMPLES.get()  # no graph can ask
    if examples is None:
        return _drawn(like, law, generator)
    count = examples if isinstance(examples, int) else len(examples)
    assert like.shape[0] % count == 0  # else these are no rows of examples
    of_one = like[: like.shape[0] // count]
    if isinstance(examples, int):
        return _drawn(of_one, law, generator).repeat(count, *[1] * (like.ndim - 1))
    return torch.cat([_drawn(of_one, law, own) for own in examples])


def _drawn(
    like: Tensor, law: Literal["normal", "uniform"], generator: torch.Generator | None
) -> Tensor:
    if generator is None:
        return torch.randn_like(like) if law == "normal" else torch.rand_like(like)
    draw = torch.randn if law == "normal" else torch.rand
    values = draw(like.shape, generator=generator, dtype=like.dtype, device=generator.device)
    return values.to(like.device)


def noise_is_by_example() -> bool:
    """Whether noise here and now is that of each example, whichever stand beside it."""
    return not torch.compiler.is_compiling() and _EXAMPLES.get() is not None


@contextmanager
def shared_noise(examples: int) -> Iterator[None]:
    """Within, ``noise`` is the same for each of so many examples.

    >>> with shared_noise(3):
    ...     drawn = noise(torch.zeros(6, 2))
    >>> bool((drawn.view(3, 2, 2) == drawn[:2]).all())
    True
    """
    with _by_example(examples):
        yield


@contextmanager
def own_noise(generators: Sequence[torch.Generator]) -> Iterator[None]:
    """Within, ``noise`` of each example is from a generator of its own.

    >>> with own_noise([torch.Generator().manual_seed(row) for row in (5, 6, 5)]):
    ...     first, _, last = noise(torch.zeros(3, 2))
    >>> bool((first == last).all())
    True
    """
    with _by_example(generators):
        yield


@contextmanager
def noise_of_its_own() -> Iterator[None]:
    """Within, ``noise`` is that of no example, for what belongs to the model and not to rows.

    >>> with shared_noise(3), noise_of_its_own():
    ...     noise_is_by_example()
    False
    """
    with _by_example(None):
        yield


@contextmanager
def noise_of(chosen: Tensor) -> Iterator[None]:
    """Within, ``noise`` is that of some of the examples, whose rows (R,) are True.

    >>> with shared_noise(3), noise_of(torch.tensor([True, False, True])):
    ...     drawn = noise(torch.zeros(2, 4))
    >>> bool((drawn[0] == drawn[1]).all())
    True
    """
    examples = _EXAMPLES.get()
    if examples is None:
        yield
        return
    count = examples if isinstance(examples, int) else len(examples)
    kept = chosen.view(count, -1)[:, 0].tolist()  # all rows of an example are chosen, or none
    some = sum(kept) if isinstance(examples, int) else [*compress(examples, kept)]
    with _by_example(some):
        yield


@contextmanager
def _by_example(examples: int | Sequence[torch.Generator] | None) -> Iterator[None]:
    token = _EXAMPLES.set(examples)
    try:
        yield
    finally:
        _EXAMPLES.reset(token)


def categorical_draw(logits: Tensor, dim: int, generator: torch.Generator | None = None) -> Tensor:
    """Indices drawn with probabilities softmax(logits) along ``dim``, by the Gumbel-max rule.

    The largest of logits plus Gumbel noise is a draw of the categorical.
    """
    return (logits + gumbel_noise(logits, generator)).argmax(dim)


def gumbel_noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Standard Gumbel noise −log(−log u) of the shape, dtype and device of ``like``."""
    uniform = noise(like, "uniform", generator)
    return -torch.log(-torch.log(uniform.clamp(min=torch.finfo(uniform.dtype).tiny)))


def accumulator(like: Tensor) -> torch.dtype:
    """The widest float type of the tensor's device: float64, where the device has it."""
    return torch.float32 if like.device.type == "mps" else torch.float64


def needs_float64(dtype: torch.dtype) -> bool:
    """Whether float32 rounds numbers of a type: float64, and integers of 32 bits or more.

    >>> needs_float64(torch.float64), needs_float64(torch.uint8)
    (True, False)
    """
    return dtype == torch.float64 or (not dtype.is_floating_point and dtype.itemsize >= 4)


def constant_entries(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The first row of parts (N, *shape), and which of its entries all other rows share, (*shape).

    Entries that are missing, NaN, are passed over: the row has the first that are there. Nothing
    more is read once no entry is shared.

    >>> constant_entries([torch.tensor([[1, 2], [1, 3]]), torch.tensor([[1, 2]])])
    (tensor([1, 2]), tensor([ True, False]))
    """
    same: Tensor | None = None
    for part in parts:
        missing = part.isnan()
        if same is None:
            row, same = part[0], torch.ones_like(part[0], dtype=torch.bool)
        if row.isnan().any():  # the first value there is of each entry
            first = (~missing).int().argmax(0, keepdim=True)
            row = torch.where(row.isnan(), part.gather(0, first)[0], row)
        same = same & ((part == row) | missing).all(0)
        if not same.any():
            break
    assert same is not None  # there is a part
    return row, same


def moments(parts: Callable[[], Iterable[Tensor]]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every entry over all rows, (*shape) each, in float64.

    Of the cells that are there, in two passes over parts, so that neither large means nor large
    data do harm: nothing of the data's size is made. Of an entry that all rows share they are it
    and 0, without rounding; where no cell is there both are 0.

    Args:
        parts: of the rows (N, *shape), from the first one whenever it is called.

    >>> x = torch.tensor([[1.0, torch.nan], [3.0, 7.0]])
    >>> [t.tolist() for t in moments(lambda: x.split(1))]
    [[2.0, 7.0], [1.0, 0.0]]
    """
    count, total = _sums(parts(), lambda x: x)
    mean = total / count.clamp(min=1)
    row, same = constant_entries(part.cpu() for part in parts())
    mean = torch.where(same & ~row.isnan(), row.double(), mean)
    _, squares = _sums(parts(), lambda x: (x - mean).square())
    return mean, (squares / count.clamp(min=1)).sqrt()


def _sums(parts: Iterable[Tensor], of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """How many cells of every entry are there, and the sum over them of a function of x."""
    count = total = torch.zeros(())
    for part in parts:
        x = part.cpu().double()
        there = ~x.isnan()
        count, total = count + there.sum(0), total + torch.where(there, of(x), 0.0).sum(0)
    return count, total


def log_mean_exp(values: Tensor, dim: int) -> Tensor:
    """log (1/n Σ exp v) along ``dim``, without overflow."""
    return values.logsumexp(dim) - math.log(values.shape[dim])


def log_mean_exp_of(draw: Callable[[int], Tensor], samples: int, most: int, like: Tensor) -> Tensor:
    """log of the mean of exp over draws of each row, (B,), so many of a row at a time.

    Args:
        draw: k → log-weights of k draws of each row, rows one after the other, (B·k,).
        samples: draws of each row in all.
        most: at a time.
        like: (B, …); the sum is in the widest type of its device.

    >>> log_mean_exp_of(lambda k: torch.zeros(2 * k), 5, 2, torch.zeros(2, 1)).tolist()
    [0.0, 0.0]
    """
    keep_freed()  # of every pass for the next: new pages would take longer than what fills them
    rows = like.shape[0]
    total = like.new_full((rows,), -math.inf, dtype=accumulator(like))
    for start in range(0, samples, most):
        k = min(most, samples - start)
        total = torch.logaddexp(total, draw(k).to(total).view(rows, k).logsumexp(1))
    return total - math.log(samples)


def rate_columns(log_q: Tensor, log_p: Tensor) -> Tensor:
    """log q(z) − log p(z) by factor (B, G), or in sum (B, 1) where their columns are not the same.

    >>> rate_columns(torch.ones(1, 2), torch.zeros(1, 2)), rate_columns(
    ...     torch.ones(1, 2), torch.zeros(1, 1)
    ... )
    (tensor([[1., 1.]]), tensor([[2.]]))
    """
    if log_q.shape[1] != log_p.shape[1]:
        log_q, log_p = log_q.sum(1, keepdim=True), log_p.sum(1, keepdim=True)
    return log_q - log_p


def bound_softly(raw: Tensor, low: float, high: float | Tensor) -> Tensor:
    """A smooth clamp: the identity well inside (low, high), with a gradient everywhere."""
    return high - F.softplus(high - low - F.softplus(raw - low))


def mean_and_log_scale(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Means and bounded log-scales of z, (B, entries) each, side by side in dimension 1.

    >>> mean, log_scale = mean_and_log_scale(torch.tensor([[3.0, 0.5]]))
    >>> mean.item(), round(log_scale.item(), 3)
    (3.0, 0.5)
    """
    mean, log_scale = parameters.chunk(2, 1)
    return mean.flatten(1), bound_softly(log_scale, *LOG_SCALE_BOUNDS).flatten(1)


def normal_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log N(x; mean, exp(log_scale)²), elementwise."""
    standardized = (x - mean) * torch.exp(-log_scale)
    return -0.5 * standardized.square() - log_scale - 0.5 * math.log(2 * math.pi)


def standard_normal_log_prob(x: Tensor) -> Tensor:
    """log N(x; 0, 1), elementwise."""
    return -0.5 * (x.square() + math.log(2 * math.pi))


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log P(x) with P(1) = σ(l), elementwise: x·l − log(1 + e^l)."""
    x, logits = torch.broadcast_tensors(x, logits)
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none")


def bernoulli_log_prob_sum(x: Tensor, logits: Tensor) -> Tensor:
    """Σ_d log P(x_d) with P(1) = σ(l): (N,) from logits (N, …) and x of N rows or fewer.

    Of fewer rows x, each stands for as many consecutive rows of logits. Without gradients the sum
    is that of x·l − relu(l) + log σ(|l|), and as σ(|l|) ≥ ½, a hundred of its values are multiplied
    before their logarithm is taken: most of what softplus costs is the logarithm. So many logits
    are gone through at a time that they stay in the cache of a core.
    """
    if torch.is_grad_enabled() and logits.requires_grad and len(x) == len(logits):
        cost = F.binary_cross_entropy_with_logits(logits, x.reshape(logits.shape), reduction="none")
        return -cost.sum(tuple(range(1, cost.ndim)))
    x, logits = x.flatten(1).unsqueeze(1), logits.flatten(1)
    by_x = logits.view(len(x), -1, logits.shape[1])
    if torch.is_grad_enabled() and logits.requires_grad:
        target = x.expand_as(by_x)
        return -F.binary_cross_entropy_with_logits(by_x, target, reduction="none").sum(2).view(-1)
    at_once = max(1, (CACHED if logits.is_cpu else logits.numel()) // logits.shape[1])
    draws = by_x.shape[1]
    parts = []
    for one, its in zip(*(t.split(max(1, at_once // draws)) for t in (x, by_x)), strict=True):
        parts += [_bernoulli_log_prob_sum(one, some) for some in its.split(at_once, 1)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _bernoulli_log_prob_sum(x: Tensor, logits: Tensor) -> Tensor:
    """Of x (N, 1, D) and logits (N, k, D), (N·k,), without gradients."""
    total = _sum_of_logs(logits.abs().sigmoid_().flatten(0, 1))
    rest = torch.addcmul(logits.clamp(min=0), x, logits, value=-1)
    return total - rest.sum(2).view(-1)


def _sum_of_logs(values: Tensor) -> Tensor:
    """Σ log v over the columns of v (N, D), 1/2 ≤ v ≤ 1, with a logarithm per ``FACTORS``."""
    columns = values.shape[1]
    factors = -(-columns // -(-columns // FACTORS))  # of each group: as even as they can be
    groups, rest = divmod(columns, factors)
    whole = groups * factors
    total = values[:, :whole].unflatten(1, (groups, factors)).prod(2).log().sum(1)
    return total + values[:, whole:].prod(1).log() if rest else total


def discretized_logistic_log_prob(
    x: Tensor, location: Tensor, log_scale: Tensor, levels: int
) -> Tensor:
    """log P(x) of a logistic integrated over each level's bin [x−½, x+½], end bins open.

    With a = (x+½−m)/s and b = (x−½−m)/s it is log(σ(a) − σ(b)) in the form
    log σ(a) + log σ(−b) + log(1 − e^{b−a}), which neither cancels nor overflows.
    Everything is in level units: x ∈ {0 … levels−1}, scale 1 is one level.
    """
    inverse_scale = torch.exp(-log_scale)
    centered = x - location
    below_upper = F.logsigmoid((centered + 0.5) * inverse_scale)
    above_lower = F.logsigmoid((0.5 - centered) * inverse_scale)
    overlap = torch.log(-torch.expm1(-inverse_scale))
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    first, last = x <= 0, x >= levels - 1
    return (
        torch.where(last, zero, below_upper)
        + torch.where(first, zero, above_lower)
        + torch.where(first | last, zero, overlap)
    )


def discretized_logistic_mean(location: Tensor, scale: Tensor, levels: int) -> Tensor:
    """E[x] = Σ_{k ≥ 1} P(x ≥ k) of a logistic rounded to levels, in level units.

    Of many levels only those near a narrow logistic are added up; a wide one has a closed form.
    Either is exact to rounding.
    """
    top, reach = levels - 1, math.ceil(WIDE * -math.log(torch.finfo(scale.dtype).eps))
    if top <= 2 * reach + 1:
        return _sum_of_tails(torch.sigmoid, location, scale, 1, top)
    first = (location.round() - reach).clamp(1, top - 2 * reach)
    narrow = scale.clamp(max=WIDE)
    tails = _sum_of_tails(torch.sigmoid, location, narrow, first, 2 * reach + 1)
    wide = _integral_of_tails(location, scale.clamp(min=WIDE), top)
    return torch.where(scale < WIDE, tails + (first - 1), wide)


def discretized_normal_mean(mean: Tensor, scale: Tensor, levels: int) -> Tensor:
    """E[x] = Σ_{k ≥ 1} P(x ≥ k) of a normal rounded to levels, in level units."""
    return _sum_of_tails(torch.special.ndtr, mean, scale, 1, levels - 1)


def discretized_variance(
    cdf: Callable[[Tensor], Tensor], location: Tensor, scale: Tensor, levels: int
) -> Tensor:
    """Var x of a symmetric variable rounded to levels, by its tails about a, its middle level.

    E(x−a) = Σ_{k>a} P(x ≥ k) − Σ_{k≤a} P(x < k), and E(x−a)² is the sum of the same tails times
    |2(k−a) − 1|: around a nothing cancels, as it would around 0.
    """
    middle = location.round().clamp(0, levels - 1)
    first, second = torch.zeros_like(location), torch.zeros_like(location)
    for steps in _level_blocks(levels - 1, location):
        level = steps + 1
        side = torch.where(middle < level, 1.0, -1.0).to(location)
        tail = cdf(side * (location - level + 0.5) / scale)
        first = first + (side * tail).sum(0)
        second = second + ((2 * (level - middle) - 1).abs() * tail).sum(0)
    return second - first.square()


def _sum_of_tails(
    cdf: Callable[[Tensor], Tensor],
    location: Tensor,
    scale: Tensor,
    first: Tensor | int,
    count: int,
) -> Tensor:
    """Σ P(x ≥ k) of a symmetric variable over ``count`` levels k from ``first`` on."""
    inverse_scale, start = 1 / scale, location - first + 0.5
    total = torch.zeros_like(location)
    for steps in _level_blocks(count, location):
        total = total + cdf((start - steps) * inverse_scale).sum(0)
    return total


def _level_blocks(count: int, like: Tensor) -> Iterator[Tensor]:
    """0 … count − 1 as (n, 1, …), so that n values of ``like`` are made at once, not all."""
    for start in range(0, count, LEVELS_AT_ONCE):
        stop = min(start + LEVELS_AT_ONCE, count)
        steps = torch.arange(start, stop, dtype=like.dtype, device=like.device)
        yield steps.view(-1, *[1] * like.ndim)


def _integral_of_tails(location: Tensor, scale: Tensor, top: int) -> Tensor:
    """Σ_{k=1}^{top} σ((m − k + ½)/s) for s ≥ ``WIDE``, by the Euler–Maclaurin formula.

    The integral over [½, top + ½] is s (softplus(m/s) − softplus((m−top)/s)); the corrections at
    its two ends are odd derivatives of σ. What remains after five is below 10⁻¹³ levels, and is
    least of all in the middle, where both ends are far.
    """
    lower, upper = location / scale, (location - top) / scale
    # Beyond the threshold softplus(u) is u; the default of 20 would show in float64.
    total = scale * (F.softplus(lower, threshold=40) - F.softplus(upper, threshold=40))
    for end, sign in ((lower, 1.0), (upper, -1.0)):
        slope = torch.sigmoid(end) * torch.sigmoid(-end)
        for index, (factor, polynomial) in enumerate(MIDPOINT_TERMS):
            value = torch.zeros_like(slope)
            for coefficient in reversed(polynomial):
                value = (value + coefficient) * slope
            total = total + sign * factor * value * scale ** (-2 * index - 1)
    return total


def normal_log_cdf(x: Tensor) -> Tensor:
    """log Φ(x). In the lower tail ``torch.special.log_ndtr`` loses its gradient to cancellation."""
    tail = x.clamp(max=-1.0)
    scaled = torch.special.erfcx(-tail * math.sqrt(0.5))  # 2 Φ(x) e^{x²/2}
    below = torch.log(0.5 * scaled) - 0.5 * tail.square()
    return torch.where(x < -1.0, below, torch.special.log_ndtr(x.clamp(min=-1.0)))


def discretized_normal_log_prob(x: Tensor, mean: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """log P(x) of a normal integrated over each level's bin [x−½, x+½], end bins open.

    Inside, log(Φ(a) − Φ(b)) is log Φ(a) + log(1 − Φ(b)/Φ(a)), taken below the mean, where Φ does
    not saturate: Φ(a) − Φ(b) = Φ(−b) − Φ(−a). In level units.
    """
    inverse_scale = torch.exp(-log_scale)
    centered = x - mean
    first, last = x <= 0, x >= levels - 1
    folded = -centered.abs()
    outer = torch.where(first, centered, torch.where(last, -centered, folded))
    upper = normal_log_cdf((outer + 0.5) * inverse_scale)
    lower = normal_log_cdf((folded - 0.5) * inverse_scale)
    inside = torch.log(-torch.expm1(lower - upper))
    return upper + torch.where(first | last, 0.0, inside)


def bits_per_dim(nats: float, dimension: int) -> float:
    """−log p in bits per dimension from log p in nats: −nats / (D ln 2)."""
    return -nats / (dimension * math.log(2))


def autocasts(x: Tensor) -> bool:
    """Whether products on the device of x are rounded to fewer digits here and now."""
    kind = x.device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Inside, products on the device of x are in the precision of their factors.

    Of what comes back by a bijection the digits that were lost would be, too.
    """
    return torch.autocast(x.device.type, enabled=False) if autocasts(x) else nullcontext()


def perplexity(shares: Tensor) -> Tensor:
    """exp(H) of shares or counts (…, K): how many equally frequent values would be as uncertain.

    >>> perplexity(torch.tensor([[3.0, 3.0, 0.0], [0.0, 0.0, 0.0]]))
    tensor([2., 1.])
    """
    total = shares.sum(-1, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)
    return torch.special.entr(shares / total).sum(-1).exp()
