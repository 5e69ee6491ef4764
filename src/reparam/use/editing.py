"""Edits of x through its code, and classes of x through its density; all return tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import in_batches, rows_at_once
from reparam.distributions.densities import StandardNormalDensity
from reparam.inspection import Classifies, FromPrior
from reparam.model import (
    Coded,
    Decoder,
    Density,
    Encoder,
    LatentVariable,
    Model,
    positive_count,
)
from reparam.space import as_tensor

Path = Literal["linear", "spherical"]
PARALLEL = 1e-6  # radians from 0 or π, within which two codes have no great circle of their own


def noise_decoder(model: Model) -> Decoder | None:
    """The model, where its codes are draws of N(0, I) and no x has one, as of a GAN; else None."""
    if not isinstance(model, Decoder) or isinstance(model, Encoder):
        return None
    drawn = isinstance(model, FromPrior) and isinstance(model.prior(), StandardNormalDensity)
    return model if drawn else None


@torch.no_grad()
def draw_codes(
    model: Model,
    n: int,
    generator: torch.Generator | None = None,
    c: Tensor | None = None,
) -> Tensor:
    """n codes z ~ p(z), (n, *code_space.shape).

    Args:
        model: one with a ``prior()``.
        n: how many.
        generator: of the draws.
        c: the condition of each, on the model's device, where the prior depends on it.

    Returns:
        The codes, on the model's device.

    Raises:
        ValueError: n below 1, or a model without a prior.

    >>> import reparam as rp
    >>> model = rp.build("gan", rp.Space((2,), "real"), latent_dim=3)
    >>> draw_codes(model, 5).shape
    torch.Size([5, 3])
    """
    positive_count("n", n)
    if not isinstance(model, FromPrior):
        raise ValueError(f"model: expected one with a prior of codes, got {type(model).__name__}")
    prior = model.prior(c)
    return prior.repeat(-(-n // prior.rows)).sample(generator)[:n]


@torch.no_grad()
def interpolate(
    model: Decoder,
    first: Tensor,
    second: Tensor,
    *,
    steps: int = 9,
    path: Path | None = None,
    c: Tensor | None = None,
    c_second: Tensor | None = None,
) -> Tensor:
    """x decoded along a path between the codes of two examples, both ends included.

    With t from 0 to 1, linear is z(t) = (1−t) z₀ + t z₁. Spherical is z(t) = [sin((1−t)θ) z₀ +
    sin(tθ) z₁] / sin θ with θ the angle between z₀ and z₁, row by row: codes of high
    dimension lie near a sphere, and straight lines between them pass within it, where no code is.
    Where θ is 0, π or (a code is 0) unknown, it is linear.

    Args:
        model: any codec with real codes, or a decoder, as a GAN.
        first, second: (B, *shape) each, in data units; of a decoder without an encoder two codes,
            (B, *code_space.shape) each.
        steps: how many x on the way, at least 2.
        path: between the codes; None: spherical, where they are draws of N(0, I) that no x has,
            and linear for all others.
        c: the condition of first.
        c_second: the condition of second; None: the same. A step is decoded under the condition of
            the nearer end, the middle one under that of second.

    Returns:
        (B, steps, *shape): the reconstruction of first, …, that of second; or codes decoded.

    Raises:
        ValueError: fewer than two steps, pairs that do not match, or codes that are indices.

    Reference: White 2016, "Sampling generative networks", section 2.1.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> rp.interpolate(model, data.test.x[:2], data.test.x[2:4], steps=5).shape
    torch.Size([2, 5, 1, 8, 8])
    """
    positive_count("steps", steps)
    if steps < 2:
        raise ValueError(f"steps: expected at least 2, got {steps}")
    path = path or ("linear" if noise_decoder(model) is None else "spherical")
    if path not in get_args(Path):
        raise ValueError(f"path: expected {' or '.join(get_args(Path))}, got {path!r}")
    if len(first) != len(second):
        raise ValueError(
            f"second: expected as many examples as first, {len(first)}, got {len(second)}"
        )
    blend = _linear if path == "linear" else _spherical
    c_second = c if c_second is None else c_second
    start, end = _real_code(model, first, c), _real_code(model, second, c_second)
    walk = [
        model.decode(blend(start, end, t), c if t < 0.5 else c_second)
        for t in torch.linspace(0, 1, steps).tolist()
    ]
    return torch.stack(walk, 1)


@torch.no_grad()
def traverse(
    model: Decoder,
    x: Tensor,
    dimension: int | Sequence[int] | Tensor,
    values: Tensor,
    c: Tensor | None = None,
) -> Tensor:
    """x decoded while one entry of its code takes the given values and the others stay.

    Of several entries each is moved by itself, the others being those of x.

    Args:
        model: any codec with real codes, or a decoder, as a GAN.
        x: (B, *shape), in data units; of a decoder without an encoder codes,
            (B, *code_space.shape).
        dimension: which entry of the code, from 0, of the code flattened; or n of them.
        values: (S,), in units of the code; or (n, S), the values of each of n.
        c: the condition of x.

    Returns:
        (B, S, *shape); or (B, n, S, *shape).

    Raises:
        ValueError: no such entry, no values for it, or codes that are indices.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> rp.traverse(model, data.test.x[:2], 3, torch.linspace(-9, 9, 7)).shape
    torch.Size([2, 7, 1, 8, 8])
    """
    values = as_tensor(values, "values")
    wanted = as_tensor(dimension, "dimension")
    if wanted.is_floating_point() and wanted.numel():
        raise ValueError(f"dimension: expected whole numbers, got {dimension!r}")
    if not wanted.ndim:
        return traverse(model, x, wanted[None], values.unsqueeze(0), c).squeeze(1)
    dimension = wanted.flatten().tolist()
    if values.ndim != 2 or len(values) != len(dimension) or not values.numel():
        raise ValueError(
            f"values: expected some for each of {len(dimension)} dimensions, got {values.numel()} "
            f"in shape {tuple(values.shape)}"
        )
    code = _real_code(model, x, c)
    codes = code.flatten(1)
    _refuse_absent("dimension", dimension, codes)
    moved = codes[:, None, None].repeat(1, *values.shape, 1)
    for row, (one, along) in enumerate(zip(dimension, values.to(codes), strict=True)):
        moved[:, row, :, one] = along
    return _decoded(model, code, moved, c)


@torch.no_grad()
def traverse_plane(
    model: Decoder,
    x: Tensor,
    dimensions: Sequence[int] | Tensor,
    first: Tensor,
    second: Tensor,
    c: Tensor | None = None,
) -> Tensor:
    """x decoded while two entries of its code take all pairs of values and the others stay.

    Args:
        model: any codec with real codes, or a decoder, as a GAN.
        x: (B, *shape), in data units; of a decoder without an encoder codes,
            (B, *code_space.shape).
        dimensions: which two entries of the code, from 0, of the code flattened.
        first: (S,), of the first entry, in units of the code.
        second: (R,), of the second one.
        c: the condition of x.

    Returns:
        (B, R, S, *shape): a row for each value of the second entry.

    Raises:
        ValueError: not two entries, no such entry, no values for it, or codes that are indices.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("pca", data.space, latent_dim=8)
    >>> _ = rp.fit(model, data, progress=False)
    >>> values = torch.linspace(-9, 9, 5)
    >>> rp.traverse_plane(model, data.test.x[:2], (0, 1), values, values[:3]).shape
    torch.Size([2, 3, 5, 1, 8, 8])
    """
    pair = as_tensor(dimensions, "dimensions")
    if pair.shape != (2,) or pair.is_floating_point() or pair[0] == pair[1]:
        raise ValueError(f"dimensions: expected two entries of a code, as 0, 1, got {dimensions!r}")
    first, second = as_tensor(first, "first"), as_tensor(second, "second")
    for name, values in (("first", first), ("second", second)):
        if values.ndim != 1 or not len(values):
            raise ValueError(f"{name}: expected some values (S,), got shape {tuple(values.shape)}")
    code = _real_code(model, x, c)
    codes = code.flatten(1)
    across, up = pair.tolist()
    _refuse_absent("dimensions", (across, up), codes)
    moved = codes[:, None, None].repeat(1, len(second), len(first), 1)
    moved[..., across] = first.to(codes)
    moved[..., up] = second.to(codes)[:, None]
    return _decoded(model, code, moved, c)


@torch.no_grad()
def classify(
    model: Density | Classifies,
    x: Tensor,
    *,
    samples: int = 100,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log p(y|x) of every class y, by a classifier, or of densities by Bayes' rule.

    That is log p(x|y) + log p(y), normalized over y, with p(y) the frequencies of the classes in
    training. It is exact where log p(x|y) is; where that is a lower bound, as of a VAE, it is an
    estimate that more ``samples`` improve. The class of x is its ``argmax(1)``.

    Args:
        model: a classifier, a density that is conditional on labels, or one of each class
            (``PerClass``).
        x: (B, *shape), in data units.
        samples: importance samples per example and class, for latent-variable models.
        generator: of these samples.

    Returns:
        (B, classes), in nats; every row of its exponential sums to 1.

    Raises:
        ValueError: the model tells no classes, or no class makes a row possible.

    >>> import reparam as rp
    >>> data = rp.load_data("digits")
    >>> model = rp.build("cvae", data.space, latent_dim=2, hidden=(16,))
    >>> _ = rp.fit(model, data, epochs=1, progress=False)
    >>> rp.classify(model, data.test.x[:5], samples=10).shape
    torch.Size([5, 10])
    """
    if isinstance(model, Classifies):
        return model.log_class_probs(x)
    frequencies = model.class_frequencies if isinstance(model, Density) else None
    if frequencies is None or not isinstance(model, Density):
        raise ValueError(
            "model: expected a classifier, a density that is conditional on labels, such as cvae, "
            f"or one of each class, as with per_class=true, got {type(model).__name__}"
        )
    joint = []
    for label in range(len(frequencies)):
        c = torch.full((len(x),), label)
        joint.append(model.log_prob(x, c, samples=samples, generator=generator).value)
    log_joint = torch.stack(joint, 1)
    log_joint = log_joint + frequencies.to(log_joint).log()
    impossible = log_joint.isneginf().all(1)
    if impossible.any():
        raise ValueError(
            f"x: row {int(impossible.nonzero()[0])} has probability 0 in every class: an entry "
            "that never varied in training does so there; leave it out"
        )
    return log_joint.log_softmax(1)


