"""Where models are asked: ends of words, far enough into texts that do not overlap."""

from __future__ import annotations

import json

import pytest

from bench.errors import UsageError
from bench.scenario.word_ends import forced_texts, identity


@pytest.mark.parametrize("sources", [("en", "code"), ("de",), ("es",), ("en",)])
def test_places_are_before_blanks_and_eight_words_in(sources):
    for text in forced_texts(sources):
        assert list(text.cuts) == sorted(set(text.cuts)) and len(text.cuts) <= 8
        for cut in text.cuts:
            assert text.text[cut].isspace() and not text.text[cut - 1].isspace()
            assert len(text.text[:cut].split()) >= 8


def test_chinese_is_cut_before_punctuation():
    texts = forced_texts(("zh",))
    assert len(texts) >= 8
    for text in texts:
        assert all(text.text[cut] in "。，、；：！？\n " for cut in text.cuts)


def test_the_default_is_sixty_texts_of_both_kinds_that_do_not_overlap():
    texts = forced_texts()
    assert len(texts) == 60 and {t.kind for t in texts} == {"en", "code"}
    assert sum(len(t.cuts) for t in texts) == 480
    for kind in ("en", "code"):
        starts = [t.text[:60] for t in texts if t.kind == kind]
        joined = "\n\n".join(t.text for t in texts if t.kind == kind)
        assert all(joined.count(start) == 1 for start in starts)


@pytest.mark.parametrize("sources", [("en", "code"), ("de",)])
def test_places_are_near_together_for_what_lies_between_has_to_be_read(sources):
    """The eight words at the start, then two words a place; each place reads what is new."""
    for text in forced_texts(sources):
        assert len(text.text[: text.cuts[-1]].split()) <= 8 + 2 * 8


def test_a_long_text_is_asked_about_its_start_only(tmp_path):
    words = " ".join(f"word{i}" for i in range(150))
    (tmp_path / "long.txt").write_text(f"{words}\n\n{words} again")
    for text in forced_texts((str(tmp_path / "long.txt"),)):
        assert len(text.cuts) == 8 and text.cuts[-1] < 200


def test_texts_with_all_their_places_come_first(tmp_path):
    line = "The old bridge over the river was closed for two long winters. "
    (tmp_path / "own.txt").write_text("\n\n".join([line] * 70 + [line * 2] * 60))
    assert {len(t.cuts) for t in forced_texts((str(tmp_path / "own.txt"),))} == {8}


def test_quick_is_a_quarter():
    texts = forced_texts(quick=True)
    assert len(texts) == 15 and sum(len(t.cuts) for t in texts) == 120


def test_the_seed_decides():
    assert forced_texts(seed=1) == forced_texts(seed=1)
    assert identity(forced_texts(seed=1)) == identity(forced_texts(seed=1))
    assert identity(forced_texts(seed=1)) != identity(forced_texts(seed=2))


def test_own_texts(tmp_path):
    sentence = "The old bridge over the river was closed for two long winters. " * 3
    paragraphs = tmp_path / "letters.txt"
    paragraphs.write_text(f"First. {sentence}\n\nSecond. {sentence}\n\nToo short.")
    lines = tmp_path / "notes.jsonl"
    lines.write_text(f"{json.dumps('Third. ' + sentence)}\n")
    texts = forced_texts((str(paragraphs), str(lines)))
    assert sorted((t.kind, t.text.split()[0]) for t in texts) == [
        ("letters", "First."),
        ("letters", "Second."),
        ("notes", "Third."),
    ]


def test_a_file_without_blank_lines_has_a_text_a_line(tmp_path):
    line = "The old bridge over the river was closed for two long winters in a row.\n"
    (tmp_path / "lines.txt").write_text(line * 3)
    assert len(forced_texts((str(tmp_path / "lines.txt"),))) == 3


def test_single_lines_with_a_stray_blank_one_are_paragraphs(tmp_path):
    line = "The old bridge over the river was closed for two long winters in a row.\n"
    (tmp_path / "odd.txt").write_text(f"{line * 4}\n{line * 4}")
    assert len(forced_texts((str(tmp_path / "odd.txt"),))) == 2


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ((), "--texts names no text"),
        (("klingon",), "--texts klingon: no such file, and no shipped text"),
        (("short.txt",), "no text in it is long enough"),
        (("one.txt",), "one text alone has no interval"),
        (("bad.jsonl",), "bad.jsonl:1: is not JSON"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, monkeypatch, sources, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "short.txt").write_text("Only three words.\n\nAnd three more.")
    (tmp_path / "one.txt").write_text("one two three four five six seven eight nine ten eleven")
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(UsageError) as raised:
        forced_texts(sources)
    assert said in str(raised.value)
