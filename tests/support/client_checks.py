"""What the official `ollama` client must be able to do with any engine of the embedded server."""

from __future__ import annotations

import asyncio

import ollama
import pytest


def check_library(client: ollama.Client, model: str) -> None:
    """Lists, shows, loads and unloads."""
    assert model in [entry.model for entry in client.list().models]
    shown = client.show(model)
    assert shown.details is not None
    assert shown.details.format == "gguf"
    assert shown.capabilities is not None
    assert shown.modelinfo is not None
    assert shown.modelinfo["general.parameter_count"] > 1_000_000
    assert client.generate(model, keep_alive="5m").done_reason == "load"
    (loaded,) = client.ps().models
    assert loaded.model == model
    assert loaded.size is not None
    assert loaded.size > 0
    assert client.generate(model, keep_alive=0).done_reason == "unload"


def check_output(client: ollama.Client, model: str) -> None:
    """Chats and generates, streaming and not; the numbers fit together."""
    options = {"num_predict": 12, "temperature": 0, "seed": 1, "num_ctx": 1024}
    messages = [{"role": "user", "content": "Name some animals."}]
    stream = list(client.chat(model, messages, stream=True, options=options))
    whole = client.chat(model, messages, options=options)
    assert [part.done for part in stream] == [False] * (len(stream) - 1) + [True]
    text = "".join(part.message.content or "" for part in stream)
    assert text.strip()
    assert whole.message.content == text
    _check_numbers(stream[-1])
    _check_numbers(whole)
    pieces = list(client.generate(model, "Name some animals.", stream=True, options=options))
    assert "".join(piece.response for piece in pieces).strip()
    _check_numbers(pieces[-1])
    assert pieces[-1].context
    raw = client.generate(model, "Once upon a time", raw=True, options=options)
    assert raw.response.strip()
    assert raw.context is None


def _check_numbers(end: ollama.ChatResponse | ollama.GenerateResponse) -> None:
    assert end.done_reason in ("stop", "length")
    assert end.eval_count is not None
    assert 0 < end.eval_count <= 12
    assert end.done_reason == "stop" or end.eval_count == 12
    assert end.prompt_eval_count
    parts = [end.load_duration, end.prompt_eval_duration, end.eval_duration]
    assert all(part is not None and part > 0 for part in parts)
    assert end.total_duration is not None
    # Engine durations are whole microseconds, and each is taken by a clock of its own.
    assert end.total_duration >= sum(part or 0 for part in parts) - 1_000_000


def check_errors(client: ollama.Client, model: str) -> None:
    """Typed errors with Ollama's words and status."""
    with pytest.raises(ollama.ResponseError, match="model 'no-such' not found") as info:
        client.chat("no-such", [{"role": "user", "content": "x"}])
    assert info.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="must be of type integer") as info:
        client.generate(model, "x", options={"num_ctx": "many"})
    assert info.value.status_code == 500
    with pytest.raises(ollama.ResponseError, match="does not support thinking") as info:
        list(client.chat(model, [{"role": "user", "content": "x"}], think=True, stream=True))
    assert info.value.status_code == 400


def check_embeddings(client: ollama.Client, model: str) -> None:
    """One vector of length 1 per input, equal for equal inputs."""
    reply = client.embed(model, ["hello world", "something else", "hello world"])
    first, other, again = reply.embeddings
    assert sum(x * x for x in first) == pytest.approx(1.0, abs=1e-4)
    assert first == pytest.approx(again, abs=1e-4)
    assert sum(a * b for a, b in zip(first, other, strict=True)) < 0.999
    assert reply.prompt_eval_count
    assert client.embeddings(model, "hello world").embedding


async def check_asynchronous(url: str, model: str) -> None:
    """The asynchronous client does all that the server can do."""
    client = ollama.AsyncClient(url, timeout=120)
    try:
        await _check_asynchronous_library(client, model)
        await _check_asynchronous_output(client, model)
        await _check_asynchronous_errors(client, model)
    finally:
        await client._client.aclose()


async def _check_asynchronous_library(client: ollama.AsyncClient, model: str) -> None:
    assert model in [entry.model for entry in (await client.list()).models]
    assert (await client.show(model)).modelinfo
    assert (await client.pull(model)).status == "success"
    pulled = [part.status async for part in await client.pull(model, stream=True)]
    assert (pulled[0], pulled[-1]) == ("pulling manifest", "success")
    # A copy can be used before what it was copied from; it runs in the same memory.
    assert (await client.copy(model, "copied")).status == "success"
    assert (await client.generate("copied", keep_alive="1h")).done_reason == "load"
    assert (await client.generate(model)).done_reason == "load"
    (loaded,) = (await client.ps()).models
    assert loaded.model == "copied:latest"
    assert (await client.delete("copied")).status == "success"
    assert len((await client.ps()).models) == 1
    assert (await client.chat(model, keep_alive=0)).done_reason == "unload"
    assert not (await client.ps()).models


async def _check_asynchronous_output(client: ollama.AsyncClient, model: str) -> None:
    options = {"num_predict": 12, "temperature": 0, "seed": 1, "num_ctx": 1024}
    messages = [{"role": "user", "content": "Name some animals."}]
    stream = [
        part async for part in await client.chat(model, messages, stream=True, options=options)
    ]
    whole = await client.chat(model, messages, options=options)
    assert whole.message.content == "".join(part.message.content or "" for part in stream)
    _check_numbers(stream[-1])
    _check_numbers(whole)
    replies = await asyncio.gather(
        *(client.generate(model, f"{i} once", raw=True, options=options) for i in range(4))
    )
    for reply in replies:
        _check_numbers(reply)
    # Whoever has read enough hangs up, and others are served.
    left = await client.generate(model, "long", stream=True, options=options | {"num_predict": 500})
    async for part in left:
        assert not part.done
        break
    await left.aclose()  # type: ignore[attr-defined]
    _check_numbers(await client.generate(model, "next", options=options))


async def _check_asynchronous_errors(client: ollama.AsyncClient, model: str) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'no-such' not found") as info:
        _ = [part async for part in await client.generate("no-such", "x", stream=True)]
    assert info.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="must be of type integer") as info:
        await client.chat(model, [], options={"num_ctx": "many"})
    assert info.value.status_code == 500
    with pytest.raises(ollama.ResponseError, match="does not support embeddings") as info:
        await client.embed(model, "x")
    assert info.value.status_code == 501
    with pytest.raises(ollama.ResponseError, match="no-such"):
        await client.delete("no-such")
    with pytest.raises(ollama.ResponseError, match="this server makes no models") as info:
        await client.create("new", from_=model)
    assert info.value.status_code == 404
