"""What a page asks of a model and gets: checked words in, bytes and numbers out."""

from __future__ import annotations

import base64
import binascii
import io
import math
import sys
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reparam.data import Split, load_rows
from reparam.explore.facts import packed
from reparam.explore.subject import Subject
from reparam.model import Codec, Generator, LatentVariable
from reparam.use.missing_part import complete, why_not

DEVIATIONS = 20  # of codes, beyond which they are clamped
MOST = 16  # samples or completions in one answer
MOST_DECODED = 256  # codes in one request
PIXELS, FORMATS = 50_000_000, ("PNG", "JPEG", "WEBP", "BMP")
TOO_LARGE = f"expected at most {PIXELS // 10**6} megapixels"
STEPS = 100  # that a draw takes at most of a model that may take fewer
SEEDS = 2**31
LARGEST = sys.float_info.max  # which whole numbers of JSON may exceed

Asked = Mapping[str, Any]


class Answers:
    """Answers about one model; the caller sees to it that one is given at a time.

    Args:
        subject: what is explored.

    Every method raises ValueError, in a sentence, for what it cannot answer.
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def decode(self, asked: Asked) -> bytes:
        """x of a code, or of several one after the other: pixels, or rows of float64.

        ``code`` is a list of numbers, or the bytes of them in float32, or ``codes`` a list of
        such lists, ``c`` the condition, and ``draw`` a seed, where it is not the mean of x that is
        wanted.
        """
        subject = self.subject
        if subject.decoder is None:
            raise ValueError("decode: this model has no codes")
        codes = self._codes(asked)
        seed = _whole(asked, "draw", 0, SEEDS)
        if seed is not None and not isinstance(subject.decoder, LatentVariable):
            raise ValueError("draw: this model has a mean of x alone; leave it out")
        return self._shown(subject.decode(codes, self._condition(asked, len(codes)), seed))

    def encode(self, asked: Asked) -> bytes:
        """The code, float32, of an example of the map, or of a draw of z with a ``seed``."""
        subject = self.subject
        if subject.decoder is None:
            raise ValueError("encode: this model has no codes")
        seed = _whole(asked, "seed", 0, SEEDS)
        if seed is not None:
            if not subject.draws_codes:
                raise ValueError("seed: this model has no p(z) to draw of; give an example")
            return _floats(subject.draw(1, self._condition(asked, 1), seed))
        return _floats(subject.codes[self._example(asked)])

    def example(self, asked: Asked) -> bytes:
        """An example of the map as it is."""
        return self._shown(self.subject.examples.x[self._example(asked)])

    def upload(self, body: bytes, asked: Asked) -> dict[str, Any]:
        """An own image as the model gets it, its code and the code's place on the map.

        With ``likelihood`` it is log p(x) in their place.
        """
        subject = self.subject
        split = self._read(body)
        x, c = split.x, self._condition(asked, 1)
        if asked.get("likelihood"):
            found = subject.log_prob(x, c)
            if found is None:
                raise ValueError("likelihood: this model has none")
            return {**vars(found)} | {"value": _finite(found.value)}
        shown = base64.b64encode(self._shown(x)).decode("ascii")
        answer: dict[str, Any] = {"x": shown, "notes": list(split.notes), "code": None}
        if isinstance(subject.decoder, Codec):
            code = subject.encode(x, c)
            vector = code if subject.kind == "real" else None
            point = None if vector is None else subject.projection(vector)[0].tolist()
            answer |= {"code": packed(code.float()), "point": point}
        return answer

    @torch.no_grad()
    def sample(self, asked: Asked) -> bytes:
        """``n`` draws x ~ p(x), under a condition or under conditions as they occur."""
        model = self.subject.model
        if not isinstance(model, Generator):
            raise ValueError("sample: this model does not draw x")
        count = _whole(asked, "n", 1, MOST + 1) or 1
        generator = _generator(asked)
        x = _quick(model).sample(
            count, self._condition(asked, count, must=False), generator=generator
        )
        return self._shown(x.cpu())

    @torch.no_grad()
    def complete(self, asked: Asked) -> bytes:
        """Completions of an example of which only a part is given.

        ``mask`` has a bit for each pixel or column, 1 where it is given, the first in the highest
        place of the first byte, in base64.
        """
        model, space = self.subject.model, self.subject.data.space
        reason = why_not(model)
        if reason is not None:
            raise ValueError(f"complete: {reason}")
        count = _whole(asked, "n", 1, MOST + 1) or 1
        x = self.subject.examples.x[self._example(asked)]
        bits = math.prod(space.shape[1:]) if space.is_image else space.dimension
        given = _mask(asked.get("mask"), bits)
        given = given.view(1, *space.shape[1:]) if space.is_image else given
        quick = _quick(model) if isinstance(model, Generator) else model
        c, generator = self._condition(asked, 1), _generator(asked)
        found = complete(quick, x, given.expand(space.shape), c, draws=count, generator=generator)
        return self._shown(found.x[0].cpu())

    def _shown(self, x: Tensor) -> bytes:
        """Pixels (N, H, W, 1 or 3) from black to white, or rows in float64."""
        bright = self.subject.brightness
        return x.double().numpy().tobytes() if bright is None else bright.bytes(x).tobytes()

    def _codes(self, asked: Asked) -> Tensor:
        """Codes (N, F), finite and within 20 standard deviations."""
        subject = self.subject
        assert subject.decoder is not None
        width = subject.decoder.code_space.dimension
        several = asked.get("codes")
        rows = [asked.get("code")] if several is None else several
        if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_DECODED:
            raise ValueError(f"codes: expected 1 to {MOST_DECODED} codes")
        codes = torch.stack([_numbers(row, width) for row in rows])
        if subject.kind == "indices":
            levels = subject.decoder.code_space.level_count
            assert levels is not None
            if bool((codes != codes.round()).any()) or codes.min() < 0 or codes.max() >= levels:
                raise ValueError(f"code: expected whole numbers from 0 to {levels - 1}")
            return codes.long()
        mean, deviation = subject.spread
        reach = DEVIATIONS * deviation
        return codes.clamp(mean - reach, mean + reach).float()

    def _condition(self, asked: Asked, rows: int, must: bool = True) -> Tensor | None:
        """The condition of so many rows; None where the model takes none or none is asked."""
        model, given = self.subject.model, asked.get("c")
        if not model.conditional:
            if given is not None:
                raise ValueError("c: this model is not conditional; leave it out")
            return None
        if given is None:
            if must:
                raise ValueError("c: this model is conditional; give its class or its attributes")
            return None
        if model.space.attributes is not None:
            values = _numbers(given, model.space.attributes, "c")
            return values.expand(rows, -1)
        count = model.space.classes or 1
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < count:
            raise ValueError(f"c: expected the number of a class, 0 to {count - 1}")
        return torch.full((rows,), given)

    def _example(self, asked: Asked) -> slice:
        """The row of an example of the map."""
        count = len(self.subject.examples)
        found = _whole(asked, "example", 0, count)
        if found is None:
            raise ValueError(f"example: expected a number from 0 to {count - 1}")
        return slice(found, found + 1)

    def _read(self, body: bytes) -> Split:
        """An image file in memory as an example; its size is looked at before it is decoded."""
        data = self.subject.data
        if not data.space.is_image:
            raise ValueError("upload: this model is of rows and not of images")
        image = opened(body)
        split = load_rows([image], data, attributes=False)
        return split.take(slice(1))


def opened(body: bytes) -> Image.Image:
    """The first frame of an image file in memory, decoded.

    Raises:
        ValueError: another kind of file, too many pixels, or a damaged file.

    >>> opened(b"GIF89a")
    Traceback (most recent call last):
    ValueError: upload: expected an image in PNG, JPEG, WEBP or BMP
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(body), formats=FORMATS)
        except Image.DecompressionBombError as error:  # Pillow's own limit, which is higher
            raise ValueError(f"upload: {TOO_LARGE}") from error
        except Exception as error:  # Pillow's readers raise anything on damage
            known = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
            raise ValueError(f"upload: expected an image in {known}") from error
        width, height = image.size
        if width * height > PIXELS:
            raise ValueError(f"upload: {TOO_LARGE}, got {width} x {height}")
        try:
            image.seek(0)
            image.load()
            alone = image.copy()
        except Exception as error:
            raise ValueError("upload: the image is damaged and cannot be decoded") from error
    orientation = image.getexif().get(0x0112)
    if orientation:
        alone.getexif()[0x0112] = orientation
    return alone


