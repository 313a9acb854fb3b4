"""Passes requests to a server and its replies back, byte for byte as they come.

One connection to the server for each of a client, kept open between requests. A reply is written to
the client before anything else is done with it; what is recorded is put together elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from bench.address import Address
from bench.recorder.exchange import Exchange
from bench.recorder.heads import MOST_HEAD, ChunkedBody, Head, read_head
from bench.recorder.server_side import ServerSide, pause

_CONNECT_S = 10.0
_LARGE = 1 << 20
"""A request that is kept to be sent again if the kept connection was closed in the meantime."""


class WallClock:
    """Seconds since 1970 that never jump: the time at the start, and what has passed since."""

    def __init__(self) -> None:
        self._origin = time.time() - time.monotonic()

    def now_s(self) -> float:
        """Now."""
        return self._origin + time.monotonic()


@dataclass(eq=False)
class ClientSide(asyncio.Protocol):
    """One connection of a client.

    `tls` is what `https` is spoken with; `failed` is called with why the server cannot be reached.
    """

    target: Address
    tls: ssl.SSLContext | None
    clock: WallClock
    ended: Callable[[Exchange], None]
    failed: Callable[[str], None]
    transport: asyncio.Transport | None = None
    exchange: Exchange | None = None
    _server: ServerSide | None = None
    _connecting: asyncio.Task[None] | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _head: Head | None = None
    _left: int = 0
    _chunks: ChunkedBody | None = None
    _sent: bytearray = field(default_factory=bytearray)
    _resendable: bool = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Bytes of a request."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._head is None or not self._open_body():
            self._buffer += data
            if self._head is None:
                self._next_request()
            elif len(self._buffer) > MOST_HEAD:  # a second request before the reply to the first
                self.pause_reading(True)
        else:
            self._body(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it asked for need not go on."""
        self.transport = None
        if self._connecting is not None:
            self._connecting.cancel()
        if self._server is not None:
            self._server.close()
        self._finish(complete=False)

    def pause_writing(self) -> None:
        """The client reads slowly: so does the proxy."""
        if self._server is not None:
            self._server.pause(True)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._server is not None:
            self._server.pause(False)

    def _open_body(self) -> bool:
        return self._left > 0 or self._chunks is not None

    def _next_request(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MOST_HEAD:
                self._refuse(431, "the head of the request is too long")
            return
        raw = bytes(self._buffer[: end + 4]).lstrip(b"\r\n")
        rest = bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        try:
            self._head = read_head(raw, self.target)
        except ValueError as error:
            self._refuse(400, str(error))
            return
        self.exchange = Exchange(self._head.method, self._head.path)
        self._left = self._head.length or 0
        self._chunks = ChunkedBody() if self._head.length is None else None
        self._sent.clear()
        self._resendable = True
        self._connect()
        self._pass_on(self._head.forwarded)
        if self._open_body():
            self._body(rest)
        else:
            self._buffer += rest
            self.exchange.at_s = self.clock.now_s()

    def _body(self, data: bytes) -> None:
        """Bytes of a body: passed on as they are."""
        exchange = self.exchange
        assert exchange is not None
        rest = b""
        if self._chunks is None:
            data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
            exchange.request.add(data)
        else:
            try:
                for piece in self._chunks.feed(data):
                    exchange.request.add(piece)
            except httptools.HttpParserError:
                self._refuse(400, "the body of the request is no chunks of HTTP/1")
                return
            if self._chunks.ended:
                self._chunks = None
        self._pass_on(data)
        if not self._open_body():
            exchange.at_s = self.clock.now_s()
            self._buffer += rest

    def _pass_on(self, data: bytes) -> None:
        if self._resendable:
            self._sent += data
            self._resendable = len(self._sent) <= _LARGE
        if self._connecting is None and self._server is not None:
            self._server.write(data)
        elif not self._resendable:
            self._resendable = True  # it is all there is until the connection is made
            self.pause_reading(True)

    def _connect(self) -> None:
        if self._server is None or self._server.closed:
            self._connecting = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        """Connect to the server, and send what has come of the request so far."""
        target, loop, ours = self.target, asyncio.get_running_loop(), ServerSide(self)
        try:
            async with asyncio.timeout(_CONNECT_S):
                if target.unix_socket:
                    await loop.create_unix_connection(lambda: ours, target.unix_socket)
                else:
                    await loop.create_connection(
                        lambda: ours, target.host, target.port, ssl=self.tls
                    )
        except OSError as error:
            why = error.strerror or str(error) or "no answer"
            message = f"{target.url} cannot be reached: {why}"
            self.failed(message)
            self._refuse(502, message)
            return
        finally:
            self._connecting = None
        self._server = ours
        self._server.write(bytes(self._sent))
        self.pause_reading(False)

    def from_server(self, data: bytes) -> None:
        """Bytes of a reply: passed on first of all."""
        if self.transport is not None:
            self.transport.write(data)
        self._resendable = False

    def replied(self, keep: bool) -> None:
        """The reply has ended."""
        self._finish(complete=True)
        if not keep and self.transport is not None:
            self.transport.close()
        elif self._buffer:
            self.pause_reading(False)
            self._next_request()

    def server_lost(self) -> None:
        """The server closed the connection, in a reply or between two."""
        if self.exchange is None:
            return
        if self._resendable and self.exchange.status == 0 and not self._open_body():
            self._resendable = False
            self._connect()
            return
        self._finish(complete=False)
        if self.transport is not None:
            self.transport.close()

    def _finish(self, complete: bool) -> None:
        exchange, self.exchange, self._head = self.exchange, None, None
        self._left, self._chunks = 0, None
        if exchange is not None:
            exchange.complete = complete
            exchange.answered_at_s = self.clock.now_s()
            self.ended(exchange)

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": f"ollama-bench record: {message}"}).encode()
        reason = {400: "Bad Request", 431: "Headers Too Large", 502: "Bad Gateway"}[status]
        head = (
            f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.exchange = None  # nothing was asked of the server
        if self.transport is not None:
            self.transport.write(head.encode() + body)
            self.transport.close()

    def pause_reading(self, stop: bool) -> None:
        """Stop or go on reading from the client."""
        pause(self.transport, stop)
