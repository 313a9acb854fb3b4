"""Addresses of every kind, credentials, certificates, proxies; and what goes over the wire."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from scripted_wire import CERTIFICATE, Make, Peer, WireServer
from wire_replies import CALL, DONE, END, GOOD, HEAD, token

from bench.address import Address
from bench.errors import BenchError, NotOllama, ServerUnreachable, UsageError
from bench.ollama.control import Control
from bench.wire.exchange import Outcome
from bench.wire.transports import choose_transport, kernel
from bench.wire.transports.sockets import SocketTransport


async def good(peer: Peer) -> None:
    """Answer requests until the client goes."""
    while True:
        await peer.request()
        await peer.say(GOOD)


def headers(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {k.lower(): v for k, v in (line.split(": ", 1) for line in lines if line)}


async def test_request_as_it_is_sent(wire: str, make: Make) -> None:
    async with WireServer(good) as server:
        transport = make(wire, f"http://127.0.0.1:{server.port}/ollama/")
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()
    (peer,) = server.peers
    assert peer.head.startswith(b"POST /ollama/api/chat HTTP/1.1\r\n")
    assert peer.body == CALL.body
    sent = headers(peer.head)
    assert sent["host"] == f"127.0.0.1:{server.port}"
    assert sent["content-type"] == "application/json"
    assert sent["content-length"] == str(len(CALL.body))
    assert sent["accept-encoding"] == "identity"
    assert "authorization" not in sent


@pytest.mark.parametrize("source", ["bearer", "netrc"])
async def test_credentials_from_outside(
    source: str, wire: str, no_proxy: None, tmp_path: Path
) -> None:
    """With calls and with control calls."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password sécret\n", encoding="utf-8")
    environ = {"NETRC": str(netrc)} | (
        {"OLLAMA_BENCH_TOKEN": "t0ken"} if source == "bearer" else {}
    )
    basic = f"Basic {base64.b64encode('bob:sécret'.encode()).decode()}"
    async with WireServer(good) as server:
        address = Address.parse(f"127.0.0.1:{server.port}", environ=environ)
        transport, _ = choose_transport(address, wire)
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()
        async with Control.of(address) as control:
            with pytest.raises(NotOllama):
                await control.version()
    sent = [headers(peer.head)["authorization"] for peer in server.peers]
    assert sent == [("Bearer t0ken" if source == "bearer" else basic)] * 2


