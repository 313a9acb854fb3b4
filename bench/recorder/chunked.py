"""The chunked transfer coding of HTTP/1.1, read without changing it."""

from __future__ import annotations

import httptools


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
