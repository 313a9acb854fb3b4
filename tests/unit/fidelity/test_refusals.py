"""Models and servers that have no next words to compare are refused, with the reason."""

from __future__ import annotations

import json

import httpx
import pytest
from mock_server import mock_control

from bench.errors import ModelError
from bench.load.word_by_word import ask_side, describe_side, turns
from bench.ollama.next_token import read_next_token
from bench.results.fidelity_files import FidelitySetup, Side
from bench.scenario.plan import ForcedText

SHOWN = {"details": {"quantization_level": "Q4_K_M"}, "capabilities": ["completion"]}


def control(shown=SHOWN, reply=None, version="0.32.15"):
    def answer(request):
        said = {
            "/api/version": {"version": version},
            "/api/tags": {"models": [{"name": "m:1b", "digest": "d", "size": 5}]},
            "/api/show": shown,
            "/api/generate": reply,
        }[request.url.path]
        return httpx.Response(200, content=json.dumps(said))

    return mock_control("http://x", answer)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"remote_host": "https://ollama.com:443", "remote_model": "m"}, "runs on ollama.com"),
        ({"capabilities": ["embedding"]}, "makes no text"),
        ({"modelfile": "FROM /blobs/1\nDRAFT /blobs/2\n"}, "drafts ahead"),
        ({"parameters": "draft_num_predict              4"}, "drafts ahead"),
    ],
)
async def test_a_model_without_next_words_is_refused(more, said):
    async with control(SHOWN | more) as c:
        with pytest.raises(ModelError, match=said):
            await describe_side(c, "m:1b", "m:1b")


async def test_a_draft_model_that_is_switched_off_is_no_hindrance():
    more = {"modelfile": "FROM /blobs/1\nDRAFT /blobs/2", "parameters": "draft_num_predict 0"}
    async with control(SHOWN | more) as c:
        side = await describe_side(c, "m:1b", "m:1b")
    assert (side.digest, side.quantization, side.size_bytes) == ("d", "Q4_K_M", 5)


async def test_a_cloud_model_is_told_by_its_name_too():
    async with control() as c:
        with pytest.raises(ModelError, match=r"runs on ollama\.com"):
            await describe_side(c, "m:1b-cloud", "m")


async def test_a_server_before_0_12_11_sends_no_list():
    """It knows no `logprobs` and answers as if nobody had asked for them."""
    reply = {"response": " the", "done": True, "done_reason": "length", "prompt_eval_count": 9}
    side = Side("m", "m:1b", "http://x", "0.12.10")
    text = ForcedText("en", "one two three four", (3, 7, 13))
    setup = FidelitySetup(1, "r", "", "0", (side, side), (text,), "i", 2048, 7, 60)
    kept = []
    async with control(reply=reply, version="0.12.10") as c:
        with pytest.raises(ModelError, match=r"0\.12\.10\) sends no log-probabilities") as raised:
            await ask_side(c, setup, 0, (), kept.append)
    assert "They came with Ollama 0.12.11" in str(raised.value)


def test_the_end_of_a_text_has_no_list_and_is_no_refusal():
    said = {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 9}
    found = read_next_token(json.dumps(said).encode())
    assert (found.tokens, found.missing) == ((), "end of text likeliest")


@pytest.mark.parametrize(("places", "tried"), [(12, 2), (8, 2), (3, 3), (20, 1)])
def test_every_candidate_is_tried_before_anything_else(places, tried):
    """However alike their descriptions are; at sixteen places, so that eight surely have a list."""
    sides = tuple(Side(str(i), "m", "http://x") for i in range(3))
    texts = (ForcedText("en", "x", tuple(range(places))),) * 3
    setup = FidelitySetup(1, "r", "", "0", sides, texts, "i", 2048, 7, 60)
    first = [(side, text) for side in (1, 2) for text in range(tried)]
    assert list(turns(setup)) == [*first, (0, None), (-1, None), (1, None), (2, None)]
