"""User-stamped transport: asyncio's own sockets, stamped as soon as the bytes are read.

For macOS, Windows, https and Unix sockets. A stamp is late by as much as the event loop was busy.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from bench.address import Address
from bench.wire.reply_reader import LIMITS, ReplyLimits
from bench.wire.transports.sockets import READ_BYTES, Connection, SocketTransport

# Reads are parsed before the next one, so all connections share one buffer.
_buffer = bytearray(READ_BYTES)
_view = memoryview(_buffer)


class UserConnection(Connection, asyncio.BufferedProtocol):
    """An asyncio transport and its protocol."""

    __slots__ = ("_transport",)

    def __init__(self, home: UserTransport) -> None:
        super().__init__(home)
        self._transport: Any = None

    # --- asyncio.BufferedProtocol -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to read to.

        A view: asyncio's TLS layer puts the second record of a read at `buffer[offset:]`, which of
        a bytearray would be a copy (python/cpython#156275).
        """
        return _view

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes were read."""
        stamp = time.monotonic_ns()
        self._home.counters.reads += 1
        self.received(_view[:nbytes], stamp)

    def eof_received(self) -> None:
        """The server sends no more; asyncio then closes the connection."""
        if not self.closed:
            self.lost(None, time.monotonic_ns())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if not self.closed:
            error = exc if isinstance(exc, OSError) or exc is None else OSError(str(exc))
            self.lost(error, time.monotonic_ns())

    # --- Connection -------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send; asyncio tries at once, and keeps what does not fit."""
        if self._transport.is_closing():
            raise ConnectionResetError("closing")
        self._transport.write(data)
        self.sent_bytes += len(data)

    def unsent(self) -> bool:
        """Whether part of the request is still to be sent."""
        return bool(self._transport.get_write_buffer_size())

    def shut(self) -> None:
        """Close the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def tcp_socket(self) -> Any:
        """That of plain http: inside TLS more bytes are sent than were written."""
        plain = self._home.address.scheme == "http"
        return self._transport.get_extra_info("socket") if plain else None


class UserTransport(SocketTransport):
    """asyncio's sockets, stamped in this process."""

    name = "user"

    def __init__(self, address: Address, limits: ReplyLimits = LIMITS) -> None:
        super().__init__(address, limits)
        self._tls = address.tls_context() if address.scheme == "https" else None

    async def connect(self) -> Connection:
        """Open one connection; with https, the handshake is part of it."""
        loop = asyncio.get_running_loop()
        address = self.address
        if address.unix_socket:
            _, made = await loop.create_unix_connection(self._protocol, address.unix_socket)
        else:
            _, made = await loop.create_connection(
                self._protocol, address.host, address.port, ssl=self._tls, happy_eyeballs_delay=0.25
            )
        return made

    def _protocol(self) -> UserConnection:
        return UserConnection(self)
