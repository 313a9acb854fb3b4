"""In which order a run asks its models, and that it asks nothing twice."""

from __future__ import annotations

import json

import httpx
import pytest
from mock_server import mock_control

from bench.commands.fidelity import begin
from bench.load.word_by_word import describe_side
from bench.results.directory import RunDirectory
from bench.results.fidelity_files import read_places
from bench.scenario.plan import ForcedText

TEXT = "one two three four five six seven eight nine ten eleven twelve"
TEXTS = tuple(ForcedText("en", f"{n} {TEXT}", tuple(range(10, 34, 3))) for n in range(3))
LISTED = [{"token": f" t{i}", "logprob": -1.0 - i / 4} for i in range(20)]


@pytest.fixture
def asked():
    """What the server was asked: (model, what)."""
    return []


@pytest.fixture
def server(asked):
    def answer(request):
        body = json.loads(request.content) if request.content else {}
        path, model = request.url.path, body.get("model")
        if path == "/api/show":
            pre = {"model_info": {"tokenizer.ggml.pre": model.partition("-")[0]}}
            return httpx.Response(200, json={"capabilities": ["completion"], **pre})
        if path != "/api/generate":
            said = {"/api/version": {"version": "0.32.15"}, "/api/ps": {"models": []}}
            return httpx.Response(200, json=said.get(path, {"models": []}))
        what = "load"
        if body.get("keep_alive") == 0:
            what = "unload"
        elif "prompt" in body:
            what = "place" if body.get("raw") else "question"
        asked.append((model, what))
        entry = {"token": " t0", "logprob": -1.0, "top_logprobs": LISTED}
        reply = {"response": " t0", "done_reason": "length", "logprobs": [entry]}
        reply["prompt_eval_count"] = len(body.get("prompt", "")) // 2
        return httpx.Response(200, json=reply)

    return mock_control("http://x", answer)


async def ran(server, tmp_path, *models):
    sides = [await describe_side(server, m, m) for m in models]
    directory = RunDirectory.create(tmp_path, "fidelity")
    await begin(directory, tuple(sides), TEXTS, 7, lambda side: server, lambda *told: None)
    return [(r.side, r.text) for r in read_places(directory.path)], sides


def each(side, *texts):
    return [(side, text) for text in texts for _ in range(8)]


async def test_alike_descriptions_are_measured_one_after_the_other(server, asked, tmp_path):
    async with server:
        places, _ = await ran(server, tmp_path, "a-ref", "a-q8")
    assert places == [*each(0, 0, 1, 2), *each(-1, 0, 1, 2), *each(1, 0, 1, 2)]
    assert [m for m, what in asked if what == "load"].count("a-q8") == 1


async def test_another_description_of_the_same_tokens_is_tried_first_and_asked_once(
    server, asked, tmp_path
):
    async with server:
        places, sides = await ran(server, tmp_path, "a-ref", "b-q8", "a-q4")
    assert sides[0].tokenizer == sides[2].tokenizer != sides[1].tokenizer
    assert places == [
        *each(1, 0),
        *each(0, 0, 1, 2),
        *each(-1, 0, 1, 2),
        *each(1, 1, 2),
        *each(2, 0, 1, 2),
    ]
    changes = [each_ for each_ in asked if each_[1] in ("load", "unload")]
    # The one that is tried makes room again before the reference is loaded.
    assert changes.index(("b-q8", "unload")) < changes.index(("a-ref", "load"))
    assert [m for m, what in asked if what == "question"].count("b-q8") == 7
