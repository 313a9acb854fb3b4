"""What passes through the recording proxy is untouched, and what it wrote is replayed the same."""

import asyncio
import errno
import itertools
import json
import os
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

import bench
from bench.address import Address
from bench.errors import UsageError
from bench.recorder.recording import proxying
from bench.recorder.writing import Writer
from bench.scenario.session_files import read_sessions
from bench.server.embedded import server_here, start_server

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
MODEL = "sim-small:latest"


@asynccontextmanager
async def recorded(path: Path, url: str, failed=lambda _: None, **options):
    """A proxy before this URL; yields its own."""
    writer = Writer(path, **options)
    try:
        async with proxying(Address.parse(url), writer, 0, failed) as proxy:
            yield proxy
    finally:
        writer.close()
    recorded.tally = writer.tally


@asynccontextmanager
async def scripted(replies):
    """A server that answers each request with the next of these lists of pieces, then closes."""
    seen, waiting = [], list(replies)

    async def serve(reader, writer):
        try:
            while waiting:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-length")
                    ),
                    0,
                )
                seen.append((head, await reader.readexactly(length)))
                for piece in waiting.pop(0):
                    if piece is None:
                        writer.close()
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.005)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", seen


async def raw_request(url: str, body: bytes, path="/api/chat", headers=b"") -> bytes:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (
        path.encode(),
        headers,
        len(body),
    )
    writer.write(head + body)
    reply = await reader.read()
    writer.close()
    return reply


LINES = [
    b'{"message":{"role":"assistant","content":"a"},"done":false}\n',
    b'{"message":{"role":"assistant","content":"\xc3\xa9"},"done":false}\n',
    b'{"message":{"content":""},"done":true,"prompt_eval_count":7,"eval_count":2}\n',
]
CHUNKED = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Odd:  two  blanks\r\nConnection: close"
    b"\r\n\r\n",
    *(b"%x\r\n%s\r\n" % (len(line), line) for line in LINES),
    b"0\r\n\r\n",
]
ASK = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]}).encode()


async def test_replies_pass_byte_for_byte(tmp_path):
    path = tmp_path / "s.jsonl"
    async with scripted([CHUNKED]) as (url, seen), recorded(path, url) as proxy:
        reply = await raw_request(proxy, ASK)
    assert reply == b"".join(CHUNKED)
    assert seen[0][1] == ASK
    step = read_sessions(path).sessions[0].steps[0]
    assert step.answer == {"role": "assistant", "content": "aé"}
    assert (step.prompt_tokens, step.output_tokens, step.cached_tokens) == (7, 2, None)


async def test_headers_keys_and_secrets_are_not_written(tmp_path):
    path = tmp_path / "s.jsonl"
    body = json.dumps(
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": "why does Authorization: Bearer abc123def456ghi fail?"}
            ],
        }
    )
    key = b"Authorization: Bearer key-of-the-client-42\r\nCookie: c=7\r\n"
    async with scripted([CHUNKED]) as (url, seen), recorded(path, url) as proxy:
        await raw_request(proxy, body.encode(), headers=key)
    assert b"key-of-the-client-42" in seen[0][0]  # passed on
    text = path.read_text()
    assert "key-of-the-client" not in text and "abc123def456ghi" not in text
    assert path.stat().st_mode & 0o077 == 0


async def test_a_server_that_is_not_there_is_a_502_with_one_message(tmp_path):
    said = []
    nowhere = "http://127.0.0.1:9"
    async with (
        recorded(tmp_path / "s.jsonl", nowhere, said.append) as proxy,
        httpx.AsyncClient() as client,
    ):
        replies = [await client.post(f"{proxy}/api/chat", content=ASK) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [502, 502]
    assert "cannot be reached" in replies[0].json()["error"]
    assert recorded.tally.requests == 0


@pytest.mark.parametrize(
    ("version", "header"),
    [("1.1", "Connection: close\r\n"), ("1.1", "Connection: TE, Close\r\n"), ("1.0", "")],
)
async def test_a_client_that_wants_the_connection_closed_gets_it_closed(tmp_path, version, header):
    path = tmp_path / "s.jsonl"
    async with server_here() as (_, url), recorded(path, url) as proxy:
        host, port = proxy.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/chat HTTP/{version}\r\nHost: localhost\r\n{header}"
        body = json.dumps({**json.loads(ASK), "model": MODEL, "options": {"num_predict": 3}})
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        reply = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    assert b'"done":true' in reply
    assert recorded.tally.requests == 1


async def test_a_reply_that_is_cut_is_cut_for_the_client_and_marked(tmp_path):
    path = tmp_path / "s.jsonl"
    cut = [*CHUNKED[:2], None]
    async with scripted([cut]) as (url, _), recorded(path, url) as proxy:
        assert await raw_request(proxy, ASK) == b"".join(CHUNKED[:2])
    file = read_sessions(path)
    assert file.sessions[0].steps[0].answer == {"role": "assistant", "content": "a"}
    assert any("not heard to their end" in note for note in file.notes)
    assert recorded.tally.cut == 1


async def test_an_authority_that_cannot_be_read_is_said_at_once(tmp_path, monkeypatch):
    file = tmp_path / "authority.pem"
    file.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(UsageError, match="certificate authority"):
        async with recorded(tmp_path / "s.jsonl", "https://127.0.0.1:9"):
            pass


async def test_an_answer_that_broke_off_in_an_error_is_marked(tmp_path):
    path = tmp_path / "s.jsonl"
    error = b'{"error":"model runner has unexpectedly stopped"}\n'
    broken = [*CHUNKED[:2], b"%x\r\n%s\r\n" % (len(error), error), b"0\r\n\r\n"]
    async with scripted([broken]) as (url, _), recorded(path, url) as proxy:
        assert await raw_request(proxy, ASK) == b"".join(broken)
    file = read_sessions(path)
    assert file.sessions[0].steps[0].answer == {"role": "assistant", "content": "a"}
    assert any("not heard to their end" in note for note in file.notes)
    assert recorded.tally.cut == 1


async def test_a_kept_connection_that_the_server_closed_is_made_anew(tmp_path):
    one = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(LINES[2]), LINES[2]), None]
    async with (
        scripted([one, one]) as (url, seen),
        recorded(tmp_path / "s", url) as proxy,
        httpx.AsyncClient() as client,
    ):
        for _ in range(2):
            assert (await client.post(f"{proxy}/api/chat", content=ASK)).status_code == 200
            await asyncio.sleep(0.05)
    assert len(seen) == 2


