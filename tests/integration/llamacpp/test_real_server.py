"""The real model behind the embedded server, over HTTP: next to the recordings of Ollama itself."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import client_checks
import httpx
import ollama
import pytest

from bench.errors import EngineError
from bench.server.embedded import EmbeddedServer, start_server

pytestmark = pytest.mark.real_engine

RECORDINGS = Path(__file__).parents[2] / "recordings" / "ollama-0.32.15"
MODEL = "smollm2:135m"


@pytest.fixture(scope="module")
def server(demo_model_file) -> Iterator[EmbeddedServer]:
    with start_server("llama.cpp", num_parallel=2, threads=1, max_loaded=1) as server:
        yield server


@pytest.fixture(scope="module")
def client(server) -> Iterator[ollama.Client]:
    client = ollama.Client(server.url, timeout=120)
    yield client
    client._client.close()


def replayed(server, name):
    """(recorded lines, our lines) of the same request."""
    exchange = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    request, response = exchange["request"], exchange["response"]
    body = request["body"] | {"model": MODEL}
    reply = httpx.request(request["method"], server.url + request["path"], json=body, timeout=120)
    assert reply.status_code == response["status"]
    recorded = "".join(chunk["data"] for chunk in response["chunks"])
    return [
        [json.loads(line) for line in text.splitlines() if line] for text in (recorded, reply.text)
    ]


def shape(value):
    """Keys in their order, and types, of a reply."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    return type(value).__name__


@pytest.mark.parametrize(
    "name",
    [
        "chat-stream",
        "chat-emoji",
        "chat-one-token",
        "chat-logprobs",
        "generate-stream",
        "generate-raw",
    ],
)
def test_a_stream_cut_by_its_limit_is_like_ollamas(server, name):
    theirs, ours = replayed(server, name)
    assert shape(ours[0]) == shape(theirs[0])
    assert shape(ours[-1]) == shape(theirs[-1])
    last = ours[-1]
    for field in ("done_reason", "prompt_eval_count", "eval_count"):
        assert last[field] == theirs[-1][field]
    assert last["total_duration"] >= last["prompt_eval_duration"] + last["eval_duration"]
    # One chunk for each token that completes a character, and the done line.
    assert 2 <= len(ours) <= last["eval_count"] + 1


@pytest.mark.parametrize(
    "name", ["chat-nonstream", "generate-nonstream", "chat-one-token-nonstream"]
)
def test_a_reply_in_one_piece_is_like_ollamas(server, name):
    (theirs,), (ours,) = replayed(server, name)
    assert shape(ours) == shape(theirs)
    assert ours["prompt_eval_count"] == theirs["prompt_eval_count"]


def test_a_prompt_over_the_context_is_refused_like_ollamas(server):
    (theirs,), (ours,) = replayed(server, "chat-long-prompt-truncate-false")
    assert ours == theirs


def test_a_prompt_over_the_context_is_cut_like_ollamas(server):
    theirs, ours = replayed(server, "chat-long-prompt-truncated")
    assert ours[-1]["prompt_eval_count"] == theirs[-1]["prompt_eval_count"]


def test_what_is_said_of_the_model_is_what_ollama_says(server):
    (theirs,), (ours,) = replayed(server, "show")
    assert ours["model_info"] == theirs["model_info"]
    assert ours["tensors"] == theirs["tensors"]
    assert ours["capabilities"] == theirs["capabilities"]
    for field in ("format", "family", "families", "parameter_size", "quantization_level"):
        assert ours["details"][field] == theirs["details"][field]


def test_embeddings_are_refused_like_ollamas(server, client):
    theirs, ours = replayed(server, "embed")
    assert ours == theirs
    with pytest.raises(ollama.ResponseError, match="does not support embeddings") as caught:
        client.embed(MODEL, "hello")
    assert caught.value.status_code == 501


