"""The computation graph of z ~ q(z|x): where gradients flow, and where they do not."""

from __future__ import annotations

import torch

from reparam.diagrams.blocks import example, shape_words
from reparam.diagrams.canvas import Canvas, Spot
from reparam.distribution import Distribution
from reparam.distributions.densities import (
    FullNormalDensity,
    NormalDensity,
    NormalMixtureDensity,
)
from reparam.distributions.hierarchies import LayeredDensity
from reparam.distributions.index_codes import PointMass
from reparam.distributions.masses import OneHotMass
from reparam.distributions.transformed import Transformed
from reparam.model import LatentVariable
from reparam.space import trusted

# By what q(z|x) is: the numbers that an encoder gives, how a draw is made of them, and the noise.
DRAWS: tuple[tuple[type, str, str, str], ...] = (
    (NormalDensity, "μ, σ", "z = μ + σ ⊙ ε", "ε ~ N(0, I)"),
    (FullNormalDensity, "μ, C", "z = μ + C ε", "ε ~ N(0, I)"),
    (NormalMixtureDensity, "μₖ, σₖ", "z = μₖ + σₖ ⊙ ε", "k, ε ~ N(0, I)"),
    (Transformed, "μ, σ", "z = f⁻¹(μ + σ ⊙ ε)", "ε ~ N(0, I)"),
    (LayeredDensity, "μₗ, σₗ", "zₗ = μₗ + σₗ ⊙ εₗ", "εₗ ~ N(0, I)"),
    (OneHotMass, "logits l", "z = softmax((l + ε) / τ)", "ε ~ Gumbel"),
    (PointMass, "vectors", "the nearest code", ""),
)
STEP = 158.0


def flows(model: LatentVariable) -> tuple[Distribution, bool]:
    """q(z|x), and whether a draw of it, as in training, has gradients in what makes it."""
    was = model.training
    model.train()
    try:
        with trusted(), torch.enable_grad(), torch.random.fork_rng(devices=[]):
            x, c = example(model)
            posterior = model.posterior(x, c)
            z = posterior.rsample()
            if not z.requires_grad:
                return posterior, False
            weights = [p for p in model.parameters() if p.requires_grad]
            slopes = torch.autograd.grad(z.square().sum(), weights, allow_unused=True)
            return posterior, any(slope is not None for slope in slopes)
    finally:
        model.train(was)


def reparameterization_of(model: LatentVariable) -> Canvas:
    """Two panels: the draw as the model makes it, and the same by the score function."""
    posterior, through = flows(model)
    known = (row for row in DRAWS if isinstance(posterior, row[0]))
    _, numbers, formula, noise = next(known, (object, "of q(z|x)", "z = g(ε, x)", "ε"))
    size = shape_words(model.code_space.shape)
    first = _panel(numbers, formula, noise, size, through)
    canvas = Canvas()
    canvas.below(first)
    if noise:
        canvas.below(_score_function(numbers, size))
    return canvas


def _panel(numbers: str, formula: str, noise: str, size: str, through: bool) -> Canvas:
    canvas = Canvas()
    title = "Reparameterized: z = g(ε, x)" if through else "Without a gradient from z to φ"
    canvas.text(-30, -128, title, "title")
    spots = _row(canvas, numbers, [formula], size)
    middle = spots[3]
    if noise:
        epsilon = canvas.node(middle.x, -86, "ε")
        canvas.arrow(epsilon, middle)
        canvas.text(middle.x + 36, -92, noise, "soft left")
        canvas.text(middle.x + 36, -74, "no gradient needed: nothing to learn", "warn left")
    reach = list(range(len(spots) - 1, 1, -1)) if through else [6, 5]
    _back(canvas, spots, reach)
    words = "blue: gradients of the loss, from right to left"
    if not through:
        words += "; they end at z, and others train φ past it, as a straight-through one"
    canvas.text(-30, 88, words, "accent left")
    return canvas


def _score_function(numbers: str, size: str) -> Canvas:
    """The estimator that needs no g: a draw stops gradients, and ∇ log q carries the loss."""
    canvas = Canvas()
    canvas.text(-30, -78, "For comparison, the score function: z is drawn, not computed", "title")
    spots = _row(canvas, numbers, ["z ~ q(z|x)"], size)
    _back(canvas, spots, [6, 5, 2])
    canvas.arrow(spots[6], spots[2], "warn dashed", bend=-110)
    canvas.text(spots[3].x, 40, "gradients stop here", "warn")
    words = "in their place L ∇ log q(z|x) by φ: unbiased, of any draw, of far larger variance"
    canvas.text(-30, 74, words, "warn left")
    return canvas


def _row(canvas: Canvas, numbers: str, draw: list[str], size: str) -> list[Spot]:
    """x, encoder, its numbers, the draw, z, decoder, loss."""
    spots = [canvas.node(0, 0, "x", "known")]
    makers: tuple[list[str], ...] = (["encoder φ"], [numbers], draw, [], ["decoder θ"], ["loss L"])
    for lines in makers:
        before = spots[-1]
        if lines:
            half = Canvas().box(0, 0, lines).half_width
            spots.append(canvas.box(before.x + before.half_width + 42 + half, 0, lines))
        else:
            spots.append(canvas.node(before.x + before.half_width + 66, 0, "z", "", size))
    for start, end in zip(spots, spots[1:], strict=False):
        canvas.arrow(start, end)
    return spots


def _back(canvas: Canvas, spots: list[Spot], starts: list[int]) -> None:
    """Gradients from these spots each to the one before, under the forward arrows."""
    for start in starts:
        canvas.arrow(spots[start], spots[start - 1], "accent", bend=-34)
