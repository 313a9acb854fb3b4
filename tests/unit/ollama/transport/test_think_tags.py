from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.ollama.think_tags import ThinkTags, split_think_tags


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        ("", "", ""),
        ("Hello", "", "Hello"),
        ("<think>a</think>b", "a", "b"),
        (" \n<think>a</think>\n\nb ", "a", "b "),
        ("<think></think>b", "", "b"),
        ("<think>never closed", "never closed", ""),
        ("<think>a</thin", "a</thin", ""),
        ("<think>a</think>", "a", ""),
        ("say <think>a</think>", "", "say <think>a</think>"),
        ("<thinking>a", "", "<thinking>a"),
        ("  ", "", "  "),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<think>a</</think>b", "a</", "b"),
    ],
)
def test_split(text: str, thinking: str, answer: str) -> None:
    assert split_think_tags(text) == (thinking, answer)


TAGGY = st.text(alphabet="<>/think ab\n", max_size=40) | st.builds(
    "{}<think>{}</think>{}".format, *[st.text(alphabet=" \n<>/thinkx", max_size=12)] * 3
)


@given(text=TAGGY, data=st.data())
def test_cutting_does_not_matter(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    tags, thinking, answer = ThinkTags(), "", ""
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        t, a = tags.feed(text[start:end])
        thinking, answer = thinking + t, answer + a
    t, a = tags.end()
    assert (thinking + t, answer + a) == split_think_tags(text)
