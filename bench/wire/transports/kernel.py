"""Kernel-stamped transport: Linux, plain http. See performance notes in `stamps.py`.

Limits, all counted: lines that one read returns share one stamp (`coalesced`); a read without a
stamp, and the end of the stream, are stamped in user space (`user_stamps`).
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import Any

from bench.address import Address
from bench.errors import UsageError
from bench.wire.reply_reader import LIMITS, ReplyLimits, ReplyReader
from bench.wire.transports.sockets import READ_BYTES, Connection, SocketTransport
from bench.wire.transports.stamps import (
    ANCILLARY_BYTES,
    FUTURE_NS,
    SO_TIMESTAMPNS,
    KernelStamps,
    why_no_kernel_stamps,
)

assert sys.platform == "linux"  # SO_TIMESTAMPNS: nobody imports this elsewhere

NEXT_ADDRESS_S = 2.0
"""How long one address of a host with several is given."""

# Reads are parsed before the next one, so all connections share one buffer.
_buffer = bytearray(READ_BYTES)
_view = memoryview(_buffer)
_buffers = [_buffer]


class KernelConnection(Connection):
    """A non-blocking TCP socket, read when the loop says so."""

    __slots__ = ("_counters", "_fd", "_loop", "_rest", "_sock", "_stamps", "_unwatch")

    def __init__(self, home: KernelTransport, sock: socket.socket, stamps: KernelStamps) -> None:
        super().__init__(home)
        self._sock = sock
        self._fd = sock.fileno()
        self._stamps = stamps
        self._counters = home.counters
        self._rest: memoryview | None = None
        self._loop: Any = asyncio.get_running_loop()
        watch = getattr(self._loop, "add_direct", self._loop.add_reader)
        self._unwatch = getattr(self._loop, "remove_direct", self._loop.remove_reader)
        watch(self._fd, self._readable)

    def _readable(self) -> bool:
        """Read once; whether that could have waited, since the bytes were only put aside."""
        try:
            n, ancillary, _, _ = self._sock.recvmsg_into(_buffers, ANCILLARY_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as e:
            self.lost(e, time.monotonic_ns())
            return False
        now_ns = time.monotonic_ns()
        self._counters.reads += 1
        stamp = self._stamps.monotonic_ns(ancillary[0][2], now_ns) if ancillary else 0
        if stamp <= self.http.reader.stamp:
            stamp = self._doubtful(self.http.reader, stamp, now_ns)
        if not n:
            self.lost(None, stamp)
            return False
        if self.http.feed(_view[:n], stamp):
            self.look(stamp)
            return False
        return True

    def _doubtful(self, reader: ReplyReader, stamp: int, now_ns: int) -> int:
        """A stamp that is missing, or that lies before what happened last."""
        last_ns = reader.stamp
        if stamp and reader.reply.headers_ns is not None:
            # The last one was late (taken here), or both reads were of one packet.
            if last_ns - stamp <= FUTURE_NS:
                return last_ns
            now_ns = last_ns
        reader.reply.user_stamps += 1
        self._counters.user_stamps += 1
        return now_ns

    def write(self, data: bytes) -> None:
        """Send what fits; the rest follows as the socket takes it."""
        try:
            n = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            n = 0
        self.sent_bytes += n
        if n < len(data):
            self._rest = memoryview(data)[n:]
            # The direct way is for reading only.
            self._unwatch(self._fd)
            self._unwatch = self._loop.remove_reader
            self._loop.add_reader(self._fd, self._readable)
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        assert self._rest is not None
        try:
            n = self._sock.send(self._rest)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            # What the server had to say before it closed is read first; reading tells the rest.
            n = len(self._rest)
        self.sent_bytes += n
        self._rest = self._rest[n:] if n < len(self._rest) else None
        if self._rest is None:
            self._loop.remove_writer(self._fd)

    def unsent(self) -> bool:
        """Whether part of the request is still to be sent."""
        return self._rest is not None

    def shut(self) -> None:
        """Close the socket at once."""
        self._unwatch(self._fd)
        if self._rest is not None:
            self._rest = None
            self._loop.remove_writer(self._fd)
        self._sock.close()

    def tcp_info(self) -> bytes:
        """The kernel's TCP_INFO."""
        try:
            return self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            return b""


class KernelTransport(SocketTransport):
    """Sockets of our own, stamped by the kernel.

    Raises:
        UsageError: the address is not plain http over TCP, or the kernel does not stamp.
    """

    name = "kernel"

    def __init__(self, address: Address, limits: ReplyLimits = LIMITS) -> None:
        super().__init__(address, limits)
        if address.scheme != "http" or address.unix_socket:
            raise UsageError("the kernel transport speaks plain http over TCP only", _ADVICE)
        if why := why_no_kernel_stamps():
            raise UsageError(f"the kernel transport cannot be used: {why}", _ADVICE)
        self.stamps: KernelStamps | None = None
        self._peers: list[tuple[Any, ...]] = []

    async def connect(self) -> Connection:
        """Open one connection, to the first address of the host that answers."""
        loop = asyncio.get_running_loop()
        if self.stamps is None:
            self.stamps = KernelStamps(self.counters)
        if not self._peers:
            self._peers = await loop.getaddrinfo(
                self.address.host, self.address.port, type=socket.SOCK_STREAM
            )
        peers, self._peers = self._peers, []
        error: OSError | None = None
        for peer in peers:
            try:
                # An address where nothing answers at all must not use up the whole time.
                async with asyncio.timeout(None if peer is peers[-1] else NEXT_ADDRESS_S):
                    sock = await _connected(loop, peer)
            except OSError as e:
                error = error or e
                continue
            # The one that answers is the only one tried from now on, until it fails.
            self._peers = [peer]
            return KernelConnection(self, sock, self.stamps)
        raise error or OSError("the host has no address")

    async def aclose(self) -> None:
        """Close every connection at once."""
        await super().aclose()
        if self.stamps is not None:
            self.stamps.close()
            self.stamps = None


async def _connected(loop: asyncio.AbstractEventLoop, peer: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, _, sockaddr = peer
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        await loop.sock_connect(sock, sockaddr)
    except BaseException:
        sock.close()
        raise
    return sock


_ADVICE = "leave --transport out: a fitting one is chosen"