async def test_a_proxy_that_compresses(wire: str, make: Make) -> None:
    """A stream, flushed line by line as proxies do it."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    lines = [b'{"message":{"content":"a"},"done":false}\n', b'{"done":true,"eval_count":1}\n']
    packed = [packer.compress(line) + packer.flush(zlib.Z_SYNC_FLUSH) for line in lines]
    packed.append(packer.flush())

    async def compress(peer: Peer) -> None:
        await peer.request()
        await peer.say(HEAD.replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1))
        await peer.say(*(b"%x\r\n%b\r\n" % (len(part), part) for part in packed), END)
        await peer.gone()

    async with WireServer(compress) as server:
        transport = make(wire, server.port)
        reply = await transport.send(CALL)
        await transport.aclose()
    assert (reply.outcome, reply.answer, reply.server.eval_count) == (Outcome.OK, "a", 1)
    assert len(reply.chunk_ns) == 2


async def test_ipv6(wire: str, make: Make) -> None:
    async with WireServer(good, host="::1") as server:
        transport = make(wire, f"http://[::1]:{server.port}")
        assert (await transport.send(CALL)).outcome is Outcome.OK
        assert headers(server.peers[0].head)["host"] == f"[::1]:{server.port}"
        await transport.aclose()


async def test_the_zone_of_an_ipv6_address_is_the_resolvers(
    wire: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link-local address is asked for as RFC 4007 has it; its zone is not for the server."""
    resolve = socket.getaddrinfo
    asked = []

    def local(host: Any, *rest: Any, **more: Any) -> Any:
        asked.append(host.decode() if isinstance(host, bytes) else host)
        return resolve("127.0.0.1", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    async with WireServer(good) as server:
        url = f"http://[fe80::1%25eth7]:{server.port}"
        transport = make(wire, url)
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()
        async with Control.of(Address.parse(url, environ={})) as control:
            with pytest.raises(BenchError):
                await control.version()
        heads = [peer.head.lower() for peer in server.peers]
    assert len(heads) == 2 and set(asked) == {"fe80::1%eth7"}
    assert all(b"host: [fe80::1]:%d\r\n" % server.port in head for head in heads)


async def test_name_with_several_addresses(wire: str, make: Make) -> None:
    # "localhost" is ::1 as well on most machines, where nothing listens here.
    async with WireServer(good) as server:
        transport = make(wire, f"http://localhost:{server.port}")
        await transport.open(2)
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()


async def test_address_that_never_answers_does_not_hold_up_the_next(
    sockets: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    lookup, connect = loop.getaddrinfo, loop.sock_connect

    async def two_addresses(host: object, port: object, **more: object) -> list[tuple[object, ...]]:
        (found,) = await lookup("127.0.0.1", port, type=socket.SOCK_STREAM)
        return [(*found[:4], ("127.0.0.9", port)), found]

    async def connect_or_hang(sock: socket.socket, where: tuple[str, int]) -> None:
        if where[0] == "127.0.0.9":
            await asyncio.Event().wait()
        await connect(sock, where)

    monkeypatch.setattr(loop, "getaddrinfo", two_addresses)
    monkeypatch.setattr(loop, "sock_connect", connect_or_hang)
    monkeypatch.setattr(kernel, "NEXT_ADDRESS_S", 0.05)
    async with WireServer(good) as server:
        transport = make(sockets, f"http://two-addresses:{server.port}")
        await transport.open(3)
        assert (await transport.send(CALL)).outcome is Outcome.OK
        await transport.aclose()


@pytest.mark.parametrize("name", ["user", "httpx"])
async def test_unix_socket(name: str, make: Make, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with WireServer(good, unix=path) as server:
        transport = make(name, f"unix://{path}")
        for _ in range(2):
            assert (await transport.send(CALL)).outcome is Outcome.OK
        assert len(server.peers) == 1
        assert headers(server.peers[0].head)["host"] == "localhost"
        await transport.aclose()


async def test_missing_unix_socket(make: Make, tmp_path: Path) -> None:
    transport = make("user", f"unix://{tmp_path}/none")
    with pytest.raises(ServerUnreachable):
        await transport.open(1)
    await transport.aclose()


@pytest.mark.parametrize("name", ["user", "httpx"])
@pytest.mark.parametrize("trust", [{"ca_file": str(CERTIFICATE)}, {"insecure": True}])
async def test_https(name: str, trust: dict[str, object], make: Make) -> None:
    async with WireServer(good, tls=True) as server:
        transport = make(name, f"https://localhost:{server.port}", **trust)
        for _ in range(2):
            reply = await transport.send(CALL)
            assert (reply.outcome, reply.answer) == (Outcome.OK, "a")
        assert len(server.peers) == 1
        await transport.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="TCP_CORK is Linux's")
@pytest.mark.parametrize("name", ["user", "httpx"])
async def test_tls_records_that_arrive_together(name: str, make: Make) -> None:
    """asyncio's TLS layer loses the second one if it reads into a bytearray (cpython#156275)."""
    words = [f" w{i:03d}" for i in range(40)]

    async def pairs(peer: Peer) -> None:
        while await peer.request():
            await peer.say(HEAD)
            for one, two in zip(words[::2], words[1::2], strict=True):
                await peer.together(token(one), token(two))
            await peer.together(DONE, END)

    async with WireServer(pairs, tls=True) as server:
        transport = make(name, f"https://localhost:{server.port}", ca_file=str(CERTIFICATE))
        for _ in range(3):
            reply = await transport.send(CALL)
            assert (reply.outcome, reply.error) == (Outcome.OK, "")
            assert reply.answer == "".join(words)
        assert len(server.peers) == 1
        await transport.aclose()


async def test_control_calls_say_that_a_certificate_is_not_trusted(no_proxy: None) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with WireServer(good, tls=True) as server:
        address = Address.parse(f"https://localhost:{server.port}", environ={})
        async with Control.of(address) as control:
            with pytest.raises(ServerUnreachable, match="certificate verify failed") as caught:
                await control.version()
    assert "--ca-file" in caught.value.advice


async def test_control_calls_say_that_nobody_speaks_tls(no_proxy: None) -> None:
    async def plain(peer: Peer) -> None:
        await peer.reader.read(1)
        await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with WireServer(plain) as server:
        address = Address.parse(f"https://localhost:{server.port}", environ={})
        async with Control.of(address) as control:
            with pytest.raises(ServerUnreachable, match="no TLS can be spoken") as caught:
                await control.version()
    assert "http://" in caught.value.advice


async def test_control_calls_name_the_socket_they_could_not_reach(tmp_path: Path) -> None:
    async with Control.of(Address.parse(f"unix://{tmp_path}/none", environ={})) as control:
        with pytest.raises(ServerUnreachable, match=f"unix://{tmp_path}/none"):
            await control.version()


@pytest.mark.parametrize("name", ["user", "httpx"])
async def test_certificate_that_is_not_trusted(name: str, make: Make) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with WireServer(good, tls=True) as server:
        transport = make(name, f"https://localhost:{server.port}")
        reply = await transport.send(CALL)
        assert reply.outcome is Outcome.CONNECT_ERROR
        assert "certificate" in reply.error.lower()
        with pytest.raises(ServerUnreachable, match="certificate"):
            await transport.open(1)
        await transport.aclose()


async def test_plain_http_to_a_tls_port_is_no_mystery(sockets: str, make: Make) -> None:
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    async with WireServer(good, tls=True) as server:
        transport = make(sockets, server.port)
        reply = await transport.send(CALL)
        assert reply.outcome in (Outcome.MALFORMED, Outcome.DISCONNECTED)
        await transport.aclose()


async def test_proxy_of_the_environment(no_proxy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    async with WireServer(good) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        address = Address.parse("http://gpu.example.org:11434", environ={})
        transport, reason = choose_transport(address)
        assert (transport.name, "proxy" in reason) == ("httpx", True)
        reply = await transport.send(CALL)
        assert reply.outcome is Outcome.OK
        first = proxy.peers[0].head.split(b"\r\n")[0]
        assert first == b"POST http://gpu.example.org:11434/api/chat HTTP/1.1"
        await transport.aclose()


async def test_proxy_that_refuses(no_proxy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was ever sent to the server then."""

    async def refuse(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    async with WireServer(refuse) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        transport, _ = choose_transport(Address.parse("https://gpu.example.org", environ={}))
        reply = await transport.send(CALL)
        await transport.aclose()
    assert (reply.outcome, reply.sent_ns) == (Outcome.CONNECT_ERROR, None)
    assert reply.error == "no connection: 403 Forbidden"


def test_choice(no_proxy: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def chosen(url: str) -> str:
        return choose_transport(Address.parse(url, environ={}))[0].name

    assert chosen("https://gpu.example.org") == "user"
    assert chosen("unix:///run/ollama.sock") == "user"
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "inside.example.org")
    assert chosen("http://outside.example.org") == "httpx"
    assert chosen("http://inside.example.org") != "httpx"
    assert chosen("http://127.0.0.1:11434") != "httpx"
    assert chosen("localhost") != "httpx"


@pytest.mark.parametrize(
    ("name", "url", "says"),
    [
        ("carrier-pigeon", "localhost", "kernel, user, httpx"),
        ("kernel", "https://gpu.example.org", "plain http"),
        ("kernel", "unix:///run/ollama.sock", "plain http"),
    ],
)
def test_choice_that_cannot_be(name: str, url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        choose_transport(Address.parse(url, environ={}), name)


# --- connections ----------------------------------------------------------------------------------


async def test_connections_are_opened_beforehand_and_reused(sockets: str, make: Make) -> None:
    async with WireServer(good) as server:
        transport = make(sockets, server.port)
        await transport.open(4)
        await transport.open(4)
        for _ in range(3):
            replies = await asyncio.gather(*(transport.send(CALL) for _ in range(4)))
            assert [r.connect_ns for r in replies] == [None] * 4
        extra = await asyncio.gather(*(transport.send(CALL) for _ in range(5)))
        opened = [r for r in extra if r.connect_ns is not None]
        assert len(opened) == 1 and opened[0].connect_ns and opened[0].connect_ns > 0
        assert transport.counters.connections == len(server.peers) == 5
        assert isinstance(transport, SocketTransport) and len(transport.free) == 5
        await transport.aclose()


async def test_request_is_on_its_way_when_send_returns(sockets: str, make: Make) -> None:
    async with WireServer(good) as server:
        transport = make(sockets, server.port)
        await transport.open(1)
        while not server.peers:
            await asyncio.sleep(0)
        future = transport.send(CALL)
        # Without a turn of the loop in between: it is in the server's socket already.
        sock = server.peers[0].writer.get_extra_info("socket")
        assert CALL.body in os.read(os.dup(sock.fileno()), 65536)
        future.cancel()
        await transport.aclose()


async def test_connection_close_is_honoured(wire: str, make: Make) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        await peer.say(GOOD.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        await peer.gone()

    async with WireServer(once) as server:
        transport = make(wire, server.port)
        for _ in range(3):
            reply = await transport.send(CALL)
            assert reply.outcome is Outcome.OK and reply.connect_ns is not None
        assert len(server.peers) == 3
        await transport.aclose()


async def test_many_at_once(wire: str, make: Make) -> None:
    async with WireServer(good) as server:
        transport = make(wire, server.port)
        replies = await asyncio.gather(*(transport.send(CALL) for _ in range(60)))
        assert {r.outcome for r in replies} == {Outcome.OK}
        await transport.aclose()
