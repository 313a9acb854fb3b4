"""The rows of a trace file: CSV, JSONL, or text with one time a line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.files import open_file

TEXT_COLUMN = "seconds"
"""The one column of a text file."""

Row = tuple[int, dict[str, Any]]
"""Line number, and the cells by the names of their columns: stripped, in lower case."""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a trace, one after another: a public one has more than a million.

    Raises:
        ValueError: the file or a line of it is wrong; the message names file and line.
    """
    readers = {".jsonl": _json_rows, ".ndjson": _json_rows, ".csv": _csv_rows}
    read = readers.get(path.suffix.lower(), _text_rows)
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            yield from read(path, file)
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _text_rows(path: Path, file: io.TextIOWrapper) -> Iterator[Row]:
    for number, line in enumerate(file.read().splitlines(), start=1):
        if stated := line.partition("#")[0].strip():
            yield number, {TEXT_COLUMN: stated}


def _json_rows(path: Path, file: io.TextIOWrapper) -> Iterator[Row]:
    for number, row in json_lines(path.name, file):
        if not isinstance(row, dict):
            raise ValueError(
                f"{path.name}:{number}: must be an object with time_s, or another time"
            )
        yield number, {column_name(key): value for key, value in row.items()}


def json_lines(name: str, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """The values of JSON Lines, with the numbers of their lines.

    Raises:
        ValueError: as of `parse_json`.
    """
    for number, line in enumerate(lines, start=1):
        if text := line.strip().lstrip("\ufeff"):  # joined files have marks in the middle, too
            yield number, parse_json(text, name, number)


def parse_json(text: str | bytes, name: str, line: int = 1) -> Any:
    """The value of a JSON text that begins in this line of a file.

    Raises:
        ValueError: it is none; the message names file and line.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise ValueError(f"{name}:{at}: is not JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}:{line}: is not text in UTF-8") from None
    except (ValueError, RecursionError):
        why = "a number of thousands of digits, or nested too deeply"
        raise ValueError(f"{name}:{line}: cannot be read: {why}") from None


def _csv_rows(path: Path, file: io.TextIOWrapper) -> Iterator[Row]:
    reader = csv.DictReader(file)
    try:
        names = [column_name(name) for name in reader.fieldnames or ()]
        twice = [name for i, name in enumerate(names) if name in names[:i]]
        if twice:
            raise ValueError(f"{path.name}:1: two columns are called {twice[0]!r}")
        reader.fieldnames = names
        for row in reader:
            if None in row:
                raise ValueError(f"{path.name}:{reader.line_num}: more fields than columns")
            yield reader.line_num, row
    except csv.Error as error:
        raise ValueError(f"{path.name}:{reader.line_num}: {error}") from None


def column_name(name: object) -> str:
    """A column's name as formats are recognised by it."""
    return str(name).strip().lower()


def cell_text(value: object) -> str:
    """A cell as messages show it."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
