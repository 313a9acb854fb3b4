"""The times of a trace in seconds: in which unit they stand is never guessed.

It is said by the column (`time_s`, `time_ms`, `timestamp_ms`), by the format (Mooncake counts
milliseconds, Bailian and BurstGPT seconds), by the value itself (a date and time), or by the
magnitude of numbers that count from 1970.
"""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.scenario.trace_rows import TEXT_COLUMN, cell_text

_STEMS = "time|timestamp|arrival|arrival_time|arrived_at|start_time|timestamp_start_unix"
_COLUMN = re.compile(rf"({_STEMS})(?:_(s|ms|us|ns))?")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds of each unit."""
EPOCH_S = (1e9, 4.2e9)
"""Seconds since 1970, from 2001 to 2103: in other units the same times lie elsewhere."""
_FIX = "call the column time_s or time_ms"


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """Where the times stand.

    Attributes:
        name: of the column.
        unit: s, ms, us, ns as its name says; "" = its name does not say.
    """

    name: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """A public format of traces.

    Attributes:
        unit: of its times where they are numbers; "" = they are dates, or could be anything.
    """

    name: str
    unit: str = ""


def time_column(columns: Sequence[str]) -> TimeColumn:
    """The column of times among those of a row.

    Raises:
        ValueError: there is none, or there are several and it is unclear which is meant.
    """
    if TEXT_COLUMN in columns:
        return TimeColumn(TEXT_COLUMN, "s")
    found = [TimeColumn(m[0], m[2] or "") for m in map(_COLUMN.fullmatch, columns) if m]
    found = [c for c in found if c.unit] or found
    if not found:
        there = ", ".join(columns[:20]) or "none"
        raise ValueError(
            f"no column of times; there are {there}; "
            "call it time_s (seconds), time_ms, or timestamp (date and time)"
        )
    if len(found) > 1:
        names = " and ".join(c.name for c in found)
        raise ValueError(f"{names} are both columns of times: keep the one that is meant")
    return found[0]


def read_times(
    column: TimeColumn, values: Sequence[Any], lines: Sequence[int], known: TraceFormat
) -> tuple[Sequence[float], str]:
    """Seconds, and what was understood of them.

    Times that count from 1970, dates, and time stamps count from the first of them; `time_s`,
    `time_ms` and the lines of a text file stand as they are.

    Raises:
        ValueError: one of them is no time, or their unit is not known; the message begins with
            the line (`3: ...`).
    """
    # An array, since a public trace has more than a million times.
    numbers = array("d", (math.nan if (n := as_number(v)) is None else n for v in values))
    if all(map(math.isnan, numbers)) and as_number(values[0]) is None:
        times, words = _instants(values, lines), "date and time"
        if known.name:
            words += f" ({known.name})"
        return _from_first(times), f"{column.name}: {words}, counted from the first"
    for line, value, number in zip(lines, values, numbers, strict=True):
        if math.isfinite(number) and number >= 0:
            continue
        if as_number(value) is None:
            raise ValueError(f"{line}: {cell_text(value)} is not a time")
        raise ValueError(f"{line}: {value} is not a time from 0 on")
    unit, why = _unit(column, numbers, lines, known)
    times = array("d", (n * UNITS[unit] for n in numbers))
    where = "one a line" if column.name == TEXT_COLUMN else column.name
    words = f"{where}, in {unit}{f' ({why})' if why else ''}"
    since_1970 = times[0] >= EPOCH_S[0]
    if since_1970:
        _all_since_1970(times, values, lines, unit)
    if since_1970 or column.name not in (TEXT_COLUMN, "time_s", "time_ms", "time_us", "time_ns"):
        return _from_first(times), f"{words}, counted from the first"
    return times, words


def _unit(
    column: TimeColumn, numbers: Sequence[float], lines: Sequence[int], known: TraceFormat
) -> tuple[str, str]:
    """The unit of numbers, and how it is known."""
    if column.unit:
        return column.unit, ""
    if known.unit == "ms" and not all(n.is_integer() for n in numbers):
        line, odd = next((i, n) for i, n in zip(lines, numbers, strict=True) if not n.is_integer())
        raise ValueError(f"{line}: {known.name} counts whole milliseconds, {odd:g} is none: {_FIX}")
    if known.unit == "ms":
        span = max(numbers) - min(numbers)
        if span < len(numbers) and len(set(numbers)) > 2:
            raise ValueError(
                f"{lines[-1]}: {len(numbers)} arrivals in {span:g} ms are over 1,000 a second, and "
                f"{known.name} counts milliseconds; are these seconds? {_FIX}"
            )
    if known.unit:
        return known.unit, known.name
    for unit, factor in UNITS.items():
        if EPOCH_S[0] <= numbers[0] * factor < EPOCH_S[1]:
            return unit, "since 1970, by their magnitude"
    raise ValueError(
        f"{lines[0]}: {column.name} is {numbers[0]:g}, in a unit that nothing here says: {_FIX}"
    )


def _all_since_1970(
    times: Sequence[float], values: Sequence[Any], lines: Sequence[int], unit: str
) -> None:
    for line, value, time_s in zip(lines, values, times, strict=True):
        if not EPOCH_S[0] <= time_s < EPOCH_S[1]:
            raise ValueError(
                f"{line}: {value} is no time in {unit} since 1970"
                + (f", as {values[0]} is: two units in one file?" if line != lines[0] else "")
            )


def _instants(values: Sequence[Any], lines: Sequence[int]) -> Sequence[float]:
    """Dates and times as seconds; without a zone they are UTC, so that no clock change bends them.

    One without a zone among others with one could be hours off: which zone it has nobody knows.
    """
    times = array("d")
    zoned = None
    for line, value in zip(lines, values, strict=True):
        try:
            instant = as_instant(value)
        except ValueError:
            raise ValueError(f"{line}: {cell_text(value)} is not a time") from None
        has_zone = instant.tzinfo is not None
        if zoned is not None and has_zone != zoned:
            has, others = ("a", "has none") if has_zone else ("no", "has one")
            raise ValueError(
                f"{line}: {value} has {has} time zone, line {lines[0]} {others}: "
                "give every time its zone, or none"
            )
        zoned = has_zone
        times.append((instant if has_zone else instant.replace(tzinfo=UTC)).timestamp())
    return times


def as_instant(value: Any) -> datetime:
    """A date and time in ISO 8601, with its zone if it has one.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, str):
        raise ValueError
    head, dot, rest = value.strip().partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    # Azure's traces have seven digits after the point; datetime takes six.
    return datetime.fromisoformat(head + dot + rest[: min(digits, 6)] + rest[digits:])


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


def _from_first(times: Sequence[float]) -> Sequence[float]:
    first = min(times)
    return array("d", (t - first for t in times))
