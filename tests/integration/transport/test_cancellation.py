"""Who may end a call, and what that does to others; states: `test_ends_in_every_state`."""

from __future__ import annotations

import asyncio

import pytest
from scripted_wire import Make, Peer, WireServer
from wire_replies import CALL, GOOD, HEAD, token

from bench.wire.exchange import Outcome, Reply

MID_STREAM = HEAD + token("a") + token("b")


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


async def test_cancelling_the_task_that_waits(wire: str, make: Make) -> None:
    held = Held(MID_STREAM)
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
    held = Held(MID_STREAM)
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
