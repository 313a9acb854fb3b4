"""A row of a file of sessions, its times, and what is said about the file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal

from bench.scenario.sessions import Session
from bench.scenario.trace_rows import as_number, cell_text, token_count
from bench.scenario.trace_times import UNITS, instant_s, unit_since_1970

_WORDS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


@dataclass(frozen=True, slots=True)
class FileRow:
    """One JSON object of a file. What in it is wrong is a ValueError that names file and place.

    Attributes:
        file: name of the file.
        label: its place in the file as people count it: "line 3", "item 3".
        value: the object.
    """

    file: str
    label: str
    value: dict[str, Any]

    def wrong(self, message: str) -> ValueError:
        """The error that names file and place."""
        place = self.label.removeprefix("line ")
        where = f"{self.file}:{place}" if place != self.label else f"{self.file}: {self.label}"
        return ValueError(f"{where}: {message}")

    def count(self, *names: str, inside: dict[str, Any] | None = None) -> int | None:
        """A number of tokens under the first of these names that is there; None = none is."""
        values = self.value if inside is None else inside
        name = next((n for n in names if values.get(n) not in (None, "")), None)
        if name is None:
            return None
        if (found := token_count(values[name])) is None:
            raise self.wrong(f"{name} is {cell_text(values[name])}, not a number of tokens")
        return found

    def needed_count(self, name: str, inside: dict[str, Any] | None = None) -> int:
        """Like `count`, where it must be there."""
        if (found := self.count(name, inside=inside)) is None:
            raise self.wrong(f"has no {name}")
        return found

    def objects(self, name: str, inside: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The list of objects under a name."""
        value = (self.value if inside is None else inside).get(name)
        if not isinstance(value, list):
            raise self.wrong(f"{name} is {cell_text(value)}, not a list")
        for item in value:
            if not isinstance(item, dict):
                raise self.wrong(f"{name} holds {cell_text(item)}, which is not an object")
        return value

    def name(self, *names: str) -> str:
        """What the row is called under the first of these names, else its place."""
        for value in map(self.value.get, names):
            if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
                return str(value)
        return self.label


@dataclass(slots=True)
class Numbers:
    """Identities that no two stretches of a file share."""

    _next: count[int] = field(default_factory=count)

    def new(self) -> int:
        """One that was never given."""
        return next(self._next)


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
        """Seconds: since 1970 for dates and for numbers that count from there."""
        number = as_number(value)
        if number is None:
            try:
                seconds, has_zone = instant_s(value)
            except ValueError:
                raise row.wrong(f"{name} is {cell_text(value)}, not a time") from None
            zone = "with its time zone" if has_zone else "without a time zone"
            self._same(row, name, value, f"a date {zone}")
            return seconds
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

    def _same(self, row: FileRow, name: str, value: Any, kind: str) -> None:
        if not self._kind:
            self._kind, self._first = kind, row.label
        elif kind != self._kind:
            raise row.wrong(
                f"{name} is {cell_text(value)}: {kind}, where {self._first} has {self._kind}: "
                "two units in one file; write all times in one"
            )


@dataclass(slots=True)
class Notes:
    """What must be said to the user about a file, each thing once."""

    said: dict[str, None] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)

    def say(self, text: str) -> None:
        """Say this once."""
        self.said[text] = None

    def count(self, text: str, by: int = 1) -> None:
        """Say this with how often it happened."""
        self.counted[text] += by

    def all(self) -> tuple[str, ...]:
        """All that was said."""
        return (*self.said, *(f"{text}: {n:,}" for text, n in self.counted.items()))

    def in_brackets(self) -> str:
        """All that was said, behind a message; "" if nothing was."""
        return f" ({'; '.join(self.all())})" if self.all() else ""


@dataclass(frozen=True, slots=True)
class Reading:
    """The sessions of one file, with the times as it has them.

    Attributes:
        sessions: in the order of the file.
        format: which of two that have the same fields it is; "" = the one they tell.
        clock: `shared` = all times of the file count from one moment; `own` = those of each session
            from a moment of its own; `none` = there are none.
    """

    sessions: list[Session]
    clock: Literal["shared", "own", "none"] = "none"
    format: str = ""


def listed(fields: Mapping[str, Any]) -> str:
    """The names of fields in a message, the first of many."""
    names = sorted(map(str, fields))
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"{', '.join(names[:12])}{more}" if names else "none"