def _quick(model: Generator) -> Generator:
    """The same model by no more than 100 steps, where it draws by undoing noise."""
    view = model.from_noise
    if view is None:
        return model
    name, options = view.usual
    steps = options.get("steps")
    most = view.samplers.get(name)
    if steps is not None and steps <= STEPS:
        return model
    found = view.by(name, STEPS if most is None else min(STEPS, most))
    return found


def _numbers(values: object, width: int, name: str = "code") -> Tensor:
    """So many finite numbers, from a list or from bytes of float32."""
    if isinstance(values, bytes):
        if len(values) != 4 * width:
            raise ValueError(f"{name}: expected {width} numbers, got {len(values) / 4:g}")
        found = torch.from_numpy(np.frombuffer(values, "<f4").astype(np.float64))
    else:
        if not isinstance(values, list) or len(values) != width:
            got = len(values) if isinstance(values, list) else "none"
            raise ValueError(f"{name}: expected {width} numbers, got {got}")
        if not all(type(value) in (int, float) and abs(value) <= LARGEST for value in values):
            raise ValueError(f"{name}: expected finite numbers")
        found = torch.tensor([float(value) for value in values], dtype=torch.float64)
    if not bool(found.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers")
    return found


def _whole(asked: Asked, name: str, low: int, high: int) -> int | None:
    """A whole number from ``low`` to below ``high``; None where it is not given."""
    value = asked.get(name)
    if value is None:
        return None
    if type(value) is not int or not low <= value < high:
        raise ValueError(f"{name}: expected a whole number from {low} to {high - 1}")
    return value


def _mask(text: object, bits: int) -> Tensor:
    """So many bits from base64."""
    size = -(-bits // 8)
    try:
        raw = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise ValueError(f"mask: expected {bits} bits in base64, {size} bytes")
    found = np.unpackbits(np.frombuffer(raw, np.uint8))[:bits]
    return torch.from_numpy(found.astype(bool))


def _generator(asked: Asked) -> torch.Generator:
    return torch.Generator().manual_seed(_whole(asked, "seed", 0, SEEDS) or 0)


def _floats(values: Tensor) -> bytes:
    return values.float().numpy().tobytes()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
