"""Wrong, cut and endless replies: an outcome each, in bounded time and memory.

Some seconds of what `tests/performance/wire_fuzz_long.py` does for minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gzip
import tracemalloc
from collections.abc import Iterator

import pytest
from scripted_wire import Make, Peer, WireServer
from wire_endless import ENDLESS, OK, dripping, endless
from wire_fuzz import ask_control, exchange_replies, read_replies
from wire_replies import CALL, GOOD, HEAD

from bench.address import Address
from bench.errors import BenchError
from bench.ollama.control import Control
from bench.wire.exchange import Outcome
from bench.wire.reply_reader import LIMITS, ReplyLimits
from bench.wire.transports import HttpxTransport

SMALL = ReplyLimits(
    head_bytes=64_000, line_bytes=100_000, lines=3_000, whole_bytes=100_000, body_bytes=300_000
)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.ollama.control_calls._PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr("bench.ollama.control_calls._LONGEST_PAUSE_S", 0.0)


@pytest.fixture
def memory() -> Iterator[None]:
    """Nothing in this test may take more than a few dozen MiB."""
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 60 * 1024 * 1024


def test_replies_read_without_a_socket() -> None:
    figures = read_replies(3000, seed=1)
    assert not figures.faults, figures.faults[0]
    assert figures.tried == 3000 and figures.outcomes["ok"] > 100


@pytest.mark.parametrize("tls", [False, True])
async def test_replies_over_sockets(wire: str, tls: bool, make: Make) -> None:
    if tls and wire == "kernel":
        return
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    figures = await exchange_replies(wire, tls, 150, 2, make)
    assert not figures.faults, figures.faults[0]
    assert figures.outcomes["ok"] >= 150


async def test_control_replies(impatient: None, no_proxy: None) -> None:
    figures = await ask_control(400, seed=3)
    assert not figures.faults, figures.faults[0]
    assert figures.outcomes["answered"] > 20


@pytest.mark.parametrize(("begin", "more"), ENDLESS, ids=lambda part: str(part[:60]))
async def test_endless_replies_end(
    begin: bytes, more: bytes, wire: str, make: Make, memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # httpx reads tiny chunks so slowly that its time may run out before a limit is reached.
    total_s = 2.0 if wire == "httpx" else 30.0
    async with WireServer(endless(begin, more)) as server, asyncio.timeout(60):  # type: ignore[arg-type]
        transport = make(wire, server.port)
        transport.limits = SMALL  # type: ignore[attr-defined]
        reply = await transport.send(dataclasses.replace(CALL, total_s=total_s))
        await transport.aclose()
    slow = wire == "httpx" and reply.outcome is Outcome.TIMEOUT
    assert reply.outcome in (Outcome.MALFORMED, Outcome.HTTP_ERROR) or slow
    assert reply.error


async def test_a_dripping_reply_ends(wire: str, make: Make) -> None:
    async with WireServer(dripping(GOOD, 0.5)) as server, asyncio.timeout(30):
        transport = make(wire, server.port)
        reply = await transport.send(dataclasses.replace(CALL, total_s=1.0))
        await transport.aclose()
    assert reply.outcome is Outcome.TIMEOUT and reply.error


def test_the_shipped_limits_are_those_that_were_measured() -> None:
    """`tests/performance/wire_fuzz_long.py` runs into them; larger ones need its figures anew."""
    assert ReplyLimits() == LIMITS
    assert LIMITS.whole_bytes <= 16 * 1024 * 1024
    assert LIMITS.line_bytes <= 4 * 1024 * 1024
    assert LIMITS.lines <= 4_000_000


async def test_what_a_proxied_server_answers_before_a_run_has_an_end(
    no_proxy: None, memory: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_BENCH_TOKEN", "planted-token")
    heads = []

    async def handler(peer: Peer) -> None:
        await peer.request()
        heads.append(peer.head)
        with contextlib.suppress(ConnectionError):
            await peer.say(OK + b"\r\n")
            while True:
                await peer.say(b"x" * 60_000)

    async with WireServer(handler) as server, asyncio.timeout(30):
        transport = HttpxTransport(Address.parse(f"http://127.0.0.1:{server.port}"), limits=SMALL)
        await transport.open(2)
        await transport.aclose()
    assert len(heads) == 2 and all(b"Bearer planted-token" in head for head in heads)


async def test_a_failed_pull_that_is_told_for_ever_ends(
    impatient: None, no_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.ollama.control_calls._FIRST_LINE_S", 2.0)
    slow = dripping(b"HTTP/1.1 500 X\r\nContent-Length: 999\r\n\r\n" + b"x" * 999, 0.02)
    async with WireServer(slow) as server, asyncio.timeout(15):  # type: ignore[arg-type]
        address = Address.parse(f"http://127.0.0.1:{server.port}", environ={})
        async with Control.of(address) as control:
            with pytest.raises(BenchError, match="api/pull"):
                async for _ in control.pull("m"):
                    pass


BOMB = gzip.compress(b'{"models":[' + b'{"name":"m"},' * 2_000_000)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (OK + b'\r\n{"models":[', b'{"name":"m"},'),
        (OK + b"\r\n", b" "),
        (OK + b"Content-Encoding: gzip\r\n\r\n" + BOMB, b""),
        (HEAD + b"0\r\n", b"X-T: y\r\n"),
        (OK, b"X-H: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 500 X\r\n\r\n", b"<p>"),
    ],
    ids=range(7),
)
async def test_endless_control_replies_end(
    begin: bytes, more: bytes, impatient: None, no_proxy: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.ollama.control_calls.QUICK_S", 0.5)
    monkeypatch.setattr("bench.ollama.control_calls._FIRST_LINE_S", 1.0)
    handler = endless(begin, more or b" ")
    async with WireServer(handler) as server, asyncio.timeout(60):  # type: ignore[arg-type]
        address = Address.parse(f"http://127.0.0.1:{server.port}", environ={})
        tracemalloc.start()
        async with Control.of(address) as control:
            with pytest.raises(BenchError):
                await control.tags()
            with pytest.raises(BenchError):
                async for _ in control.pull("m"):
                    pass
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 60 * 1024 * 1024
