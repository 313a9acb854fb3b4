"""Times of one kind of field in a file of sessions, all in one unit or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from bench.scenario.session_files.rows import FileRow
from bench.scenario.trace_rows import as_number, cell_text
from bench.scenario.trace_times import UNITS, instant_s, unit_since_1970

_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(slots=True)
class TimeField:
    """Reads the values of one field as seconds.

    The first one decides whether they are dates, with or without a zone, or numbers, and in which
    unit; one of another kind is refused. Numbers without a stated unit are taken only if they count
    from 1970, where their size tells it.

    Attributes:
        unit: of numbers: s, ms, us or ns; "" = not stated.
    """

    unit: str = ""
    _kind: str = ""
    _first: str = ""

    def read(self, row: FileRow, name: str, value: Any) -> float:
        """Seconds: since 1970 for dates and for numbers that count from there.

        Raises:
            ValueError: it is no time, or one of another unit than those before it.
        """
        number = as_number(value)
        if number is None:
            return self._date(row, name, value)
        if not math.isfinite(number) or number < 0:
            raise row.wrong(f"{name} is {cell_text(value)}, not a time from 0 on")
        since_1970 = unit_since_1970(number)
        unit = self.unit or since_1970
        if not unit:
            raise row.wrong(
                f"{name} is {number:g}, in a unit that nothing here says: give dates, or say it "
                "in the name of the column, e.g. time_s or time_ms"
            )
        start = "since 1970" if since_1970 == unit else "from a start of its own"
        self._same(row, name, value, f"{_WORDS[unit]} {start}")
        return number * UNITS[unit]

    def _date(self, row: FileRow, name: str, value: Any) -> float:
        try:
            seconds, has_zone = instant_s(value)
        except ValueError:
            raise row.wrong(f"{name} is {cell_text(value)}, not a time") from None
        kind = "a date with its time zone" if has_zone else "a date without a time zone"
        self._same(row, name, value, kind)
        return seconds

    def _same(self, row: FileRow, name: str, value: Any, kind: str) -> None:
        if not self._kind:
            self._kind, self._first = kind, row.label
        elif kind != self._kind:
            raise row.wrong(
                f"{name} is {cell_text(value)}: {kind}, where {self._first} has {self._kind}: "
                "two units in one file; write all times in one"
            )
