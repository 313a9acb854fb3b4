"""What the history holds: runs, their cases, and the values of those."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec


class Value(msgspec.Struct, frozen=True, array_like=True):
    """A metric of a case: its value and 95 % interval, None where it has no such end."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class IndexedCase:
    """A case of a run.

    Attributes:
        identity: equal for cases that are the same in all but the server's version and the time:
            model digest, options, prompts, load, hardware.
        values: flat metric id -> value.
    """

    case_id: str
    identity: str
    server_version: str
    model: str
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run as the history knows it.

    Attributes:
        path: of its run directory when it was indexed.
        status: of `bench.results.run.RunStatus`.
    """

    id: str
    path: Path
    name: str
    created_at: str
    status: str
    valid: bool
    simulated: bool
    tool_version: str = ""
    tags: tuple[str, ...] = ()
    cases: tuple[IndexedCase, ...] = ()

    @property
    def unusable(self) -> str:
        """Why its numbers stand for nothing: "invalid", or its status; "" if they do."""
        if self.status != "complete":
            return self.status
        return "" if self.valid else "invalid"


@dataclass(frozen=True, slots=True)
class PastCase:
    """One case of one earlier run.

    Attributes:
        created_at: of the run, ISO 8601.
    """

    run: str
    created_at: str
    case: IndexedCase
