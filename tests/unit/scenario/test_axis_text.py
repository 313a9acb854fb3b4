"""Names of cases show what a list or a mapping of a matrix holds."""

import pytest

from bench.scenario.matrix import axis_text

LONG = ["</answer>", "<|end_of_sentence|>", "###", "User:"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (["END", "###"], "[END, ###]"),
        (["\n\n"], r'["\n\n"]'),
        (["a, b"], '["a, b"]'),
        ([], "[]"),
        ([1, 2, 3], "[1, 2, 3]"),
        ([512, 384], "512x384"),
        ({"passages": 3, "tokens": 200}, "passages 3, tokens 200"),
    ],
)
def test_a_list_is_named_by_what_it_holds(value, text):
    assert axis_text(value) == text


def test_a_long_list_is_cut_and_still_told_apart():
    texts = {axis_text(LONG), axis_text([*LONG, "x"]), axis_text([*LONG, "y"])}
    assert len(texts) == 3
    assert all(t.startswith("[</answer>, <|end") and len(t) <= 40 for t in texts)


def test_values_with_other_spaces_have_other_names():
    values = [["\n"], ["\n\n"], [" "], [""], ["a b"], ["a", "b"], ["a, b"], ["[a]"], [["a"]]]
    assert len({axis_text(v) for v in values}) == len(values)
