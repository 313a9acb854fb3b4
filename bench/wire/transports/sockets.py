"""What the two socket transports share: connections, their free list, and a call's way over them.

A call goes out on a free connection in the same step as `send` is called. Only if none is free is
one opened on the spot; then its cost is kept apart in `connect_ns`.

A connection that the server closed while it was idle is found before use: its end is read as soon
as it comes. If the close crosses a request on the wire, the request fails as `connect_error` (not
`disconnected`: the server never had it) and is not sent again, so that no request counts twice.
"""

from __future__ import annotations

import asyncio
import struct
import time
from abc import ABC, abstractmethod

from bench.address import Address
from bench.errors import ServerUnreachable
from bench.wire.errors import broken_text, connect_error_text
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.http_reader import HttpReader
from bench.wire.reply_reader import LIMITS, ReplyLimits
from bench.wire.transports.flight import BookedTransport, Flight, TaskCarrier

READ_BYTES = 64 * 1024
OPEN_TIMEOUT_S = 10.0
_OPEN_AT_ONCE = 64
_STALE = "the server had closed the idle connection before the request reached it"


class Connection(ABC):
    """One connection and the call it carries, if any."""

    __slots__ = ("_home", "closed", "flight", "http", "requests", "sent_before", "sent_bytes")

    def __init__(self, home: SocketTransport) -> None:
        self._home = home
        self.http = HttpReader(home.limits)
        self.flight: Flight | None = None
        self.closed = False
        self.requests = 0
        self.sent_bytes = 0
        self.sent_before = 0

    # --- what a kind of connection does its own way ---------------------------------------------

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send now what the socket takes, the rest when it can.

        Raises:
            OSError: nothing was sent, the connection is dead.
        """

    @abstractmethod
    def unsent(self) -> bool:
        """Whether part of the request is still to be sent."""

    @abstractmethod
    def shut(self) -> None:
        """Close the socket at once."""

    @abstractmethod
    def tcp_info(self) -> bytes:
        """The kernel's TCP_INFO of the socket, b"" where there is none."""

    # --- a call -----------------------------------------------------------------------------------

    def begin(self, flight: Flight, data: bytes) -> bool:
        """Send a request. False if the connection turned out dead before a byte left it."""
        if self.closed:
            return False
        self.flight = flight
        self.http.start(flight.reader)
        self.requests += 1
        self.sent_before = self.sent_bytes
        flight.carrier = self
        now_ns = time.monotonic_ns()
        try:
            self.write(data)
        except OSError:
            self.flight = None
            flight.carrier = None
            self.abort()
            return False
        flight.sent(now_ns)
        return True

    def received(self, data: memoryview, stamp: int) -> None:
        """Bytes came."""
        if self.http.feed(data, stamp):
            self.look(stamp)

    def look(self, stamp: int) -> None:
        """See how far the response is, after bytes were understood."""
        flight = self.flight
        if flight is None:
            # Nobody asked: a time-out notice of the server or rubbish. Not to be used again.
            self.abort()
            return
        if self.http.ended or flight.reader.broken:
            self._over(flight, Outcome.OK, "", stamp)
        elif not flight.any_received:
            flight.answered(stamp)

    def lost(self, error: OSError | None, stamp: int) -> None:
        """The connection has ended: by the server's close (no error), or broken."""
        flight = self.flight
        if flight is None:
            if not self.closed:
                self._home.counters.stale += 1
            self.abort()
            return
        if not self.http.begun and self.requests > 1 and self._never_received():
            self._home.counters.stale += 1
            self._over(flight, Outcome.CONNECT_ERROR, _STALE, stamp)
            return
        if error is None:
            outcome, text = self.http.eof()
        else:
            self.http.understand()
            outcome, text = Outcome.DISCONNECTED, broken_text(error)
        self._over(flight, outcome, text, stamp)

    def _over(self, flight: Flight, outcome: Outcome, error: str, stamp: int) -> None:
        self.flight = None
        self.http.stop()
        if self.http.ended and self.http.reusable and not self.unsent() and not self.closed:
            self._home.free.append(self)
        else:
            self.abort()
        flight.end(outcome, error, stamp)

    def _never_received(self) -> bool:
        """Whether the server's kernel acknowledged nothing of this request.

        `tcpi_bytes_acked` (linux/tcp.h) counts one for the opening of the connection.
        """
        info = self.tcp_info()
        if len(info) < 128:
            return False
        (acked,) = struct.unpack_from("=Q", info, 120)
        return bool(acked - 1 <= self.sent_before)

    def abort(self) -> None:
        """Close at once; the call, if any, is the caller's business."""
        if self.flight is not None:
            self.http.understand()
            self.flight = None
        if not self.closed:
            self.closed = True
            self._home.connections.discard(self)
            self.shut()
            self.http.close()


