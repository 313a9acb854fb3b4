"""Files as they come: packed, cut, in other encodings, of several formats, or none."""

import contextlib
import gzip
import json
import os
import threading
from pathlib import Path

import pytest
from session_rows import read_rows, said

from bench.scenario.session_files import opening, read_sessions
from bench.scenario.session_files.formats import FORMAT_NAMES

ROW = {"messages": [{"role": "user", "content": "Größe?"}]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("indent", [None, 1])
def test_encodings_and_documents(tmp_path, encoding, indent):
    path = tmp_path / "x"
    path.write_bytes(json.dumps([ROW, ROW], indent=indent, ensure_ascii=False).encode(encoding))
    file = read_sessions(path)
    assert [s.id for s in file.sessions] == ["item 1", "item 2"]
    assert file.sessions[0].steps[0].added[0]["content"] == "Größe?"
    assert ("UTF-16" in said(file)) == (encoding == "utf-16")


def test_a_name_says_nothing(tmp_path):
    for name in ("mooncake.csv", "a.txt", "x"):
        assert read_rows(tmp_path, ROW, name=name).format == "messages"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04rest", "zip archive: unpack it"),
        (b"PAR1rest", "Parquet"),
        (b"SQLite format 3\0rest", "SQLite database: export"),
        (b"(\xb5/\xfdrest", "zstd"),
        (b"[]", "is an empty list"),
        (b'{"session_id": "a", "turns": [{"messages": [], "forks": ["b"]}]}', "aiperf's DAG"),
        (b"[1]", "item 1: is 1, not an object"),
        (b'{"a": 1}\n3\n', "x:2: is 3, not an object"),
        (b'{"a": 1}\n{"a": \n{"a": 2}\n', "x:2: is not JSON"),
        (b"hello", "is neither JSON nor CSV"),
        (b"a,b\n1,2,3\n", "x:2: more fields than columns"),
        (b"a,b,a\n1,2,3\n", "x:1: two columns are called 'a'"),
        (b'a,b\n1,"2\n', "x:2: unexpected end of data"),
        (
            b'{"what": 1, "else": 2}\n',
            "x:1: no known format of sessions; its fields are else",
        ),
    ],
)
def test_what_is_no_file_of_sessions(tmp_path, content, why):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_sessions(path)
    assert why in str(error.value)


def test_a_packed_file_that_was_cut(tmp_path):
    path = tmp_path / "x.gz"
    rows = "".join(f"{json.dumps({**ROW, 'n': n * 7919})}\n" for n in range(2000))
    path.write_bytes(gzip.compress(rows.encode())[:-500])
    file = read_sessions(path)
    assert 0 < len(file.sessions) < 2000
    assert "ends in the middle of its packed data" in said(file)


def test_two_formats_in_one_file(tmp_path):
    other = {"conversations": [{"from": "human", "value": "Hi"}]}
    with pytest.raises(ValueError, match=r"t\.jsonl:2: looks like sharegpt .* like messages"):
        read_rows(tmp_path, ROW, other)
    with pytest.raises(ValueError, match=r"t\.jsonl:61: is no row of messages .* it has x"):
        read_rows(tmp_path, *[ROW] * 60, {"x": 1})


def test_files_of_a_pattern_have_one_format_and_one_clock(tmp_path):
    def row(second):
        at = f"2026-06-01T08:00:{second:02d}Z"
        return {"messages": [{"role": "user", "content": "Hi", "timestamp": at}]}

    read_rows(tmp_path, row(30), name="a.jsonl")
    read_rows(tmp_path, row(10), name="b.jsonl")
    file = read_sessions(tmp_path / "*.jsonl")
    assert [(s.id, s.start_s) for s in file.sessions] == [("line 1 (2)", 0.0), ("line 1", 20.0)]
    other = {"conversations": [{"from": "human", "value": "Hi"}]}
    read_rows(tmp_path, other, name="c.jsonl")
    with pytest.raises(ValueError, match=r"c\.jsonl is sharegpt, a\.jsonl is messages"):
        read_sessions(tmp_path / "*.jsonl")
    with pytest.raises(ValueError, match="no file matches"):
        read_sessions(tmp_path / "*.json")


def test_an_unknown_format_lists_those_there_are(tmp_path):
    with pytest.raises(ValueError, match="format 'wecka' is unknown; known: auto, record") as error:
        read_rows(tmp_path, ROW, format="wecka")
    assert all(name in str(error.value) for name in FORMAT_NAMES)


def test_sizes_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "MOST_DOCUMENT", 1 << 20)
    monkeypatch.setattr(opening, "MOST_LINE", 1 << 20)
    long = {"messages": [{"role": "user", "content": "x" * 3_000_000}]}
    with pytest.raises(ValueError, match="a line of more than"):
        read_rows(tmp_path, long)
    with pytest.raises(ValueError, match="in one document"):
        read_rows(tmp_path, json.dumps([long]))


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="this system has no /dev/fd")
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_all_lines_of_a_pipe_are_read(monkeypatch, pack):
    monkeypatch.setattr(opening, "MOST_DOCUMENT", 1000)
    reads, writes = os.pipe()
    content = pack("".join(f"{json.dumps({**ROW, 'n': n})}\n" for n in range(200)).encode())
    with os.fdopen(writes, "wb") as pipe, contextlib.closing(os.fdopen(reads, "rb")):
        writer = threading.Thread(target=lambda: (pipe.write(content), pipe.close()))
        writer.start()
        assert len(read_sessions(Path(f"/dev/fd/{reads}")).sessions) == 200
        writer.join()
