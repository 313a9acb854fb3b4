"""HTTP as Go speaks it: connections, framing, and what is sent when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from wire_conformance import chunks, parse

from bench.server.app import App
from bench.server.config import ServerConfig
from bench.server.embedded import server_here
from bench.server.go import rfc3339
from bench.server.truth import TruthRecord

CHAT = {
    "model": "sim-small",
    "messages": [{"role": "user", "content": "hello"}],
    "options": {"num_predict": 6, "temperature": 0},
}


@pytest.fixture
async def server() -> AsyncIterator[tuple[App, int]]:
    async with server_here() as (app, url):
        yield app, int(url.rsplit(":", 1)[1])


def request(method: str, path: str, body: object = None, *headers: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        f"Content-Length: {len(data)}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + data


async def read_reply(reader: asyncio.StreamReader) -> bytes:
    """One reply of a connection that stays open."""
    head = await reader.readuntil(b"\r\n\r\n")
    if b"chunked" in head:
        return head + await reader.readuntil(b"\r\n0\r\n\r\n")
    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def test_connections_are_kept_and_requests_answered_in_turn(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    pipeline = request("POST", "/api/chat", CHAT) + request("GET", "/api/version")
    writer.write(pipeline + request("HEAD", "/") + request("GET", "/nope"))
    first, second = await read_reply(reader), await read_reply(reader)
    third = await reader.readuntil(b"\r\n\r\n")
    fourth = await read_reply(reader)
    assert [parse(reply).status for reply in (first, second, third, fourth)] == [200, 200, 200, 404]
    assert b"Content-Length: 17" in third
    assert b"Connection: close" not in first + second + third + fourth
    writer.close()


async def test_a_request_may_come_in_pieces(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    data = request("POST", "/api/show", {"model": "sim-small"})
    for at in range(0, len(data), 17):
        writer.write(data[at : at + 17])
        await asyncio.sleep(0.001)
    assert parse(await read_reply(reader)).status == 200
    writer.close()


async def test_a_chunked_request_body_and_expect_continue(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    writer.write(
        b"POST /api/show HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"Expect: 100-continue\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    body = b'{"model":"sim-small"}'
    writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    assert parse(await read_reply(reader)).status == 200
    writer.close()


async def test_another_protocol_is_not_taken_up(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    writer.write(request("GET", "/api/version", None, *upgrade))
    assert parse(await read_reply(reader)).status == 200
    writer.write(request("GET", "/api/version"))
    assert parse(await read_reply(reader)).status == 200
    writer.close()


async def test_a_known_path_with_another_method(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    writer.write(request("GET", "/api/chat"))
    reply = await read_reply(reader)
    assert parse(reply).status == 405
    assert reply.endswith(b"405 method not allowed")
    writer.close()


async def test_what_is_not_http_is_refused(server: tuple[App, int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    writer.write(b"what is this\r\n\r\n")
    reply = await reader.read(-1)
    assert reply.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    writer.close()


async def test_short_replies_have_a_length_and_long_ones_come_in_chunks(
    server: tuple[App, int],
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server[1])
    writer.write(request("GET", "/api/ps") + request("GET", "/api/tags"))
    short, long = await read_reply(reader), await read_reply(reader)
    assert b"Content-Length: 13\r\n" in short
    assert b"Transfer-Encoding: chunked\r\n" in long
    writer.close()


async def truth(app: App, requests: int) -> list[TruthRecord]:
    """The truth log, once so many requests have ended."""
    while len(app.state.truth.records) < requests:
        await asyncio.sleep(0.005)
    return app.state.truth.records


async def test_each_line_is_one_chunk(server: tuple[App, int]) -> None:
    app, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("POST", "/api/chat", CHAT))
    head, _, body = (await read_reply(reader)).partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"HTTP/1.1 200 OK"
    lines = chunks(body)
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    (record,) = await truth(app, 1)
    assert len(record.line_sent_ns) == len(lines) == 7
    writer.close()


async def test_a_client_that_hangs_up_frees_its_slot(server: tuple[App, int]) -> None:
    app, port = server
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    long = CHAT | {"options": {"num_predict": 4000, "temperature": 0, "seed": 1}}
    long["messages"] = [{"role": "user", "content": "buffalo " * 60}]
    writer.write(request("POST", "/v1/chat/completions", long | {"stream": True}))
    while not app.state.scheduler.loaded() or not app.state.scheduler.loaded()[0].slots.used:
        await asyncio.sleep(0.005)
    writer.close()
    (record,) = await truth(app, 1)
    assert record.gone
    assert app.state.scheduler.loaded()[0].slots.used == 0


async def test_created_at_and_the_truth_log_tell_the_same_time(server: tuple[App, int]) -> None:
    app, port = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request("POST", "/api/chat", CHAT))
    reply = parse(await read_reply(reader))
    writer.close()
    (record,) = await truth(app, 1)
    stamps = [json.loads(line)["created_at"] for line in reply.lines]
    assert stamps == [rfc3339(app.state.clocks.wall_ns(ns)) for ns in record.line_sent_ns]
    assert record.metrics["eval_count"] == 6


async def test_two_models_beyond_the_gpu_do_not_stay_together() -> None:
    async with server_here(ServerConfig(profile="test", num_parallel=16)) as (app, url):
        port = int(url.rsplit(":", 1)[1])
        for name in ("sim-small", "sim-small:q8_0", "sim-think"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            body = {"model": name, "options": {"num_ctx": 8192}}
            writer.write(request("POST", "/api/generate", body))
            await read_reply(reader)
            writer.close()
        # 8 GB: each takes 5 GB with its KV cache.
        assert [m.card.name for m in app.state.scheduler.loaded()] == ["sim-think:latest"]
        memory = app.state.scheduler.loaded()[0].runner.memory
        assert memory.size == memory.size_vram
