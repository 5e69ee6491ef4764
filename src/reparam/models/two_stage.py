"""Two stages: a codec, and a generator of its codes."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor

from reparam import numerics
from reparam.batching import cost
from reparam.inspection import Filters, FromNoise, HiddenUnits, Noise
from reparam.model import (
    ENCODED,
    Batch,
    Codec,
    Descend,
    Generator,
    Loss,
    Model,
    Player,
    Solve,
    Space,
    Stage,
)
from reparam.models.undoing import UndoingOfCodes
from reparam.nets.norm import has_batch_norm
from reparam.rounding import Rounding

ON_CODES = " of codes"  # ends the names of the generator's players


class TwoStage(Codec, Generator):
    """z ~ p(z), x = g(z): a codec trained first, then a generator on the codes it gives.

    Any codec becomes a generator: an autoencoder with a mixture of Gaussians on its codes, a VAE
    whose aggregate posterior is modeled anew, latent diffusion. Samples are decoded means; binary
    and levels data are rounded at random so that their expectation is that mean (for binary data, a
    coin of that probability).

    Args:
        codec: x → z → x; its stages come first.
        generator: of vectors of ``codec.code_space``; its stages see encoded batches, and the codec
            is fixed by then. It may be conditional: on labels or attributes that its own space
            has; the codes themselves do not depend on c.

    Shape: x (B, *space.shape), code as the codec's.

    Likelihood: none, even where the generator has one: the density of the codes is not that of x.
        Terms of the generator's loss are called ``code_…``.

    Reference: Dai & Wipf 2019, "Diagnosing and enhancing VAE models"; Ghosh et al. 2020, "From
    variational to deterministic autoencoders", for densities fitted to an autoencoder's codes.
    https://arxiv.org/abs/1903.05789, https://arxiv.org/abs/1903.12436

    >>> import reparam as rp
    >>> codec = rp.build("ae", rp.Space((9,), "binary"), latent_dim=2)
    >>> model = TwoStage(codec, rp.GaussianMixture(codec.code_space, components=3))
    >>> model.sample(5).shape
    torch.Size([5, 9])
    """

    def __init__(self, codec: Codec, generator: Generator) -> None:
        given = generator.space
        if replace(given, classes=None, attributes=None) != codec.code_space:
            raise ValueError(
                f"generator: expected one of the codes {codec.code_space}, got {given}"
            )
        if codec.conditional:
            raise ValueError(f"codec: expected an unconditional one, got {type(codec).__name__}")
        space = codec.space
        if generator.conditional:
            space = replace(space, classes=given.classes, attributes=given.attributes)
        super().__init__(space)
        if has_batch_norm(codec):
            raise ValueError(
                "codec: expected one without batch normalization, whose codes would be others "
                "while the generator is trained; leave out batch_norm"
            )
        self.codec, self.generator, self.conditional = codec, generator, generator.conditional
        self.takes_missing = codec.takes_missing
        self.rounding = Rounding(space)
        self.encodes = codec.encodes
        # Of either part that asks for it; each descent is kept by the word of its own part.
        self.keeps = "last" if "last" in (codec.keeps, generator.keeps) else "best"
        self.judge = codec.judge
        self.couples_rows, self.normalized = codec.couples_rows, generator.normalized

    of_codec = ""  # ends the names of the codec's players
    draws_codes = False  # whether ``codes_of`` the same x are others every time

    @property
    def stages(self) -> tuple[Stage, ...]:
        first = (_of_codec(stage, self) for stage in self.codec.stages)
        second = (_of_codes(stage, self) for stage in self.generator.stages)
        return (*first, *second)

    @property
    def passes_per_draw(self) -> int:  # type: ignore[override]
        return self.generator.passes_per_draw

    @property
    def pass_cost(self) -> int:  # type: ignore[override]
        of_codes = self.generator.pass_cost * cost(self.code_space)
        return max(1, round(of_codes / cost(self.space)))

    def with_generator(self, generator: Generator) -> Self:
        """The same codec, with another generator of its codes."""
        other = copy.copy(self)
        other._modules = dict(self._modules)  # else both would have the other one
        other.generator = generator
        return other

    @property
    def from_noise(self) -> FromNoise[Generator] | None:
        inner = self.generator.from_noise
        return None if inner is None else UndoingOfCodes(inner, self)

    @torch.no_grad()
    def codes_of(self, x: Tensor) -> Tensor:
        """What the generator is trained on."""
        return self.codec.encode(x)

    @property
    def unsettled(self) -> str:
        return self.codec.unsettled or self.generator.unsettled

    @property
    def code_space(self) -> Space:
        return self.codec.code_space

    @property
    def noise(self) -> Noise | None:
        return self.codec.noise

    def filters(self) -> Filters | None:
        return self.codec.filters()

    def hidden_units(self, x: Tensor, c: Tensor | None = None) -> HiddenUnits | None:
        return self.codec.hidden_units(x, c)

    def refuse_rows(self, rows: int) -> None:
        self.codec.refuse_rows(rows)
        self.generator.refuse_rows(rows)

    def loss(self, x: Tensor, c: Tensor | None = None, player: str = "model") -> Loss:
        encoded, player = player.endswith(ENCODED), player.removesuffix(ENCODED)
        if not player.endswith(ON_CODES):
            loss = self.codec.loss(x, None, player.removesuffix(self.of_codec))
            self._condition(c, x.shape[0])  # seen by nothing here, but a wrong one is refused
            return loss
        code = x if encoded else self.codes_of(x)
        c = self._condition(c, code.shape[0])
        loss = self.generator.loss(code, c, player.removesuffix(ON_CODES))
        return loss._replace(terms={f"code_{name}": term for name, term in loss.terms.items()})

    def after_step(self, loss: Loss, player: str = "model") -> None:
        if player.endswith(ON_CODES):
            self.generator.after_step(loss, player.removesuffix(ON_CODES))
        else:
            self.codec.after_step(loss, player.removesuffix(self.of_codec))

    def encode(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        code = self.codec.encode(x)
        if c is not None:  # codes do not depend on it, but a wrong one is refused
            self._condition(c, code.shape[0])
        return code

    def decode(self, code: Tensor, c: Tensor | None = None) -> Tensor:
        if c is not None:
            self._condition(c, self.prepare_code(code).shape[0])
        return self.codec.decode(code)

    @property
    def class_frequencies(self) -> Tensor | None:
        return self.generator.class_frequencies

    def draw_condition(self, n: int, generator: torch.Generator | None = None) -> Tensor | None:
        return self.generator.draw_condition(n, generator)

    def draw(self, n: int, c: Tensor | None, generator: torch.Generator | None) -> Tensor:
        means = self.codec.decode(self.generator.sample(n, c, generator=generator))
        return self.rounding(means, generator)


def _refuse_collapsed(codes: Iterable[Batch]) -> None:
    """Not the training data are at fault then, as the generator alone would say."""
    if numerics.constant_entries(batch.x for batch in codes)[1].all():
        raise ValueError(
            "codes: expected different codes of different rows, got the same of every training "
            "row, of which no generator can be learned; train another codec, or give rows that "
            "differ"
        )


class _Codes:
    """Batches of codes, encoded anew in every pass, with c where the generator is conditional."""

    def __init__(self, whole: TwoStage, batches: Iterable[Batch]) -> None:
        self.whole, self.batches = whole, batches

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            yield Batch(self.whole.codes_of(batch.x), batch.c if self.whole.conditional else None)


def _of_codec(stage: Stage, whole: TwoStage) -> Stage:
    """The codec's stage as one of the whole: its own model, its own parameters only."""
    codec = whole.codec
    if isinstance(stage, Solve):
        solve = stage.solve
        return Solve(stage.name, lambda model, batches: solve(codec, batches))
    players = stage.players or (Player("model", (codec,)),)
    players = tuple(replace(p, name=p.name + whole.of_codec) for p in players)
    return replace(stage, players=players, of=stage.of or codec, code=None)


def _of_codes(stage: Stage, whole: TwoStage) -> Stage:
    """The generator's stage as one of the whole, on codes."""
    name, generator = stage.name + ON_CODES, whole.generator
    if isinstance(stage, Solve):
        solve = stage.solve

        def solve_on_codes(model: Model, batches: Iterable[Batch]) -> None:
            codes = _Codes(whole, batches)
            if whole.code_space.kind == "real":  # a prior of indices learns that there is one
                _refuse_collapsed(codes)
            solve(generator, codes)

        return Solve(name, solve_on_codes)
    players = stage.players or (Player("model", (generator,)),)
    players = tuple(replace(p, name=p.name + ON_CODES) for p in players)
    code = None if whole.draws_codes else whole.codes_of
    return Descend(name, players, of=stage.of or generator, code=code)
