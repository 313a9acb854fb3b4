"""Arrival traces: files of timestamps, with prompt and output tokens where they are known.

Read as they are: the public Azure LLM inference traces (TIMESTAMP, ContextTokens,
GeneratedTokens) and BurstGPT (Timestamp, Request tokens, Response tokens), CSV or JSONL; also plain
columns `time_s`, `prompt_tokens`, `output_tokens`, and text files with one time in seconds a line.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TIME_COLUMNS = ("time_s", "timestamp", "time", "arrival", "arrival_time", "arrived_at")
PROMPT_COLUMNS = ("prompt_tokens", "contexttokens", "request tokens", "input_tokens")
OUTPUT_COLUMNS = ("output_tokens", "generatedtokens", "response tokens", "completion_tokens")


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time.

    Attributes:
        at_s: seconds since the first arrival.
        prompt_tokens, output_tokens: one a request; None if the file does not say.
    """

    at_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64] | None = None
    output_tokens: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.at_s)

    def window(self, start_s: float = 0.0, end_s: float = math.inf) -> Trace:
        """The arrivals within [start, end), counted from the window's start."""
        inside = (self.at_s >= start_s) & (self.at_s < end_s)
        return Trace(
            self.at_s[inside] - start_s,
            None if self.prompt_tokens is None else self.prompt_tokens[inside],
            None if self.output_tokens is None else self.output_tokens[inside],
        )

    def scaled(self, factor: float) -> Trace:
        """The same arrivals with all times multiplied: 0.5 makes the trace twice as fast."""
        return Trace(self.at_s * factor, self.prompt_tokens, self.output_tokens)


def load_trace(path: Path) -> Trace:
    """Read a trace.

    Raises:
        ValueError: the file or a line of it is wrong; the message names file, line and column.
    """
    rows = list(_rows(path))
    if not rows:
        raise ValueError(f"{path.name} holds no arrival")
    times = np.array([_time_s(path, line, row["time"]) for line, row in rows])
    order = np.argsort(times, kind="stable")
    return Trace(
        times[order] - times.min(),
        _tokens(path, rows, "prompt", order),
        _tokens(path, rows, "output", order),
    )


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
                yield number, {"time": stated}


def _json_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path.name}:{number}: not JSON: {error.msg}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path.name}:{number}: must be an object with {TIME_COLUMNS[0]}")
        yield number, _known(path, number, row)


def _csv_rows(path: Path, lines: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, _known(path, 1, row)


def _known(path: Path, line: int, row: dict[str, Any]) -> dict[str, Any]:
    lower = {str(k).strip().lower(): v for k, v in row.items() if k is not None}
    named = {"time": TIME_COLUMNS, "prompt": PROMPT_COLUMNS, "output": OUTPUT_COLUMNS}
    found = {
        what: next((lower[n] for n in names if n in lower), None) for what, names in named.items()
    }
    if found["time"] is None:
        columns = ", ".join(lower) or "none"
        raise ValueError(
            f"{path.name}:{line}: no column of times; there are {columns}; "
            f"call it {TIME_COLUMNS[0]} (seconds) or TIMESTAMP (date and time)"
        )
    return {k: v for k, v in found.items() if v is not None}


def _time_s(path: Path, line: int, value: Any) -> float:
    try:
        time_s = float(value)
    except (TypeError, ValueError):
        try:
            # Azure's traces have seven digits after the point; datetime takes six.
            time_s = datetime.fromisoformat(str(value).strip()[:26]).timestamp()
        except ValueError:
            raise ValueError(
                f"{path.name}:{line}: {value!r} is neither a time in seconds nor a date and time"
            ) from None
    if not math.isfinite(time_s) or time_s < 0:
        raise ValueError(f"{path.name}:{line}: {value} is not a time from 0 on")
    return time_s


def _tokens(
    path: Path, rows: list[tuple[int, dict[str, Any]]], what: str, order: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    if all(what not in row for _, row in rows):
        return None
    counts = []
    for line, row in rows:
        try:
            counts.append(max(1, int(float(row[what]))))
        except (KeyError, TypeError, ValueError):
            raise ValueError(
                f"{path.name}:{line}: {row.get(what)!r} is not a number of {what} tokens"
            ) from None
    return np.array(counts, dtype=np.int64)[order]
