"""Files of images that Pillow reads and cannot write."""

import struct
import zlib


def unsigned_tiff(values):
    """A TIFF of 32 bits without a sign, which Pillow cannot write."""
    height, width = values.shape
    entries = [(256, width), (257, height), (258, 32), (259, 1), (262, 1), (273, 8)]
    entries += [(277, 1), (278, height), (279, values.nbytes), (339, 1)]
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    start = struct.pack("<2sHI", b"II", 42, 8 + values.nbytes) + values.tobytes()
    return start + struct.pack("<H", len(entries)) + table + bytes(4)


def color_png(values):
    """A PNG of 16 bits a color, or of gray with alpha, which Pillow cannot write."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
