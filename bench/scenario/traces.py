"""Arrival traces: files of times, with prompt and output tokens where they are known.

Read as they are: the public Azure LLM inference traces (TIMESTAMP, ContextTokens, GeneratedTokens)
and BurstGPT (Timestamp, Request tokens, Response tokens), CSV or JSONL; also columns `time_s`,
`prompt_tokens`, `output_tokens`, and text files with one time in seconds a line.

Seconds in a text file or in a column `time_s` stand as they are; the time stamps of the others
count from the first.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SECONDS_COLUMN = "time_s"
STAMP_COLUMNS = ("timestamp", "time", "arrival", "arrival_time", "arrived_at")
PROMPT_COLUMNS = ("prompt_tokens", "contexttokens", "request tokens", "input_tokens")
OUTPUT_COLUMNS = ("output_tokens", "generatedtokens", "response tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time.

    Attributes:
        at_s: seconds from the start.
        prompt_tokens, output_tokens: one a request; empty if the file does not say.
    """

    at_s: tuple[float, ...]
    prompt_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.at_s)

    def window(self, start_s: float = 0.0, end_s: float = math.inf) -> Trace:
        """The arrivals within [start, end), counted from the window's start."""
        inside = [i for i, at in enumerate(self.at_s) if start_s <= at < end_s]
        return Trace(
            tuple(self.at_s[i] - start_s for i in inside),
            tuple(self.prompt_tokens[i] for i in inside if self.prompt_tokens),
            tuple(self.output_tokens[i] for i in inside if self.output_tokens),
        )


def load_trace(path: Path, window: Sequence[float] | None = None) -> Trace:
    """Read a trace.

    Args:
        path: CSV, JSONL, or text with one time a line.
        window: only arrivals from the first to before the second of these seconds.

    Raises:
        ValueError: the file or a line of it is wrong, or there is no arrival in the window; the
            message names file, line and column.
    """
    rows = list(_rows(path))
    if not rows:
        raise ValueError(f"{path.name} holds no arrival")
    times = [_time_s(path, line, row) for line, row in rows]
    first = min(times) if "stamp" in rows[0][1] else 0.0
    order = sorted(range(len(rows)), key=times.__getitem__)
    trace = Trace(
        tuple(times[i] - first for i in order),
        _tokens(path, rows, "prompt", order),
        _tokens(path, rows, "output", order),
    )
    if window is None:
        return trace
    start_s, end_s = window
    inside = trace.window(start_s, end_s)
    if not len(inside):
        last = trace.at_s[-1]
        span = f"from {start_s:g} to {end_s:g} s"
        raise ValueError(f"{path.name} holds no arrival {span}; its last is at {last:g} s")
    return inside


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and the known columns of each row."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path.name} is not text in UTF-8") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    lines = text.splitlines()
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _json_rows(path, lines)
    elif path.suffix.lower() == ".csv":
        yield from _csv_rows(path, lines)
    else:
        for number, line in enumerate(lines, start=1):
            if stated := line.partition("#")[0].strip():
                yield number, {"seconds": stated}


def _json_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path.name}:{number}: not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path.name}:{number}: must be an object with {SECONDS_COLUMN}")
        yield number, _known(path, number, row)


def _csv_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines)
    try:
        for row in reader:
            yield reader.line_num, _known(path, reader.line_num, row)
    except csv.Error as error:
        raise ValueError(f"{path.name}:{reader.line_num}: {error}") from None


def _known(path: Path, line: int, row: dict[str, Any]) -> dict[str, Any]:
    lower = {str(k).strip().lower(): v for k, v in row.items() if k is not None}
    named = {
        "seconds": (SECONDS_COLUMN,),
        "stamp": STAMP_COLUMNS,
        "prompt": PROMPT_COLUMNS,
        "output": OUTPUT_COLUMNS,
    }
    found = {
        what: next((lower[n] for n in names if n in lower), None) for what, names in named.items()
    }
    if found["seconds"] is None and found["stamp"] is None:
        columns = ", ".join(lower) or "none"
        raise ValueError(
            f"{path.name}:{line}: no column of times; there are {columns}; "
            f"call it {SECONDS_COLUMN} (seconds) or TIMESTAMP (date and time)"
        )
    return {k: v for k, v in found.items() if v is not None}


def _time_s(path: Path, line: int, row: dict[str, Any]) -> float:
    value = row["seconds"] if "seconds" in row else row["stamp"]
    try:
        time_s = float(value)
    except (TypeError, ValueError):
        try:
            time_s = _instant(str(value))
        except ValueError:
            raise ValueError(f"{path.name}:{line}: {value!r} is not a time") from None
    if not math.isfinite(time_s) or time_s < 0:
        raise ValueError(f"{path.name}:{line}: {value} is not a time from 0 on")
    return time_s


def _instant(text: str) -> float:
    """A date and time as seconds; without a zone it is UTC, so that no clock change bends it."""
    head, dot, rest = text.strip().partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    # Azure's traces have seven digits after the point; datetime takes six.
    instant = datetime.fromisoformat(head + dot + rest[: min(digits, 6)] + rest[digits:])
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _tokens(
    path: Path, rows: list[tuple[int, dict[str, Any]]], what: str, order: list[int]
) -> tuple[int, ...]:
    if all(what not in row for _, row in rows):
        return ()
    counts = []
    for line, row in rows:
        try:
            counts.append(max(1, int(float(row[what]))))
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{path.name}:{line}: {row.get(what)!r} is not a number of {what} tokens"
            ) from None
    return tuple(counts[i] for i in order)
