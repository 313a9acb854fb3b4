"""The exception tree and the exit codes: one list of each.

BenchError
 ├── UsageError            2   a command was called wrongly
 │    ├── ScenarioError    2   a scenario file is wrong; carries every problem found
 │    ├── ResultsError     2   a run directory cannot be read or written
 │    └── EngineError      2   the embedded server cannot start as asked
 ├── ServerError           6   the server cannot be used
 │    ├── ServerUnreachable 6
 │    └── NotOllama        6   something answers, but it is not Ollama
 ├── ModelError            2   the model is missing or cannot do what is asked
 ├── NotComparable         4   two runs differ in what they are
 ├── MeasurementInvalid    5   the numbers cannot be trusted
 └── Interrupted         130   stopped by the user

Any other exception is a defect of this program: 70.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from bench.hidden import scrub, shown_value


class ExitCode(IntEnum):
    """What the process reports to its caller."""

    OK = 0
    """Fine: no change, better, or every threshold met."""
    WORSE = 1
    """Worse than the baseline, or a threshold failed."""
    USAGE = 2
    """Wrong use, or an error in a scenario file."""
    INCONCLUSIVE = 3
    """The data cannot decide, or are too few for a threshold's percentile."""
    NOT_COMPARABLE = 4
    """The runs differ in what they are."""
    INVALID = 5
    """The measurement is invalid."""
    UNREACHABLE = 6
    """The server cannot be reached, or is not Ollama."""
    DEFECT = 70
    """A defect of this program; the message names a file to send."""
    INTERRUPTED = 130
    """Interrupted; what was measured is kept."""


GRAVEST: Final = (
    ExitCode.INTERRUPTED,
    ExitCode.WORSE,
    ExitCode.NOT_COMPARABLE,
    ExitCode.INVALID,
    ExitCode.INCONCLUSIVE,
    ExitCode.OK,
)
"""A loss that is certain comes before what could not be judged: nothing may hide it."""


def gravest(codes: Iterable[ExitCode]) -> ExitCode:
    """The exit code of several cases, candidates or runs: the first of `GRAVEST`."""
    return min(codes, key=GRAVEST.index, default=ExitCode.OK)


class BenchError(Exception):
    """Something a user can understand and mend: shown as one message, never as a traceback.

    No message holds a secret: they are hidden here, whatever it was put together from.

    Args:
        message: what is wrong, naming the file, key or value.
        advice: what to do about it, if known.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, advice: str = "") -> None:
        self.message = _bounded(scrub(message))
        self.advice = _bounded(scrub(advice))
        super().__init__(self.message)

    def advise(self, line: str) -> None:
        """Add a line of advice."""
        self.advice = f"{self.advice}\n  {line}" if self.advice else line

    def __str__(self) -> str:
        """The message, then the advice on a line of its own."""
        return f"{self.message}\n  {self.advice}" if self.advice else self.message


def _bounded(text: str, most: int = 10_000) -> str:
    """A message to read: a broken file may have one word of megabytes."""
    return f"{text[:most]} ... ({len(text) - most:,} more)" if len(text) > most else text


class UsageError(BenchError):
    """A command was called wrongly."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a scenario file.

    Attributes:
        path: where in the file, as a user writes it (`load.closed.users[2]`); empty for the whole.
        message: what is wrong and what would be right.
        value: the offending value as it stands in the file, or "" if there is none.
        line: 1-based line in the file, or 0 if it did not come from a line.
    """

    path: str
    message: str
    value: str = ""
    line: int = 0


class ScenarioError(UsageError):
    """A scenario file is wrong. Carries all problems, not just the first."""

    def __init__(self, file: str, problems: Sequence[Problem]) -> None:
        self.file = file
        self.problems = tuple(problems)
        lines = []
        for p in self.problems:
            where = f"{self.file}:{p.line}" if p.line else self.file
            key = f": {p.path}" if p.path else ""
            value = f" (is: {shown_value(p.path, p.value)})" if p.value else ""
            lines.append(f"{where}{key}: {p.message}{value}")
        super().__init__("\n".join(lines))


class ResultsError(UsageError):
    """A run directory cannot be read or written."""


class EngineError(UsageError):
    """The embedded server cannot start as asked."""


class ServerError(BenchError):
    """The server cannot be used."""

    exit_code = ExitCode.UNREACHABLE


class ServerUnreachable(ServerError):
    """Nothing answers at the address."""


class NotOllama(ServerError):
    """Something answers at the address, but it is not Ollama."""


class ModelError(BenchError):
    """The model is missing, or cannot do what the scenario asks."""


class NotComparable(BenchError):
    """Two runs differ in what they are, so their numbers must not be compared."""

    exit_code = ExitCode.NOT_COMPARABLE


class MeasurementInvalid(BenchError):
    """The numbers cannot be trusted."""

    exit_code = ExitCode.INVALID


class Interrupted(BenchError):
    """The user stopped the program; what was measured is kept."""

    exit_code = ExitCode.INTERRUPTED
