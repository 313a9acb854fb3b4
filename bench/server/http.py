"""A small HTTP/1.1 server on asyncio and httptools that behaves on the wire as Go's does.

Each request becomes a `Request` and a `ServerReply`. A reply is either whole (`send`) or a stream
(`begin`, `write`, `end`); its head goes out with the first body bytes, in one write. Every write to
the socket is one call of the transport, made at once, so its instant is known and faults can be put
in.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httptools

from bench.server.http_reply import Request, ServerReply

_LINGER = "hh" if sys.platform == "win32" else "ii"
_MAX_HEAD = 1 << 20
"""Go's DefaultMaxHeaderBytes."""
_MAX_BODY = 64 << 20
_MAX_PIPELINE = 16
"""Requests that wait for the one before them; then no more is read."""
_MANY = 1024
"""Connections from which on those that have long been idle are closed, the oldest first."""
_MOST = 8192
_IDLE_NS = 60 * 1_000_000_000
_HOST = re.compile(r"[0-9A-Za-z!$%&'()*+,.:;=\[\]_~-]*")
"""What Go takes for a Host header (httpguts.ValidHostHeader)."""


@dataclass(slots=True)
class Listener:
    """What all connections of a server share.

    Attributes:
        handler: called for each request, as a task.
        now_ns: the clock.
        extra_headers: sent with every reply.
    """

    handler: Callable[[Request, ServerReply], Coroutine[Any, Any, None]]
    now_ns: Callable[[], int]
    extra_headers: dict[str, str] = field(default_factory=dict)
    connections: set[ClientConnection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def __call__(self) -> ClientConnection:
        """A protocol for a new connection."""
        return ClientConnection(self)

    def room(self) -> bool:
        """Whether there is room for one more connection, if need be instead of idle ones."""
        if len(self.connections) < _MANY:
            return True
        old_ns = self.now_ns() - _IDLE_NS
        for connection in list(self.connections):
            if connection.idle_since_ns is not None and connection.idle_since_ns < old_ns:
                connection.cut(reset=False)
        return len(self.connections) < _MOST

    async def aclose(self) -> None:
        """Break off every request and every connection."""
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in list(self.connections):
            connection.cut(reset=False)


class ClientConnection(asyncio.Protocol):
    """One client's connection; its requests are answered one after the other."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._waiting: list[tuple[Request, bool]] = []
        self._reply: ServerReply | None = None
        self._url = b""
        self._headers: dict[str, str] = {}
        self._hosts: list[str] = []
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._in_head = True
        self._refused = False
        self._paused = False
        self.idle_since_ns: int | None = None

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.idle_since_ns = self.listener.now_ns()
        if not self.listener.room():
            self.cut(reset=True)
            return
        self.listener.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._peer = f"{peer[0]}:{peer[1]}" if peer else ""

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
            if self._in_head:
                self._head_size += len(data)
            if self._head_size > _MAX_HEAD:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        except httptools.HttpParserUpgrade:
            # The request is complete, and is answered; another protocol is not taken up.
            self._parser = httptools.HttpRequestParser(self)
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def eof_received(self) -> bool:
        """The client has closed its side: to Go's server it is gone."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self.listener.connections.discard(self)
        self._transport = None
        self._waiting.clear()
        if self._reply is not None and not self._reply.ended:
            self._reply.lose()

    # -- the parser's side

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url, self._headers, self._hosts, self._body, self._size = b"", {}, [], [], 0
        self._head_size, self._in_head = 0, True

    def on_url(self, url: bytes) -> None:
        """(Part of) the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = text
        if key == "host":
            self._hosts.append(text)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head, self._head_size = False, 0
        new = self._parser.get_http_version() not in ("1.0", "0.9")
        if new and not self._hosts and self._parser.get_method() != b"CONNECT":
            self._refuse(HTTPStatus.BAD_REQUEST, ": missing required Host header")
        elif len(self._hosts) > 1:
            self._refuse(HTTPStatus.BAD_REQUEST)
        elif self._hosts and not _HOST.fullmatch(self._hosts[0]):
            self._refuse(HTTPStatus.BAD_REQUEST, ": malformed Host header")
        elif self._headers.get("expect", "").lower() == "100-continue":
            self.put(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Part of the body."""
        self._size += len(body)
        if self._size > _MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._refused:
            return
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            self._refuse(HTTPStatus.BAD_REQUEST)
            return
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=(url.path or b"/").decode("latin-1"),
            headers=self._headers,
            body=b"".join(self._body),
            peer=self._peer,
            received_ns=self.listener.now_ns(),
            old=self._parser.get_http_version() == "1.0",
        )
        self._in_head = True
        self._waiting.append((request, self._parser.should_keep_alive()))
        if len(self._waiting) >= _MAX_PIPELINE and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._next()

    # -- the reply's side

    def put(self, data: bytes) -> None:
        """Hand bytes to the socket, now; one that is broken already gets none."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def cut(self, *, reset: bool) -> None:
        """Break off."""
        transport = self._transport
        if transport is None:
            return
        if reset:
            if (sock := transport.get_extra_info("socket")) is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))
            transport.abort()
        else:
            transport.close()

    def replied(self, keep: bool) -> None:
        """The reply under way has ended."""
        self._reply = None
        self.idle_since_ns = self.listener.now_ns()
        if not keep and self._transport is not None:
            self._transport.close()
        elif self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._reply is not None or not self._waiting or self._transport is None:
            return
        request, keep = self._waiting.pop(0)
        self.idle_since_ns = None
        if self._paused and len(self._waiting) < _MAX_PIPELINE:
            self._paused = False
            self._transport.resume_reading()
        reply = self._reply = ServerReply(self, request, keep)
        task = asyncio.get_running_loop().create_task(self.listener.handler(request, reply))
        self.listener.tasks.add(task)
        task.add_done_callback(self.listener.tasks.discard)

    def _refuse(self, status: HTTPStatus, why: str = "") -> None:
        """What cannot be understood is answered and closed, as Go does."""
        if self._refused:
            return
        self._refused = True
        body = f"{status.value} {status.phrase}{why}"
        head = (
            f"HTTP/1.1 {body}\r\nContent-Type: text/plain; charset=utf-8\r\n"
            "Connection: close\r\n\r\n"
        )
        self.put(f"{head}{body}".encode("latin-1"))
        self.cut(reset=False)
