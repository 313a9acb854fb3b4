"""Arrival traces: files of times, with prompt and output tokens where they are known.

Read as they are: the public traces of Azure (TIMESTAMP, ContextTokens, GeneratedTokens), BurstGPT
(Timestamp, Request tokens, Response tokens), Mooncake and Bailian (timestamp, input_length,
output_length, hash_ids), CSV or JSONL; also columns `time_s` or `time_ms`, `prompt_tokens`,
`output_tokens`, and text files with one time in seconds a line.

What was understood of a file is said in words (`Trace.notes`), and what is doubtful is refused.
"""

from __future__ import annotations

import functools
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.scenario.trace_rows import cell_text, read_rows, token_count
from bench.scenario.trace_times import TimeSource, read_times, time_column

_COUNTS = {
    "prompt": "prompt_tokens|contexttokens|request tokens|input_tokens|input_length",
    "output": "output_tokens|generatedtokens|response tokens|completion_tokens|output_length",
}
"""What is counted -> the names that columns of it have."""
_CHANGES_THE_WORK = {
    **dict.fromkeys(("numimages", "num_images", "images"), "images"),
    "hash_ids": "shared beginnings of prompts",
    **dict.fromkeys(("session_id", "session id", "chat_id", "parent_chat_id"), "conversations"),
    **dict.fromkeys(("tools", "tool_calls"), "tools"),
    "model": "several models",
}
_BLOCK_TOKENS = {"Mooncake": 512, "Bailian": 16}
"""Tokens that one of the `hash_ids` stands for."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrivals in order of time.

    Attributes:
        at_s: seconds from the start.
        prompt_tokens, output_tokens: one a request; empty if the file does not say.
        notes: what was understood of the file, in words.
    """

    at_s: tuple[float, ...]
    prompt_tokens: tuple[int, ...] = ()
    output_tokens: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.at_s)

    def window(self, start_s: float, end_s: float) -> Trace:
        """The arrivals within [start, end), counted from the window's start."""
        inside = [i for i, at in enumerate(self.at_s) if start_s <= at < end_s]
        return Trace(
            tuple(self.at_s[i] - start_s for i in inside),
            tuple(self.prompt_tokens[i] for i in inside if self.prompt_tokens),
            tuple(self.output_tokens[i] for i in inside if self.output_tokens),
            self.notes,
        )


