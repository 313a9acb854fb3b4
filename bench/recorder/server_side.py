"""The proxy's connection to the server: requests out, replies in."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from bench.recorder.proxy import ClientSide


def pause(transport: asyncio.Transport | None, stop: bool) -> None:
    """Stop or go on reading."""
    if transport is not None and not transport.is_closing():
        with suppress(RuntimeError):  # it is so already
            (transport.pause_reading if stop else transport.resume_reading)()


class ServerSide(asyncio.Protocol):
    """The connection to the server for one client."""

    def __init__(self, client: ClientSide) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._ended = False
        self._keep = True
        self._delimited = False

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._transport is None or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def write(self, data: bytes) -> None:
        """Send bytes of a request."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()

    def pause(self, stop: bool) -> None:
        """Stop or go on reading from the server."""
        pause(self._transport, stop)

    def pause_writing(self) -> None:
        """The server reads slowly: so does the proxy."""
        self._client.pause_reading(True)

    def resume_writing(self) -> None:
        """It reads again."""
        self._client.pause_reading(False)

    def data_received(self, data: bytes) -> None:
        """Bytes of a reply."""
        self._client.from_server(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()
            return
        if self._ended:
            keep, self._ended = self._keep, False
            self._parser = httptools.HttpResponseParser(self)
            if not keep:
                self.close()
            self._client.replied(keep)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server closed it; that may be the end of a reply without a length."""
        self._transport = None
        exchange = self._client.exchange
        if exchange is not None and exchange.status and not self._delimited and exc is None:
            self._client.replied(keep=False)
        else:
            self._client.server_lost()

    def on_message_begin(self) -> None:
        """A reply begins."""
        self._delimited = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header: whether the reply says where it ends."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._delimited = True

    def on_headers_complete(self) -> None:
        """The head has come."""
        status = self._parser.get_status_code()
        exchange = self._client.exchange
        if exchange is not None and status >= 200:
            exchange.status = status
            self._ended = exchange.method == "HEAD"  # whatever length it says, no body comes
        self._keep = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Bytes of the body."""
        if self._client.exchange is not None:
            self._client.exchange.reply.add(body)

    def on_message_complete(self) -> None:
        """A reply ends; one with 1xx is only the herald of the real one."""
        self._ended = self._parser.get_status_code() >= 200
        self._keep = self._parser.should_keep_alive()
