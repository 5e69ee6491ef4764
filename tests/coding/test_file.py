"""The .rpz file: what is written is read, and nothing that is wrong in it is believed."""

from __future__ import annotations

import dataclasses
import json
import lzma
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from damage import damaged, flipped
from hypothesis import given, settings
from hypothesis import strategies as st

from reparam.coding.file import Block, Contents, read, write

PREAMBLE = struct.Struct("<4sHIIIQ")  # as the docstring of the module has it
FIXED = 26


def made(seed: int = 0, n: int = 70, block: int = 32, words: int = 50, **changed: object):
    """Contents with a bit of everything."""
    rng = np.random.default_rng(seed)
    blocks = []
    for start in range(0, n, block):
        rows = min(block, n - start)
        sizes = (1, *(min(8, rows - done) for done in range(1, rows, 8)))
        back = tuple(i > 0 for i in range(len(sizes)))
        stack = rng.integers(0, 2**32, words, dtype=np.uint32)
        blocks.append(Block(rows, int(rng.integers(2**32)), 8, sizes, back, stack))
    contents = Contents(
        way="bits back",
        model="0123abcd",
        preset="vae",
        shape=(1, 2, 3),
        kind="levels",
        levels=17,
        dtype="uint8",
        rows=8,
        block=block,
        grid=6,
        precision=12,
        n=n,
        names=[f"ä {i}/{'x' * (i % 7)}.png" for i in range(n)],
        labels=rng.integers(-(2**63), 2**63, n).tolist(),
        c=rng.normal(size=(n, 2)),
        blocks=tuple(blocks),
        version="0.1",
        coder="0.5.0",
    )
    return dataclasses.replace(contents, **changed)


def digits(n: int, **changed: object) -> Contents:
    """As of binarized digits: blocks of 1000, batches of up to 32 that grow, 20 bytes a row."""
    rng = np.random.default_rng(0)
    blocks = []
    for start in range(0, n, 1000):
        rows = min(1000, n - start)
        grown = [1, 1, 1, 2, 3, 4, 6, 10, 15, 22, *(32,) * 30]
        ends = np.minimum(np.cumsum(grown), rows)
        sizes = tuple(int(size) for size in np.diff(ends, prepend=0) if size)
        back = tuple(i > 1 for i in range(len(sizes)))
        words = rng.integers(0, 2**32, 5 * rows + int(rng.integers(90)), dtype=np.uint32)
        crc, reach = int(rng.integers(2**32)), int(rng.integers(8, 12))
        blocks.append(Block(rows, crc, reach, sizes, back, words))
    plain = {"shape": (1, 28, 28), "kind": "binary", "levels": None, "rows": 32, "block": 1000}
    bare = {"n": n, "names": None, "labels": None, "c": None, "blocks": tuple(blocks)}
    return dataclasses.replace(made(), **plain | bare | changed)


def overhead(contents: Contents) -> int:
    """Bytes beside the payload."""
    return len(write(contents)) - 4 * sum(block.words.size for block in contents.blocks)


def assert_same(one: Contents, other: Contents, payload: bool = True) -> None:
    for field in dataclasses.fields(Contents):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "c":
            assert (a is None) == (b is None)
            assert a is None or (a.dtype, a.shape) == (b.dtype, b.shape)
            assert a is None or a.tobytes() == b.tobytes()
        elif field.name == "blocks":
            for p, q in zip(a, b, strict=True):
                assert (p.rows, p.crc, p.reach) == (q.rows, q.crc, q.reach)
                assert (p.batches, p.back) == (q.batches, q.back)
                assert p.words.dtype == q.words.dtype and p.words.shape == q.words.shape
                assert not payload or np.array_equal(p.words, q.words)
        else:
            assert a == b and type(a) is type(b), field.name


def refusal(data: bytes) -> str:
    """The line by which bytes are refused; what that allocates is bounded by their number."""
    with pytest.raises(ValueError) as caught:
        within_bounds(data)
    text = str(caught.value)
    assert text and "\n" not in text and len(text) < 300, text
    return text


def within_bounds(data: bytes) -> Contents:
    started = not tracemalloc.is_tracing()
    if started:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        return read(data)
    finally:
        peak = tracemalloc.get_traced_memory()[1] - before
        if started:
            tracemalloc.stop()
        assert peak < 64 * len(data) + 2**20, (peak, len(data))


def header_of(data: bytes) -> dict:
    _, _, _, packed, size, _ = PREAMBLE.unpack_from(data)
    text = data[FIXED : FIXED + packed]
    if packed < size:
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": max(size, 4096)}]
        text = lzma.decompress(text, lzma.FORMAT_RAW, filters=filters)
    return json.loads(text)