class SocketTransport(BookedTransport, ABC):
    """A transport on sockets of its own.

    Attributes:
        free: connections that wait for a call, the last used one last.
        connections: all that are open.
    """

    name = ""

    def __init__(self, address: Address, limits: ReplyLimits = LIMITS) -> None:
        super().__init__(limits)
        self.address = address
        self.free: list[Connection] = []
        self.connections: set[Connection] = set()
        self._heads: dict[tuple[str, str], bytes] = {}
        self._closed = False

    @abstractmethod
    async def connect(self) -> Connection:
        """Open one connection.

        Raises:
            OSError: it could not be opened.
        """

    async def open(self, connections: int) -> None:
        """See `Transport.open`."""
        # Counted once: a server may hang up on each of them as soon as it is open.
        missing = connections - len(self.connections)
        for begun in range(0, missing, _OPEN_AT_ONCE):
            opened = await asyncio.gather(
                *(
                    self._connect(OPEN_TIMEOUT_S)
                    for _ in range(min(missing - begun, _OPEN_AT_ONCE))
                ),
                return_exceptions=True,
            )
            self.free += [c for c in opened if isinstance(c, Connection)]
            for error in opened:
                if isinstance(error, OSError):
                    text = connect_error_text(error, OPEN_TIMEOUT_S)
                    advice = "is Ollama running there? try: ollama serve"
                    raise ServerUnreachable(f"{self.address.url}: {text}", advice) from error
                if isinstance(error, BaseException):
                    raise error

    def send(self, call: Call) -> asyncio.Future[Reply]:
        """Send now; see `Transport.send`."""
        flight = self.begin(call)
        if self._closed:
            flight.end(Outcome.CONNECT_ERROR, "the transport is closed", time.monotonic_ns())
            return flight.future
        data = self._encode(call)
        free = self.free
        while free:
            connection = free.pop()
            if connection.begin(flight, data):
                return flight.future
        flight.carrier = TaskCarrier(self.connect_for(flight, data))
        return flight.future

    async def aclose(self) -> None:
        """Close every connection at once; calls under way end as `cancelled`."""
        self._closed = True
        self.stop_all()
        for connection in list(self.connections):
            connection.abort()
        self.free.clear()

    async def connect_for(self, flight: Flight, data: bytes) -> None:
        """Open a connection for a call, and send it."""
        limit_s = flight.call.connect_s
        start_ns = time.monotonic_ns()
        try:
            connection = await self._connect(limit_s)
        except Exception as e:
            # `send` never raises: whatever else a resolver or TLS may throw is an outcome too.
            late = isinstance(e, TimeoutError) and not e.errno
            text = f"no connection: {e!r}"
            if isinstance(e, OSError):
                text = connect_error_text(e, limit_s)
            outcome = Outcome.TIMEOUT if late else Outcome.CONNECT_ERROR
            flight.end(outcome, text, time.monotonic_ns())
            return
        flight.reader.reply.connect_ns = time.monotonic_ns() - start_ns
        if not connection.begin(flight, data):
            text = "the new connection was closed before the request was sent"
            flight.end(Outcome.CONNECT_ERROR, text, time.monotonic_ns())

    async def _connect(self, limit_s: float) -> Connection:
        async with asyncio.timeout(limit_s):
            connection = await self.connect()
        self.connections.add(connection)
        self.counters.connections += 1
        return connection

    def _encode(self, call: Call) -> bytes:
        key = (call.method, call.path)
        head = self._heads.get(key)
        if head is None:
            head = self._heads[key] = self.address.request_head(*key)
        return b"%b%d\r\n\r\n%b" % (head, len(call.body), call.body)
