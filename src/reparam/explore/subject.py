"""What is explored: a model, some of its test examples, and where these lie among its codes."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from reparam.batching import affordable, in_batches, rows_at_once
from reparam.data import Data, Split, condition
from reparam.evaluation.latents import INFLUENCED, Axes, importance, influence
from reparam.evaluation.likelihood import usual_samples
from reparam.evaluation.projection import Projection
from reparam.evaluation.rows import chosen_rows, subset
from reparam.inspection import FromPrior
from reparam.model import Codec, Decoder, Density, Generator, LatentVariable, Model
from reparam.report.pictures import Brightness
from reparam.space import Space
from reparam.use.directions import Directions, attribute_directions
from reparam.use.edit_scores import LEAKED, MOVED, edit_quality
from reparam.use.editing import draw_codes, noise_decoder

EXAMPLES, FEW = 2000, 48  # of the test split, on the map; and where there is no map
ENTRIES = 20_000_000  # of codes and their vectors, that are held for the map
RANKED, MOST_SAMPLES = 200, 50  # test examples that an own image is ranked among; draws of each
DRAWS, DRAWN_ENTRIES = 128, 400_000  # of z ~ p(z), that the page has to begin with
FITTED, MEASURED = 10_000, 200  # training examples of directions; test examples of their leaks
TIMED, PATIENCE = 50, 10.0  # examples that tell how long it takes; seconds that it may take
WIDEST_FITTED = 4096  # entries of a code, for directions
CODES = Literal["real", "indices", "noise"]
IN_FILE, SHEET_IN_FILE = 90_000, 130_000  # bytes of codes, and of small pictures or of rows
SMALLEST = 144  # bytes of one channel of a small picture
WIDEST = 16_384  # entries of a code, which are 64 kB, as much as a request may have
SIGNS = {"exact": "=", "lower bound": "≥", "estimate": "≈"}


@dataclass(frozen=True)
class Likelihood:
    """log p(x) of one x among those of test examples.

    Args:
        value: in nats.
        sign: how it relates to log p(x): ``=``, ``≥`` or ``≈``.
        percentile: the share of test examples, in percent, of which it is lower.
        of: how many test examples these are.
    """

    value: float
    sign: str
    percentile: float
    of: int


def _most_in_file(space: Space, width: int) -> int:
    """Examples whose codes and small pictures, or rows, have room in a page of a modest size."""
    bytes_of_one = SMALLEST * min(3, space.shape[0]) if space.is_image else 4 * space.dimension
    return max(20, min(IN_FILE // (2 * width), SHEET_IN_FILE // bytes_of_one))


class Subject:
    """A model and its test examples, ready to be explored.

    Args:
        model: any; in evaluation mode from here on.
        data: what it was trained on; test examples are shown.
        name: of the run.
        most: examples on the map, at most.
        in_file: whether a page that stands alone, and is small, is to hold them.

    >>> import reparam as rp
    >>> digits = rp.load_data("digits")
    >>> subject = Subject(rp.build("vae", digits.space, latent_dim=2), digits, "a run", most=50)
    >>> subject.kind, subject.codes.shape
    ('real', torch.Size([50, 2]))
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        name: str,
        most: int = EXAMPLES,
        in_file: bool = False,
    ) -> None:
        self.model, self.data, self.name = model.eval(), data, name
        decoder = model if isinstance(model, Codec) else noise_decoder(model)
        if decoder is not None and decoder.code_space.dimension > WIDEST:
            decoder = None
        self.decoder: Decoder | None = decoder
        if decoder is None:
            most = min(most, FEW)
        else:
            width = decoder.code_space.dimension
            most = max(2, min(most, ENTRIES // width))
            most = min(most, _most_in_file(data.space, width)) if in_file else most
        self.examples: Split = subset(data.test, most, seed=0)
        self.numbers: Tensor = chosen_rows(len(data.test), len(self.examples), seed=0)
        self.brightness = Brightness.of(data) if data.space.is_image else None

    @property
    def kind(self) -> CODES | None:
        """What the codes are: real, indices, noise that no x has, or None where there are none."""
        if self.decoder is None:
            return None
        if not isinstance(self.decoder, Codec):
            return "noise"
        return "real" if self.decoder.code_space.kind == "real" else "indices"

    @cached_property
    def condition(self) -> Tensor | None:
        """The conditions of the examples, for models that use them."""
        return condition(self.model, self.examples)

    @cached_property
    def codes(self) -> Tensor:
        """The codes of the examples (N, F) on the CPU; of a decoder of noise draws of z."""
        if not isinstance(self.decoder, Codec):
            return self.draws.float()
        codes = self.encode(self.examples.x, self.condition)
        if not bool(codes.isfinite().all()):
            raise ValueError(
                "model: expected finite codes of the test examples, got others; train it anew, "
                "at a lower learning rate"
            )
        return codes

    @torch.no_grad()
    def encode(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Codes (N, F) of x."""
        codec = self.decoder
        assert isinstance(codec, Codec)
        found = in_batches(lambda x, c: codec.encode(x, c).flatten(1).cpu(), self._rows, x, c)
        return found if self.kind == "indices" else found.float()

    @torch.no_grad()
    def decode(self, codes: Tensor, c: Tensor | None, seed: int | None = None) -> Tensor:
        """x of codes (N, F): its mean, or with a seed a draw of p(x|z), on the CPU."""
        decoder = self.decoder
        assert decoder is not None
        codes = codes.unflatten(1, decoder.code_space.shape).to(self.model.anchor.device)
        c = None if c is None else c.to(codes.device)
        if seed is None or not isinstance(decoder, LatentVariable):
            return in_batches(lambda z, c: decoder.decode(z, c).cpu(), self._rows, codes, c)
        likelihood = decoder.likelihood(decoder.prepare_code(codes), c)
        return likelihood.sample(torch.Generator().manual_seed(seed)).cpu()

    @cached_property
    def draws(self) -> Tensor:
        """Some z ~ p(z) (N, F), under conditions as they occur; none where there is no p(z)."""
        assert self.decoder is not None
        width = self.decoder.code_space.dimension
        if not self.draws_codes:
            return torch.empty(0, width)
        count = max(4, min(DRAWS, DRAWN_ENTRIES // width))
        if self.kind == "noise":
            count = max(count, min(500, DRAWN_ENTRIES // width))
        return self.draw(count, self.usual_condition(count), 0)

    @property
    def draws_codes(self) -> bool:
        """Whether there is a p(z), or a p(x) whose draws have codes."""
        return isinstance(self.decoder, FromPrior | Generator)

    def usual_condition(self, count: int) -> Tensor | None:
        """So many conditions as they occur in training."""
        return self.model.draw_condition(count, torch.Generator().manual_seed(0))

    def draw(self, count: int, c: Tensor | None, seed: int) -> Tensor:
        """So many z ~ p(z), (count, F) on the CPU; without a p(z) the codes of x ~ p(x)."""
        generator = torch.Generator().manual_seed(seed)
        c = None if c is None else c.to(self.model.anchor.device)
        if isinstance(self.decoder, FromPrior):
            z = draw_codes(self.decoder, count, generator, c).flatten(1).cpu()
            return z if self.kind == "indices" else z.float()
        assert isinstance(self.decoder, Generator)
        return self.encode(self.decoder.sample(count, c, generator=generator), c)

    @cached_property
    def axes(self) -> Axes | None:
        """The entries of codes by importance; None where they are indices."""
        if self.decoder is None or self.kind == "indices":
            return None
        if self.kind == "noise":
            few = self.codes[:INFLUENCED].unflatten(1, self.decoder.code_space.shape)
            c = self.usual_condition(1)
            return influence(self.decoder, few.to(self.model.anchor), c)
        with torch.no_grad():
            return importance(self.model, self.examples, self.codes.double(), seed=0)

    @cached_property
    def vectors(self) -> Tensor:
        """Codes in which distances mean something, (N, E), for the map."""
        if self.kind != "indices":
            return self.codes
        codec = self.decoder
        assert isinstance(codec, Codec)
        codes = self.codes.unflatten(1, codec.code_space.shape)
        with torch.no_grad():
            return in_batches(
                lambda z: codec.embed(z.to(self.model.anchor.device)).cpu(), 100, codes
            )

    @cached_property
    def projection(self) -> Projection:
        """The plane that the map shows to begin with."""
        return Projection.of(self.vectors)

    @cached_property
    def spread(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each entry, of codes or of draws, whichever is larger."""
        codes, draws = self.codes.double(), self.draws.double()
        deviation = codes.std(0, correction=0)
        if len(draws) > 1:
            deviation = deviation.maximum(draws.std(0, correction=0))
        return codes.mean(0), deviation.clamp(min=1e-6)

    @cached_property
    def directions(self) -> Directions | None:
        """Directions of codes along which attributes change; None where nothing is known."""
        if self.kind != "real" or self.codes.shape[1] > WIDEST_FITTED:
            return None
        try:
            return attribute_directions(self.model, self._fewer)
        except ValueError:  # nothing is known of these data, or nothing of it varies
            return None

    @cached_property
    def quality(self) -> dict[str, tuple[float | None, float | None]]:
        """How far each attribute moves by its direction, and how far the others do, if known."""
        if self.directions is None or self._seconds_of_quality > PATIENCE:
            return {}
        try:
            found = edit_quality(self.model, self._fewer, self.directions, n=MEASURED)
        except ValueError:  # every example became black
            return {}
        values = {name: score.value for name, score in found.items()}
        return {n: (values.get(MOVED + n), values.get(LEAKED + n)) for n in self.directions}

    @property
    def _seconds_of_quality(self) -> float:
        """About how long it takes: two decodes and as many codes of each row by each direction."""
        few = self.examples.take(slice(TIMED))
        c = None if self.condition is None else self.condition[:TIMED]
        begun = time.perf_counter()
        self.decode(self.encode(few.x, c), c)
        took = time.perf_counter() - begun
        return took * 2 * len(self.directions or ()) * MEASURED / len(few)

    @property
    def _fewer(self) -> Data:
        """The data with no more training examples than directions are found from."""
        return replace(self.data, train=subset(self.data.train, FITTED, seed=0))

    @torch.no_grad()
    def log_prob(self, x: Tensor, c: Tensor | None) -> Likelihood | None:
        """log p(x) of one x and its place among those of test examples; None of no density."""
        if not isinstance(self.model, Density):
            return None
        known, sign = self._ranked
        value = self._log_p(x, c)[0]
        lower = (known < value).double().mean().item()
        return Likelihood(value.item(), sign, 100 * lower, len(known))

    @cached_property
    def _ranked(self) -> tuple[Tensor, str]:
        """log p(x) of some test examples, and what kind of number it is."""
        rows = max(20, min(RANKED, affordable(self.data.space, 1, self._samples)))
        part = subset(self.data.test, rows, seed=1)
        values = self._log_p(part.x, condition(self.model, part))
        return values, SIGNS[self._kind]

    @property
    def _samples(self) -> int:
        assert isinstance(self.model, Density)
        return min(MOST_SAMPLES, usual_samples(self.model, len(self.examples)))

    def _log_p(self, x: Tensor, c: Tensor | None) -> Tensor:
        """With the same noise for all x, so that they compare."""
        model = self.model
        assert isinstance(model, Density)
        parts = []
        for start in range(0, len(x), 50):
            of_part = None if c is None else c[start : start + 50]
            noise = torch.Generator().manual_seed(0)
            found = model.log_prob(
                x[start : start + 50],
                of_part,
                samples=self._samples,
                generator=noise,
                noise="shared",
            )
            self._kind = found.kind
            parts.append(found.value.cpu().double())
        return torch.cat(parts)

    @property
    def _rows(self) -> int:
        return rows_at_once(self.data.space)
