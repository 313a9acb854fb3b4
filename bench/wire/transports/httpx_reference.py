"""Transport over httpx: for proxies and anything unusual, and the reference for the others.

Its stamps are the latest and dearest of all (performance: 0.1 ms of CPU a chunk); each concurrent
call has a client of its own, because httpx's shared pool collapses at some 150 streams.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import httpcore
import httpx

from bench.address import Address
from bench.errors import ServerUnreachable, UsageError
from bench.wire.errors import (
    CUT,
    NO_RESPONSE,
    broken_text,
    connect_error_text,
    innermost,
    unreadable_text,
)
from bench.wire.exchange import Call, Outcome, Reply, Unread, WireCounters
from bench.wire.reply_reader import LIMITS, ReplyLimits, ReplyReader
from bench.wire.transports.flight import BookedTransport, Flight, TaskCarrier

_OPEN_S = 10.0
_GREETING = Call(
    "/api/version",
    b"",
    stream=False,
    connect_s=_OPEN_S,
    first_byte_s=_OPEN_S,
    total_s=_OPEN_S,
    method="GET",
    dialect=Unread,
)
_LOOK_S = 0.0005
"""How long is looked for bytes after a reply, whose stamps have been taken by then."""


class HttpxTransport(BookedTransport):
    """Calls by httpx.

    Raises:
        UsageError: httpx cannot use this proxy.
    """

    name = "httpx"

    def __init__(self, address: Address, proxy: str = "", limits: ReplyLimits = LIMITS) -> None:
        super().__init__(limits)
        self.address = address
        self._proxy = proxy
        self._tls = address.tls_context() if address.scheme == "https" else None
        self._root, headers = address.http_root
        coded = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        self._headers = {**coded, **headers}
        self._clients: list[httpx.AsyncClient] = []
        self._closed = False
        self._free = [self._new_client()]

    async def open(self, connections: int) -> None:
        """Open connections beforehand, each by asking for the version; see `Transport.open`."""
        for reply in await asyncio.gather(*(self.send(_GREETING) for _ in range(connections))):
            if reply.status is None:
                advice = "is Ollama running there? try: ollama serve"
                raise ServerUnreachable(f"{self.address.url}: {reply.error}", advice)

    def send(self, call: Call) -> asyncio.Future[Reply]:
        """Send now; see `Transport.send`."""
        flight = self.begin(call)
        client = self._free.pop() if self._free else self._new_client()
        flight.carrier = TaskCarrier(self._exchange(client, flight))
        flight.connecting(time.monotonic_ns())
        return flight.future

    async def aclose(self) -> None:
        """Close every connection; calls under way end as `cancelled`."""
        self._closed = True
        self.stop_all()
        await asyncio.gather(*(client.aclose() for client in self._clients))

    def _new_client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        try:
            transport = httpx.AsyncHTTPTransport(
                # Only https has something to verify; loading the authorities takes 20 ms.
                verify=self._tls or False,
                uds=self.address.unix_socket or None,
                proxy=self._proxy or None,
                limits=limits,
            )
        except (ImportError, ValueError) as e:
            raise UsageError(f"the proxy that the environment asks for cannot be used: {e}") from e
        client = httpx.AsyncClient(transport=transport, timeout=None, trust_env=False)
        self._clients.append(client)
        return client

    async def _exchange(self, client: httpx.AsyncClient, flight: Flight) -> None:
        trace = _Trace(flight, self.counters)
        clean = False
        try:
            clean = await self._talk(client, flight, trace)
        except asyncio.CancelledError:
            await trace.close()
            raise
        except Exception as e:
            # `send` never raises: whatever httpx may throw is an outcome.
            outcome, text = _what_went_wrong(e, flight)
            flight.end(outcome, text, time.monotonic_ns())
        finally:
            if clean or self._closed:
                self._free.append(client)
            else:
                # Whatever is left on its connection would be taken for the next one's answer.
                self._clients.remove(client)
                with contextlib.suppress(Exception):
                    await asyncio.shield(client.aclose())

    async def _talk(self, client: httpx.AsyncClient, flight: Flight, trace: _Trace) -> bool:
        """One exchange; returns whether nothing is left on its connection."""
        call, reader = flight.call, flight.reader
        timeouts = {"connect": call.connect_s, "read": None, "write": None, "pool": None}
        request = client.build_request(
            call.method,
            self._root + call.path,
            content=call.body,
            headers=self._headers,
            extensions={"timeout": timeouts, "trace": trace},
        )
        response = await client.send(request, stream=True)
        reads = _Reads(self.counters)
        try:
            reader.stamp = reads.stamp()
            flight.answered(reader.stamp)
            headers = response.headers
            encoding, location = headers.get("content-encoding", ""), headers.get("location", "")
            _read(reader, partial(reader.head, response.status_code, encoding, location))
            async for data in response.aiter_raw():
                reader.stamp = reads.stamp()
                _read(reader, partial(reader.feed, data))
                if reader.broken:
                    break
            else:
                reader.stamp = reads.stamp()
                _read(reader, reader.end_of_body)
        finally:
            await response.aclose()
        end_ns = reader.stamp
        clean = not reader.broken and not await _left_over(client, response)
        flight.end(Outcome.OK, "", end_ns)
        return clean


def _read(reader: ReplyReader, step: Callable[[], None]) -> None:
    """A step of reading; whatever it may throw is the reply's fault."""
    try:
        step()
    except Exception as e:
        reader.refuse(unreadable_text(e))


