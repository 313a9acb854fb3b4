"""Each fault, seen from the client's socket."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from itertools import pairwise

import httpx
import pytest
from wire_conformance import chunks

from bench.server.config import ServerConfig
from bench.server.embedded import server_here

BODY = {
    "model": "sim-small",
    "messages": [{"role": "user", "content": "hello"}],
    "options": {"num_predict": 8, "temperature": 0},
    "keep_alive": -1,
}


@asynccontextmanager
async def faulty(*faults: str):
    """A server with faults, and its address."""
    config = ServerConfig(profile="test", faults=faults)
    async with server_here(config) as (app, url):
        yield app, url


async def exchange(
    url: str, body: dict = BODY
) -> tuple[list[tuple[float, bytes]], Exception | None]:
    """The reads of one exchange with their times, and the error that ended it."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    head = "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Length: {len(data)}"
    writer.write(f"{head}\r\n\r\n".encode() + data)
    reads = []
    try:
        while read := await reader.read(1 << 22):
            reads.append((time.monotonic(), read))
    except ConnectionError as error:
        return reads, error
    finally:
        writer.close()
    return reads, None


def head_and_body(reads: list[tuple[float, bytes]]) -> tuple[bytes, bytes]:
    head, _, body = b"".join(data for _, data in reads).partition(b"\r\n\r\n")
    return head, body


def lines(reads: list[tuple[float, bytes]]) -> list[dict]:
    return [json.loads(chunk) for chunk in chunks(head_and_body(reads)[1])]


async def test_without_faults_all_is_well() -> None:
    async with faulty() as (_, url):
        reads, error = await exchange(url)
    got = lines(reads)
    assert error is None
    assert [line["done"] for line in got] == [False] * 8 + [True]


async def test_reset_comes_before_any_header() -> None:
    async with faulty("reset") as (app, url):
        reads, error = await exchange(url)
    assert reads == []
    assert isinstance(error, ConnectionResetError)
    assert app.state.truth.records[0].fault == "reset"


async def test_refused_connections_and_afterwards_not() -> None:
    async with faulty("refuse:requests=1,seconds=0.2") as (_, url):
        _, error = await exchange(url)
        assert isinstance(error, ConnectionResetError)
        with pytest.raises(ConnectionRefusedError):
            await exchange(url)
        await asyncio.sleep(0.3)
        reads, error = await exchange(url)
    assert error is None
    assert lines(reads)[-1]["done"]


async def test_stall_keeps_lines_back() -> None:
    async with faulty("stall:after=4,seconds=0.4") as (app, url):
        reads, _ = await exchange(url)
    assert len(lines(reads)) == 9
    record = app.state.truth.records[0]
    gaps = [b - a for a, b in pairwise(record.line_sent_ns)]
    assert gaps[3] >= 0.35e9
    assert max(gaps[:3]) < 0.35e9
    assert len(record.line_sent_ns) == 9


async def test_cut_ends_in_the_middle_of_the_body() -> None:
    async with faulty("cut:after=2") as (app, url):
        reads, error = await exchange(url)
        assert error is None
        body = head_and_body(reads)[1]
        assert body.count(b'"done":false') == 2
        assert not body.endswith(b"0\r\n\r\n")
        assert app.state.scheduler.loaded()[0].slots.used == 0


async def test_cut_can_be_a_reset() -> None:
    async with faulty("cut:after=2,reset=true") as (_, url):
        _, error = await exchange(url)
    assert isinstance(error, ConnectionResetError)


async def test_error_line_ends_the_stream_properly() -> None:
    async with faulty("error_line:after=2") as (app, url):
        reads, error = await exchange(url)
        assert app.state.scheduler.loaded()[0].slots.used == 0
    got = lines(reads)
    assert error is None
    assert len(got) == 3
    assert got[-1] == {"error": "an error was encountered while running the model: unexpected EOF"}


async def test_no_done() -> None:
    async with faulty("no_done") as (_, url):
        reads, error = await exchange(url)
    assert error is None
    assert [line["done"] for line in lines(reads)] == [False] * 8


async def test_malformed_line() -> None:
    async with faulty("malformed:after=1") as (_, url):
        reads, _ = await exchange(url)
    got = chunks(head_and_body(reads)[1])
    assert len(got) == 9
    with pytest.raises(json.JSONDecodeError):
        json.loads(got[1])
    assert json.loads(got[2])


@pytest.mark.parametrize(("status", "words"), [(500, b"unexpectedly stopped"), (503, b"busy")])
async def test_a_burst_of_errors(status: int, words: bytes) -> None:
    async with faulty(f"status:status={status},burst=2,requests=2") as (_, url):
        heads = [head_and_body((await exchange(url))[0]) for _ in range(4)]
    assert [int(head.split()[1]) for head, _ in heads] == [200, status, status, 200]
    assert words in heads[1][1]


async def test_slow_headers() -> None:
    async with faulty("slow_headers:seconds=0.4") as (_, url):
        began = time.monotonic()
        reads, _ = await exchange(url)
    assert reads[0][0] - began >= 0.39
    assert len(lines(reads)) == 9


async def test_many_lines_in_one_write() -> None:
    async with faulty("coalesce:lines=3") as (app, url):
        reads, _ = await exchange(url)
    sent = app.state.truth.records[0].line_sent_ns
    assert len(lines(reads)) == 9
    assert len(set(sent)) == 3
    assert sent[0] == sent[2]


async def test_one_line_in_many_writes() -> None:
    async with faulty("split:parts=4,seconds=0.005") as (app, url):
        reads, _ = await exchange(url)
    assert len(lines(reads)) == 9
    assert len(reads) > 9
    assert len(app.state.truth.records[0].line_sent_ns) == 9


async def test_the_clock_jumps() -> None:
    async with faulty("clock_jump:after=4,seconds=-7200") as (_, url):
        reads, _ = await exchange(url)
    hours = [line["created_at"][:13] for line in lines(reads)]
    assert hours[3] > hours[4]


async def test_a_huge_line() -> None:
    async with faulty("huge_line:after=2,bytes=300000") as (_, url):
        reads, _ = await exchange(url)
    sizes = [len(line["message"]["content"]) for line in lines(reads)]
    assert sizes[2] > 300_000
    assert sum(sizes) - sizes[2] < 1000


async def test_missing_counts_and_absurd_durations() -> None:
    async with faulty("missing_counts:requests=1", "absurd_durations:requests=2") as (_, url):
        bare = lines((await exchange(url))[0])[-1]
        absurd = lines((await exchange(url))[0])[-1]
    assert list(bare) == ["model", "created_at", "message", "done", "done_reason"]
    assert absurd["prompt_eval_duration"] < 0
    assert absurd["load_duration"] > absurd["total_duration"]


async def test_rates_strike_about_as_often_as_asked_and_the_same_ones_again() -> None:
    async def statuses() -> list[int]:
        async with faulty("status:rate=0.3") as (_, url), httpx.AsyncClient() as client:
            body = {"model": "no-such-model", "messages": []}
            return [
                (await client.post(f"{url}/api/chat", json=body)).status_code for _ in range(100)
            ]

    first = await statuses()
    assert first == await statuses()
    assert 15 <= first.count(500) <= 45
    assert set(first) == {404, 500}