async def test_a_client_that_leaves_ends_the_request_at_the_server(tmp_path):
    left = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(CHUNKED[0] + CHUNKED[1])
        while await reader.read(100):
            pass
        left.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, recorded(tmp_path / "s.jsonl", url) as proxy:
        host, port = proxy.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(ASK)
        writer.write(head + ASK)
        await reader.readuntil(b"\n")
        writer.close()
        await asyncio.wait_for(left.wait(), 5)
    assert recorded.tally.cut == 1


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[1]",
        b'{"messages": 5}',
        b'{"messages": [5, {"role": []}]}',
        b'{"messages": [{"role": "user", "content": "\\ud83d"}], "tools": 7}',
        b'{"messages": [{"role": "user", "content": {"a": [1]}}], "model": null}',
    ],
)
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions", "/v1/messages"])
async def test_odd_requests_pass_and_are_counted(tmp_path, path, body):
    async with scripted([CHUNKED]) as (url, seen), recorded(tmp_path / "s", url) as proxy:
        assert await raw_request(proxy, body, path) == b"".join(CHUNKED)
    tally = recorded.tally
    assert seen[0][1] == body
    assert tally.requests + tally.passed + tally.lost == 1


async def talk(client: httpx.AsyncClient, url: str, turns: list[str]) -> list[dict]:
    """A conversation with a tool step in each turn; the messages of its last request."""
    messages = [{"role": "system", "content": "Be brief."}]
    for turn in turns:
        messages.append({"role": "user", "content": turn})
        for result in ("shelf 4", None):
            reply = await client.post(
                f"{url}/api/chat",
                json={
                    "model": MODEL,
                    "messages": messages,
                    "tools": TOOLS,
                    "stream": True,
                    "options": {"num_predict": 4},
                },
            )
            lines = [json.loads(line) for line in reply.text.splitlines()]
            text = "".join(line["message"]["content"] for line in lines)
            call = {"function": {"name": "look", "arguments": {"q": turn}}}
            calls = {} if result is None else {"tool_calls": [call]}
            messages.append({"role": "assistant", "content": text, **calls})
            if result is not None:
                messages.append({"role": "tool", "tool_name": "look", "content": result})
    return messages


def sent(session) -> list[bytes]:
    """The messages of each request of a session, as a replay sends them."""
    history, bodies = [], []
    for step in session.steps:
        history = [] if step.fresh else history
        history += step.added
        bodies.append(json.dumps(history).encode())
        if step.answer is not None:
            history.append(step.answer)
    return bodies


async def test_through_the_proxy_and_back(tmp_path):
    """What is read of the recording are the very requests that the client sent, in its order."""
    path, again = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    wanted: dict[str, list[bytes]] = {}
    async with server_here() as (app, url):
        model = next(iter(app.state.cards()))
        async with recorded(path, url) as proxy, httpx.AsyncClient(timeout=30) as client:
            spied = spy(client, wanted)
            await asyncio.gather(
                *(talk(spied, proxy, [f"Where is atlas {n}?", "And now?"]) for n in range(3))
            )
        file = read_sessions(path)
        assert len(file.sessions) == 3
        assert sorted(sent(s)[0] for s in file.sessions) == sorted(v[0] for v in wanted.values())
        for session in file.sessions:
            assert sent(session) == wanted[session.steps[0].added[1]["content"]]
            assert session.tools == tuple(TOOLS)
            assert [s.kind for s in session.steps] == ["user", "tool", "user", "tool"]
            assert all(s.prompt_tokens and s.output_tokens for s in session.steps)
            assert all(s.gap_s is not None and s.gap_s >= 0 for s in session.steps[1:])
        # Played again through a second proxy, the recording is the same.
        async with recorded(again, url) as proxy, httpx.AsyncClient(timeout=30) as client:
            for session in file.sessions:
                for body in sent(session):
                    await client.post(
                        f"{proxy}/api/chat",
                        json={
                            "model": model,
                            "messages": json.loads(body),
                            "tools": TOOLS,
                            "options": {"num_predict": 4},
                        },
                    )
    played = read_sessions(again)
    assert [sent(s) for s in played.sessions] == [sent(s) for s in file.sessions]


