"""What the proxy reads of HTTP itself: a head, rewritten for the server, and the end of chunks."""

from __future__ import annotations

from dataclasses import dataclass

import httptools

from bench.address import Address

MOST_HEAD = 256 * 1024
_NOT_PASSED = (b"host", b"accept-encoding", b"connection", b"proxy-connection")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head.

    Attributes:
        method, path: as the client sent them; the path without the query.
        forwarded: the bytes to send on.
        length: bytes of the body; None = it comes in chunks.
    """

    method: str
    path: str
    forwarded: bytes
    length: int | None


def read_head(raw: bytes, target: Address) -> Head:
    """Rewrite a head for the server: its host and base path, and an answer that is not packed.

    Raises:
        ValueError: it is no head of HTTP/1.
    """
    request_line, *lines = raw.rstrip(b"\r\n").split(b"\r\n")
    method, _, rest = request_line.partition(b" ")
    url, _, version = rest.rpartition(b" ")
    if not url.startswith(b"/") or version not in (b"HTTP/1.0", b"HTTP/1.1"):
        raise ValueError("not a request of HTTP/1")
    length: int | None = 0
    kept = []
    has_key, closes = False, version == b"HTTP/1.0"
    for line in lines:
        name, colon, value = line.partition(b":")
        key = name.strip().lower()
        if not colon or name != name.strip():
            raise ValueError("a header without a name")
        if key == b"content-length":
            if not value.strip().isdigit():
                raise ValueError("a content length that is no number")
            length = None if length is None else int(value)
        if key == b"transfer-encoding":
            length = None
        if key == b"connection":
            wish = value.lower()
            closes = b"close" in wish or (closes and b"keep-alive" not in wish)
        has_key |= key == b"authorization"
        if key not in _NOT_PASSED:
            kept.append(line)
    if target.authorization and not has_key:
        kept.append(f"Authorization: {target.authorization}".encode())
    head = [
        b"%s %s%s %s" % (method, target.base_path.encode(), url, version),
        b"Host: " + target.authority.encode(),
        *kept,
        b"Connection: close" if closes else b"Connection: keep-alive",
    ]
    path = url.partition(b"?")[0].decode("latin-1")
    return Head(method.decode("latin-1"), path, b"\r\n".join(head) + b"\r\n\r\n", length)


class ChunkedBody:
    """Reads a body that comes in chunks."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        self._pieces: list[bytes] = []
        self.ended = False

    def feed(self, data: bytes) -> list[bytes]:
        """The content of these bytes."""
        self._pieces = []
        self._parser.feed_data(data)
        return self._pieces

    def on_body(self, body: bytes) -> None:
        """Content."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """The last chunk was there."""
        self.ended = True
