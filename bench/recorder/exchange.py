"""One request and its reply as the proxy saw them pass."""

from __future__ import annotations

from dataclasses import dataclass, field

KEPT_BYTES = 64 * 2**20
"""Of one body. What is longer passes through, and is not recorded."""


@dataclass(slots=True)
class KeptBody:
    """The bytes of a body, up to a limit."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0

    def add(self, data: bytes) -> None:
        """Keep this, if there is room for it."""
        self.size += len(data)
        if self.size <= KEPT_BYTES:
            self.pieces.append(data)
        else:
            self.pieces.clear()

    @property
    def whole(self) -> bytes | None:
        """All of it; None = it was too long to be kept."""
        return b"".join(self.pieces) if self.size <= KEPT_BYTES else None


@dataclass(slots=True)
class Exchange:
    """What passed.

    Attributes:
        method, path: of the request, without the query.
        at_s: when its last byte had come, in seconds since 1970 on a clock that is never set.
        answered_at_s: when the last byte of the reply came; None = it did not end.
        status: of the reply, 0 = none came.
        complete: the reply came to its end.
    """

    method: str
    path: str
    at_s: float = 0.0
    answered_at_s: float | None = None
    status: int = 0
    complete: bool = False
    request: KeptBody = field(default_factory=KeptBody)
    reply: KeptBody = field(default_factory=KeptBody)
