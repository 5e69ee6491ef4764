"""The VQ-VAE: a latent-variable model whose code is a grid of indices."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from reparam.bijections.standardization import standardization
from reparam.distributions.index_codes import PointMass, UniformCodes
from reparam.distributions.likelihoods import Likelihood
from reparam.distributions.transformed import Transformed
from reparam.limits import NonNegative, limited
from reparam.model import (
    Batch,
    Descend,
    Distribution,
    LatentVariable,
    Loss,
    Model,
    Solve,
    Space,
    Stage,
)
from reparam.nets.coder import Coder

OF_CODES = ("perplexity", "codes_in_use", "restarts")  # terms that are the same for all rows
# Of the encoder, from which codes start: of many codes fewer for each, as k-means takes time as the
# product of both: seconds for 512, about a minute for 4096.
VECTORS_PER_CODE, FEWEST_PER_CODE, MOST_VECTORS = 64, 8, 2**15


class VQVAE(LatentVariable):
    """log p(x) ≥ log p(x|z) + log p(z), z indices of the codes nearest to the encoder's vectors.

    q(z|x) is a point mass, so that its log-density is 0 and more samples would change nothing;
    p(z) = K^−N, so that the rate is the constant N ln K. What is minimized is

        −log p(x|z) + β ‖v − sg[e]‖² + ‖sg[v] − e‖²,

    v the encoder's vectors and e their codes, sums over the grid and over D; the last term is there
    where codes move by their gradient. The decoder's gradient passes to v as it is: that of the
    objective is a surrogate. β is per nat: published code has means of squared errors in place of
    sums, with images scaled to [−½, ½] and divided by their variance s²; under a normal likelihood
    of scale σ in the same units, β = β' · C·H·W · s² / (2 σ² · N·D) is their β'.

    Args:
        space: what x is.
        coder: encoder, quantizers and decoder, to ``likelihood.parameter_shape``.
        likelihood: module from the decoder's output to p(x|z).
        beta: β of the commitment.
        start: whether codes start from k-means of training vectors.

    Shape: x (B, *space.shape) → code (B, *coder.code_shape), int64.

    Likelihood: lower bound, without draws.

    Cost: one pass of encoder and decoder.

    Reference: van den Oord et al. 2017, "Neural discrete representation learning", eq. 3; their
    first term, log p(x|z), lacks its minus sign.
    https://arxiv.org/abs/1711.00937

    >>> import reparam as rp
    >>> model = rp.build("vq-vae", rp.Space((1, 8, 8), "binary"), codes=16, channels=8)
    >>> model.encode(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 1, 4, 4])
    """

    surrogate, constant_terms = True, ("rate", *OF_CODES)
    log_prob_draws = False

    @limited
    def __init__(
        self,
        space: Space,
        coder: Coder,
        likelihood: Likelihood,
        beta: NonNegative = 0.25,
        start: bool = True,
    ) -> None:
        super().__init__(space)
        if likelihood.space != space:
            raise ValueError(f"likelihood: expected one of {space}, got one of {likelihood.space}")
        self.standardize = standardization(space)
        self.takes_missing = space.kind == "mixed"
        self.coder, self.p_x, self.beta = coder, likelihood, beta
        self.layers = coder.sizes if len(coder.sizes) > 1 else ()
        self.starts = start and any(q.needs_start for q in coder.quantizers)
        self.couples_rows = likelihood.couples_rows

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = (Solve("codebook", _start),) if self.starts else ()
        return (*self.standardize.stages, *first, Descend())

    def refuse_rows(self, rows: int) -> None:
        vectors = rows * min(self.coder.vectors)
        if self.starts and vectors < self.coder.codes:
            raise ValueError(
                f"codes: expected at most the {vectors} vectors that {rows} training examples "
                f"have, got {self.coder.codes}"
            )

    @property
    def counted(self) -> int:
        return self.standardize.count

    @property
    def code_space(self) -> Space:
        return Space(self.coder.code_shape, "levels", self.coder.codes)

    @property
    def grids(self) -> tuple[tuple[int, ...], ...]:
        return self.coder.grids

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        x, _ = self.prepare(x, c)
        coded = self.coder(self.standardize.scaled(x))
        p = self._given(coded.vectors)
        distortion, rate = -p.log_prob(x), -self.prior().log_prob_terms(coded.code)
        terms = {"distortion": distortion, "rate": rate}
        with torch.no_grad():
            terms["bound"] = -distortion - rate.sum(1)
        added = {name: term.to(distortion) for name, term in coded.terms.items()}
        weights = {"commitment": self.beta}
        objective = sum((weights.get(n, 1.0) * t for n, t in added.items()), distortion).mean()
        terms |= added | self._of_codes(distortion)
        return Loss(objective, terms, p.statistics(x) | coded.statistics)

    @torch.no_grad()
    def _of_codes(self, like: Tensor) -> dict[str, Tensor]:
        """By the averages of training: perplexity, codes in use, and how many were moved so far."""
        pairs = zip(self.coder.quantizers, self.coder.vectors, strict=True)
        learned = [(q, sites) for q, sites in pairs if q.needs_start]
        if not learned:
            return {}
        uses = [q.use for q, _ in learned]
        # exp of the mean of H over all indices, as that of evaluation
        of_grids = [n * use[:, 0].log().sum() for use, (_, n) in zip(uses, learned, strict=True)]
        total = sum(n * q.depth for q, n in learned)
        values = [(torch.stack(of_grids).sum() / total).exp(), torch.cat(uses)[:, 1].sum()]
        moved = [q.restarts for q, _ in learned if q.restarts is not None]
        values += [torch.stack(moved).sum()] if moved else []
        return {n: v.to(like).expand_as(like) for n, v in zip(OF_CODES, values, strict=False)}

    @torch.no_grad()
    def after_step(self, loss: Loss, player: str = "model") -> None:
        self.p_x.after_step(loss.statistics)
        self.coder.after_step(loss.statistics)

    def posterior(self, x: Tensor, c: Tensor | None = None) -> Distribution:
        x, _ = self.prepare(x, c, self.encodes)
        code = self.coder(self.standardize.scaled(x)).code
        return PointMass(code, len(self.coder.sizes))

    def prior(self, c: Tensor | None = None) -> Distribution:
        return UniformCodes(self.coder.code_shape, self.coder.codes, self.anchor, self.layers)

    def likelihood(self, z: Tensor, c: Tensor | None = None) -> Distribution:
        self._condition(c, z.shape[0])
        return self._given(self.coder.lookup(self.prepare_code(z).long()))

    def _given(self, vectors: tuple[Tensor, ...]) -> Distribution:
        p = self.p_x(self.coder.decode(vectors).to(self.anchor.dtype))
        if self.standardize.varying is None:
            return p
        varies = self.standardize.varies
        return Transformed(p if varies is None else self.p_x.hold(p, varies), self.standardize)

    def embed(self, code: Tensor) -> Tensor:
        """The vectors of all codes side by side, (B, E)."""
        vectors = self.coder.lookup(self.prepare_code(code).long())
        return torch.cat([part.flatten(1) for part in vectors], 1)


@torch.no_grad()
def _start(model: Model, batches: Iterable[Batch]) -> None:
    """Codes of every grid, the coarsest first, from vectors of rows chosen at random."""
    assert isinstance(model, VQVAE)
    rows = sum(len(batch.x) for batch in batches)
    for index, quantizer in enumerate(model.coder.quantizers):
        fewest, most = (n * quantizer.codes for n in (FEWEST_PER_CODE, VECTORS_PER_CODE))
        wanted = min(most, max(fewest, MOST_VECTORS))
        chosen = torch.randperm(rows)[: -(-wanted // model.coder.vectors[index])].sort().values
        parts, first = [], 0
        for batch in batches:
            own = chosen[(chosen >= first) & (chosen < first + len(batch.x))] - first
            first += len(batch.x)
            if len(own):
                x, _ = model.prepare(batch.x[own.to(batch.x.device)])
                vectors = model.coder.before(index, model.standardize.scaled(x))
                parts.append(vectors.movedim(1, -1).flatten(0, -2))
        found = torch.cat(parts)
        quantizer.start(found[torch.randperm(len(found))[:wanted].to(found.device)])
