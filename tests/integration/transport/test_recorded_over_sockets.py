"""Every recorded exchange, re-sent over a real socket, gives the reply that it holds."""

from __future__ import annotations

import pytest
from recorded_exchanges import Recorded, expected, held, native, times
from scripted_wire import Make, Peer, WireServer

from bench.wire.exchange import Reply

SMALL = [r for r in native() if len(r.wire()) < 1500][::6]


async def resend(exchange: Recorded, pieces: list[bytes], name: str, make: Make) -> Reply:
    async def handler(peer: Peer) -> None:
        assert await peer.request() == exchange.call.body
        await peer.say(*pieces)
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(name, server.port)
        reply = await transport.send(exchange.call)
        await transport.aclose()
    return reply


def check(exchange: Recorded, reply: Reply) -> None:
    assert held(reply) == expected(exchange)
    stamps = times(reply)
    assert stamps == sorted(stamps)


async def test_all_at_once(wire: str, make: Make) -> None:
    for exchange in native():
        check(exchange, await resend(exchange, [exchange.wire()], wire, make))


async def test_line_by_line(wire: str, make: Make) -> None:
    for exchange in native():
        # The head, then each chunk as it was recorded, then the end.
        pieces = exchange.wire().replace(b"\n\r\n", b"\n\r\n\0").split(b"\0")
        check(exchange, await resend(exchange, pieces, wire, make))


@pytest.mark.parametrize("exchange", SMALL, ids=str)
async def test_byte_by_byte(exchange: Recorded, wire: str, make: Make) -> None:
    data = exchange.wire()
    pieces = [data[i : i + 1] for i in range(len(data))]
    check(exchange, await resend(exchange, pieces, wire, make))
