"""Tables of prompts: columns by other names, separators and encodings."""

from pathlib import Path

import pytest

from bench.scenario.encodings import decoded
from bench.scenario.promptfile import read_prompt_file, reading_notes

COLUMNS = {"prompt": "question", "output_tokens": "length"}


def write(tmp_path: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_separators_and_other_columns(tmp_path, mark):
    rows = (("no", "question", "length"), ("1", '"a, b; c"', "30"), ("2", "d", ""))
    path = write(tmp_path, "q.csv", "\r\n".join(mark.join(row) for row in rows))
    wanted = ({"prompt": "a, b; c", "output_tokens": 30}, {"prompt": "d"})
    assert read_prompt_file(path, columns=COLUMNS) == wanted


def test_jsonl_with_columns(tmp_path):
    path = write(tmp_path, "q.jsonl", '{"question": "a", "topic": "x", "length": 3}\n')
    assert read_prompt_file(path, columns=COLUMNS) == ({"prompt": "a", "output_tokens": 3},)


@pytest.mark.parametrize("name", ["q.csv", "q.jsonl"])
def test_a_column_that_is_not_there(tmp_path, name):
    text = "a,b\n1,2\n" if name.endswith("csv") else '{"a": 1, "b": 2}\n'
    with pytest.raises(ValueError, match=rf"{name}:1: .*question.* a, b"):
        read_prompt_file(write(tmp_path, name, text), columns=COLUMNS)


CHINESE = "prompt\n请写一首关于大海的诗，并说明它的意思。\n我们今天去哪里吃饭？\n"
GERMAN = "prompt\nWie groß ist ein Boot für zwei? 5 €\n"


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        (CHINESE, "utf-8", ""),
        (CHINESE, "utf-8-sig", ""),
        (CHINESE, "utf-16", "UTF-16"),
        (CHINESE, "utf-16-le", "UTF-16-LE"),
        (GERMAN, "utf-16-be", "UTF-16-BE"),
        (CHINESE, "gbk", "GBK"),
        (GERMAN, "cp1252", "Windows-1252"),
    ],
)
def test_encodings_are_found_and_said(tmp_path, text, encoding, said):
    if encoding in ("utf-16-le", "utf-16-be") and text is CHINESE:
        text = "prompt\nWrite a poem about the sea: 大海\n"  # without a mark only zeros tell it
    path = write(tmp_path, "q.csv", text, encoding)
    assert read_prompt_file(path)[0]["prompt"] == text.splitlines()[1]
    notes = "; ".join(reading_notes(path))
    assert said in notes and bool(said) == bool(notes)


def test_an_encoding_that_was_given(tmp_path):
    path = write(tmp_path, "q.csv", "prompt\nПривет\n", "koi8-r")
    assert read_prompt_file(path, encoding="koi8-r") == ({"prompt": "Привет"},)
    with pytest.raises(ValueError, match=r"q\.csv:2: is not text in utf-8"):
        read_prompt_file(path, encoding="utf-8")
    with pytest.raises(ValueError, match="no encoding 'klingon'"):
        read_prompt_file(path, encoding="klingon")


def test_bytes_that_are_no_text():
    with pytest.raises(ValueError, match="x is not text"):
        decoded(bytes(range(256)) * 4, "x")
