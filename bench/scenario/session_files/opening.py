"""Opens a file of sessions: packed or not, one JSON document or one a line, whole or cut."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bench.files import open_file
from bench.scenario.encodings import decoded, encoding_of
from bench.scenario.session_files.rows import FileRow, Notes
from bench.scenario.trace_rows import cell_text, csv_table, parse_json
from bench.shown import all_shown, encodable

MOST_LINE = 64 * 2**20
MOST_DOCUMENT = 256 * 2**20
MOST_FILE = 2**31
"""Bytes of text that a line, a file that is one JSON document, and a file of lines may have."""

_PACKED = {
    b"PK\x03\x04": "a zip archive: unpack it; an export of ChatGPT holds conversations.json",
    b"PAR1": "a Parquet file: save it as JSONL, e.g. pandas.read_parquet(...).to_json(..., "
    "orient='records', lines=True)",
    b"(\xb5/\xfd": "packed with zstd: unpack it with zstd -d",
    b"SQLite format 3\0": "a SQLite database: export the chats from the program as JSON",
    b"BZh": "packed with bzip2: unpack it with bunzip2",
    b"\xfd7zXZ\0": "packed with xz: unpack it with unxz",
}


def read_rows(path: Path, notes: Notes) -> Generator[FileRow]:
    """The JSON objects of a file, one after another.

    A last line that ends in the middle of its JSON is left out, and that is said: it is what a
    killed recorder leaves behind.
    """
    try:
        with open_file(path) as raw:
            yield from _rows(path.name, raw, notes)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from None


def _rows(name: str, raw: io.BufferedReader, notes: Notes) -> Iterator[FileRow]:
    file = _Unpacked(name, raw, notes)
    head = file.peek()
    if not head.strip():
        raise ValueError(f"{name} is empty")
    for magic, what in _PACKED.items():
        if head.startswith(magic):
            raise ValueError(f"{name} is {what}")
    encoding = encoding_of(head, whole=False)
    if encoding not in ("utf-8", "utf-8-sig"):
        text = decoded(file.rest(MOST_DOCUMENT), name)
        notes.say(f"its text is encoded in {text.encoding}")
        file = _Unpacked(name, io.BufferedReader(io.BytesIO(text.text.encode())), notes)
        head = file.peek()
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] not in (b"{", b"["):
        yield from _table(name, file.rest(MOST_DOCUMENT))
    elif start[:1] == b"[" or not _is_line(start):
        yield from _document(name, file.rest(MOST_DOCUMENT))
    else:
        yield from _lines(name, file, notes)


def _is_line(start: bytes) -> bool:
    """Whether the first line is a JSON object of its own, or at least does not end open."""
    line, end, after = start.partition(b"\n")
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # A first line that reaches beyond what was looked at is a long one, not a document.
        return not end and len(start) >= _PEEK // 2
    return not after.lstrip().startswith((b"]", b"}", b","))


_PEEK = 65536


class _Unpacked:
    """The bytes of a file, unpacked if they are packed, and bounded.

    Data that ends too early is noted.
    """

    def __init__(self, name: str, raw: io.BufferedReader, notes: Notes) -> None:
        self._name, self._notes = name, notes
        packed = raw.peek(2).startswith(b"\x1f\x8b")
        self._file: BinaryIO = gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[assignment]
        self._ahead = self._read(_PEEK)

    def peek(self) -> bytes:
        """The first bytes."""
        return self._ahead

    def rest(self, most: int) -> bytes:
        """All bytes."""
        parts, size = [self._ahead], len(self._ahead)
        while part := self._read(1 << 20):
            parts.append(part)
            size += len(part)
            if size > most:
                raise ValueError(
                    f"{self._name} holds more than {most >> 20:,} MiB in one document: "
                    "save it as JSONL, one session a line, or cut it"
                )
        return b"".join(parts)

    def lines(self) -> Iterator[bytes]:
        """Its lines with their ends: at LF only, since U+2028 may stand inside a string."""
        left, seen = self._ahead, len(self._ahead)
        while True:
            *whole, left = left.split(b"\n")
            for line in whole:
                yield line + b"\n"
            part = self._read(1 << 20)
            seen += len(part)
            if len(left) > MOST_LINE:
                raise ValueError(f"{self._name} has a line of more than {MOST_LINE >> 20} MiB")
            if seen > MOST_FILE:
                raise ValueError(f"{self._name} holds more than {MOST_FILE >> 30} GiB: cut it")
            if not part:
                break
            left += part
        if left:
            yield left

    def _read(self, size: int) -> bytes:
        try:
            read: bytes = self._file.read(size)
        except EOFError:
            self._notes.say(f"{self._name} ends in the middle of its packed data (cut)")
            return b""
        return read


def _lines(name: str, file: _Unpacked, notes: Notes) -> Iterator[FileRow]:
    for number, line in enumerate(file.lines(), start=1):
        text = line.strip().removeprefix(b"\xef\xbb\xbf")
        if not text:
            continue
        try:
            value = _decoded_json(text, name, number)
        except ValueError:
            if not line.endswith(b"\n"):
                notes.say(
                    f"{name}: line {number} is cut (incomplete JSON): left out, as what was being "
                    "written when the recording ended"
                )
                return
            raise
        yield _row(name, f"line {number}", value)


def _document(name: str, content: bytes) -> Iterator[FileRow]:
    value = _decoded_json(content.removeprefix(b"\xef\xbb\xbf"), name)
    items = value if isinstance(value, list) else [value]
    if not items:
        raise ValueError(f"{name} is an empty list")
    for number, item in enumerate(items, start=1):
        yield _row(name, f"item {number}", item)


def _row(name: str, label: str, value: Any) -> FileRow:
    if not isinstance(value, dict):
        raise FileRow(name, label, {}).wrong(f"is {cell_text(value)}, not an object")
    return FileRow(name, label, value)


def _table(name: str, content: bytes) -> Iterator[FileRow]:
    """The rows of a CSV file."""
    text = decoded(content, name).text
    names, rows = csv_table(name, io.StringIO(text, newline=""))
    if len(names) < 2:
        raise ValueError(f"{name} is neither JSON nor CSV: it begins with {text[:40]!r}")
    for line, cells in rows:
        yield FileRow(name, f"line {line}", cells)


def _decoded_json(text: bytes, name: str, line: int = 1) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Python's own takes halves of surrogate pairs, and says where it failed.
        return all_shown(parse_json(text, name, line), encodable)
