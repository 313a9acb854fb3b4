"""What Ollama 0.32.15 refuses, and how: replies of a real one to requests of no recording."""

from __future__ import annotations

import json
from typing import Any

import pytest
import wire_conformance as wire

from bench.server.embedded import server_here
from bench.server.simulated_runner import SimulatedRunner

NATIVE = "application/json; charset=utf-8"
V1 = "application/json"
CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
BLIND = (
    '{"error":{"code":400,"message":"Multimodal data provided, but model does not support '
    'multimodal requests.","type":"invalid_request_error"}}'
)


def v1_chat(content: Any, **more: Any) -> dict[str, Any]:
    return {"model": "sim-small", "messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("path", "body", "status", "kind", "error"),
    [
        ("/api/generate", "null", 404, NATIVE, "model '' not found"),
        ("/api/generate", {"model": "a b"}, 400, NATIVE, "invalid model name"),
        ("/api/chat", {"model": "../x"}, 400, NATIVE, "invalid model name"),
        ("/api/chat", CHAT | {"options": {"stop": [1]}}, 500, NATIVE, None),
        ("/api/show", {"model": "a/b/c/d"}, 400, NATIVE, "invalid model name"),
        ("/api/embed", {}, 404, NATIVE, "model '' not found"),
        ("/api/embed", {"model": "sim-small", "options": []}, 400, NATIVE, None),
        ("/api/embeddings", {}, 400, NATIVE, "model is required"),
        ("/api/copy", {"destination": "x"}, 400, NATIVE, 'source "" is invalid'),
        ("/api/delete", {}, 400, NATIVE, "model is required"),
        ("/api/delete", {"model": "a b"}, 400, NATIVE, 'name "a b" is invalid'),
        ("/api/pull", {"model": "a b"}, 400, NATIVE, "invalid model name"),
        ("/v1/chat/completions", "", 400, NATIVE, "EOF"),
        ("/v1/chat/completions", {}, 400, NATIVE, "[] is too short - 'messages'"),
        ("/v1/chat/completions", v1_chat("x") | {"model": ""}, 400, V1, "model is required"),
        (
            "/v1/chat/completions",
            v1_chat(None),
            400,
            NATIVE,
            "invalid message content type: <nil>",
        ),
        ("/v1/chat/completions", v1_chat([{"type": "x"}]), 400, NATIVE, "invalid message format"),
        (
            "/v1/chat/completions",
            v1_chat([{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]),
            400,
            NATIVE,
            "image URLs are not currently supported, please use base64 encoded data instead",
        ),
        (
            "/v1/chat/completions",
            v1_chat([{"type": "image_url", "image_url": "data:image/png;base64,aGFsbG8="}]),
            400,
            V1,
            BLIND,
        ),
        ("/v1/chat/completions", v1_chat("x", response_format="x"), 400, NATIVE, None),
        ("/v1/chat/completions", v1_chat("x", max_tokens="x"), 400, NATIVE, None),
        ("/v1/chat/completions", v1_chat("x", reasoning_effort="x"), 400, NATIVE, None),
        ("/v1/embeddings", {"model": "sim-embed", "input": []}, 400, NATIVE, "invalid input"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "x"}, 400, NATIVE, None),
    ],
)
async def test_refused_as_by_ollama(
    path: str, body: Any, status: int, kind: str, error: str | None
) -> None:
    method = "DELETE" if path == "/api/delete" else "POST"
    async with server_here() as (_, url):
        reply = await wire.replay(url, {"method": method, "path": path, "body": body})
    assert (reply.status, reply.headers["Content-Type"]) == (status, kind)
    said = json.loads(reply.lines[0])["error"]
    if path.startswith("/v1/"):
        assert said["type"] == "invalid_request_error"
        said = said["message"]
    assert error is None or said == error


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/api/version", "HEAD, GET"),
        ("HEAD", "/api/ps", "GET"),
        ("GET", "/api/chat", "POST"),
        ("PUT", "/v1/models/sim-small", "GET"),
    ],
)
async def test_the_right_method_is_named(method: str, path: str, allow: str) -> None:
    async with server_here() as (_, url):
        reply = await wire.replay(url, {"method": method, "path": path, "body": None})
    assert (reply.status, next(iter(reply.headers)), reply.headers["Allow"]) == (
        405,
        "Allow",
        allow,
    )


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
async def test_a_model_that_cannot_see_refuses_images(path: str) -> None:
    messages = [{"role": "user", "content": "x", "images": ["aGFsbG8="]}]
    body = {"model": "sim-small", "messages": messages, "prompt": "x", "images": ["aGFsbG8="]}
    async with server_here() as (_, url):
        reply = await wire.replay(url, {"method": "POST", "path": path, "body": body})
    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/json")
    assert json.loads(reply.lines[0]) == {"error": BLIND}


async def test_names_are_found_in_any_case_and_said_as_asked() -> None:
    body = {"Model": "SIM-Small", "prompt": "", "stream": False}
    async with server_here() as (_, url):
        request = {"method": "POST", "path": "/api/generate", "body": body}
        reply = await wire.replay(url, request)
    assert json.loads(reply.lines[0])["model"] == "SIM-Small"


async def test_no_input_only_loads_even_a_chat_model() -> None:
    body = {"model": "sim-small", "input": []}
    async with server_here() as (_, url):
        reply = await wire.replay(url, {"method": "POST", "path": "/api/embed", "body": body})
    assert reply.lines == ['{"model":"sim-small","embeddings":[]}']


@pytest.mark.parametrize("stream", [False, True])
async def test_logprobs_of_v1_stand_in_the_choice(stream: bool) -> None:
    body = v1_chat("x", logprobs=True, top_logprobs=1, stream=stream, max_tokens=2)
    async with server_here() as (_, url):
        request = {"method": "POST", "path": "/v1/chat/completions", "body": body}
        reply = await wire.replay(url, request)
    (choice,) = json.loads(reply.lines[0].removeprefix("data: "))["choices"]
    assert list(choice)[-2:] == ["finish_reason", "logprobs"]
    assert list(choice["logprobs"]["content"][0]) == ["token", "logprob", "bytes", "top_logprobs"]


async def test_a_defect_of_an_engine_gives_the_slot_back(monkeypatch: pytest.MonkeyPatch) -> None:
    start = SimulatedRunner.start
    broken = [True]

    def start_or_break(self: SimulatedRunner, *args: Any) -> None:
        if broken.pop() if broken else False:
            raise RuntimeError
        start(self, *args)

    monkeypatch.setattr(SimulatedRunner, "start", start_or_break)
    async with server_here() as (app, url):
        request = {"method": "POST", "path": "/api/chat", "body": CHAT}
        assert (await wire.replay(url, request)).status == 500
        assert [m.slots.used for m in app.state.scheduler.loaded()] == [0]
        assert (await wire.replay(url, request)).status == 200
