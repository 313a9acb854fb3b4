"""Thinking and answer come apart in the same way, however the text was cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.server.llamacpp.thinking import ThinkingSplitter

CASES = [
    ("<think>\nhm\n</think>\n\nYes.", "hm", "Yes."),
    ("  <think>a b</think>c d", "a b", "c d"),
    ("plain answer", "", "plain answer"),
    ("<thinker> is no tag", "", "<thinker> is no tag"),
    ("answer with <think>inside</think>", "", "answer with <think>inside</think>"),
    ("<think>never closed", "never closed", ""),
    ("<think>a </thin b</think>c", "a </thin b", "c"),
    ("<think></think>c", "", "c"),
    ("<think>a</think>b</think>c", "a", "b</think>c"),
    ("<think>想一想</think>天空 🦙", "想一想", "天空 🦙"),
    ("<thi", "", "<thi"),
    ("", "", ""),
]


def split(pieces, *, opened=False):
    splitter = ThinkingSplitter(opened=opened)
    parts = [splitter.feed(piece) for piece in pieces] + [splitter.flush()]
    return "".join(t for t, _ in parts), "".join(a for _, a in parts)


@pytest.mark.parametrize(("text", "thinking", "answer"), CASES)
def test_whole_text(text, thinking, answer):
    assert split([text]) == (thinking, answer)


@given(case=st.sampled_from(CASES), data=st.data())
def test_any_cutting_gives_the_same(case, data):
    text, thinking, answer = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert split(pieces) == (thinking, answer)


def test_a_prompt_that_opened_the_tag():
    assert split(["\nhm", "</think>", "\nYes"], opened=True) == ("hm", "Yes")


def test_text_is_not_held_back_longer_than_needed():
    splitter = ThinkingSplitter()
    assert splitter.feed("<think>") == ("", "")
    assert splitter.feed("one") == ("one", "")
    assert splitter.feed(" two") == (" two", "")
    assert splitter.feed(" </th") == ("", "")
    assert splitter.feed("ink>A") == ("", "A")
    assert splitter.feed("nd") == ("", "nd")
