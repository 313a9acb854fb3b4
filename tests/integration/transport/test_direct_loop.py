"""The loop that calls the readers of measured sockets itself: all else is as on any loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from recorded_exchanges import expected, held, native
from scripted_wire import Make, Peer, WireServer
from wire_replies import CALL, GOOD, HEAD, token

from bench.clock import RealClock
from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Outcome
from bench.wire.transports import run_measuring

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a loop for Linux")


async def good(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(GOOD)


def test_recordings(make: Make) -> None:
    async def main() -> None:
        assert hasattr(asyncio.get_running_loop(), "add_direct")

        async def handler(peer: Peer) -> None:
            while True:
                await peer.request()
                await peer.say(*exchange.wire().replace(b"\n\r\n", b"\n\r\n\0").split(b"\0"))

        async with WireServer(handler) as server:
            for name in ("kernel", "user"):
                transport = make(name, server.port)
                for exchange in native():
                    reply = await transport.send(exchange.call)
                    assert held(reply) == expected(exchange)
                await transport.aclose()

    run_measuring(main())


def test_request_that_does_not_fit_and_cancellation(make: Make) -> None:
    async def handler(peer: Peer) -> None:
        await asyncio.sleep(0.02)
        await peer.request()
        await peer.say(GOOD)
        await peer.request()
        await peer.say(HEAD + token("a"))
        await peer.gone()
        left.set()

    left = threading.Event()

    async def main() -> None:
        async with WireServer(handler) as server:
            transport = make("kernel", server.port)
            big = await transport.send(ollama_call("/api/chat", b"x" * 8_000_000))
            assert big.outcome is Outcome.OK
            future = transport.send(CALL)
            await asyncio.sleep(0.05)
            transport.cancel(future)
            assert future.result().answer == "a"
            assert len(server.peers) == 1
            await asyncio.sleep(0.05)
            await transport.aclose()

    run_measuring(main())
    assert left.is_set()


def test_many_streams_timers_and_threads(make: Make) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        from_thread = asyncio.Event()
        threading.Timer(0.02, loop.call_soon_threadsafe, [from_thread.set]).start()
        async with WireServer(good) as server:
            transport = make("kernel", server.port)
            await transport.open(20)
            deadline_ns = time.monotonic_ns() + 30_000_000
            replies, *_ = await asyncio.gather(
                asyncio.gather(*(transport.send(CALL) for _ in range(200))),
                RealClock().sleep_until(deadline_ns),
                asyncio.sleep(0.01),
                asyncio.wait_for(from_thread.wait(), 5),
            )
            assert {r.outcome for r in replies} == {Outcome.OK}
            assert time.monotonic_ns() >= deadline_ns
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.01)
            process = await asyncio.create_subprocess_exec("true")
            assert await process.wait() == 0
            await transport.aclose()

    run_measuring(main())


def test_a_reader_that_raises_is_told_of_and_the_others_go_on() -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        pipes = [os.pipe(), os.pipe()]
        read = asyncio.Event()

        def broken() -> bool:
            os.read(pipes[0][0], 1)
            raise ValueError("boom")

        def whole() -> bool:
            os.read(pipes[1][0], 1)
            read.set()
            return False

        for (ours, theirs), reader in zip(pipes, (broken, whole), strict=True):
            os.write(theirs, b"x")
            loop.add_direct(ours, reader)
        await asyncio.wait_for(read.wait(), 5)
        await asyncio.sleep(0)
        loop.remove_direct(pipes[0][0])
        loop.remove_direct(pipes[1][0])
        os.write(pipes[0][1], b"x")
        await asyncio.sleep(0)
        assert [str(c["exception"]) for c in told] == ["boom"]
        for end in (*pipes[0], *pipes[1]):
            os.close(end)

    run_measuring(main())


def test_loop_leaves_no_descriptor() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def nothing() -> None:
        await asyncio.sleep(0)

    run_measuring(nothing())
    before = descriptors()
    for _ in range(5):
        run_measuring(nothing())
    assert descriptors() == before
