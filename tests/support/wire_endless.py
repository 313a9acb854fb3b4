"""Replies that never end, or so slowly that they might as well never."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import json
from collections.abc import Awaitable, Callable

from scripted_wire import Make, Peer, WireServer
from wire_fuzz import HANG_S, Figures, storable
from wire_replies import CALL, GOOD, HEAD

from bench.wire.exchange import Outcome


def endless(begin: bytes, more: bytes) -> Callable[[Peer], object]:
    """A server that begins so and then never stops saying the same."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        with contextlib.suppress(ConnectionError):
            await peer.say(begin)
            while True:
                await peer.say(more * max(1, 60_000 // len(more)))

    return handler


def json_line(value: object) -> bytes:
    """A value as a chunk of one line."""
    text = json.dumps(value).encode() + b"\n"
    return b"%x\r\n%b\r\n" % (len(text), text)


LINE = json_line({"message": {"content": "x" * 30}, "done": False})
OK = b"HTTP/1.1 200 OK\r\n"
ENDLESS = [
    (HEAD, LINE),
    (HEAD, b"3\r\n{}\n\r\n"),
    (HEAD, b"1\r\n\n\r\n"),
    (HEAD, b"4\r\naaaa\r\n"),
    (HEAD + LINE + b"0\r\n", b"X-T: y\r\n"),
    (HEAD + b"0\r\nX-T: ", b"y"),
    (HEAD + b"1;", b"x"),
    (HEAD, b"0"),
    (b"HTTP/1.1 ", b"2"),
    (OK, b"X-H: y\r\n"),
    (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 30_000_000, mtime=0), b" "),
    (b"HTTP/1.1 500 X\r\n\r\n", b"["),
]
"""(what it begins with, what it then repeats)"""
_ENDS = (Outcome.MALFORMED, Outcome.HTTP_ERROR, Outcome.TIMEOUT)


def dripping(wire: bytes, pause_s: float) -> Callable[[Peer], Awaitable[None]]:
    """A server that says one byte at a time."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        with contextlib.suppress(ConnectionError):
            await peer.say(*(wire[n : n + 1] for n in range(len(wire))), pause_s=pause_s)

    return handler


async def exchange_endless(name: str, tls: bool, make: Make, total_s: float) -> Figures:
    """Each endless reply once, by the shipped limits, and one that drips; all must end."""
    figures = Figures()
    scheme, trust = ("https", {"insecure": True}) if tls else ("http", {})
    slow = dripping(GOOD, 4 * total_s / len(GOOD))
    for handler in (*(endless(*pair) for pair in ENDLESS), slow):
        figures.tried += 1
        async with WireServer(handler, tls=tls) as server:  # type: ignore[arg-type]
            transport = make(name, f"{scheme}://127.0.0.1:{server.port}", **trust)
            try:
                async with asyncio.timeout(total_s + HANG_S):
                    reply = await transport.send(dataclasses.replace(CALL, total_s=total_s))
                storable(reply)
                assert reply.outcome in _ENDS, reply.outcome
                figures.outcomes[str(reply.outcome)] += 1
            except Exception as error:
                figures.faults.append(f"{type(error).__name__}: {error}: case {figures.tried}")
            await transport.aclose()
    return figures
