"""Two stages with a likelihood: a latent-variable model whose prior is learned afterwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from reparam.distributions.index_codes import CompletingDensity, ModelDensity
from reparam.model import (
    Completer,
    Density,
    Distribution,
    LatentVariable,
    LogPartition,
    Loss,
    Model,
)
from reparam.models.two_stage import TwoStage
from reparam.objectives.bounds import ELBO


class TwoStageDensity(TwoStage, LatentVariable):
    """log p(x) ≥ E_q log p(x|z) + log p(z) − log q(z|x), p(z) a density fitted to draws of q(z|x).

    Posterior and likelihood are those of the codec, which is trained first with its own prior, and
    p(z) is the generator. It is trained on draws z ~ q(z|x) and not on their means: of all priors
    the one with the best bound is the mixture of the posteriors, q(z) = E q(z|x), while the means
    lie closer together than its draws.

    Args:
        codec: a latent-variable model; its stages come first.
        generator: a density of its codes; it may be conditional, on labels or attributes that its
            own space has, and the whole is then p(x|c).

    Raises:
        ValueError: a codec or a generator without a likelihood, or a codec whose codes have
            probabilities while those of the generator have densities.

    Shape: x (B, *space.shape), code as the codec's.

    Likelihood: lower bound; without draws where the codec's is. ``loss`` is minus the bound; the
        players of the stages have the losses of the parts, the terms of the second ``code_…``.

    Reference: van den Oord et al. 2017, "Neural discrete representation learning", section 3.3;
    Dai & Wipf 2019, "Diagnosing and enhancing VAE models".
    https://arxiv.org/abs/1711.00937, https://arxiv.org/abs/1903.05789

    >>> import reparam as rp
    >>> codec = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> model = TwoStageDensity(codec, rp.GaussianMixture(codec.code_space, components=3))
    >>> model.log_prob(torch.ones(1, 9)).kind
    'lower bound'
    """

    of_codec = " of the codec"
    codec: LatentVariable
    generator: Density

    def __init__(self, codec: LatentVariable, generator: Density) -> None:
        _refuse_without_likelihood(codec, generator)
        super().__init__(codec, generator)
        self.layers = codec.layers
        self.log_prob_draws = self.draws_codes = codec.log_prob_draws
        self.tightens = generator.approximation == "tractable" or generator.tightens
        self.surrogate, self.objective = codec.surrogate, ELBO()

    @property
    def counted(self) -> int:
        return self.codec.counted

    @property
    def log_partition(self) -> LogPartition | None:
        return self.generator.log_partition  # log p(x) is off as far as log p(z) is

    @property
    def grids(self) -> tuple[tuple[int, ...], ...]:
        return self.codec.grids

    @torch.no_grad()
    def codes_of(self, x: Tensor) -> Tensor:
        return self.codec.posterior(x).sample()

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        if player != "model":
            return super().loss(x, c, player)
        x, c = self.prepare(x, c)
        return self.objective(self, x, c)

    def after_step(self, loss: Loss, player: str = "model") -> None:
        if player != "model":
            super().after_step(loss, player)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        self._condition(c, x.shape[0])
        return self.codec.posterior(x)

    def prior(self, c: Tensor | None = None) -> Distribution:
        completes = isinstance(self.generator, Completer)
        kind = CompletingDensity if completes else ModelDensity
        return kind(self.generator, c, sizes=self.layers)

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        return self.codec.likelihood(z)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return LatentVariable.draw(self, n, c, generator)

    def embed(self, code: Tensor) -> Tensor:
        return self.codec.embed(code)


def _refuse_without_likelihood(codec: Model, generator: Model) -> None:
    """Also log q(z|x) and log p(z) of different measures, whose difference bounds nothing."""
    for name, part, role in (
        ("codec", codec, LatentVariable),
        ("generator", generator, Density),
    ):
        if not isinstance(part, role):
            raise ValueError(
                f"{name}: expected a {role.__name__}, got {type(part).__name__}, which has no "
                "likelihood; take TwoStage"
            )
    assert isinstance(codec, LatentVariable)  # for mypy
    if not codec.conditional and codec.prior().continuous != generator.space.has_reals:
        raise ValueError(
            "codec: expected one whose codes have densities, as those of the generator have, got "
            "one-hot codes with probabilities; take another posterior, as diagonal"
        )


class CompletingTwoStage(TwoStageDensity, Completer):
    """A ``TwoStageDensity`` of images whose generator completes grids of indices.

    ``complete`` keeps the codes of the given part of an image, draws the others given these, and x
    given all. Codes count as given where all of their part of the grid over the image is; the image
    is encoded with the mean of its given entries in the place of what is missing, so that codes at
    the border know of it.
    """

    def complete(
        self,
        x: Tensor,
        mask: Tensor,
        c: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        assert isinstance(self.generator, Completer)
        with torch.no_grad():
            given, mask, c = self.prepare_given(x, mask, c)
            count = mask.flatten(1).sum(1).clamp(min=1)
            mean = torch.where(mask, given, 0).flatten(1).sum(1) / count
            filled = torch.where(mask, given, mean.view(-1, *[1] * (given.ndim - 1)))
            code = self.codec.encode(filled)
            drawn = self.generator.complete(code, self._kept(mask), c, generator=generator)
            z = drawn.view(len(code), *self.code_space.shape)
            return torch.where(mask, given, self.likelihood(z).sample(generator).to(given))

    def _kept(self, mask: Tensor) -> Tensor:
        """Which indices are of what is given, (B, *code_space.shape)."""
        missing = (~mask.all(1, keepdim=True)).to(self.anchor.dtype)  # (B, 1, H, W)
        parts = []
        for depth, *grid in self.grids:
            # A code's part are so many rows and columns; fewer of the last one are in the image.
            part = [
                1 << math.ceil(math.log2(a / b)) for a, b in zip(mask.shape[2:], grid, strict=True)
            ]
            lacks = F.max_pool2d(missing, part, ceil_mode=True)
            parts.append((lacks == 0).expand(-1, depth, -1, -1).flatten(1))
        return torch.cat(parts, 1).view(-1, *self.code_space.shape)


def two_stages(codec: LatentVariable, generator: Density) -> TwoStageDensity:
    """The pair, which completes where the codec's grids are of images and the generator does.

    >>> import reparam as rp
    >>> codec = rp.build("vae", rp.Space((9,), "binary"), latent_dim=2)
    >>> type(two_stages(codec, rp.GaussianMixture(codec.code_space, components=3))).__name__
    'TwoStageDensity'
    """
    spatial = codec.code_space.kind == "levels" and all(len(grid) == 3 for grid in codec.grids)
    completes = spatial and isinstance(generator, Completer)
    return (CompletingTwoStage if completes else TwoStageDensity)(codec, generator)
