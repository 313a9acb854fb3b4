"""How an exchange can end, and that each end is told as what it was."""

from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest
from scripted_wire import CERTIFICATE, Make, Peer, WireServer
from wire_replies import BODY, CALL, DONE, END, GOOD, HEAD, token

from bench.errors import ServerUnreachable
from bench.ollama.line_reader import ollama_call
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.reply_reader import ReplyReader
from bench.wire.transports.sockets import SocketTransport


async def answered(handler_says: bytes, make: Make, wire: str, call: Call = CALL) -> Reply:
    """The reply to one call, when the server says this and hangs up."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(handler_says)

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        reply = await transport.send(call)
        await transport.aclose()
    return reply


@pytest.mark.parametrize(
    ("says", "outcome"),
    [
        (GOOD, Outcome.OK),
        (HEAD + token("a") + END, Outcome.ABORTED),
        (HEAD + token("a"), Outcome.DISCONNECTED),
        (HEAD + token("a") + DONE, Outcome.DISCONNECTED),
        (HEAD[:30], Outcome.DISCONNECTED),
        (b"", Outcome.DISCONNECTED),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Outcome.MALFORMED),
        (b"HTTP/1.0 200 OK\r\n\r\n" + BODY, Outcome.OK),
        (b"HTTP/1.0 200 OK\r\n\r\n" + BODY[:-10], Outcome.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY, Outcome.OK),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, Outcome.OK),
        (
            b"HTTP/1.1 503 X\r\nContent-Length: 18\r\n\r\n" + b'{"error":"busy!!"}',
            Outcome.HTTP_ERROR,
        ),
        (b"HTTP/1.1 307 X\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", Outcome.HTTP_ERROR),
    ],
)
async def test_ends(says: bytes, outcome: Outcome, make: Make, wire: str) -> None:
    reply = await answered(says, make, wire)
    assert reply.outcome is outcome
    assert bool(reply.error) == (outcome is not Outcome.OK)
    assert reply.sent_ns is not None and reply.end_ns is not None
    assert reply.end_ns >= reply.sent_ns


async def test_reset_in_mid_reply_keeps_what_came(make: Make, wire: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD, token("a"), token("b"), pause_s=0.02)
        peer.reset()

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        reply = await transport.send(CALL)
        await transport.aclose()
    assert (reply.outcome, reply.answer) == (Outcome.DISCONNECTED, "ab")


async def test_nobody_listens(make: Make, wire: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    transport = make(wire, port)
    with pytest.raises(ServerUnreachable, match=str(port)):
        await transport.open(2)
    reply = await transport.send(CALL)
    assert reply.outcome is Outcome.CONNECT_ERROR
    assert reply.sent_ns is None and reply.error
    await transport.aclose()


async def test_unknown_host(make: Make, wire: str) -> None:
    transport = make(wire, "http://no-such-host.invalid:11434")
    reply = await transport.send(CALL)
    assert reply.outcome is Outcome.CONNECT_ERROR and "11434" not in reply.error
    await transport.aclose()


async def test_no_first_byte_in_time(make: Make, wire: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        reply = await transport.send(dataclasses.replace(CALL, first_byte_s=0.05))
        await transport.aclose()
    assert reply.outcome is Outcome.TIMEOUT and "0.05 s of the request" in reply.error
    assert reply.end_ns is not None and reply.sent_ns is not None
    assert 45_000_000 < reply.end_ns - reply.sent_ns < 5_000_000_000


async def test_idle_in_mid_reply(make: Make, wire: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        # Longer in all than the time-out, but never idle for that long, until the end.
        await peer.say(HEAD, *[token("a")] * 6, pause_s=0.06)
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        reply = await transport.send(dataclasses.replace(CALL, idle_s=0.3, first_byte_s=60))
        await transport.aclose()
    assert reply.outcome is Outcome.TIMEOUT and "0.3 s in mid-reply" in reply.error
    assert reply.answer == "aaaaaa"


@pytest.mark.parametrize(
    "drip",
    [
        (HEAD, token("a")),  # lines that never end the stream
        (HEAD, b"1\r\n \r\n"),  # blanks that are no line
        (HEAD + token("a") + b"0\r\n", b"X: y\r\n"),  # trailers
        (HEAD + b"1", b";x"),  # extensions of a chunk
        (HEAD, b"0"),  # a chunk's size
        (b"HTTP/1.1 ", b"200 "),  # a head
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 500 X\r\n\r\n", b"["),  # an error's text
    ],
)
async def test_no_reply_takes_longer_than_its_time(
    drip: tuple[bytes, bytes], make: Make, wire: str
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(drip[0])
        while True:
            await peer.say(drip[1], pause_s=0.02)

    async with WireServer(handler) as server, asyncio.timeout(20):
        transport = make(wire, server.port)
        reply = await transport.send(dataclasses.replace(CALL, total_s=0.3))
        await transport.aclose()
    # Such HTTP is refused, or the time runs out; it never goes on.
    assert reply.outcome in (Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.HTTP_ERROR)
    if reply.outcome is Outcome.TIMEOUT:
        assert reply.error == "the reply did not end within 0.3 s"


async def test_connection_takes_too_long(
    make: Make, sockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = make(sockets, 9)
    assert isinstance(transport, SocketTransport)

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(transport, "connect", never)
    reply = await transport.send(dataclasses.replace(CALL, connect_s=0.05))
    assert reply.outcome is Outcome.TIMEOUT and "no connection within 0.05 s" in reply.error
    await transport.aclose()


async def test_large_request_to_a_slow_server(make: Make, wire: str) -> None:
    body = b"x" * 8_000_000

    async def handler(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        assert await peer.request() == body
        await peer.say(GOOD)
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        reply = await transport.send(ollama_call("/api/chat", body))
        await transport.aclose()
    assert reply.outcome is Outcome.OK


async def test_answer_before_the_request_was_read(make: Make, sockets: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b'HTTP/1.1 413 X\r\nContent-Length: 19\r\n\r\n{"error":"too big"}')
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(sockets, server.port)
        reply = await transport.send(ollama_call("/api/chat", b"x" * 8_000_000))
        assert (reply.status, reply.error) == (413, "too big")
        # A connection with half a request on it is of no more use.
        assert isinstance(transport, SocketTransport) and not transport.connections
        await transport.aclose()


@pytest.mark.parametrize("status", [b"200 OK", b"500 Internal Server Error"])
@pytest.mark.parametrize("stream", [True, False])
async def test_json_that_is_nested_too_deeply(
    status: bytes, stream: bool, make: Make, wire: str
) -> None:
    body = b"[" * 1000 + b"\n"
    head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    reply = await answered(head + body, make, wire, dataclasses.replace(CALL, stream=stream))
    assert reply.outcome is (Outcome.MALFORMED if b"200" in status else Outcome.HTTP_ERROR)
    assert reply.error


@pytest.mark.parametrize("method", ["head", "feed", "end_of_body", "finish"])
async def test_a_reply_always_ends_whatever_its_reader_throws(
    method: str, make: Make, wire: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(ReplyReader, method, fail)
    async with asyncio.timeout(10):
        reply = await answered(GOOD, make, wire)
    assert reply.outcome is Outcome.MALFORMED and "planted" in reply.error
    assert reply.end_ns is not None


# --- connections that the server closed while they were idle --------------------------------------


async def test_idle_connection_closed_by_the_server_is_noticed(make: Make, wire: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(GOOD)

    async with WireServer(handler) as server:
        transport = make(wire, server.port)
        for _ in range(3):
            assert (await transport.send(CALL)).outcome is Outcome.OK
            await asyncio.sleep(0.05)
        assert len(server.peers) == 3
        await transport.aclose()


async def test_close_that_crosses_the_request_is_not_blamed_on_the_server(
    make: Make, sockets: str
) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    transport = make(sockets, server.getsockname()[1])
    await transport.open(1)
    peer, _ = server.accept()
    first = transport.send(CALL)
    peer.recv(65536)
    peer.sendall(GOOD)
    assert (await first).outcome is Outcome.OK
    # Closed, and sent before this side can have noticed.
    peer.close()
    reply = await transport.send(CALL)
    assert reply.outcome is Outcome.CONNECT_ERROR and "idle connection" in reply.error
    assert transport.counters.stale == 1
    server.close()
    await transport.aclose()


async def test_server_that_dies_on_a_request_is_blamed(make: Make, sockets: str) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    transport = make(sockets, server.getsockname()[1])
    await transport.open(1)
    peer, _ = server.accept()
    first = transport.send(CALL)
    peer.recv(65536)
    peer.sendall(GOOD)
    assert (await first).outcome is Outcome.OK
    second = transport.send(CALL)
    peer.recv(65536)
    peer.close()
    assert (await second).outcome is Outcome.DISCONNECTED
    assert transport.counters.stale == 0
    server.close()
    await transport.aclose()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("pause_s", [0.0, 0.02])
@pytest.mark.parametrize(
    "extra", [GOOD.replace(b'"a"', b'"another"'), b"HTTP/1.1 408 X\r\n\r\n", b"x" * 70_000]
)
async def test_bytes_after_a_reply_are_never_the_next_ones_answer(
    extra: bytes, pause_s: float, tls: bool, make: Make, wire: str
) -> None:
    if tls and wire == "kernel":
        return

    sent = asyncio.Event()

    async def handler(peer: Peer) -> None:
        while await peer.request():
            if tls:
                await peer.together(GOOD, extra)
            elif pause_s:
                await peer.say(GOOD, extra, pause_s=pause_s)
            else:
                await peer.say(GOOD + extra)
            sent.set()

    async with WireServer(handler, tls=tls) as server:
        scheme = "https" if tls else "http"
        trust = {"ca_file": str(CERTIFICATE)} if tls else {}
        transport = make(wire, f"{scheme}://localhost:{server.port}", **trust)
        for _ in range(4):
            reply = await transport.send(CALL)
            assert (reply.outcome, reply.answer) == (Outcome.OK, "a"), reply.error
            await sent.wait()  # after the next request nobody could tell whose the bytes are
            sent.clear()
            await asyncio.sleep(0.005)
        await transport.aclose()


async def test_words_out_of_turn_end_the_connection(make: Make, sockets: str) -> None:
    sent = asyncio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.say(GOOD, b"HTTP/1.1 408 Request Timeout\r\n\r\n", pause_s=0.02)
        sent.set()
        await peer.gone()

    async with WireServer(handler) as server:
        transport = make(sockets, server.port)
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await sent.wait()
        await asyncio.sleep(0.05)
        assert isinstance(transport, SocketTransport) and not transport.connections
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()
