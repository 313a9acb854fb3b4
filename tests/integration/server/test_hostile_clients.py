"""Whatever a client sends, the embedded server answers or hangs up, and serves the next one."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest

from bench.errors import EngineError
from bench.server import http
from bench.server.app import App
from bench.server.config import ServerConfig
from bench.server.embedded import server_here
from bench.server.faults import parse_fault


@pytest.fixture
async def server() -> AsyncIterator[tuple[App, int]]:
    async with server_here(ServerConfig(profile="test")) as (app, url):
        yield app, int(url.rpartition(":")[2])


async def said(port: int, data: bytes, timeout_s: float = 10.0) -> bytes:
    """Everything the server says to these bytes, until it hangs up or the client has enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = b""
    try:
        async with asyncio.timeout(timeout_s):
            while piece := await reader.read(65536):
                answer += piece
                if data.endswith(b"\r\n\r\n") and b"\r\n\r\n" in answer:
                    break
    except ConnectionError:
        pass
    writer.transport.abort()
    return answer


def get(path: str = "/api/version", **headers: str) -> bytes:
    lines = "".join(f"{k}: {v}\r\n" for k, v in {"Host": "localhost", **headers}.items())
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "127.0.0.1:11434"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "192.168.1.7"}, 200),
        ({"Host": "box.local"}, 200),
        ({"Host": "rebound.example.org"}, 403),
        ({"Host": "8.8.8.8:80"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Origin": "app://obsidian.md"}, 200),
        ({"Origin": "https://evil.example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "box.local", "Origin": "http://box.local"}, 200),
    ],
)
async def test_host_and_origin_are_checked_as_ollama_does(
    headers: dict[str, str], status: int, server: tuple[App, int]
) -> None:
    answer = await said(server[1], get(**headers))
    assert answer.startswith(b"HTTP/1.1 %d " % status)


@pytest.mark.parametrize(
    ("version", "hosts", "answer"),
    [
        ("1.1", [], b"400 Bad Request: missing required Host header"),
        ("1.1", ["localhost", "localhost"], b"400 Bad Request"),
        ("1.1", ["local host"], b"400 Bad Request: malformed Host header"),
        ("1.1", ["a@localhost"], b"400 Bad Request: malformed Host header"),
        ("1.1", [""], b"200 OK"),
        ("1.0", [], b"200 OK"),
    ],
)
async def test_the_host_header_is_asked_for_as_go_does(
    version: str, hosts: list[str], answer: bytes, server: tuple[App, int]
) -> None:
    """net/http/server.go, readRequest and serve: the reason is in the status line and the body."""
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    got = await said(server[1], f"GET / HTTP/{version}\r\n{lines}\r\n".encode())
    assert got.startswith(b"HTTP/%b %b\r\n" % (version.encode(), answer))
    if not answer.startswith(b"200"):
        plain = b"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"
        assert got == b"HTTP/1.1 %b\r\n%b%b" % (answer, plain, answer)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2_000_000,
        b"GET /" + b"a" * 2_000_000,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300_000,
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01 TLS",
        b"\0" * 1000,
    ],
    ids=["header", "path", "headers", "target", "TLS", "zeros"],
)
async def test_what_is_no_request_is_refused(data: bytes, server: tuple[App, int]) -> None:
    answer = await said(server[1], data)
    assert answer.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or not answer
    assert (await said(server[1], get())).startswith(b"HTTP/1.1 200 ")


