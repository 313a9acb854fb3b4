"""In which order a run asks its models, and that it asks nothing twice."""

from __future__ import annotations

import json

import httpx
import pytest
from mock_server import mock_control

from bench.commands.fidelity import begin
from bench.errors import NotComparable
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
            return httpx.Response(200, json={"capabilities": ["completion"]})
        if path != "/api/generate":
            said = {"/api/version": {"version": "0.32.15"}, "/api/ps": {"models": []}}
            return httpx.Response(200, json=said.get(path, {"models": []}))
        what = "load"
        if body.get("keep_alive") == 0:
            what = "unload"
        elif "prompt" in body:
            what = "place" if body.get("raw") else "question"
        asked.append((model, what))
        listed = [{**e, "token": f"{e['token']}x"} for e in LISTED] if model == "other" else LISTED
        entry = {"token": " t0", "logprob": -1.0, "top_logprobs": listed}
        reply = {"response": " t0", "done_reason": "length", "logprobs": [entry]}
        if model == "other" and body.get("prompt") == TEXTS[0].text[: TEXTS[0].cuts[3]]:
            reply = {"response": "", "done_reason": "stop"}
        reply["prompt_eval_count"] = len(body.get("prompt", "")) // 2
        return httpx.Response(200, json=reply)

    return mock_control("http://x", answer)


async def ran(server, tmp_path, *models):
    sides = [await describe_side(server, m, m) for m in models]
    directory = RunDirectory.create(tmp_path, "fidelity")
    await begin(directory, tuple(sides), TEXTS, 7, lambda side: server, lambda *told: None)
    return [(r.side, r.text) for r in read_places(directory.path)]


def each(side, *texts):
    return [(side, text) for text in texts for _ in range(8)]


async def test_candidates_are_tried_first_and_asked_nothing_twice(server, asked, tmp_path):
    async with server:
        places = await ran(server, tmp_path, "ref", "q8", "q4")
    assert places == [
        *each(1, 0, 1),
        *each(2, 0, 1),
        *each(0, 0, 1, 2),
        *each(-1, 0, 1, 2),
        *each(1, 2),
        *each(2, 2),
    ]
    changes = [each_ for each_ in asked if each_[1] in ("load", "unload")]
    # Each one that is tried makes room again before the next is loaded.
    assert changes.index(("q8", "unload")) < changes.index(("q4", "load"))
    assert changes.index(("q4", "unload")) < changes.index(("ref", "load"))
    assert [m for m, what in asked if what == "question"].count("q8") == 7


async def test_another_vocabulary_described_alike_is_refused_before_the_reference_is_read(
    server, asked, tmp_path
):
    """One place of the first text has no list, as where the end of text is likeliest."""
    async with server:
        with pytest.raises(NotComparable, match="other has another vocabulary than ref"):
            await ran(server, tmp_path, "ref", "q8", "other")
    (path,) = tmp_path.iterdir()
    places = [(r.side, r.text) for r in read_places(path)]
    assert places == [*each(1, 0, 1), *each(2, 0, 1), *each(0, 0, 1)]
    assert not [m for m, what in asked if what == "question"]
