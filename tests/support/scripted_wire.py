"""A server on a real socket that says exactly the bytes a test wants, when it wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType

from bench.wire.exchange import Transport

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Certificate and key of "localhost", which signs itself; for these tests only."""


Make = Callable[..., Transport]
"""Makes a transport by its name, for a URL or a port of this machine."""


def descriptors() -> int:
    """How many files and sockets this process has open."""
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    return len(list(folder.iterdir()))


class Peer:
    """One connection, as the server sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""
        self.body = b""

    async def request(self) -> bytes:
        """Read one request; its head is kept in `head`, its body returned and kept."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in self.head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        self.body = await self.reader.readexactly(length)
        return self.body

    async def say(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        """Write pieces, each one on its own, letting the client read in between."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def together(self, *pieces: bytes) -> None:
        """Write pieces, with TLS each in a record of its own, that arrive in one segment."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for piece in pieces:
            self.writer.write(piece)
        await self.writer.drain()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    async def gone(self) -> None:
        """Return when the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        """Break the connection."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[None]]


class WireServer:
    """Runs a handler for each connection; `async with` starts and stops it."""

    def __init__(
        self, handler: Handler, *, host: str = "127.0.0.1", tls: bool = False, unix: str = ""
    ) -> None:
        self._handler = handler
        self._host = host
        self._unix = unix
        self._tls = tls
        self.peers: list[Peer] = []
        self.port = 0

    async def __aenter__(self) -> WireServer:
        tls = None
        if self._tls:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(CERTIFICATE)
        if self._unix:
            self._server = await asyncio.start_unix_server(self._serve, self._unix)
        else:
            self._server = await asyncio.start_server(self._serve, self._host, 0, ssl=tls)
            self.port = self._server.sockets[0].getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        await self._server.wait_closed()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.peers.append(peer)
        task = asyncio.ensure_future(self._handle(peer))
        self._tasks.add(task)

    async def _handle(self, peer: Peer) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._handler(peer)
        peer.writer.close()
