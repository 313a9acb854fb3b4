"""What a stall of this process's event loop does to the stamps."""

from __future__ import annotations

import asyncio
import socket
import sys
import time

import pytest
from scripted_wire import Make
from wire_replies import CALL, DONE, END, HEAD, token

from bench.wire.exchange import Outcome, Reply

STALL_S = 0.05


def stall(seconds: float) -> None:
    """Keep the event loop from running."""
    time.sleep(seconds)


async def stalled(name: str, make: Make) -> tuple[Reply, list[int]]:
    """A reply whose first line comes while the loop stands still, and when the server sent it."""
    server = socket.create_server(("127.0.0.1", 0))
    transport = make(name, server.getsockname()[1])
    await transport.open(1)
    peer, _ = server.accept()
    future = transport.send(CALL)
    peer.recv(65536)
    sent = [time.monotonic_ns()]
    peer.sendall(HEAD + token("a"))
    stall(STALL_S)
    while transport.counters.reads == 0:
        await asyncio.sleep(0)
    sent.append(time.monotonic_ns())
    peer.sendall(DONE + END)
    reply = await future
    peer.close()
    server.close()
    await transport.aclose()
    return reply, sent


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has kernel stamps, nobody else")
async def test_kernel_stamps_do_not_see_it(make: Make) -> None:
    reply, sent = await stalled("kernel", make)
    assert (reply.outcome, reply.user_stamps) == (Outcome.OK, 0)
    for stamp, sent_ns in zip(reply.chunk_ns, sent, strict=True):
        assert -100_000 < stamp - sent_ns < STALL_S * 1e9 / 2


async def test_user_stamps_are_late_by_it(make: Make) -> None:
    reply, sent = await stalled("user", make)
    assert reply.chunk_ns[0] - sent[0] > STALL_S * 1e9


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has kernel stamps, nobody else")
async def test_lines_read_together_are_counted(make: Make) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    transport = make("kernel", server.getsockname()[1])
    await transport.open(1)
    peer, _ = server.accept()
    future = transport.send(CALL)
    peer.recv(65536)
    peer.sendall(HEAD + token("a"))
    stall(0.01)
    peer.sendall(token("b"))
    last_ns = time.monotonic_ns()
    peer.sendall(token("c") + DONE + END)
    reply = await future
    # One read: all lines share the stamp of the last bytes.
    assert (reply.coalesced, len(set(reply.chunk_ns)), len(reply.chunk_ns)) == (3, 1, 4)
    assert reply.chunk_ns[0] >= last_ns - 100_000
    assert transport.counters.coalesced == 3
    peer.close()
    server.close()
    await transport.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has kernel stamps, nobody else")
async def test_read_without_a_stamp_is_counted(make: Make) -> None:
    """A body that ends with the connection: the end has no stamp of the kernel's."""
    server = socket.create_server(("127.0.0.1", 0))
    transport = make("kernel", server.getsockname()[1])
    await transport.open(1)
    peer, _ = server.accept()
    future = transport.send(CALL)
    peer.recv(65536)
    peer.sendall(b'HTTP/1.0 200 OK\r\n\r\n{"message":{"content":"a"},"done":true}\n')
    while transport.counters.reads == 0:
        await asyncio.sleep(0)
    before_ns = time.monotonic_ns()
    peer.close()
    reply = await future
    assert (reply.outcome, reply.user_stamps, transport.counters.user_stamps) == (Outcome.OK, 1, 1)
    assert reply.end_ns is not None and reply.end_ns >= before_ns
    assert reply.chunk_ns[0] < before_ns
    server.close()
    await transport.aclose()
