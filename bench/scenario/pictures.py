"""Pictures that no cache has seen: drawn from numbers, as small PNG files."""

from __future__ import annotations

import base64
import random
import struct
import zlib

_SHADES = 48
"""Tones a picture uses at most: it must compress, for pictures of megabytes measure the network."""
_CELL = 16
"""Pixels of one square. Every square has a tone of its own, so no two pictures share a patch."""


def picture(width: int, height: int, seed: str) -> str:
    """A picture of grey and coloured squares, as base64 of a PNG.

    Another seed gives another picture, in every part of it.
    """
    rng = random.Random(seed)
    palette = b"".join(bytes(rng.randrange(256) for _ in range(3)) for _ in range(_SHADES))
    rows = []
    for _ in range(0, height, _CELL):
        tones = (rng.randrange(_SHADES) for _ in range(0, width, _CELL))
        row = b"".join(bytes([tone]) * _CELL for tone in tones)[:width]
        rows += [b"\0" + row] * _CELL
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    data = zlib.compress(b"".join(rows[:height]), 1)
    parts = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", data), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in parts)
    return base64.b64encode(png).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file (PNG specification, section 5.3)."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
