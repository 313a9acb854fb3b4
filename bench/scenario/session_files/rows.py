"""A row of a file of sessions, and what is said about the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.scenario.sessions import Session
from bench.scenario.trace_rows import cell_text, token_count


@dataclass(frozen=True, slots=True)
class FileRow:
    """One JSON object of a file.

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
        """A number of tokens under the first of these names that is there; None = none is.

        Raises:
            ValueError: it is none.
        """
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
        """The list of objects under a name.

        Raises:
            ValueError: there is none, or something else.
        """
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
