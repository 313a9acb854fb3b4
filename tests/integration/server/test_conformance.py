"""Every recorded request, replayed against the server: it answers as Ollama did."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import wire_conformance as wire

from bench.server.config import ServerConfig
from bench.server.embedded import server_here

MODELS = Path(wire.__file__).with_name("recorded_models.yaml")

LOADED = {"model": "smollm2:135m-1t", "options": {"num_ctx": 2048, "num_thread": 1}}
GEMMA = {"model": "gemma3:270m-1t", "options": {"num_ctx": 2048, "num_thread": 1}}

# What was loaded before the request was recorded, where its reply shows it.
BEFORE = {
    "ps-after-runner-killed": [LOADED],
    "ps-after-same-blob": [LOADED],
    "ps-after-unload": [GEMMA],
    "ps-before-same-blob": [LOADED],
    "ps-keep-alive-forever": [LOADED | {"keep_alive": -1}],
    "ps-loaded": [LOADED],
    "ps-two-models": [LOADED, GEMMA],
}

SKIPPED = {
    "chat-runner-killed-midstream": "the runner was killed by hand: see the faults' tests",
    "chat-runner-killed-nonstream": "the runner was killed by hand: see the faults' tests",
    "tools-chat-call-as-text-nonstream": "that model wrote its call as text, ours makes a real one",
    "tools-chat-call-as-text-stream": "as above",
    "tools-chat-invalid-call-nonstream": "as above",
    "tools-chat-invalid-call-stream": "as above",
    "chat-client-disconnects": "the recorder hung up: see the tests of disconnecting clients",
}

CASES = [
    (version, name)
    for version in ("0.32.15", "0.24.0", "0.12.11")
    for name in wire.recordings(version)
    if name not in SKIPPED
]


@pytest.mark.parametrize(("version", "name"), CASES)
async def test_replies_are_ollamas(version: str, name: str) -> None:
    parallel = 4 if name.startswith("parallel-4") else 1
    config = ServerConfig(profile=str(MODELS), ollama_version=version, num_parallel=parallel)
    exchanges = wire.load(version, name)
    async with server_here(config) as (_, url):
        for body in BEFORE.get(name, []):
            await wire.replay(url, {"method": "POST", "path": "/api/generate", "body": body})
        replies = await asyncio.gather(*(wire.replay(url, request) for request, _ in exchanges))
    for (request, recorded), got in zip(exchanges, replies, strict=True):
        assert wire.differences(request["path"], recorded, got) == []