def forged(header: object, c: bytes = b"", payload: bytes = b"", size: int | None = None) -> bytes:
    """A file with the right CRC around any header; packed where the true size is given."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    lengths = struct.pack("<IIQ", len(text), len(text) if size is None else size, len(c))
    crc = zlib.crc32(lengths + text + c)
    return b"\x8fRPZ" + struct.pack("<HI", 1, crc) + lengths + text + c + payload


def packed(plain: bytes) -> bytes:
    size = min(max(len(plain), 4096), 2**22)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": size}]
    return lzma.compress(plain, lzma.FORMAT_RAW, filters=filters)


NUMBERS = st.integers(1, 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ARRAYS = ["uint8", "int64", "float32", "float64"]


@st.composite
def contents(draw: st.DrawFn) -> Contents:
    seed, rows = draw(st.integers(0, 2**20)), draw(st.integers(1, 9))
    rng = np.random.default_rng(seed)
    blocks = []
    for _ in range(draw(st.integers(1, 4))):
        sizes = tuple(draw(st.lists(st.integers(1, rows), min_size=1, max_size=5)))
        back = tuple(bool(b) for b in rng.integers(0, 2, len(sizes)))
        words = rng.integers(0, 2**32, draw(st.integers(0, 9)), dtype=np.uint32)
        crc = draw(st.integers(0, 2**32 - 1))
        blocks.append(Block(sum(sizes), crc, draw(st.integers(1, 999)), sizes, back, words))
    n = sum(block.rows for block in blocks)
    kind = draw(st.sampled_from(["binary", "levels", "mixed"]))
    inner = draw(st.lists(st.integers(0, 3), max_size=2))  # conditions may even be empty
    dtype = draw(st.sampled_from(ARRAYS))
    c = rng.integers(0, 256, (n, *(max(i, 1) for i in inner), np.dtype(dtype).itemsize))
    c = c.astype(np.uint8).view(dtype)[..., 0]  # any bits, NaN too
    some = st.integers(-(2**63), 2**63 - 1)
    return Contents(
        way=draw(st.sampled_from(["direct", "bits back", "two parts"])),
        model=draw(TEXT),
        preset=draw(st.none() | TEXT),
        shape=tuple(draw(st.lists(NUMBERS, min_size=1, max_size=3))),
        kind=kind,
        levels=draw(st.integers(2, 2**63 - 1)) if kind == "levels" else None,
        dtype=draw(st.sampled_from(["bool", "uint8", "int16", "int32", "int64", "float64"])),
        rows=rows,
        block=max(block.rows for block in blocks),
        grid=draw(st.integers(0, 9)),
        precision=draw(st.integers(0, 52)),
        n=n,
        names=draw(st.none() | st.lists(TEXT, min_size=n, max_size=n)),
        labels=draw(st.none() | st.lists(some, min_size=n, max_size=n)),
        c=draw(st.sampled_from([None, c])),
        blocks=tuple(blocks),
        version=draw(TEXT),
        coder=draw(TEXT),
    )


@settings(max_examples=50, derandomize=True, deadline=None, database=None)
@given(contents())
def test_what_is_written_is_read(written):
    data = write(written)
    assert write(written) == data
    assert_same(within_bounds(data), written)


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_are_the_same_from_any_machine(order):
    c = np.arange(70.0).reshape(70, 1)
    turned = made(c=c.astype(c.dtype.newbyteorder(order)))
    assert write(turned) == write(made(c=c))
    assert read(write(turned)).c.dtype == np.float64


def test_the_bytes_are_laid_out_as_the_docstring_says():
    data = write(made(c=None))
    magic, version, crc, h, size, k = PREAMBLE.unpack_from(data)
    assert (magic, version, k) == (bytes.fromhex("8f52505a"), 1, 0)
    assert crc == zlib.crc32(data[10 : FIXED + h]) and h < size
    assert header_of(data)["blocks"]["words"] == [50, 50, 50]
    words = [word for block in made().blocks for word in block.words]
    assert struct.unpack(f"<{len(words)}I", data[FIXED + h :]) == tuple(words)


def test_overhead_is_small():
    """The figures of the docstring, which are of the header's JSON, thus of exact lengths."""
    assert overhead(digits(1000)) < 300
    per_block = (overhead(digits(100_000)) - overhead(digits(10_000))) / 90
    assert 6 < per_block < 9
    plain = overhead(digits(10_000))
    assert plain < 420  # of 200 kB
    names = [f"{i:05d}.png" for i in range(10_000)]
    assert overhead(digits(10_000, names=names)) - plain < 3500
    labels = np.random.default_rng(0).integers(0, 10, 10_000)
    least = 10_000 * np.log2(10) / 8  # bytes
    for how in ({"labels": labels.tolist()}, {"c": labels}):
        assert least < overhead(digits(10_000, **how)) - plain < 1.4 * least