async def test_a_body_has_a_limit(server: tuple[App, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MAX_BODY", 100_000)
    head = b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await said(server[1], head + b"ffff\r\n%b\r\n" % (b"a" * 0xFFFF) * 10)
    assert answer.startswith(b"HTTP/1.1 413 ") and answer.count(b"HTTP/1.1") == 1


async def test_a_pipeline_is_read_only_as_far_as_it_is_answered(server: tuple[App, int]) -> None:
    app, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(get() * 3000)
    most = 0
    answered = 0
    async with asyncio.timeout(30):
        while answered < 3000:
            answered += (await reader.read(65536)).count(b"HTTP/1.1 200")
            most = max([most, *(len(c._waiting) for c in app.listener.connections)])
    writer.transport.abort()
    assert most < 3000


async def test_idle_connections_make_room(
    server: tuple[App, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    app, port = server
    monkeypatch.setattr(http, "_MANY", 20)
    monkeypatch.setattr(http, "_IDLE_NS", 0)
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(60)]
    assert (await said(port, get())).startswith(b"HTTP/1.1 200 ")
    assert len(app.listener.connections) <= 25
    for _, writer in opened:
        writer.transport.abort()


BODIES = [
    {"model": "sim-small", "prompt": "a", "options": {"num_predict": 2}, "stream": False},
    {"model": "sim-small", "messages": [{"role": "user", "content": "a"}], "stream": False},
    {"model": "sim-small", "input": ["a", "b"]},
    {"model": "sim-small", "max_tokens": 2, "messages": [{"role": "user", "content": "a"}]},
    {"model": "sim-small", "format": {"type": "object"}, "think": "high", "logprobs": True},
]
ODD = [
    None,
    -1,
    2**64,
    10**400,
    0.5,
    "",
    "x",
    "\0",
    "\ud83d",
    [],
    {},
    [[]],
    [None],
    True,
    "9h",
    "1e9",
]
PATHS = [
    "/api/chat",
    "/api/generate",
    "/api/show",
    "/api/embed",
    "/api/embeddings",
    "/api/pull",
    "/api/copy",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
]
KEYS = [
    *(
        "model",
        "prompt",
        "messages",
        "options",
        "stream",
        "format",
        "think",
        "keep_alive",
        "images",
    ),
    *("system", "template", "context", "raw", "suffix", "tools", "logprobs", "top_logprobs"),
    *("input", "dimensions", "max_tokens", "stop", "seed", "temperature", "name", "truncate"),
]


def odd_body(rng: random.Random) -> bytes:
    body = dict(rng.choice(BODIES))
    for _ in range(rng.randrange(1, 4)):
        body[rng.choice(KEYS)] = rng.choice(ODD)
    if rng.random() < 0.3:
        body["options"] = {rng.choice(["num_ctx", "seed", "stop", "top_k"]): rng.choice(ODD)}
    if rng.random() < 0.2:
        body["messages"] = [{rng.choice(["role", "content", "images", "x"]): rng.choice(ODD)}]
    text = json.dumps(body).encode()
    if rng.random() < 0.2:
        at = rng.randrange(len(text))
        text = text[:at] + rng.randbytes(3) + text[at + 2 :]
    return text if rng.random() > 0.05 else b"[" * rng.choice((1, 3000, 100_000))


async def test_odd_bodies_are_answered_in_ollamas_words(
    server: tuple[App, int], caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(7)
    for number in range(600):
        path, body = rng.choice(PATHS), odd_body(rng)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        answer = await said(server[1], data)
        assert answer.startswith(b"HTTP/1.1 "), (number, path, body[:300])
        assert b"internal error" not in answer, (number, path, body[:300])
        assert not caplog.records, (number, path, body[:300], caplog.text[-2000:])


@pytest.mark.parametrize(
    "text",
    [
        "stall:rate=7",
        "stall:rate=-0.1",
        "stall:rate=nan",
        "status:status=20",
        "status:status=1000",
        "status:burst=0",
        "split:parts=0",
        "coalesce:lines=-1",
        "stall:seconds=inf",
        "huge_line:bytes=99999999999",
        "cut:after=-1",
        "cut:requests=0",
    ],
)
def test_fault_arguments_are_validated(text: str) -> None:
    with pytest.raises(EngineError, match="must be from"):
        parse_fault(text)


async def test_a_gateways_status_has_no_name() -> None:
    config = ServerConfig(profile="test", faults=("status:status=520",))
    async with server_here(config) as (_, url):
        body = json.dumps(BODIES[0]).encode()
        head = b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        data = head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        answer = await said(int(url.rpartition(":")[2]), data)
    assert answer.startswith(b"HTTP/1.1 520 status code 520\r\n")