async def _left_over(client: httpx.AsyncClient, response: httpx.Response) -> bool:
    """Whether bytes follow the response that nobody asked for.

    httpcore keeps what h11 has read too much of, and what lies in the buffers of TLS and of
    asyncio; only what the socket still holds does it notice by itself.
    """
    pool: Any = getattr(client._transport, "_pool", None)
    for connection in getattr(pool, "connections", ()):
        while (inner := getattr(connection, "_connection", None)) is not None:
            connection = inner
        state = getattr(connection, "_h11_state", None)
        if state is not None and (state.trailing_data[0] or state.trailing_data[1]):
            return True
    stream = response.extensions.get("network_stream")
    if stream is None:
        return False
    try:
        await stream.read(1, timeout=_LOOK_S)
    except httpcore.ReadTimeout:
        return False
    except Exception:
        return True
    return True  # rubbish, or the end of the connection


class _Reads:
    """Stamps bytes when they are read: what one read brought gets one stamp.

    httpcore hands on a read piece by piece, without a turn of the loop in between.
    """

    def __init__(self, counters: WireCounters) -> None:
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._turned = True
        self._stamp = 0

    def stamp(self) -> int:
        """The time of the read that brought what comes now."""
        if self._turned:
            self._turned = False
            self._loop.call_soon(self._turn)
            self._stamp = time.monotonic_ns()
            self._counters.reads += 1
        return self._stamp

    def _turn(self) -> None:
        self._turned = True


class _Trace:
    """Takes from httpcore when the connection was opened and when the request went out."""

    def __init__(self, flight: Flight, counters: WireCounters) -> None:
        self._flight = flight
        self._counters = counters
        self._start_ns = 0
        self._opened: Any = None

    async def close(self) -> None:
        """Close what this call has opened; httpcore forgets it when cancelled in a handshake."""
        if self._opened is not None:
            await self._opened.aclose()

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        """An event of httpcore."""
        now_ns = time.monotonic_ns()
        if event.endswith("send_request_headers.started"):
            self._flight.sent(now_ns)
        elif event in ("connection.connect_tcp.started", "connection.connect_unix_socket.started"):
            self._start_ns = now_ns
            self._counters.connections += 1
        elif event.startswith("connection.") and event.endswith(".complete"):
            self._opened = self._opened or info["return_value"]
            self._flight.reader.reply.connect_ns = now_ns - self._start_ns


def _what_went_wrong(error: Exception, flight: Flight) -> tuple[Outcome, str]:
    """As the other transports tell it."""
    cause, limit_s = innermost(error), flight.call.connect_s
    if isinstance(error, httpx.ConnectTimeout):
        return Outcome.TIMEOUT, connect_error_text(TimeoutError(), limit_s)
    if isinstance(error, httpx.ConnectError | httpx.ProxyError):
        # Whatever was sent was for the proxy or for TLS.
        flight.reader.reply.sent_ns = None
    if flight.reader.reply.sent_ns is None:
        return Outcome.CONNECT_ERROR, connect_error_text(cause, limit_s)
    if not isinstance(error, httpx.RemoteProtocolError):
        return Outcome.DISCONNECTED, broken_text(cause)
    text = str(error)
    if "without sending a response" in text:
        return Outcome.DISCONNECTED, NO_RESPONSE
    if "closed connection" in text:
        return Outcome.DISCONNECTED, CUT
    return Outcome.MALFORMED, f"the response is not HTTP: {text}"
