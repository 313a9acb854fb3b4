"""The rows of a table or of JSON Lines, and of a trace: these, or text with one time a line.

What is wrong in a file (also a key or a column that is there twice) is a ValueError that names file
and line.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.files import open_file

TEXT_COLUMN = "seconds"
"""The one column of a text file."""
MOST_TOKENS = 100_000_000
"""No prompt is longer: a larger count is another quantity."""

Row = tuple[int, dict[str, Any]]
"""Line number, and the cells by the names of their columns."""


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a trace, one after another: a public one has more than a million.

    Names of columns are stripped and in lower case.
    """
    kind = path.suffix.lower()
    try:
        with io.TextIOWrapper(open_file(path), encoding="utf-8-sig", newline="") as file:
            if kind == ".csv":
                yield from csv_table(path.name, file, key=_column_name)[1]
            else:
                read = _json_rows if kind in (".jsonl", ".ndjson") else _text_rows
                yield from read(path.name, file)
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _text_rows(_name: str, file: io.TextIOWrapper) -> Iterator[Row]:
    for number, line in enumerate(file.read().splitlines(), start=1):
        if stated := line.partition("#")[0].strip():
            yield number, {TEXT_COLUMN: stated}


def _json_rows(name: str, file: io.TextIOWrapper) -> Iterator[Row]:
    for number, row in json_lines(name, file):
        if not isinstance(row, dict):
            raise ValueError(f"{name}:{number}: must be an object with time_s, or another time")
        cells = {_column_name(key): value for key, value in row.items()}
        if len(cells) < len(row):
            _refuse_twice(f"{name}:{number}", [_column_name(key) for key in row])
        yield number, cells


def _column_name(name: str) -> str:
    return name.strip().lower()


def json_lines(name: str, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """The values of JSON Lines, with the numbers of their lines."""
    for number, line in enumerate(lines, start=1):
        if text := line.strip().lstrip("\ufeff"):  # joined files have marks in the middle, too
            yield number, parse_json(text, name, number)


def parse_json(text: str | bytes, name: str, line: int = 1) -> Any:
    """The value of a JSON text that begins in this line of a file."""
    where = f"{name}:{line}"
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        raise ValueError(f"{name}:{at}: is not JSON: {error.msg}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{where}: is not text in UTF-8") from None
    except KeyError as error:
        raise ValueError(f"{where}: the key {cell_text(error.args[0])} is there twice") from None
    except (ValueError, RecursionError):
        why = "a number of thousands of digits, or nested too deeply"
        raise ValueError(f"{where}: cannot be read: {why}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses a key that is there twice: which of its values is meant nobody knows."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [key for key, _ in pairs]
        raise KeyError(next(name for i, name in enumerate(names) if name in names[:i]))
    return made


def _refuse_twice(where: str, names: list[str]) -> None:
    for place, name in enumerate(names):
        if name and name in names[:place]:
            raise ValueError(f"{where}: two columns are called {cell_text(name)}: rename one")


def csv_table(
    name: str, lines: Iterable[str], mark: str = ",", key: Callable[[str], str] = str.strip
) -> tuple[list[str], Iterator[Row]]:
    """The names of the columns of a table, and its rows.

    `key` gives the name of a column from its heading, `mark` is what fields end at.
    """
    csv.field_size_limit(2**31 - 1)  # a prompt may be as long as a book
    reader = csv.DictReader(lines, strict=True, delimiter=mark)

    def wrong(error: csv.Error) -> ValueError:
        return ValueError(f"{name}:{reader.line_num + 1}: {error}")  # where the row begins

    def rows() -> Iterator[Row]:
        try:
            for row in reader:
                if None in row:
                    raise ValueError(f"{name}:{reader.line_num}: more fields than columns")
                yield reader.line_num, row
        except csv.Error as error:
            raise wrong(error) from None

    try:
        names = [key(heading) for heading in reader.fieldnames or ()]
    except csv.Error as error:
        raise wrong(error) from None
    _refuse_twice(f"{name}:1", names)
    reader.fieldnames = names
    return names, rows()


def as_number(value: Any) -> float | None:
    """A number, as such or as text; None = it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str) and "_" in value:
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:
        return None


def token_count(value: Any) -> int | None:
    """A number of tokens, as such or as text; None = it is none."""
    if isinstance(value, str) and len(value) < 9 and value.isdigit() and value.isascii():
        return int(value)  # nearly all are: a trace has millions of them
    number = as_number(value)
    if number is None or not number.is_integer() or not 0 <= number <= MOST_TOKENS:
        return None
    return int(number)


def cell_text(value: object) -> str:
    """A cell as messages show it."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
