"""How much a server may send before it is taken for broken."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """Whatever a server sends counts against one of these, so that no reply fills the memory.

    Attributes:
        head_bytes: of a response's status line and headers; and of all that frames a body (sizes
            and extensions of chunks, trailers), on top of 16 bytes for each of the body's.
        line_bytes: of one line of a stream.
        lines: of a stream: each keeps a time stamp.
        whole_bytes: of a reply that is not streamed, and of the text of one that is.
        body_bytes: of a whole stream, decompressed.
    """

    head_bytes: int = 256 * 1024
    line_bytes: int = 4 * _MIB
    lines: int = 4_000_000
    whole_bytes: int = 16 * _MIB
    body_bytes: int = 512 * _MIB


LIMITS = ReplyLimits()