@torch.no_grad()
def variations(
    model: LatentVariable,
    x: Tensor,
    n: int,
    c: Tensor | None = None,
    spread: float = 1.0,
    generator: torch.Generator | None = None,
    draw: bool = False,
) -> Tensor:
    """n variations of one example: means of p(x|z), or draws, z drawn around its mean code.

    z = μ + spread · (z' − μ) with z' ~ q(z|x) and μ the center of q(z|x).

    Args:
        model: any latent-variable model.
        x: the example, (1, *shape).
        n: how many.
        c: its condition, for a conditional model.
        spread: 0 repeats the reconstruction, 1 draws from q(z|x), more goes further.
        generator: of the draws.
        draw: x ~ p(x|z) in place of its mean.

    Returns:
        (n, *shape), in data units.

    Raises:
        ValueError: not one example, n below 1, a spread below 0 or not finite, codes that are
            indices, or a model that has no q(z|x).

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,)).eval()
    >>> variations(model, torch.ones(1, 9), 5).shape
    torch.Size([5, 9])
    """
    positive_count("n", n)
    if len(x) != 1:
        raise ValueError(f"x: expected one example, got {len(x)}")
    given = as_tensor(spread, "spread")
    if given.ndim or not 0 <= float(given) < math.inf:
        raise ValueError(f"spread: expected a finite number of at least 0, got {spread!r}")
    _refuse_others(model, LatentVariable, "q(z|x) and p(x|z), as a VAE")
    _refuse_indices(model)
    c = None if c is None else model.prepare(x, c, model.encodes)[1]
    q = model.posterior(x, c)
    z = q.repeat(n).sample(generator)
    z = q.center + float(given) * (z - q.center)
    c = None if c is None else c.expand(n, *c.shape[1:])
    return model.likelihood(z, c).sample(generator) if draw else model.decode(z, c)


