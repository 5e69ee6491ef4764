"""The .rpz file: what a decoder must know, the conditions and the words of every block.

=============  ======  ===========================================================================
offset         bytes   content, all numbers little endian
=============  ======  ===========================================================================
0              4       ``8F 52 50 5A``: no text file begins with the first, then ``RPZ``
4              2       number of the format, 1
6              4       CRC-32 of all that follows up to the payload
10             4       h, length of the header as it stands here
14             4       length of the header's JSON
18             8       k, length of the conditions as they stand here, 0 without
26             h       header, JSON in UTF-8
26 + h         k       conditions, the entries of an array row by row
26 + h + k     4 w     payload, the words of the blocks one block after the other
=============  ======  ===========================================================================

Header and conditions are each a raw LZMA2 stream where that is shorter, and plain where the two
lengths are equal. LZMA finds what names of files have in common, which count: 10 000 of them take
3 kB, where zlib needs 23 kB and 10 000 binarized digits beside them some 200 kB. Beside its words a
block costs 8 bytes of the header (90 blocks more, each of 1000 rows in 40 batches, the first ten
and the last of less than 32 rows); preamble and header of a file of one block take 290 bytes.

**Reading trusts nothing.** Every length is compared with that of the file before it is believed;
types and limits of the header are those of ``Header``; and however well a small file unpacks, what
it makes this module allocate stays below 64 times its own length and 1 MiB: see ``_allowed``.
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from reparam.limits import Count, Several, Whole

MAGIC, FORMAT = b"\x8fRPZ", 1
PREAMBLE = struct.Struct("<4sHIIIQ")
COVERED = 10  # the CRC-32 is over what comes from here on
WORD = 4  # bytes
SMALLEST, LARGEST = 1 << 12, 1 << 22  # bytes in which LZMA looks for what it has seen
AGAIN = "copy it again from where it was whole, or compress the data again"

Short = Annotated[str, Meta(max_length=200)]
Word32 = Annotated[int, Meta(ge=0, lt=2**32)]
Label = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Sizes = Annotated[tuple[Count, ...], Meta(min_length=1, max_length=8)]
Fraction = Annotated[int, Meta(ge=0, le=52)]  # bits after the point, as many as float64 has
POINTS = 1 << 20  # of a grid: more have no probability of the coder's left
Batch = Annotated[int, Meta(ge=-(2**31), le=2**31)]


@dataclass(frozen=True, eq=False, slots=True)
class Block:
    """Rows that are decoded by themselves.

    Args:
        rows: how many.
        crc: CRC-32 of the bytes of x.
        reach: of the grid of z, to either side.
        batches: how many rows were coded together, from the first.
        back: of each batch whether it got its bits back.
        words: the stack, (W,) of uint32.
    """

    rows: int
    crc: int
    reach: int
    batches: tuple[int, ...]
    back: tuple[bool, ...]
    words: NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class Contents:
    """What an .rpz file says.

    Args:
        way: ``"direct"``, ``"bits back"`` or ``"two parts"``.
        model: checksum of the weights.
        preset: name of the model's preset, where it has one.
        shape: of one row of x.
        kind: of the data, as in ``Space``.
        levels: K of levels.
        dtype: of x, by NumPy's name.
        rows: for how many the networks run at once.
        block: rows of a block; the last may have fewer.
        grid: z lies on multiples of 2^-grid.
        precision: parameters lie on multiples of 2^-precision.
        n: number of rows.
        names: of the rows.
        labels: of the rows.
        c: conditions of the rows, (n, …).
        blocks: of the rows, in order.
        version: of reparam.
        coder: version of constriction.
    """

    way: str
    model: str
    preset: str | None
    shape: tuple[int, ...]
    kind: str
    levels: int | None
    dtype: str
    rows: int
    block: int
    grid: int
    precision: int
    n: int
    names: list[str] | None
    labels: list[int] | None
    c: NDArray[Any] | None
    blocks: tuple[Block, ...]
    version: str
    coder: str


class Conditions(msgspec.Struct, forbid_unknown_fields=True):
    """What the array of the conditions is."""

    dtype: Literal["uint8", "int64", "float32", "float64"]
    shape: Sizes


class Table(msgspec.Struct, forbid_unknown_fields=True):
    """The blocks, an entry for each in every column; alike entries in a row pack well.

    The rows of a batch that got no bits back are below zero.
    """

    rows: tuple[Count, ...]
    crc: tuple[Word32, ...]
    reach: tuple[Count, ...]
    words: tuple[Whole, ...]
    batches: tuple[tuple[Batch, ...], ...]


class Header(msgspec.Struct, forbid_unknown_fields=True):
    """What stands as JSON, with the limits of every number; the names are those of ``Contents``."""

    way: Literal["direct", "bits back", "two parts"]
    model: Short
    preset: Short | None
    shape: Sizes
    kind: Literal["binary", "levels", "mixed"]
    levels: Several | None
    dtype: Literal["bool", "uint8", "int16", "int32", "int64", "float32", "float64"]
    rows: Annotated[int, Meta(ge=1, le=2**16)]
    block: Count
    grid: Fraction
    precision: Fraction
    n: Count
    names: tuple[str, ...] | None
    labels: tuple[Label, ...] | None
    c: Conditions | None
    blocks: Table
    version: Short
    coder: Short


# What stands in the header as it is in the contents.
PLAIN = [f.name for f in fields(Contents) if f.name not in ("names", "labels", "c", "blocks")]


def write(contents: Contents) -> bytes:
    """The bytes of a file.

    Raises:
        ValueError: contents that ``read`` would refuse.
    """
    for what, given in [("names", contents.names), ("labels", contents.labels), ("c", contents.c)]:
        if given is not None and len(given) != contents.n:
            n = contents.n
            raise ValueError(f"{what}: expected one for each of {n} rows, got {len(given)}")
    text = _encoded(_header_of(contents))
    _consistent(_decoded(text))
    c = b"" if contents.c is None else _little(contents.c).tobytes()
    payload = b"".join(block.words.astype("<u4").tobytes() for block in contents.blocks)
    packed = _packed(text), _packed(c)
    size = PREAMBLE.size + sum(map(len, packed)) + len(payload)
    if _needed(len(text), len(c), len(contents.blocks)) > _allowed(size):
        packed = text, c  # so much alike that no reader would believe it
    lengths = len(packed[0]), len(text), len(packed[1])
    crc = zlib.crc32(b"".join([PREAMBLE.pack(MAGIC, FORMAT, 0, *lengths)[COVERED:], *packed]))
    return b"".join([PREAMBLE.pack(MAGIC, FORMAT, crc, *lengths), *packed, payload])


def read(data: bytes) -> Contents:
    """What the bytes of a file say; a damaged payload is left to the CRC of each block.

    Raises:
        ValueError: in one line, what is wrong and what to do.

    >>> read(b"PK")
    Traceback (most recent call last):
    ValueError: is no .rpz file; expected one that compress wrote
    """
    whole = memoryview(data)
    header, c, start = _opened(whole)
    expected = start + WORD * sum(header.blocks.words)
    if len(whole) < expected:
        raise ValueError(_truncated(len(whole), expected))
    if len(whole) > expected:
        surplus = len(whole) - expected
        raise ValueError(f"goes on for {surplus} bytes after its end at {expected}; {AGAIN}")
    return Contents(
        **{name: getattr(header, name) for name in PLAIN},
        names=None if header.names is None else list(header.names),
        labels=None if header.labels is None else list(header.labels),
        c=c,
        blocks=tuple(_blocks(header.blocks, whole[start:])),
    )


def _opened(whole: memoryview) -> tuple[Header, NDArray[Any] | None, int]:
    """The header, the conditions, and where the payload begins."""
    if whole[: len(MAGIC)] != MAGIC:
        raise ValueError("is no .rpz file; expected one that compress wrote")
    if len(whole) < PREAMBLE.size:
        raise ValueError(_truncated(len(whole), PREAMBLE.size))
    _, format, crc, packed, unpacked, packed_c = PREAMBLE.unpack_from(whole)
    if format > FORMAT:
        raise ValueError(
            f"was written by a newer reparam (format {format}; this one reads {FORMAT}); "
            "update reparam"
        )
    middle = PREAMBLE.size + packed
    start = middle + packed_c
    if len(whole) < start:
        raise ValueError(_truncated(len(whole), start))
    if format < FORMAT or crc != zlib.crc32(whole[COVERED:start]):
        raise ValueError(f"is damaged in its header, which says how to decode; {AGAIN}")
    try:
        _believe(unpacked, 0, 0, len(whole))
        header = _decoded(_unpacked(whole[PREAMBLE.size : middle], unpacked))
        _consistent(header)
        _believe(unpacked, _size(header.c), len(header.blocks.rows), len(whole))
        c = _conditions(header.c, whole[middle:start])
    except ValueError as error:
        raise ValueError(f"{error}; {AGAIN}") from None
    return header, c, start


def _header_of(contents: Contents) -> Header:
    c, blocks = contents.c, contents.blocks
    assert all(b.words.dtype == np.uint32 and b.words.ndim == 1 for b in blocks)
    dtype: Any = None if c is None else c.dtype.name  # which limits are checked in the JSON
    return Header(
        **{name: getattr(contents, name) for name in PLAIN},
        names=None if contents.names is None else tuple(contents.names),
        labels=None if contents.labels is None else tuple(map(int, contents.labels)),
        c=None if c is None else Conditions(dtype, c.shape),
        blocks=Table(
            rows=tuple(int(block.rows) for block in blocks),
            crc=tuple(int(block.crc) for block in blocks),
            reach=tuple(int(block.reach) for block in blocks),
            words=tuple(block.words.size for block in blocks),
            batches=tuple(
                tuple(
                    int(size) if back else -int(size)
                    for size, back in zip(block.batches, block.back, strict=True)
                )
                for block in blocks
            ),
        ),
    )


def _encoded(header: Header) -> bytes:
    try:
        return msgspec.json.encode(header)
    except UnicodeEncodeError as error:
        name = ascii(error.object)
        raise ValueError(
            f"names: {name} is not UTF-8, which the file cannot hold; rename it, or compress "
            "without names (bare=True, --bare)"
        ) from None
    except OverflowError:
        raise ValueError("header: expected whole numbers within 64 bits") from None


def _decoded(text: bytes) -> Header:
    try:
        return msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        said = " ".join(str(error).replace("`", "").split())
        raise ValueError(f"has a header that cannot be read: {said}") from None


def _consistent(header: Header) -> None:
    """Refuse what no single entry shows: numbers that must agree, and do not."""
    table = header.blocks
    lengths = {len(getattr(table, name)) for name in table.__struct_fields__}
    held = {"names": header.names, "labels": header.labels}
    counts = {what: len(held_) for what, held_ in held.items() if held_ is not None}
    if header.c is not None:
        counts["conditions"] = header.c.shape[0]
    wrong = next((f"{m} {what}" for what, m in counts.items() if m != header.n), None)
    if (header.kind == "levels") != (header.levels is not None):
        wrong = f"{header.levels} levels for {header.kind} data"
    elif len(lengths) > 1:
        wrong = "columns of several lengths in the table of its blocks"
    elif sum(table.rows) != header.n:
        wrong = f"{sum(table.rows)} rows in its blocks"
    if wrong:
        raise ValueError(f"contradicts itself: {wrong}, n is {header.n}")
    columns = zip(table.rows, table.reach, table.batches, strict=True)
    for i, (rows, reach, batches) in enumerate(columns):
        if reach << (header.grid + 1) > POINTS:
            wrong = f"a grid that reaches to {reach} in steps of 2^-{header.grid}"
        elif rows > header.block:
            wrong = f"{rows} rows where blocks have {header.block}"
        elif sum(map(abs, batches)) != rows:
            wrong = f"{sum(map(abs, batches))} rows in its batches, {rows} of its own"
        elif not all(1 <= abs(size) <= header.rows for size in batches):
            wrong = f"a batch that has not 1 to {header.rows} rows"
        if wrong:
            raise ValueError(f"contradicts itself: block {i} has {wrong}")


def _truncated(size: int, expected: int) -> str:
    return f"is truncated: {size} bytes are left of at least {expected}; {AGAIN}"


def _needed(text: int, c: int, blocks: int) -> int:
    """Bytes that reading allocates beside the payload, from above.

    A byte of JSON becomes at most some 20: the shortest name, ``"a",``, is an object of 50 bytes
    and a pointer, ``[1],`` a tuple of 64 and a pointer. Conditions are unpacked by way of a window
    and a copy; a block is an object with an array and two tuples.
    """
    return 20 * text + 3 * c + 500 * blocks


def _allowed(size: int) -> int:
    """Bytes that a file of this size may make ``read`` allocate, beside those of the payload.

    The writer packs nothing that needs more. A header that is not packed always needs less.
    """
    return 56 * size + (1 << 19)


def _believe(text: int, c: int, blocks: int, size: int) -> None:
    if _needed(text, c, blocks) > _allowed(size):
        raise ValueError(
            f"claims to unpack to {text + c} bytes and {blocks} blocks, too much for a file of "
            f"{size}"
        )


def _filters(size: int) -> list[dict[str, int]]:
    return [{"id": lzma.FILTER_LZMA2, "dict_size": min(max(size, SMALLEST), LARGEST)}]


def _packed(plain: bytes) -> bytes:
    packed = lzma.compress(plain, lzma.FORMAT_RAW, filters=_filters(len(plain)))
    return packed if len(packed) < len(plain) else plain


def _unpacked(packed: memoryview, size: int) -> bytes:
    """``size`` bytes, and no more are made than that."""
    if len(packed) == size:
        return bytes(packed)
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_filters(size))
    try:
        plain = unpacker.decompress(packed, max_length=size + 1)
    except lzma.LZMAError:
        plain = b""
    if len(plain) != size or not unpacker.eof or unpacker.unused_data:
        raise ValueError(f"does not unpack to the {size} bytes that it claims")
    return plain


def _size(c: Conditions | None) -> int:
    return 0 if c is None else math.prod(c.shape) * np.dtype(c.dtype).itemsize


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def _conditions(c: Conditions | None, packed: memoryview) -> NDArray[Any] | None:
    plain = _unpacked(packed, _size(c))
    if c is None:
        return None
    dtype = np.dtype(c.dtype)
    return np.frombuffer(plain, dtype.newbyteorder("<")).astype(dtype).reshape(c.shape)


def _blocks(table: Table, payload: memoryview) -> Iterator[Block]:
    edges = pairwise(accumulate(table.words, initial=0))
    columns = zip(table.rows, table.crc, table.reach, table.batches, edges, strict=True)
    for rows, crc, reach, batches, (start, end) in columns:
        words = np.frombuffer(payload[WORD * start : WORD * end], "<u4").astype(np.uint32)
        sizes = tuple(map(abs, batches))
        yield Block(rows, crc, reach, sizes, tuple(size > 0 for size in batches), words)
