"""What simulated models say, and how text is cut into tokens."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.simulation.profile import load_profile
from bench.simulation.text import Part, Utterance, utter
from bench.simulation.tokens import pieces, tokenize

MODELS = {model.name: model for model in load_profile("test").models}
SMALL, THINK, CHINESE = (MODELS[f"sim-{n}:latest"] for n in ("small", "think", "zh"))


def said(utterance: Utterance, part: Part = Part.ANSWER) -> str:
    return "".join(token.text for token in utterance.tokens if token.part is part)


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


@given(st.text(), st.text())
def test_equal_texts_have_equal_tokens(text: str, rest: str) -> None:
    assert tokenize(text) == tokenize(text)
    shared = len(tokenize(text + "\n<|im_start|>"))
    assert (
        tokenize(text + "\n<|im_start|>" + rest)[: shared - 1]
        == tokenize(text + "\n<|im_start|>")[: shared - 1]
    )


def test_a_chinese_character_is_a_token() -> None:
    assert pieces("你好,world") == ["你", "好", ",", "world"]
    assert pieces("<|im_start|>user\n") == ["<|im_start|>", "user", "\n"]


@pytest.mark.parametrize("model", [SMALL, THINK, CHINESE])
@pytest.mark.parametrize("limit", [1, 2, 5, 17, 1000])
def test_an_utterance_keeps_its_limit_and_ends_by_itself_or_not(model, limit: int) -> None:
    think = "thinking" in model.capabilities
    utterance = utter(model, "a prompt", limit=limit, seed=1, think=think)
    assert 1 <= len(utterance.tokens) <= limit
    ended = utterance.tokens[-1].part is Part.END
    assert ended == utterance.stopped
    assert utterance.stopped or len(utterance.tokens) == limit
    assert limit < 1000 or utterance.stopped


def test_lengths_follow_the_profile() -> None:
    lengths = sorted(len(utter(SMALL, str(i), limit=10**6, seed=1).tokens) for i in range(2000))
    assert lengths[1000] == pytest.approx(SMALL.output_tokens.median, rel=0.06)
    assert lengths[1900] == pytest.approx(SMALL.output_tokens.p95, rel=0.08)


def test_prompt_and_seed_decide() -> None:
    assert utter(SMALL, "a", limit=50, seed=1) == utter(SMALL, "a", limit=50, seed=1)
    assert utter(SMALL, "a", limit=50, seed=1) != utter(SMALL, "a", limit=50, seed=2)
    assert utter(SMALL, "a", limit=50, seed=None) != utter(SMALL, "b", limit=50, seed=None)


def test_a_shorter_limit_gives_the_beginning() -> None:
    long, short = (utter(SMALL, "a", limit=n, seed=1) for n in (20, 8))
    assert short.tokens == long.tokens[:8]


def test_thinking_comes_first_and_ends_with_a_mark() -> None:
    parts = [t.part for t in utter(THINK, "why", limit=10**6, seed=1, think=True).tokens]
    mark = parts.index(Part.END_OF_THINKING)
    assert set(parts[:mark]) == {Part.THINKING}
    assert set(parts[mark + 1 : -1]) == {Part.ANSWER}


def test_stop_sequences() -> None:
    whole = utter(SMALL, "a", limit=30, seed=1)
    text = said(whole)
    for begin in range(len(text) - 5):
        stop = text[begin : begin + 5]
        cut = whole.until(["not there", stop])
        assert said(cut) == text[: text.index(stop)]
        assert cut.stopped
        spent = "".join(t.text for t in whole.tokens[: len(cut.tokens)])
        assert stop in spent
    assert whole.until(["not there"]) is whole


def test_json_and_schemas() -> None:
    assert isinstance(json.loads(said(utter(SMALL, "a", limit=500, seed=1, form="json"))), dict)
    schema = {
        "type": "object",
        "properties": {
            "kind": {"enum": ["x", "y"]},
            "items": {"type": "array", "items": {"type": "number"}},
            "ok": {"type": "boolean"},
            "none": {"type": "null"},
        },
    }
    value = json.loads(said(utter(SMALL, "a", limit=500, seed=1, form=schema)))
    assert value["kind"] in ("x", "y")
    assert all(isinstance(item, float) for item in value["items"])
    assert value["ok"] is True
    assert value["none"] is None


def test_a_repeated_word_is_repeated_for_ever() -> None:
    utterance = utter(SMALL, " ".join(["buffalo"] * 60), limit=50, seed=1)
    assert said(utterance) == " buffalo" * 50