@torch.no_grad()
def redraw(
    model: LatentVariable,
    x: Tensor,
    c: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Each example drawn anew through its code: z ~ q(z|x), then x' ~ p(x|z).

    As grainy as the data where p(x|z) has noise, of which a reconstruction, its mean, has none.

    Args:
        model: any latent-variable model.
        x: (B, *shape), in data units.
        c: the condition of x, for a conditional model.
        generator: of the draws.

    Returns:
        (B, *shape), in data units.

    Raises:
        ValueError: a model that has no q(z|x).

    >>> import reparam as rp
    >>> model = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2, hidden=(4,)).eval()
    >>> redraw(model, torch.ones(3, 9)).shape
    torch.Size([3, 9])
    """
    _refuse_others(model, LatentVariable, "q(z|x) and p(x|z), as a VAE")
    return model.likelihood(model.posterior(x, c).sample(generator), c).sample(generator)


Blend = Callable[[Tensor, Tensor, float], Tensor]


def _linear(first: Tensor, second: Tensor, t: float) -> Tensor:
    return first + t * (second - first) if t < 1 else second


def _spherical(first: Tensor, second: Tensor, t: float) -> Tensor:
    a, b = first.flatten(1), second.flatten(1)
    wide = numerics.accumulator(a)
    cosine = torch.nn.functional.cosine_similarity(a.to(wide), b.to(wide), 1).clamp(-1, 1)
    angle = cosine.arccos()[:, None].to(a)
    sine = angle.sin()
    circle = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / sine
    turns = (sine > PARALLEL) & (a != 0).any(1, True) & (b != 0).any(1, True)
    return torch.where(turns, circle, _linear(a, b, t)).view_as(first)


def _real_code(model: Decoder, x: Tensor, c: Tensor | None) -> Tensor:
    """The code of x; x itself, where the model makes no codes and has been given one."""
    _refuse_others(model, Decoder, "codes, as an autoencoder or a VAE")
    _refuse_indices(model)
    return model.encode(x, c) if isinstance(model, Encoder) else model.prepare_code(x)


def _decoded(model: Decoder, code: Tensor, moved: Tensor, c: Tensor | None) -> Tensor:
    """What moved codes (B, R, S, F) are decoded to, (B, R, S, *shape), each under its own c."""
    if c is not None:
        given = model._condition(c, len(code))
        each = moved.shape[1] * moved.shape[2]
        c = None if given is None else given.repeat_interleave(each, 0)
    rows = moved.view(-1, *code.shape[1:])
    decoded = in_batches(model.decode, rows_at_once(model.space), rows, c)
    return decoded.unflatten(0, moved.shape[:3])


def _refuse_absent(name: str, dimensions: Sequence[int], codes: Tensor) -> None:
    for one in dimensions:
        if not 0 <= one < codes.shape[1]:
            raise ValueError(f"{name}: expected 0 to {codes.shape[1] - 1}, got {one}")


def _refuse_others(model: object, kind: type[Model], what: str) -> None:
    if not isinstance(model, kind):
        raise ValueError(f"model: expected one with {what}, got {type(model).__name__}")


def _refuse_indices(model: Coded) -> None:
    if model.code_space.kind != "real":
        raise ValueError("model: expected real codes, got indices, with nothing between them")
