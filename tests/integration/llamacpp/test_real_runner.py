"""The real engine with the real model, at the seam: what comes out, and how it is counted."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pytest

from bench.server.engine import EngineFailure, EnginePrompt, Job, LoadOptions, Message, Rendered

pytestmark = pytest.mark.real_engine

RECORDINGS = Path(__file__).parents[2] / "recordings" / "ollama-0.32.15"
MS = 1_000_000
shares_a_runner = pytest.mark.asyncio(loop_scope="module")


def chat(text):
    return EnginePrompt(messages=(Message(role="user", content=text),))


def recorded(name):
    """Request body and last line of a recorded exchange with Ollama and the same weights."""
    exchange = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    body = "".join(chunk["data"] for chunk in exchange["response"]["chunks"])
    return exchange["request"]["body"], json.loads(body.splitlines()[-1])


async def test_a_completion_adds_up(complete):
    before = time.monotonic_ns()
    finish, sink = await complete(chat("Why is the sky blue?"), num_predict=24)
    elapsed = time.monotonic_ns() - before
    assert finish.done_reason == "length"
    assert finish.predicted_n == 24
    assert len(sink.pieces) == 24
    assert sink.text.startswith("The sky")
    assert len(finish.output_tokens) == 24
    assert finish.prompt_n + finish.cache_n == 15
    assert finish.prompt_ns > 0
    assert finish.predicted_ns > 0
    assert finish.prompt_ns + finish.predicted_ns <= elapsed


@shares_a_runner
@pytest.mark.parametrize(
    "name",
    ["chat-stream", "chat-nonstream", "chat-natural-stop", "chat-emoji", "chat-after-client-abort"],
)
async def test_prompts_have_as_many_tokens_as_with_ollama(shared_runner, name):
    body, last = recorded(name)
    messages = tuple(Message(**message) for message in body["messages"])
    rendered = await shared_runner.render(EnginePrompt(messages=messages))
    assert len(rendered.tokens) == last["prompt_eval_count"]


@shares_a_runner
async def test_a_raw_prompt_gets_no_template(shared_runner):
    body, last = recorded("generate-raw")
    rendered = await shared_runner.render(EnginePrompt(raw=body["prompt"]))
    assert rendered.text == body["prompt"]
    assert len(rendered.tokens) == last["prompt_eval_count"]


@shares_a_runner
async def test_context_goes_in_front(shared_runner):
    first = await shared_runner.render(EnginePrompt(raw="Once upon"))
    both = await shared_runner.render(EnginePrompt(raw=" a time", context=tuple(first.tokens)))
    assert both.text == "Once upon a time"


async def test_the_natural_end(complete):
    finish, sink = await complete(chat("Name three colours."), num_predict=64)
    assert finish.done_reason == "stop"
    assert len(finish.output_tokens) == finish.predicted_n - 1
    assert finish.predicted_n == len(sink.pieces) + 1  # the end token is counted, and has no text


async def test_a_stop_sequence_is_not_delivered(complete):
    prompt = chat("Count from one to ten.")
    _, whole = await complete(prompt, num_predict=30)
    stop = whole.text[20:26]  # cuts through tokens
    finish, sink = await complete(prompt, num_predict=30, stop=("not in it", stop))
    assert finish.done_reason == "stop"
    assert sink.text == whole.text[: whole.text.index(stop)]
    assert finish.predicted_n > len(sink.pieces)


async def test_a_prefix_that_was_seen_is_counted_as_cached(complete):
    prompt = EnginePrompt(
        raw="The quick brown fox jumps over the lazy dog and runs into the wood. " * 8
    )
    first, _ = await complete(prompt, num_predict=2)
    again, _ = await complete(prompt, num_predict=2)
    assert first.cache_n == 0
    assert again.cache_n == first.prompt_n - 1  # one token at least is always evaluated
    assert again.prompt_n == 1
    assert again.prompt_ns < first.prompt_ns


async def test_same_seed_same_text_other_seed_other_text(complete):
    prompt = chat("Write a sentence about a llama.")
    texts = [
        (await complete(prompt, num_predict=24, temperature=1.5, seed=seed))[1].text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


async def test_json_comes_out_as_json(complete):
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Ann", "Bob"]}, "adult": {"type": "boolean"}},
        "required": ["name", "adult"],
        "additionalProperties": False,
    }
    finish, sink = await complete(chat("A person: Ann, 31."), num_predict=60, format=schema)
    assert finish.done_reason == "stop"
    assert set(json.loads(sink.text)) == {"name", "adult"}
    _, sink = await complete(chat("Give a JSON object."), num_predict=12, format="json")
    assert sink.text.lstrip().startswith("{")


async def test_logprobs_accompany_the_pieces(complete):
    _, sink = await complete(chat("Say hi."), num_predict=3, logprobs=True, top_logprobs=2)
    for piece in sink.pieces:
        (entry,) = piece.logprobs
        assert entry["token"] == piece.text
        assert bytes(entry["bytes"]).decode() == piece.text
        assert len(entry["top_logprobs"]) == 2
        assert entry["logprob"] <= 0


async def test_characters_made_of_several_tokens_stay_whole(complete):
    finish, sink = await complete(EnginePrompt(raw="🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙🦙"), num_predict=12)
    assert "�" not in sink.text
    assert len(finish.output_tokens) >= len(sink.pieces)
    assert len(sink.pieces) < finish.predicted_n


async def test_two_jobs_share_the_slots(runner, new_sink):
    prompt = await runner.render(chat("Tell a long story about a dragon."))
    options = {"temperature": 0.0, "seed": 1, "num_predict": 40}
    sinks = [new_sink(), new_sink()]
    for at, sink in enumerate(sinks):
        runner.start(Job(id=at, prompt=prompt, options=options), sink)
    await asyncio.wait_for(asyncio.gather(*(sink.first.wait() for sink in sinks)), 60)
    assert not any(sink.ended.done() for sink in sinks), "they ran one after the other"
    await asyncio.wait_for(asyncio.gather(*(sink.ended for sink in sinks)), 60)


async def test_a_cancelled_job_frees_its_slot_and_says_no_more(engine, new_sink):
    card, *_ = engine.cards()
    runner = await engine.load(card, LoadOptions(num_ctx=4096, parallel=1))
    prompt = await runner.render(chat("Tell a very long story about a dragon."))
    long, short = new_sink(), new_sink()
    options = {"temperature": 0.0, "num_predict": 3000}
    runner.start(Job(id=1, prompt=prompt, options=options), long)
    await asyncio.wait_for(long.first.wait(), 60)
    runner.cancel(1)
    runner.cancel(99)
    said = len(long.pieces)
    runner.start(Job(id=2, prompt=prompt, options=options | {"num_predict": 2}), short)
    # 3000 tokens would take far longer than this; with one slot, the second job waits for the first
    finish = await asyncio.wait_for(short.ended, 15)
    assert finish.predicted_n == 2
    assert len(long.pieces) == said
    assert not long.ended.done()


@shares_a_runner
async def test_memory_is_what_llama_cpp_says(shared_runner):
    kv_cache = 45 * 2**20
    assert shared_runner.memory.size_vram == 0
    assert shared_runner.memory.size > 92 * 2**20 + kv_cache


@shares_a_runner
async def test_embeddings_are_refused_as_ollama_refuses_them(shared_runner):
    with pytest.raises(EngineFailure, match="This server does not support embeddings") as caught:
        await shared_runner.embed("hello")
    assert caught.value.status == 501


@shares_a_runner
async def test_a_prompt_longer_than_the_context_is_refused_in_llama_cpps_words(
    shared_runner, new_sink
):
    sink = new_sink()
    job = Job(id=1, prompt=Rendered("", [1] * 1100), options={"num_predict": 2})
    shared_runner.start(job, sink)
    with pytest.raises(EngineFailure) as caught:
        await asyncio.wait_for(sink.ended, 60)
    assert caught.value.status == 400
    assert json.loads(caught.value.message)["error"]["type"] == "exceed_context_size_error"


@shares_a_runner
async def test_a_template_in_the_request_is_refused(shared_runner):
    with pytest.raises(EngineFailure, match="cannot apply a template") as caught:
        await shared_runner.render(
            EnginePrompt(messages=(Message(role="user"),), template="{{ .Prompt }}")
        )
    assert caught.value.status == 400


async def test_a_killed_process_breaks_the_stream_and_is_noticed(runner, new_sink):
    sink = new_sink()
    prompt = await runner.render(chat("Tell a very long story about a dragon."))
    runner.start(Job(id=1, prompt=prompt, options={"num_predict": 900}), sink)
    await asyncio.wait_for(sink.first.wait(), 60)
    assert runner.alive
    os.kill(runner._process.pid, signal.SIGKILL)
    with pytest.raises(EngineFailure, match="unexpected EOF"):
        await asyncio.wait_for(sink.ended, 60)
    assert not runner.alive
    with pytest.raises(EngineFailure, match="model runner has unexpectedly stopped"):
        await runner.render(prompt=chat("x"))


async def test_unloading_ends_the_process(engine):
    card, *_ = engine.cards()
    runner = await engine.load(card, LoadOptions(num_ctx=512, parallel=1))
    await runner.unload()
    assert not runner.alive
    await runner.unload()