def test_the_official_client_lists_shows_and_chats(server, client):
    models = client.list().models
    assert {m.model for m in models} == {MODEL, "smollm2-tools:135m", "smollm2-embed:135m"}
    (listed,) = [m for m in models if m.model == MODEL]
    assert listed.details.quantization_level == "Q4_1"
    shown = client.show(MODEL)
    assert shown.modelinfo["general.architecture"] == "llama"
    options = {"temperature": 0, "num_predict": 8}
    messages = [{"role": "user", "content": "Why is the sky blue?"}]
    chunks = list(client.chat(MODEL, messages, stream=True, options=options))
    assert "".join(c.message.content for c in chunks).startswith("The sky")
    assert chunks[-1].done_reason == "length"
    whole = client.chat(MODEL, messages, options=options)
    assert whole.message.content.startswith("The sky")
    assert whole.eval_count == 8
    generated = client.generate(MODEL, "Once upon a", raw=True, options=options)
    assert generated.response
    (loaded,) = client.ps().models
    assert loaded.size_vram == 0
    assert loaded.size > listed.size


def test_the_official_client_gets_its_typed_error(client):
    with pytest.raises(ollama.ResponseError, match="not found") as caught:
        client.chat("no-such-model", [{"role": "user", "content": "x"}])
    assert caught.value.status_code == 404


async def test_the_asynchronous_client_does_all_of_it(demo_model_file):
    with start_server("llama.cpp", num_parallel=2, threads=1) as server:
        await client_checks.check_asynchronous(server.url, MODEL)


def test_it_cannot_be_mistaken_for_ollama(server):
    reply = httpx.get(f"{server.url}/api/version")
    assert "llama.cpp" in reply.json()["version"]
    assert reply.headers["X-Ollama-Bench-Engine"].startswith("llama.cpp (xllamacpp ")
    assert not server.simulated


def test_other_load_options_make_it_load_again(server, client):
    options = {"temperature": 0, "num_predict": 2, "num_ctx": 512}
    client.generate(MODEL, "hello", options=options)
    (before,) = client.ps().models
    reply = client.generate(MODEL, "hello", options=options | {"num_ctx": 768})
    (after,) = client.ps().models
    assert (before.context_length, after.context_length) == (512, 768)
    assert after.size > before.size
    assert reply.load_duration > 50_000_000  # a process was started; warm it is under 5 ms


def test_more_requests_than_slots_wait_for_their_turn(server):
    """Two slots, four equal requests: two waves, and the wait shows in total_duration only."""
    body = {"model": MODEL, "stream": False, "options": {"num_predict": 30, "temperature": 0}}
    httpx.post(f"{server.url}/api/generate", json=body | {"prompt": ""}, timeout=120)

    def ask(number):
        prompt = f"{number}. Tell me a long story about a dragon."
        url = f"{server.url}/api/generate"
        return httpx.post(url, json=body | {"prompt": prompt}, timeout=120).json()

    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(ask, range(4)))
    work = [r["prompt_eval_duration"] + r["eval_duration"] for r in replies]
    waits = sorted(
        r["total_duration"] - r["load_duration"] - w for r, w in zip(replies, work, strict=True)
    )
    assert waits[1] < 0.5 * min(work)
    assert waits[2] > 0.5 * min(work)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the model"),
        (b"hello", "is not a GGUF file"),
        (b"GGUF and no more", "is damaged or cut off"),
    ],
)
def test_a_bad_model_file_is_one_clear_message(tmp_path, content, message):
    path = tmp_path / "bad.gguf"
    if content is not None:
        path.write_bytes(content)
    with (
        pytest.raises(EngineError, match=message) as caught,
        start_server("llama.cpp", models=[path]),
    ):
        pass
    assert "bad.gguf" in caught.value.message


def test_without_the_extra_the_pip_command_is_named(tmp_path):
    """A Python that hides the packages of the extra, as if they had never been installed."""
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda n, p=None: None if n in ('xllamacpp', 'gguf') else real(n, p)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "bench", "serve", "--engine", "llama.cpp", "--port", "0"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the llama.cpp engine is not installed" in done.stderr
    assert 'pip install "ollama-bench[demo]"' in done.stderr
    assert "Traceback" not in done.stderr
