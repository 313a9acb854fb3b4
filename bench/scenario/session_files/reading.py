"""Reads files of sessions: one, or several of the same format.

What cannot be read, is wrong or doubtful is a ValueError that names file and line.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from glob import glob, has_magic
from pathlib import Path

from bench.scenario.session_files.counted_rows import read_columns
from bench.scenario.session_files.formats import SessionFormat, format_called, format_of
from bench.scenario.session_files.opening import read_rows
from bench.scenario.session_files.rows import FileRow, Notes, Numbers, Reading, listed
from bench.scenario.sessions import Session, SessionFile
from bench.scenario.work import Replay

_HEAD = 50
"""Rows looked at for the format: a file may begin with rows that are no requests."""
MOST_FILES = 10_000


def read_sessions(
    path: Path, format: str = "auto", columns: Mapping[str, str] | None = None
) -> SessionFile:
    """The sessions of a file, or of all files that a pattern with `*` matches.

    `columns` says, for rows of one's own, what it is -> the name of its column.
    """
    paths = matching_files(path)
    notes, numbers = Notes(), Numbers()
    readings: list[tuple[str, Reading]] = []
    for one in paths:
        name, reading = _read(one, format, columns, notes, numbers)
        if readings and name != readings[0][0]:
            raise ValueError(
                f"{one.name} is {name}, {paths[0].name} is {readings[0][0]}: all files that a "
                "pattern matches must have one format"
            )
        readings.append((name, reading))
    sessions = _joined(_on_one_clock([reading for _, reading in readings]))
    if all(session.start_s is not None for session in sessions):
        sessions.sort(key=lambda session: session.start_s or 0.0)
    if not sessions:
        raise ValueError(f"{path.name} holds no session{notes.in_brackets()}")
    return SessionFile(tuple(sessions), readings[0][0], notes.all())


@functools.lru_cache(maxsize=4)
def session_file(path: str, format: str, columns: tuple[tuple[str, str], ...]) -> SessionFile:
    """As `read_sessions`, read once for all who ask until a scenario is loaded again."""
    return read_sessions(Path(path), format, dict(columns) or None)


def played_file(replay: Replay) -> SessionFile:
    """The file that is played again."""
    return session_file(replay.path, replay.format, replay.columns)


def matching_files(path: Path) -> list[Path]:
    """The file, or all that it matches as a pattern with `*`."""
    if path.is_file() or not has_magic(str(path)):
        return [path]
    found = sorted(map(Path, glob(str(path), recursive=True)))  # noqa: PTH207 (any folder)
    found = [one for one in found if one.is_file()]
    if not found:
        raise ValueError(f"no file matches {path}")
    if len(found) > MOST_FILES:
        raise ValueError(f"{len(found):,} files match {path}, more than {MOST_FILES:,}")
    return found


def _read(
    path: Path, format: str, columns: Mapping[str, str] | None, notes: Notes, numbers: Numbers
) -> tuple[str, Reading]:
    """The name of a file's format, and what it holds."""
    with contextlib.closing(read_rows(path, notes)) as rows:
        head = list(itertools.islice(rows, _HEAD))
        if not head:
            raise ValueError(f"{path.name} holds no session{notes.in_brackets()}")
        whole = itertools.chain(head, rows)
        if columns:
            return "columns", read_columns(whole, notes, numbers, columns)
        known = format_of(head) if format == "auto" else format_called(format)
        made = known.read(_of_format(whole, known), notes, numbers)
        return made.format or known.name, made


_MIXED = ("claude-code", "codex", "otel")
"""Formats with rows of several kinds, of which their readers know which to skip."""


def _of_format(rows: Iterator[FileRow], known: SessionFormat) -> Iterator[FileRow]:
    """The rows, each checked to be of the format."""
    form = f"{known.name} ({known.fields})"
    for row in rows:
        if known.name not in _MIXED and not known.is_it(row.value):
            raise row.wrong(f"is no row of {form}: it has {listed(row.value)}")
        yield row


def _on_one_clock(readings: Sequence[Reading]) -> list[list[Session]]:
    """The sessions of each file, with times from the first request on.

    Files whose times count from 1970 share one clock; others start each at 0, as far as known.
    """
    starts = [_first(r.sessions) if r.clock == "shared" else None for r in readings]
    known = [start for start in starts if start is not None]
    since_1970 = bool(known) and min(known) > 1e8
    made = []
    for reading, start in zip(readings, starts, strict=True):
        if start is not None:
            origin = min(known) if since_1970 else start
            made.append([_shifted(session, origin, True) for session in reading.sessions])
        elif reading.clock == "own":
            alone = len(readings) == 1 and len(reading.sessions) == 1
            made.append([_shifted(s, _first([s]) or 0.0, alone) for s in reading.sessions])
        else:
            made.append(reading.sessions)
    return made


def _first(sessions: Sequence[Session]) -> float | None:
    """The earliest arrival; where none is known, the earliest end of an answer."""
    steps = [step for session in sessions for step in session.steps]
    arrivals = [step.at_s for step in steps if step.at_s is not None]
    ends = [step.answered_at_s for step in steps if step.answered_at_s is not None]
    return min(arrivals or ends, default=None)


def _shifted(session: Session, origin: float, start_known: bool) -> Session:
    def moved(at_s: float | None) -> float | None:
        return None if at_s is None else round(at_s - origin, 6)

    steps = tuple(
        replace(step, at_s=moved(step.at_s), answered_at_s=moved(step.answered_at_s))
        for step in session.steps
    )
    start = min((step.at_s for step in steps if step.at_s is not None), default=None)
    return replace(session, steps=steps, start_s=start if start_known else None)


def _joined(files: Sequence[Sequence[Session]]) -> list[Session]:
    """All sessions; parts of one that stand in several files are put together."""
    made: dict[str, Session] = {}
    for number, sessions in enumerate(files, start=1):
        for session in sessions:
            before = made.get(session.id)
            if before is None:
                made[session.id] = session
            elif _are_parts(before, session):
                steps = sorted((*before.steps, *session.steps), key=lambda s: s.at_s or 0.0)
                made[session.id] = replace(before, steps=tuple(steps), start_s=steps[0].at_s)
            else:
                name = f"{session.id} ({number})" if len(files) > 1 else session.id
                while name in made:
                    name = f"{name}'"
                made[name] = replace(session, id=name)
    return list(made.values())


def _are_parts(one: Session, other: Session) -> bool:
    """Whether they are threads of one session: an agent's file, and one of its sub-agent."""
    threads = {step.thread for step in one.steps}
    timed = all(step.at_s is not None for step in (*one.steps, *other.steps))
    return timed and threads.isdisjoint(step.thread for step in other.steps)
