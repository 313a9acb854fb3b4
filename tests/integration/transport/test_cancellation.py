"""A call can be ended in every state; the server sees the connection close at once."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from scripted_wire import Make, Peer, WireServer
from wire_replies import CALL, GOOD, HEAD, token

from bench.ollama.exchange import Outcome, Reply, Transport

STATES = {
    "no answer": b"",
    "within the head": HEAD[:20],
    "after the head": HEAD,
    "in mid-stream": HEAD + token("a") + token("b"),
    "within a line": HEAD + token("a")[:-20],
}


class Held:
    """A server that says something and then waits for the client to go."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.said = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        await peer.request()
        await peer.say(self.says, pause_s=0.02)
        self.said.set()
        await peer.gone()
        self.left.set()


async def check_still_works(transport: Transport, held: Held) -> None:
    """After a cancelled call the next one gets a connection of its own, and is served."""
    held.says, held.said = GOOD, asyncio.Event()
    assert (await transport.send(CALL)).outcome is Outcome.OK


@pytest.mark.parametrize("state", STATES)
async def test_cancel_resolves_with_what_came(state: str, wire: str, make: Make) -> None:
    held = Held(STATES[state])
    async with WireServer(held) as server:
        transport = make(wire, server.port)
        future = transport.send(CALL)
        await held.said.wait()
        transport.cancel(future)
        assert future.done()
        reply = future.result()
        await asyncio.wait_for(held.left.wait(), 5)
        await check_still_works(transport, held)
        await transport.aclose()
    assert reply.outcome is Outcome.CANCELLED
    assert reply.end_ns is not None and reply.sent_ns is not None
    assert (reply.status == 200) == (HEAD in STATES[state])
    assert reply.answer == ("ab" if state == "in mid-stream" else "" if reply.status else None)


@pytest.mark.parametrize("state", STATES)
async def test_cancelling_the_future_closes_the_connection(
    state: str, wire: str, make: Make
) -> None:
    held = Held(STATES[state])
    async with WireServer(held) as server:
        transport = make(wire, server.port)
        future = transport.send(CALL)
        await held.said.wait()
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future
        await asyncio.wait_for(held.left.wait(), 5)
        await check_still_works(transport, held)
        await transport.aclose()


async def test_cancelling_the_task_that_waits(wire: str, make: Make) -> None:
    held = Held(STATES["in mid-stream"])
    async with WireServer(held) as server:
        transport = make(wire, server.port)

        async def user() -> Reply:
            return await transport.send(CALL)

        task = asyncio.ensure_future(user())
        await held.said.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(held.left.wait(), 5)
        await transport.aclose()


async def test_cancel_before_there_is_a_connection(wire: str, make: Make) -> None:
    async with WireServer(Held(b"")) as server:
        transport = make(wire, server.port)
        first, second = transport.send(CALL), transport.send(CALL)
        transport.cancel(first)
        assert first.result().outcome is Outcome.CANCELLED
        assert first.result().sent_ns is None
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0.02)
        assert second.cancelled()
        await transport.aclose()


async def test_cancel_while_the_request_is_still_being_sent(sockets: str, make: Make) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        started.set()
        with contextlib.suppress(asyncio.IncompleteReadError):
            await peer.reader.readexactly(50_000_000)
        left.set()

    started, left = asyncio.Event(), asyncio.Event()
    async with WireServer(handler) as server:
        transport = make(sockets, server.port)
        big = type(CALL)("/api/chat", b"x" * 50_000_000)
        future = transport.send(big)
        await started.wait()
        transport.cancel(future)
        assert future.result().outcome is Outcome.CANCELLED
        await asyncio.wait_for(left.wait(), 5)
        await transport.aclose()


async def test_cancel_after_the_end_changes_nothing(wire: str, make: Make) -> None:
    async with WireServer(Held(GOOD)) as server:
        transport = make(wire, server.port)
        future = transport.send(CALL)
        assert (await future).outcome is Outcome.OK
        transport.cancel(future)
        assert not future.cancel()
        assert future.result().outcome is Outcome.OK
        await transport.aclose()


async def test_closing_the_transport_ends_calls_and_connections(wire: str, make: Make) -> None:
    held = Held(STATES["in mid-stream"])
    async with WireServer(held) as server:
        transport = make(wire, server.port)
        future = transport.send(CALL)
        await held.said.wait()
        await transport.aclose()
        assert future.result().outcome is Outcome.CANCELLED
        await asyncio.wait_for(held.left.wait(), 5)


async def test_sending_on_a_closed_transport_is_an_outcome(sockets: str, make: Make) -> None:
    async with WireServer(Held(GOOD)) as server:
        transport = make(sockets, server.port)
        await transport.open(1)
        await transport.aclose()
        reply = await transport.send(CALL)
    assert reply.outcome is Outcome.CONNECT_ERROR and "closed" in reply.error
