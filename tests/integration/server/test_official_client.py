"""The official Python client against the simulated engine."""

from __future__ import annotations

from collections.abc import Iterator

import client_checks
import ollama
import pytest

from bench.server.embedded import start_server


@pytest.fixture(scope="module")
def client() -> Iterator[ollama.Client]:
    with start_server() as server:
        client = ollama.Client(server.url)
        yield client
        client._client.close()


def test_library(client: ollama.Client) -> None:
    client_checks.check_library(client, "sim-small:latest")


def test_output(client: ollama.Client) -> None:
    client_checks.check_output(client, "sim-small:latest")


def test_errors(client: ollama.Client) -> None:
    client_checks.check_errors(client, "sim-small:latest")


def test_embeddings(client: ollama.Client) -> None:
    client_checks.check_embeddings(client, "sim-embed:latest")


def test_a_chat_model_makes_no_embeddings(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="does not support embeddings") as info:
        client.embed("sim-small", "x")
    assert info.value.status_code == 501


def test_an_embedding_model_does_not_chat(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match='"sim-embed" does not support chat') as info:
        client.chat("sim-embed", [{"role": "user", "content": "x"}])
    assert info.value.status_code == 400


def test_thinking_is_on_unless_refused(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "Why?"}]
    unset = client.chat("sim-think", messages)
    refused = client.chat("sim-think", messages, think=False)
    assert unset.message.thinking
    assert unset.message.content
    assert not refused.message.thinking
    parts = list(client.chat("sim-think", messages, stream=True))
    kinds = ["thinking" if part.message.thinking else "answer" for part in parts[:-1]]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"thinking", "answer"}
    # The mark between them is counted, but never sent.
    assert parts[-1].eval_count == len(kinds) + 2


def test_a_tool_that_is_asked_for_is_called(client: ollama.Client) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}}
    weather = {"type": "function", "function": {"name": "weather", "parameters": parameters}}
    asked = [{"role": "user", "content": "What is the weather like?"}]
    reply = client.chat("sim-small", asked, tools=[weather])
    (call,) = reply.message.tool_calls or []
    assert call.function.name == "weather"
    assert list(call.function.arguments) == ["city"]
    other = client.chat("sim-small", [{"role": "user", "content": "Say hi."}], tools=[weather])
    assert not other.message.tool_calls
    assert other.message.content


def test_structured_output_fits_its_schema(client: ollama.Client) -> None:
    import json

    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    }
    reply = client.chat("sim-small", [{"role": "user", "content": "Ann, 31"}], format=schema)
    value = json.loads(reply.message.content or "")
    assert isinstance(value["name"], str)
    assert isinstance(value["age"], int)


def test_chinese_output_has_one_character_a_token(client: ollama.Client) -> None:
    parts = list(client.generate("sim-zh", "你好", stream=True))
    texts = [part.response for part in parts[:-1]]
    assert all(len(text) == 1 for text in texts)
    assert any("一" <= text <= "鿿" for text in texts)


def test_stop_sequences_end_the_answer(client: ollama.Client) -> None:
    options = {"num_predict": 40, "temperature": 0}
    free = client.generate("sim-small", "hello", options=options)
    word = free.response.split()[4]
    stopped = client.generate("sim-small", "hello", options=options | {"stop": [word]})
    assert stopped.done_reason == "stop"
    assert stopped.response == free.response[: free.response.index(word)]


def test_the_same_seed_gives_the_same_text(client: ollama.Client) -> None:
    def text(**options: float) -> str:
        return client.generate("sim-small", "hello", options=options).response

    assert text(seed=1) == text(seed=1)
    assert text(seed=1) != text(seed=2)
    assert text(temperature=0, seed=1) == text(temperature=0, seed=2)


def test_pull_copy_and_delete(client: ollama.Client) -> None:
    assert [p.status for p in client.pull("sim-small", stream=True)][-1] == "success"
    with pytest.raises(ollama.ResponseError, match="file does not exist"):
        client.pull("no-such")
    client.copy("sim-small", "mine")
    assert client.generate("mine", "x", options={"num_predict": 1}).response
    client.delete("mine")
    with pytest.raises(ollama.ResponseError, match="not found"):
        client.delete("mine")


async def test_the_asynchronous_client_does_all_of_it() -> None:
    with start_server() as server:
        await client_checks.check_asynchronous(server.url, "sim-small:latest")
        client = ollama.AsyncClient(server.url)
        reply = await client.embed("sim-embed", ["x", "y"], dimensions=8)
        await client._client.aclose()
    assert [len(vector) for vector in reply.embeddings] == [8, 8]
