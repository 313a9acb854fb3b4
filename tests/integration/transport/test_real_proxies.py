"""Through nginx and HAProxy every byte of every reply arrives, over http and https.

What the transports hand to the reader of a reply is held, byte by byte, against what the embedded
server wrote as its body.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from real_proxies import installed, proxy
from scripted_wire import CERTIFICATE, Make

from bench.ollama.line_reader import ollama_call
from bench.server.config import ServerConfig
from bench.server.embedded import server_here
from bench.server.http_reply import ServerReply
from bench.wire.exchange import Call, Outcome, Reply
from bench.wire.reply_reader import ReplyReader

PROXIES = ["nginx", "haproxy"]
for program in PROXIES:
    # Not left out in silence: a machine that tests this project has them (.ci/run installs them).
    assert installed(program), f"these tests need {program}: apt-get install nginx-light haproxy"

WAYS = [
    ("nginx", "/"),
    ("nginx", "/buffered/"),
    ("nginx", "/old/"),
    ("nginx", "/brief/"),
    ("haproxy", "/"),
    ("haproxy", "/closing/"),
]


class Bodies:
    """The bodies as the server wrote them and as the clients got them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: dict[Any, bytearray] = defaultdict(bytearray)
        self.got: dict[Any, bytearray] = defaultdict(bytearray)
        frame, feed, each = ServerReply.frame, ReplyReader.feed, ReplyReader.feed_each
        send = ServerReply.send

        def framed(reply: ServerReply, data: bytes) -> bytes:
            self.written[reply] += data
            return frame(reply, data)

        def sent(reply: ServerReply, status: int, kind: str, body: bytes, **more: str) -> None:
            if len(body) <= 2048:
                self.written[reply] += body
            send(reply, status, kind, body, **more)

        def fed(reader: ReplyReader, data: bytes) -> None:
            if not reading:
                self.got[reader] += data
            feed(reader, data)

        reading: list[ReplyReader] = []

        def fed_each(reader: ReplyReader, pieces: list[bytes], stamps: Any) -> None:
            self.got[reader] += b"".join(pieces)
            reading.append(reader)
            try:
                each(reader, pieces, stamps)
            finally:
                reading.pop()

        monkeypatch.setattr(ServerReply, "frame", framed)
        monkeypatch.setattr(ServerReply, "send", sent)
        monkeypatch.setattr(ReplyReader, "feed", fed)
        monkeypatch.setattr(ReplyReader, "feed_each", fed_each)

    def alike(self) -> bool:
        """Whether all that was written was got, and nothing else."""
        return sorted(map(bytes, self.written.values())) == sorted(map(bytes, self.got.values()))


def call(chat: bool, stream: bool, number: int = 0) -> Call:
    asked = {"messages": [{"role": "user", "content": f"hello {number}"}]}
    body = {
        "model": "sim-small",
        **(asked if chat else {"prompt": f"hello {number}"}),
        "options": {"num_predict": 120, "temperature": 0, "seed": number},
        "stream": stream,
        "keep_alive": -1,
    }
    path = "/api/chat" if chat else "/api/generate"
    return ollama_call(path, json.dumps(body).encode(), stream=stream, keep_text=True, idle_s=20)


CALLS = [
    call(chat, stream, i) for chat in (True, False) for stream in (True, False) for i in (1, 2)
]


@pytest.fixture
async def server() -> AsyncIterator[int]:
    async with server_here(ServerConfig(profile="test", num_parallel=8)) as (_, url):
        yield int(url.rpartition(":")[2])


def transports_for(scheme: str, wire: list[str]) -> list[str]:
    return [name for name in wire if scheme == "http" or name != "kernel"]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("name", "path"), WAYS, ids=["".join(way) for way in WAYS])
async def test_every_byte_arrives(
    name: str,
    path: str,
    scheme: str,
    server: int,
    transports: list[str],
    make: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bodies = Bodies(monkeypatch)
    async with proxy(name, server, tmp_path) as ports:
        port = ports[0] if scheme == "http" else ports[1]
        for transport_name in transports_for(scheme, transports):
            trust = {"ca_file": str(CERTIFICATE)} if scheme == "https" else {}
            way = make(transport_name, f"{scheme}://localhost:{port}{path}", **trust)
            direct = make("user", server)
            for _ in range(2):  # the second time on connections that are open
                replies = await asyncio.gather(*map(way.send, CALLS))
                check(replies, await asyncio.gather(*map(direct.send, CALLS)))
            await way.aclose()
            await direct.aclose()
    assert len(bodies.got) == len(bodies.written) > 0
    assert bodies.alike()


def check(replies: list[Reply], direct: list[Reply]) -> None:
    for got, want in zip(replies, direct, strict=True):
        assert (got.outcome, got.error, got.odd) == (Outcome.OK, "", ())
        assert (got.answer, got.output_sha256) == (want.answer, want.output_sha256)
        assert len(got.chunk_ns) == len(want.chunk_ns)
        assert got.server.eval_count == want.server.eval_count
        assert sorted(got.chunk_ns) == list(got.chunk_ns)


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_a_proxy_says_itself_is_named_as_such(
    name: str, scheme: str, transports: list[str], make: Make, tmp_path: Path
) -> None:
    """Its limits, its time-outs, and a server that is away."""
    expected = [("/nowhere/", 502 if name == "nginx" else 503), ("/hasty/", 504)]
    expected += [("/small/", 413)] if name == "nginx" else []
    slow = ServerConfig(profile="test", faults=("slow_headers:seconds=30",))
    async with (
        server_here(slow) as (_, url),
        proxy(name, int(url.rpartition(":")[2]), tmp_path) as ports,
    ):
        port = ports[0] if scheme == "http" else ports[1]
        for transport_name in transports_for(scheme, transports):
            for path, status in expected:
                trust = {"ca_file": str(CERTIFICATE)} if scheme == "https" else {}
                way = make(transport_name, f"{scheme}://localhost:{port}{path}", **trust)
                reply = await way.send(call(True, True))
                assert (reply.outcome, reply.status) == (Outcome.HTTP_ERROR, status)
                assert reply.error.startswith(f"HTTP {status} ") and ", a page: " in reply.error
                assert len(reply.error) < 200 and "<" not in reply.error
                # The connection, if it is still open, is good for another one.
                assert (await way.send(call(True, True))).status == status
                await way.aclose()
