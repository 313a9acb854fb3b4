"""An exchange may end in any state: by us, by a time-out, or because the server vanishes.

Whatever the state, the connection is closed at once, nothing is left open or running, and the
transport goes on to serve.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from scripted_wire import Make, Peer, WireServer, descriptors
from wire_replies import CALL, DONE, GOOD, HEAD, token

from bench.ollama.line_reader import ollama_call
from bench.wire.errors import CUT, CUT_IN_HEAD, NO_RESPONSE
from bench.wire.exchange import Outcome, Reply, Transport

STATES = {
    "no answer": b"",
    "within the head": HEAD[:20],
    "after the head": HEAD,
    "in mid-stream": HEAD + token("a") + token("b"),
    "within a line": HEAD + token("a")[:-20],
    "within a chunk's size": HEAD + token("a") + b"4",
    "after a chunk's size": HEAD + token("a") + b"4f\r\n",
    "before the end of the body": HEAD + token("a") + DONE,
}
PATIENCE_S = 0.1
IMPATIENT = dataclasses.replace(CALL, first_byte_s=PATIENCE_S, idle_s=PATIENCE_S)


async def settle() -> None:
    """Let all that lies in a socket of this machine be read."""
    for _ in range(50):
        await asyncio.sleep(0)


class Script:
    """A server that says something to the first request, and waits; later ones are served.

    Attributes:
        said: it has said it.
        left: the client has closed that connection.
        end: how the server itself ends it.
    """

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.said = asyncio.Event()
        self.left = asyncio.Event()
        self.end = asyncio.Event()
        self.reset = False

    async def __call__(self, peer: Peer) -> None:
        if self.said.is_set():
            while True:
                await peer.request()
                await peer.say(GOOD)
        await peer.request()
        await peer.say(self._says)
        await settle()
        self.said.set()
        gone = asyncio.ensure_future(peer.gone())
        ends = asyncio.ensure_future(self.end.wait())
        await asyncio.wait((gone, ends), return_when=asyncio.FIRST_COMPLETED)
        ends.cancel()
        if self.reset:
            peer.reset()
        elif not gone.done():
            gone.cancel()
        self.left.set()


@contextmanager
def nothing_left() -> Iterator[None]:
    """No descriptor and no task more than before."""
    open_before, tasks_before = descriptors(), asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - tasks_before == set()
    assert descriptors() <= open_before


@asynccontextmanager
async def talking(script: Script, name: str, make: Make) -> AsyncIterator[Transport]:
    """A transport to a server with this script; afterwards it must still work, and then be gone."""
    with nothing_left():
        async with WireServer(script) as server:
            transport = make(name, server.port)
            yield transport
            await asyncio.wait_for(script.left.wait(), 5)
            # The one that was ended is not used again, whatever came of it.
            assert (await transport.send(CALL)).outcome is Outcome.OK
            assert len(server.peers) == 2
            assert (await transport.send(CALL)).outcome is Outcome.OK
            await transport.aclose()
            await settle()
        await settle()


def answer(state: str) -> str | None:
    """The text that has come."""
    if HEAD not in STATES[state]:
        return None
    return STATES[state].decode().count('"a"') * "a" + STATES[state].decode().count('"b"') * "b"


@pytest.mark.parametrize("state", STATES)
async def test_cancelled(state: str, wire: str, make: Make) -> None:
    script = Script(STATES[state])
    async with talking(script, wire, make) as transport:
        future = transport.send(CALL)
        await script.said.wait()
        transport.cancel(future)
        reply = future.result()
    assert reply.outcome is Outcome.CANCELLED
    assert reply.end_ns is not None and reply.sent_ns is not None
    assert reply.answer == (None if answer(state) is None else whole(state))


def whole(state: str) -> str:
    """The text of the lines that are whole."""
    return "" if state == "within a line" else answer(state) or ""


@pytest.mark.parametrize("state", STATES)
async def test_forgotten(state: str, wire: str, make: Make) -> None:
    script = Script(STATES[state])
    async with talking(script, wire, make) as transport:
        future = transport.send(CALL)
        await script.said.wait()
        assert future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future


@pytest.mark.parametrize("state", STATES)
async def test_timed_out(state: str, wire: str, make: Make) -> None:
    script = Script(STATES[state])
    async with talking(script, wire, make) as transport:
        reply = await transport.send(IMPATIENT)
    assert reply.outcome is Outcome.TIMEOUT
    assert f"{PATIENCE_S} s" in reply.error
    assert reply.end_ns is not None and reply.sent_ns is not None
    assert reply.end_ns - reply.sent_ns >= PATIENCE_S * 0.9e9
    if HEAD in STATES[state]:
        assert "in mid-reply" in reply.error and reply.answer == whole(state)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_server_vanishes(state: str, reset: bool, wire: str, make: Make) -> None:
    script = Script(STATES[state])
    async with talking(script, wire, make) as transport:
        future = transport.send(CALL)
        await script.said.wait()
        script.reset = reset
        script.end.set()
        reply = await asyncio.wait_for(future, 5)
    assert reply.outcome is Outcome.DISCONNECTED
    if reset:
        assert reply.error == "the connection broke: Connection reset by peer"
    else:
        assert reply.error in how_it_closed(state, wire)
    if HEAD in STATES[state]:
        assert (reply.status, reply.answer) == (200, whole(state))


def how_it_closed(state: str, wire: str) -> tuple[str, ...]:
    if HEAD in STATES[state]:
        return (CUT,)
    # httpx does not tell a part of a head from none.
    return (NO_RESPONSE,) if not STATES[state] or wire == "httpx" else (CUT_IN_HEAD,)


async def test_time_out_within_the_head_names_the_time_that_ran_out(
    sockets: str, make: Make
) -> None:
    script = Script(STATES["within the head"])
    async with talking(script, sockets, make) as transport:
        reply = await transport.send(dataclasses.replace(CALL, idle_s=0.1, first_byte_s=60))
    assert (reply.outcome, reply.error) == (Outcome.TIMEOUT, "nothing came for 0.1 s in mid-reply")


# --- while the request is on its way --------------------------------------------------------------

BIG = dataclasses.replace(CALL, body=b"x" * 50_000_000, first_byte_s=0.3)


class Deaf:
    """A server that reads the head of a request, and of its body what is in between."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.left = asyncio.Event()
        self.go = asyncio.Event()
        self.leave = False

    async def __call__(self, peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        self.began.set()
        await self.go.wait()
        if self.leave:
            peer.reset()
        else:
            await peer.gone()
        self.left.set()


@pytest.mark.parametrize("by", ["us", "a time-out", "the server"])
async def test_ended_while_the_request_is_being_sent(by: str, wire: str, make: Make) -> None:
    deaf = Deaf()
    deaf.leave = by == "the server"
    with nothing_left():
        async with WireServer(deaf) as server:
            transport = make(wire, server.port)
            slow = by == "a time-out"
            future = transport.send(BIG if slow else dataclasses.replace(BIG, first_byte_s=60))
            await deaf.began.wait()
            if by == "us":
                transport.cancel(future)
            if by != "a time-out":
                deaf.go.set()
            reply = await asyncio.wait_for(future, 5)
            deaf.go.set()
            await asyncio.wait_for(deaf.left.wait(), 5)
            await transport.aclose()
            await settle()
        await settle()
    expected = {"us": Outcome.CANCELLED, "a time-out": Outcome.TIMEOUT}
    assert reply.outcome is expected.get(by, Outcome.DISCONNECTED)


# --- while the connection is being opened ---------------------------------------------------------


@contextmanager
def nobody_accepts() -> Iterator[int]:
    """A port whose queue of new connections is full: Linux leaves the next one waiting."""
    with socket.socket() as server, socket.socket() as first:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        first.connect(server.getsockname())
        yield server.getsockname()[1]


async def end_connecting(
    transport: Transport, by: str, begun: asyncio.Event | None = None
) -> Reply:
    """Begin a call that gets no connection, and end it."""
    call = dataclasses.replace(CALL, connect_s=PATIENCE_S if by == "a time-out" else 60.0)
    future = transport.send(call)
    await settle()
    if begun is not None:
        await asyncio.wait_for(begun.wait(), 5)
    if by == "us":
        transport.cancel(future)
    elif by == "forgetting":
        future.cancel()
        await settle()
        return Reply(outcome=Outcome.CANCELLED)
    return await asyncio.wait_for(future, 5)


WAYS = {"us": Outcome.CANCELLED, "forgetting": Outcome.CANCELLED, "a time-out": Outcome.TIMEOUT}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse at once")
@pytest.mark.parametrize("by", WAYS)
async def test_ended_while_connecting(by: str, wire: str, make: Make) -> None:
    with nobody_accepts() as port, nothing_left():
        transport = make(wire, port)
        reply = await end_connecting(transport, by)
        await settle()
        await transport.aclose()
        await settle()
    assert (reply.outcome, reply.sent_ns) == (WAYS[by], None)
    if by == "a time-out":
        assert reply.error == f"no connection within {PATIENCE_S} s"


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("name", ["user", "httpx"])
async def test_ended_during_the_handshake(name: str, by: str, make: Make) -> None:
    """The server has accepted the connection, and says nothing of TLS."""
    came, left = asyncio.Event(), asyncio.Event()

    async def mute(peer: Peer) -> None:
        await peer.reader.read(1)
        came.set()
        await peer.gone()
        left.set()

    with nothing_left():
        async with WireServer(mute) as server:
            transport = make(name, f"https://127.0.0.1:{server.port}", insecure=True)
            reply = await end_connecting(transport, by, came)
            await asyncio.wait_for(left.wait(), 5)
            await transport.aclose()
            await settle()
        await settle()
    assert (reply.outcome, reply.sent_ns) == (WAYS[by], None)


@pytest.mark.parametrize("name", ["user", "httpx"])
async def test_server_vanishes_during_the_handshake(name: str, make: Make) -> None:
    async def leave(peer: Peer) -> None:
        await peer.reader.read(1)

    async with WireServer(leave) as server:
        transport = make(name, f"https://127.0.0.1:{server.port}", insecure=True)
        reply = await asyncio.wait_for(transport.send(CALL), 5)
        await transport.aclose()
    assert (reply.outcome, reply.sent_ns) == (Outcome.CONNECT_ERROR, None)
    assert reply.error == "no connection: the server closed the connection"


async def test_ended_before_the_first_step(wire: str, make: Make) -> None:
    """Nothing of the call has happened yet: no connection may come of it."""
    script = Script(b"")
    with nothing_left():
        async with WireServer(script) as server:
            transport = make(wire, server.port)
            transport.cancel(transport.send(CALL))
            transport.send(CALL).cancel()
            await settle()
            assert server.peers == []
            await transport.aclose()
            await settle()
        await settle()


async def test_cancelled_while_all_connections_are_busy(wire: str, make: Make) -> None:
    """No call waits for a connection: it opens one. Those of the others are left alone."""
    script = Script(STATES["in mid-stream"])
    async with WireServer(script) as server:
        transport = make(wire, server.port)
        busy = transport.send(CALL)
        await script.said.wait()
        late = transport.send(CALL)
        transport.cancel(late)
        assert late.result().outcome is Outcome.CANCELLED
        await settle()
        assert not busy.done() and not script.left.is_set()
        transport.cancel(busy)
        await transport.aclose()


async def test_a_server_that_hangs_up_on_every_connection_is_told_not_tried_for_ever(
    sockets: str, make: Make
) -> None:
    """Opening beforehand comes to an end, and each call says what happened to it."""

    async def hang_up(peer: Peer) -> None:
        peer.reset()

    async with WireServer(hang_up) as server:
        transport = make(sockets, server.port)
        await asyncio.wait_for(transport.open(8), 10)
        assert transport.counters.connections == 8
        reply = await transport.send(ollama_call(CALL.path, CALL.body))
        assert reply.outcome in (Outcome.DISCONNECTED, Outcome.CONNECT_ERROR)
        await transport.aclose()
