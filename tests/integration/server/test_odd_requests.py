"""Requests that are odd, but JSON all the same, are refused in words and never hang."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from bench.errors import EngineError
from bench.server.config import ServerConfig
from bench.server.embedded import server_here

SAY = {"messages": [{"role": "user", "content": "hi"}], "stream": False}
SHORT = '{"model": "sim-small", "messages": [{"role": "user", "content": "hi"}], '


async def asked(path: str, body: str | dict[str, Any]) -> httpx.Response:
    text = body if isinstance(body, str) else json.dumps({"model": "sim-small", **body})
    async with server_here() as (_, url), httpx.AsyncClient(timeout=20) as client:
        return await client.post(f"{url}{path}", content=text)


@pytest.mark.parametrize("count", [-1, 21, 1_000_000])
async def test_too_many_logprobs_are_refused_on_both_paths(count: int) -> None:
    body = SAY | {"logprobs": True, "top_logprobs": count}
    for path in ("/api/chat", "/v1/chat/completions"):
        reply = await asked(path, body)
        assert reply.status_code == 400
        assert "top_logprobs must be between 0 and 20" in reply.text


async def test_a_defect_in_mid_reply_ends_it_and_gives_the_slot_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("bench.simulation.next_token.likeliest", fails)
    async with server_here() as (_, url), httpx.AsyncClient(timeout=20) as client:
        broken = await client.post(
            f"{url}/api/chat", json={"model": "sim-small", **SAY, "logprobs": True}
        )
        assert (broken.status_code, "internal error" in broken.text) == (500, True)
        fine = await client.post(
            f"{url}/api/chat", json={"model": "sim-small", **SAY, "options": {"num_predict": 2}}
        )
        assert fine.json()["done"]


@pytest.mark.parametrize("path", ["/api/embed", "/v1/embeddings"])
async def test_negative_dimensions_cut_nothing(path: str) -> None:
    whole, cut = [
        (await asked(path, {"model": "sim-embed", "input": "a", "dimensions": d})).json()
        for d in (0, -5)
    ]
    values = [(r.get("embeddings") or [r["data"][0]["embedding"]])[0] for r in (whole, cut)]
    assert values[0] == values[1]


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/api/chat", SHORT + '"options": {"num_ctx": 1e999}}', 500, "must be of type integer"),
        (
            "/api/chat",
            SHORT + f'"options": {{"top_p": {"9" * 400}}}}}',
            500,
            "must be of type float32",
        ),
        (
            "/api/chat",
            SHORT + f'"keep_alive": "{"9" * 400}s"}}',
            400,
            "time: invalid duration",
        ),
        (
            "/api/generate",
            '{"model": "sim-small", "prompt": "x", "context": [99999999999]}',
            400,
            "no token",
        ),
        (
            "/api/chat",
            SHORT + '"tools": [{"function": 3}]}',
            400,
            "cannot unmarshal number into Go struct field ChatRequest.tools.function",
        ),
        (
            "/api/chat",
            '{"model": "sim-small", "messages": [{"tool_calls": [{"function": "f"}]}]}',
            400,
            "cannot unmarshal string into Go struct field Alias.tool_calls.function",
        ),
    ],
)
async def test_values_out_of_range_are_refused_in_words(
    path: str, body: str, status: int, words: str
) -> None:
    reply = await asked(path, body)
    assert (reply.status_code, words in reply.json()["error"]) == (status, True)


async def test_a_keep_alive_beyond_all_numbers_is_for_ever() -> None:
    reply = await asked("/api/chat", SHORT + '"stream": false, "keep_alive": 1e999}')
    assert reply.json()["done"]


@pytest.mark.parametrize("host", ["a..b", "no such host", "300.1.1.1"])
async def test_a_host_that_is_none_is_one_message(host: str) -> None:
    config = ServerConfig(profile="test", host=host)
    with pytest.raises(EngineError, match=f"cannot listen on {host}:0"):
        async with server_here(config):
            pass


@pytest.mark.parametrize("path", ["/api/embed", "/v1/embeddings", "/api/embeddings"])
async def test_every_path_of_embeddings_is_in_the_truth_log(path: str) -> None:
    async with server_here() as (app, url), httpx.AsyncClient(timeout=20) as client:
        body = {"model": "sim-embed", "input": "a few words", "prompt": "a few words"}
        assert (await client.post(f"{url}{path}", json=body)).status_code == 200
        (truth,) = app.state.truth.records
    assert truth.model == "sim-embed"
    assert truth.prompt_tokens and truth.load_ns


async def raw(url: str, request: str) -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.encode())
    reply = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return reply


async def test_http_1_0_gets_no_chunks_and_its_end_is_that_of_the_connection() -> None:
    """net/http/server.go, writeStatusLine and chunkWriter.writeHeader; nginx asks so by default."""
    body = SHORT + '"options": {"num_predict": 3}}'
    async with server_here() as (_, url):
        head = "POST /api/chat HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n"
        streamed = await raw(url, f"{head}Content-Length: {len(body)}\r\n\r\n{body}")
        whole = await raw(url, "GET /api/version HTTP/1.0\r\n\r\n")
        kept = await raw(
            url,
            "GET /api/version HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            "GET /api/version HTTP/1.0\r\n\r\n",
        )
    top, _, lines = streamed.partition(b"\r\n\r\n")
    assert top.startswith(b"HTTP/1.0 200 OK\r\n")
    assert b"Transfer-Encoding" not in top and b"Connection" not in top
    assert [json.loads(line)["done"] for line in lines.splitlines()] == [False] * 3 + [True]
    assert b"Content-Length" in whole and b"Connection" not in whole
    assert kept.count(b"HTTP/1.0 200 OK") == 2 and kept.count(b"Connection: keep-alive") == 1