async def test_after_a_full_disk_the_next_request_is_written_whole(tmp_path, monkeypatch):
    path, write, lines = tmp_path / "s.jsonl", os.write, []

    def disk(fd: int, data: bytes) -> int:
        begins = data.startswith(b'{"ollama_bench_record"')
        lines.extend([data] if begins else [])
        if len(lines) == 2 and not begins:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(fd, data[:60] if len(lines) == 2 else data)

    monkeypatch.setattr(os, "write", disk)
    wanted: dict[str, list[bytes]] = {}
    async with (
        server_here() as (_, url),
        recorded(path, url) as proxy,
        httpx.AsyncClient(timeout=30) as client,
    ):
        await talk(spy(client, wanted), proxy, ["One?", "Two?"])
    (session,) = read_sessions(path).sessions
    first, _, third, fourth = wanted["One?"]
    assert sent(session) == [first, third, fourth]
    assert (recorded.tally.requests, recorded.tally.lost) == (3, 1)
    assert "No space left" in recorded.tally.error


def spy(client: httpx.AsyncClient, wanted: dict[str, list[bytes]]):
    """The client, which also notes the messages it sends by the first question."""

    class Spy:
        async def post(self, url, json):
            import json as j

            first = json["messages"][1]["content"]
            wanted.setdefault(first, []).append(j.dumps(json["messages"]).encode())
            return await client.post(url, json={**json, "model": MODEL})

    return Spy()


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_path(tmp_path, stream):
    path = tmp_path / "s.jsonl"
    async with server_here() as (app, url), recorded(path, url) as proxy:
        model = next(iter(app.state.cards()))
        body = {
            "model": model,
            "stream": stream,
            "max_tokens": 5,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "Say something."}],
        }
        async with httpx.AsyncClient(timeout=30) as client:
            assert (await client.post(f"{proxy}/v1/chat/completions", json=body)).is_success
    step = read_sessions(path).sessions[0].steps[0]
    assert step.answer is not None and step.answer["content"]
    assert step.prompt_tokens and step.output_tokens == 5


async def test_without_text_lengths_and_prefixes_are_kept(tmp_path):
    plain, hashed = tmp_path / "plain.jsonl", tmp_path / "hashed.jsonl"
    async with server_here() as (_, url):
        for path, text in ((plain, True), (hashed, False)):
            async with (
                recorded(path, url, with_text=text) as proxy,
                httpx.AsyncClient(timeout=30) as client,
            ):
                await talk(spy(client, {}), proxy, ["Where is the secret atlas?", "And now?"])
    written = hashed.read_text()
    assert "atlas" not in written and "brief" not in written
    steps = read_sessions(hashed).sessions[0].steps
    counted = [s.prompt_tokens for s in read_sessions(plain).sessions[0].steps]
    assert [s.prompt_tokens for s in steps] == counted
    for before, step in itertools.pairwise(steps):
        assert step.blocks[: len(before.blocks)] == before.blocks
        assert step.lengths[: len(before.lengths)] == before.lengths


@pytest.mark.slow
async def test_a_run_that_replays_a_recording_sends_what_the_client_sent(tmp_path):
    """Through the proxy, `prompts.sessions`, and a second proxy: byte-equal, in the same order."""
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    with start_server() as server:
        async with recorded(one, server.url) as proxy, httpx.AsyncClient(timeout=30) as client:
            for number in range(2):
                await talk(spy(client, {}), proxy, [f"Where is atlas {number}?", "And now?"])
        async with recorded(two, server.url) as proxy:
            scenario = {
                "models": [MODEL],
                "targets": [proxy],
                "prompts": {
                    "sessions": {"file": str(one), "delays": {"cap": "0s"}},
                    "cache": "warm",
                },
                "load": {"closed": {"users": 1, "sessions": 2}},
                "options": {"num_predict": 4, "num_ctx": 4096},
                "warmup": 0,
                "blocks": 1,
            }
            settings = bench.Settings(output=tmp_path / "runs")
            await bench.run_async(scenario, settings=settings, report=False)
    recording = read_sessions(one).sessions
    # Requests that calibrate lengths offer no tools.
    replayed = [s for s in read_sessions(two).sessions if s.tools]
    assert len(recording) == 2
    assert sorted(map(sent, replayed)) == sorted(map(sent, recording))
    assert all(session.tools == recording[0].tools for session in replayed)
