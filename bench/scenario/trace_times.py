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

from bench.scenario.trace_rows import TEXT_COLUMN, as_number, cell_text

_STEMS = "time|timestamp|arrival|arrival_time|arrived_at|start_time|timestamp_start_unix"
_COLUMN = re.compile(rf"({_STEMS})(?:_(s|ms|us|ns))?")
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
"""Seconds of each unit."""
EPOCH_S = (1e9, 4.2e9)
"""Seconds since 1970, from 2001 to 2103: in other units the same times lie elsewhere."""
_FIX = "call the column time_s or time_ms"


@dataclass(frozen=True, slots=True)
class TimeSource:
    """A column of times, or a public format of traces.

    Attributes:
        unit: s, ms, us, ns of times that are numbers; "" = it does not say, or they are dates.
    """

    name: str
    unit: str = ""


def time_column(columns: Sequence[str]) -> TimeSource:
    """The column of times among those of a row."""
    if TEXT_COLUMN in columns:
        return TimeSource(TEXT_COLUMN, "s")
    found = [TimeSource(m[0], m[2] or "") for m in map(_COLUMN.fullmatch, columns) if m]
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
    column: TimeSource, values: Sequence[Any], lines: Sequence[int], known: TimeSource
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
    for line, value, time_s in zip(lines, values, times, strict=True) if since_1970 else ():
        if not EPOCH_S[0] <= time_s < EPOCH_S[1]:
            other = f", as {values[0]} is: two units in one file?" if line != lines[0] else ""
            raise ValueError(f"{line}: {value} is no time in {unit} since 1970{other}")
    if since_1970 or column.name not in (TEXT_COLUMN, "time_s", "time_ms", "time_us", "time_ns"):
        return _from_first(times), f"{words}, counted from the first"
    return times, words


def _unit(
    column: TimeSource, numbers: Sequence[float], lines: Sequence[int], known: TimeSource
) -> tuple[str, str]:
    """The unit of numbers, and how it is known."""
    if column.unit:
        return column.unit, ""
    if known.unit == "ms":
        for line, number in zip(lines, numbers, strict=True):
            if not number.is_integer():
                why = f"{known.name} counts whole milliseconds, {number:g} is none"
                raise ValueError(f"{line}: {why}: {_FIX}")
        span = max(numbers) - min(numbers)
        if span < len(numbers) and len(set(numbers)) > 2:
            raise ValueError(
                f"{lines[-1]}: {len(numbers)} arrivals in {span:g} ms are over 1,000 a second, and "
                f"{known.name} counts milliseconds; are these seconds? {_FIX}"
            )
    if known.unit:
        return known.unit, known.name
    if unit := unit_since_1970(numbers[0]):
        return unit, "since 1970, by their magnitude"
    raise ValueError(
        f"{lines[0]}: {column.name} is {numbers[0]:g}, in a unit that nothing here says: {_FIX}"
    )


def _instants(values: Sequence[Any], lines: Sequence[int]) -> Sequence[float]:
    """Dates and times as seconds.

    One without a zone among others with one could be hours off: which zone it has nobody knows.
    """
    times = array("d")
    zoned = None
    for line, value in zip(lines, values, strict=True):
        try:
            seconds, has_zone = instant_s(value)
        except ValueError:
            raise ValueError(f"{line}: {cell_text(value)} is not a time") from None
        if zoned is not None and has_zone != zoned:
            has, others = ("a", "has none") if has_zone else ("no", "has one")
            raise ValueError(
                f"{line}: {value} has {has} time zone, line {lines[0]} {others}: "
                "give every time its zone, or none"
            )
        zoned = has_zone
        times.append(seconds)
    return times


def instant_s(value: Any) -> tuple[float, bool]:
    """Seconds since 1970 of a date and time in ISO 8601, and whether it has a zone.

    Without a zone it is UTC, so that no clock change bends it.
    """
    if not isinstance(value, str):
        raise ValueError
    head, dot, rest = value.strip().partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    # Azure's traces have seven digits after the point; datetime takes six.
    instant = datetime.fromisoformat(head + dot + rest[: min(digits, 6)] + rest[digits:])
    has_zone = instant.tzinfo is not None
    return (instant if has_zone else instant.replace(tzinfo=UTC)).timestamp(), has_zone


def unit_since_1970(number: float) -> str:
    """The unit in which a number counts from 1970 by its magnitude; "" = in none."""
    return next((u for u, f in UNITS.items() if EPOCH_S[0] <= number * f < EPOCH_S[1]), "")


def _from_first(times: Sequence[float]) -> Sequence[float]:
    first = min(times)
    return array("d", (t - first for t in times))