def test_rows_that_are_next_to_nothing_are_written_too():
    """A header that packs far better than a reader believes stands as it is."""
    alike = Block(1000, 0, 8, (1,) * 1000, (False,) * 1000, np.zeros(0, np.uint32))
    n = 100_000
    written = digits(n, rows=1, blocks=(alike,) * 100, labels=[7] * n, c=np.ones((n, 9)))
    data = write(written)
    assert len(data) > 7_200_000
    assert_same(within_bounds(data), written)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"names": ["a"]}, "names: expected one for each of 70 rows, got 1"),
        ({"labels": [1] * 71}, "labels: expected one for each of 70 rows, got 71"),
        ({"c": np.zeros((3, 2))}, "c: expected one for each of 70 rows, got 3"),
        ({"labels": [2**63] * 70}, "9223372036854775807 - at $.labels"),
        ({"labels": [2**70] * 70}, "9223372036854775807 - at $.labels"),
        ({"names": ["\udcff"] * 70}, "is not UTF-8, which the file cannot hold; rename it"),
        ({"way": "sideways"}, "Invalid enum value 'sideways' - at $.way"),
        ({"kind": "real"}, "Invalid enum value 'real'"),
        ({"levels": None}, "None levels for levels data"),
        ({"n": 71, "names": None, "labels": None, "c": None}, "70 rows in its blocks, n is 71"),
        ({"block": 31}, "block 0 has 32 rows where blocks have 31"),
        ({"rows": 7}, "block 0 has a batch that has not 1 to 7 rows"),
        ({"c": np.zeros((70, 1), np.complex128)}, "Invalid enum value 'complex128'"),
    ],
)
def test_what_would_not_be_read_is_not_written(changed, said):
    with pytest.raises(ValueError) as caught:
        write(dataclasses.replace(made(), **changed))
    text = str(caught.value)
    assert said in text and "\n" not in text and "copy it again" not in text


def edits():
    """Changes of a header that contradict the rest of it, and what is said."""
    yield "way", lambda h: h.update(way="sideways"), "Invalid enum value 'sideways'"
    yield "more rows", lambda h: h.update(n=71), "70 rows in its blocks, n is 71"
    yield "labels", lambda h: h.update(labels=[2**63] * 70), "at $.labels[0]"
    yield "few labels", lambda h: h.update(labels=[1]), "1 labels, n is 70"
    yield "no labels", lambda h: h.update(labels=1), "Expected array | null"
    yield "a name", lambda h: h["names"].pop(), "69 names, n is 70"
    yield "c", lambda h: h["c"].update(shape=[69, 2]), "69 conditions, n is 70"
    yield "much c", lambda h: h["c"].update(shape=[70, 2**60]), "too much for a file of"
    yield "wide c", lambda h: h["c"].update(shape=[70, 3]), "does not unpack to the 1680 bytes"
    yield "object", lambda h: h["c"].update(dtype="object"), "Invalid enum value 'object'"
    yield "without c", lambda h: h.update(c=None), "does not unpack to the 0 bytes"
    yield "unknown", lambda h: h.update(other=1), "unknown field other"
    yield "missing", lambda h: h.pop("coder"), "missing required field coder"
    yield "shape", lambda h: h.update(shape=[0, 1]), "at $.shape[0]"
    yield "flat", lambda h: h.update(shape=[]), "at $.shape"
    yield "rows", lambda h: h.update(rows=2**40), "at $.rows"
    yield "binary", lambda h: h.update(kind="binary"), "17 levels for binary data"
    yield "mixed", lambda h: h.update(kind="mixed"), "17 levels for mixed data"
    yield "one level", lambda h: h.update(levels=1), "at $.levels"
    yield "grid", lambda h: h.update(grid=-1), "at $.grid"
    yield "points", lambda h: h.update(grid=21), "block 0 has a grid that reaches to 8 in steps of"
    yield "reach", lambda h: h["blocks"]["reach"].__setitem__(1, 0), "at $.blocks.reach[1]"
    yield "far", lambda h: h["blocks"]["reach"].__setitem__(1, 2**62), "block 1 has a grid that rea"
    yield "a column", lambda h: h["blocks"]["crc"].pop(), "columns of several lengths"
    yield "crc", lambda h: h["blocks"]["crc"].__setitem__(0, 2**32), "at $.blocks.crc[0]"
    yield "a block", lambda h: [c.pop() for c in h["blocks"].values()], "64 rows in its blocks"
    yield "block", lambda h: h["blocks"].update(rows=[30, 32, 8]), "block 0 has 32 rows in its bat"
    yield "batch", lambda h: h["blocks"]["batches"][0].append(0), "block 0 has a batch"
    yield "much", lambda h: h["blocks"]["words"].__setitem__(2, 2**62), "truncated"
    yield "words", lambda h: h["blocks"]["words"].__setitem__(2, -1), "at $.blocks.words[2]"
    yield "fewer words", lambda h: h["blocks"]["words"].__setitem__(2, 49), "goes on for 4 bytes"
    yield "number", lambda h: h.update(n=1e300), "Expected int"


