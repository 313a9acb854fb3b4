"""What people do beyond single prompts, on the real engine: conversations, tools, embeddings."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from bench.server.embedded import start_server

pytestmark = pytest.mark.real_engine

PLACES = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
        },
    },
}
# The penalty keeps so small a model from endless white space, which JSON allows.
OPTIONS = {"temperature": 0, "num_ctx": 1024, "repeat_penalty": 1.3}


@pytest.fixture(scope="module")
def server(demo_model_file):
    with start_server("llama.cpp", threads=1, ollama_version="0.33.3") as running:
        yield running


def ask(server, path, **body):
    reply = httpx.post(f"{server.url}{path}", json=body, timeout=120)
    assert reply.status_code == 200, reply.text
    return [json.loads(line) for line in reply.text.splitlines()]


def chat(server, messages, *, model="smollm2:135m", predict=8, **fields):
    options = OPTIONS | {"num_predict": predict}
    lines = ask(server, "/api/chat", model=model, messages=messages, options=options, **fields)
    return lines[-1], "".join(line["message"]["content"] for line in lines), lines


def test_a_conversation_reads_only_what_is_new_and_the_truth_log_agrees(server):
    said = [{"role": "user", "content": "Name three rivers of France. " * 6}]
    first, answer, _ = chat(server, said)
    said += [{"role": "assistant", "content": answer}, {"role": "user", "content": "And now?"}]
    second, _, _ = chat(server, said)
    assert first["prompt_eval_cached_count"] == 0
    new = second["prompt_eval_count"] - second["prompt_eval_cached_count"]
    assert new < 20
    assert second["prompt_eval_cached_count"] >= first["prompt_eval_count"]
    deadline = time.monotonic() + 5
    while len(server.truth) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    told = [(r.prompt_tokens, r.cached_tokens) for r in server.truth]
    assert told == [
        (end["prompt_eval_count"], end["prompt_eval_cached_count"]) for end in (first, second)
    ]


def test_tools_are_called_with_arguments_that_fit(server):
    question = [{"role": "user", "content": "What is the weather in Oslo?"}]
    plain, _, _ = chat(server, question, model="smollm2-tools:135m", predict=1)
    done, text, lines = chat(
        server, question, model="smollm2-tools:135m", predict=80, tools=[PLACES]
    )
    calls = [call["function"] for line in lines for call in line["message"].get("tool_calls", ())]
    assert done["prompt_eval_count"] > plain["prompt_eval_count"] + 60
    assert calls or text
    for call in calls:
        assert call["name"] == "weather"
        assert call["arguments"]["city"] in ("Rome", "Oslo")


def test_an_answer_under_a_schema_fits_it(server):
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Oslo"]}, "warm": {"type": "boolean"}},
        "required": ["city", "warm"],
    }
    _, text, _ = chat(
        server, [{"role": "user", "content": "Rome is warm."}], predict=60, format=schema
    )
    value = json.loads(text)
    assert value["city"] in ("Rome", "Oslo")
    assert isinstance(value["warm"], bool)


def test_texts_are_embedded_one_by_one(server):
    texts = ["The cat sleeps.", "A cat is asleep.", "Interest rates rose by 2 %."]
    (reply,) = ask(server, "/api/embed", model="smollm2-embed:135m", input=texts)
    cat, same, other = reply["embeddings"]
    assert len(cat) == 576
    assert sum(x * x for x in cat) == pytest.approx(1, abs=1e-4)
    near, far = (sum(x * y for x, y in zip(cat, v, strict=True)) for v in (same, other))
    assert near > far
    (long,) = ask(
        server, "/api/embed", model="smollm2-embed:135m", input="word " * 400,
        options={"num_ctx": 256}, dimensions=16,
    )  # fmt: skip
    assert long["prompt_eval_count"] == 256
    assert len(long["embeddings"][0]) == 16