def load_trace(path: Path, window: Sequence[float] | None = None) -> Trace:
    """Read a trace.

    With a window, only arrivals from the first to before the second of its seconds.

    Raises:
        ValueError: the file or a line of it is wrong or doubtful, or there is no arrival in the
            window; the message names file, line and column.
    """
    try:
        state = path.stat()
        whole = _whole(path.absolute(), state.st_mtime_ns, state.st_size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if window is None:
        return whole
    start_s, end_s = window
    inside = whole.window(start_s, end_s)
    span = f"from {start_s:g} to {end_s:g} s"
    if not len(inside):
        last = f"its last is at {whole.at_s[-1]:g} s"
        raise ValueError(f"{path.name} holds no arrival {span}; {last}")
    head = f"{len(inside):,} of {whole.notes[0]}: those {span}"
    return replace(inside, notes=(head, *whole.notes[1:]))


@functools.lru_cache(maxsize=1)
def _whole(path: Path, mtime_ns: int, size: int) -> Trace:
    """A file is asked for by those who check, plan and describe it, and read once."""
    return _Reader(path).read()


class _Reader:
    """Reads one file, row by row into columns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: dict[str, None] = {}
        self.time: TimeSource | None = None
        self.tokens: dict[str, tuple[str, array[int]]] = {}
        self.times: list[Any] = []
        self.lines = array("q")
        self.left_out: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.models: set[str] = set()
        self.block_fits = dict.fromkeys(_BLOCK_TOKENS, True)

    def read(self) -> Trace:
        """The whole trace."""
        for line, cells in read_rows(self.path):
            try:
                self._take(cells, line)
            except ValueError as error:
                raise ValueError(f"{self.path.name}:{line}: {error}") from None
        if self.time is None or not self.times:
            why = f"; {' and '.join(self._said_left_out())}" if self.left_out else ""
            raise ValueError(f"{self.path.name} holds no arrival{why}")
        try:
            known = self._format()
            times, words = read_times(self.time, self.times, self.lines, known)
        except ValueError as error:
            raise ValueError(f"{self.path.name}:{error}") from None
        self.times.clear()  # a public trace has more than a million of them, as text
        order: Sequence[int] = range(len(times))
        unsorted = any(later < earlier for earlier, later in pairwise(times))
        if unsorted:
            order = array("q", sorted(order, key=times.__getitem__))
        ordered = {k: tuple(counts[i] for i in order) for k, (_, counts) in self.tokens.items()}
        at_s = tuple(times[i] for i in order)
        notes = (
            f"{len(at_s):,} {'arrival' if len(at_s) == 1 else 'arrivals'}",
            f"over {_span(at_s[-1] - at_s[0])}",
            words,
            *(["sorted by time"] if unsorted else []),
            *(
                f"{what} tokens from {name} (mean {sum(n) / len(n):,.0f}, most {max(n):,})"
                for what, (name, n) in self.tokens.items()
            ),
            *([] if self.tokens else ["no token counts"]),
            *self._said_left_out(),
            *self._said_unused(),
        )
        return Trace(at_s, ordered.get("prompt", ()), ordered.get("output", ()), notes)

    def _take(self, cells: Mapping[str, Any], line: int) -> None:
        if self.time is None:
            self.time = time_column(list(cells))
            for what, names in _COUNTS.items():
                if there := [n for n in names.split("|") if n in cells]:
                    self.tokens[what] = (there[0], array("q"))
        value = cells.get(self.time.name)
        if value is None or value == "":
            other = time_column(list(cells)).name
            if other != self.time.name:
                raise ValueError(f"{other} after rows with {self.time.name}: two units in one file")
            raise ValueError(f"{cell_text(value)} is not a time")
        counts = {}
        for what, (name, _) in self.tokens.items():
            if (count := token_count(cells.get(name))) is None:
                shown = cell_text(cells.get(name))
                raise ValueError(f"{shown} is not a number of {what} tokens ({name})")
            counts[what] = count
        self.columns.update(dict.fromkeys(cells))
        if empty := [what for what, count in counts.items() if not count]:
            self.left_out[empty[0]] += 1
            return
        for what, count in counts.items():
            self.tokens[what][1].append(count)
        self.times.append(value)
        self.lines.append(line)
        self._look_at_work(cells, counts.get("prompt"))

    def _look_at_work(self, cells: Mapping[str, Any], prompt: int | None) -> None:
        for name in cells.keys() & _CHANGES_THE_WORK.keys():
            value = cells[name]
            if value not in (None, "", "0", 0, "0.0", "-1", -1) and value != []:
                self.work[name] += 1
        if "model" in cells and len(self.models) < 2:
            self.models.add(str(cells["model"]))
        ids = cells.get("hash_ids")
        if isinstance(ids, str):  # a cell of a CSV file
            ids = ids.strip("[] ").split(",")
        if prompt is None or not isinstance(ids, list):
            return
        for name, size in _BLOCK_TOKENS.items():
            self.block_fits[name] &= len(ids) in (prompt // size, prompt // size + 1)

    def _format(self) -> TimeSource:
        there = self.columns.keys()
        if {"contexttokens", "generatedtokens"} <= there:
            return TimeSource("Azure")
        if {"request tokens", "response tokens"} <= there:
            return TimeSource("BurstGPT", "s")
        if not {"input_length", "output_length"} <= there or not {"chat_id", "hash_ids"} & there:
            return TimeSource("")
        if "chat_id" not in there and not self.block_fits["Bailian"]:
            return TimeSource("Mooncake", "ms")
        doubtful = "chat_id" not in there and self.block_fits["Mooncake"]
        if doubtful and self.time and not self.time.unit:
            raise ValueError(
                f"{self.lines[0]}: could be a trace of Mooncake (times in ms) or of Bailian "
                "(in s): call the column time_s or time_ms"
            )
        return TimeSource("Bailian", "s")

    def _said_left_out(self) -> Iterator[str]:
        for what, count in self.left_out.items():
            rows = "1 row" if count == 1 else f"{count:,} rows"
            yield f"{rows} with 0 {what} tokens left out (requests that failed)"

    def _said_unused(self) -> Iterator[str]:
        assert self.time is not None
        if len(self.models) < 2:
            del self.work["model"]
        if self.work:
            listed = (f"{n} ({_CHANGES_THE_WORK[n]}, {c:,} rows)" for n, c in self.work.items())
            yield f"not replayed, though it changes the work: {', '.join(listed)}"
        used = {self.time.name, *(name for name, _ in self.tokens.values()), *self.work}
        rest = [str(name) for name in self.columns if name not in used]
        if rest:
            more = f" and {len(rest) - 8} more" if len(rest) > 8 else ""
            yield f"columns not used: {', '.join(rest[:8])}{more}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:,.3g} h"