@pytest.mark.parametrize(("edit", "said"), [pytest.param(e, s, id=i) for i, e, s in edits()])
def test_contradictions_are_refused(edit, said):
    data = write(made(c=np.ones((70, 2))))
    header, c = header_of(data), np.ones((70, 2)).tobytes()
    payload = data[-4 * 150 :]
    assert_same(read(forged(header, c, payload)), read(data))  # forged well, it is believed
    edit(header)
    text = refusal(forged(header, c, payload))
    assert said in text and text.endswith("compress the data again"), text


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"1", b"\xff\xfe", b"[" * 100_000, b'{"n":NaN}', b'"\\ud800"'],
)
def test_headers_that_are_none_are_refused(text):
    assert "header that cannot be read" in refusal(forged(text))


def test_what_other_files_are_called():
    data = write(made())
    for other in (b"", b"\x8fRP", b"PK\3\4" + data, b"\x89PNG" + data[4:]):
        assert refusal(other) == "is no .rpz file; expected one that compress wrote"
    for version, said in [(2, "(format 2; this one reads 1); update"), (0, "damaged in its head")]:
        assert said in refusal(data[:4] + struct.pack("<H", version) + data[6:])
    assert "written by a newer reparam" in refusal(data[:4] + struct.pack("<H", 2) + data[6:])
    assert "goes on for 3 bytes after its end" in refusal(data + b"abc")


def test_every_shorter_file_is_truncated():
    data = write(made(n=9, words=3))
    for size in range(4, len(data)):
        assert "is truncated" in refusal(data[:size])


def bombs():
    header = header_of(write(digits(1000)))
    one = {"names": None, "n": 10**6}
    yield "names", header | one | {"names": ["a"] * 10**6}
    yield "labels", header | one | {"labels": [300] * 10**6}
    many = dict.fromkeys(("rows", "crc", "reach", "words"), [1] * 10**5) | {"words": [0] * 10**5}
    yield "blocks", header | one | {"blocks": many | {"batches": [[1]] * 10**5}, "n": 10**5}
    yield "batches", header | {"blocks": header["blocks"] | {"batches": [[]] * 10**6}}
    yield "spaces", b" " * 10**7


@pytest.mark.parametrize("header", [pytest.param(h, id=name) for name, h in bombs()])
def test_small_files_that_unpack_to_much_are_not_unpacked(header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    small = packed(text)
    assert len(small) < 20_000 < len(text) / 30
    assert "claims to unpack to" in refusal(forged(small, size=len(text)))
    assert "does not unpack to the" in refusal(forged(small, size=len(small) + 1))


def test_the_worst_that_is_believed_keeps_to_the_bound():
    """Headers of so many objects as their bytes can be, as large as the budget of 512 KiB lets."""
    header = header_of(write(digits(1000)))
    n, table = 5500, header["blocks"]
    names = header | {"n": n, "names": ["a"] * n}
    labels = header | {"n": n, "labels": [300] * n}
    within_bounds_or_refused(json.dumps(names, separators=(",", ":")).encode())
    within_bounds_or_refused(json.dumps(labels, separators=(",", ":")).encode())
    n = 700
    columns = {name: [1] * n for name in table} | {"words": [0] * n, "batches": [[1]] * n}
    blocks = header | {"n": n, "blocks": columns}
    text = json.dumps(blocks, separators=(",", ":")).encode()
    data = forged(packed(text), size=len(text))
    assert len(within_bounds(data).blocks) == n


def within_bounds_or_refused(text: bytes) -> None:
    small = packed(text)
    assert "claims" not in refusal(forged(small, size=len(text)))  # it was believed so far


@pytest.mark.parametrize("seed", range(4))
def test_damage_is_found_or_is_of_the_payload(seed):
    rng = np.random.default_rng(seed)
    written = made(seed, c=None) if seed % 2 else made(seed)
    data = write(written)
    payload = len(data) - 4 * 150
    refused = 0
    tracemalloc.start()
    try:
        for _ in range(150):
            hurt = damaged(data, rng, head=300)
            if hurt == data:
                continue
            try:
                found = within_bounds(hurt)
            except ValueError as error:
                refused += 1
                assert "\n" not in str(error) and len(str(error)) < 300
                continue
            assert len(hurt) == len(data) and hurt[:payload] == data[:payload]
            assert_same(found, written, payload=False)
    finally:
        tracemalloc.stop()
    assert 75 < refused < 150  # both happened


def test_every_bit_of_preamble_header_and_conditions_is_guarded():
    data = write(made(n=9, words=3))
    for place in range(len(data) - 12):
        for bit in (0, 7):
            refusal(flipped(data, place, bit))
