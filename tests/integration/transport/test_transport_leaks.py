"""Nothing piles up: no descriptors, no memory, no reference cycles."""

from __future__ import annotations

import asyncio
import gc

from scripted_wire import Make, Peer, WireServer, descriptors
from wire_replies import CALL, GOOD, HEAD, token

from bench.wire.exchange import Transport


async def mixed(peer: Peer) -> None:
    """Answer well, break off, or hang up, in turn."""
    for turn in range(1000):
        await peer.request()
        if turn % 5 == 3:
            await peer.say(HEAD + token("a"))
            return
        await peer.say(GOOD)


async def load(transport: Transport, requests: int) -> None:
    """Requests by four users, of which each tenth is cancelled."""

    async def user() -> None:
        for i in range(requests // 4):
            future = transport.send(CALL)
            if i % 10 == 9:
                transport.cancel(future)
            await future

    await asyncio.gather(*(user() for _ in range(4)))


async def test_no_descriptor_is_left(wire: str, make: Make) -> None:
    async with WireServer(mixed) as server:
        for _ in range(2):
            before = descriptors()
            transport = make(wire, server.port)
            await load(transport, 40)
            await transport.aclose()
            await asyncio.sleep(0.05)
            for peer in server.peers:
                peer.writer.transport.abort()
            await asyncio.sleep(0.05)
            assert descriptors() <= before


async def test_finished_calls_leave_no_cycles(sockets: str, make: Make) -> None:
    """The collector is off while measuring, so garbage must go without it."""

    async def good(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(GOOD)

    async with WireServer(good) as server:
        transport = make(sockets, server.port)
        await load_ok(transport, 40)
        gc.collect()
        gc.disable()
        try:
            await load_ok(transport, 40)
            after_few = len(gc.get_objects())
            await load_ok(transport, 400)
            after_many = len(gc.get_objects())
        finally:
            gc.enable()
        await transport.aclose()
    assert after_many - after_few < 100


async def load_ok(transport: Transport, requests: int) -> None:
    for _ in range(requests // 4):
        await asyncio.gather(*(transport.send(CALL) for _ in range(4)))
