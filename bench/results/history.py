"""The history: an index of finished runs, so that they can be found, tagged and compared over time.

It is an index only. All it holds can be read again from the run directories (`history rebuild`);
tags are the exception. Several programs may write to it at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bench.errors import ResultsError
from bench.results.history_file import APPLICATION_ID, SCHEMA, check_file, check_tables

if TYPE_CHECKING:
    import sqlite3

_BUSY_S = 30.0
_ID_PREFIX = 4

_TABLES = """
CREATE TABLE runs (
  id TEXT PRIMARY KEY, path TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL,
  status TEXT NOT NULL, valid INTEGER NOT NULL, simulated INTEGER NOT NULL,
  tool_version TEXT NOT NULL
);
CREATE TABLE tags (run TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (run, tag));
CREATE TABLE cases (
  run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, case_id TEXT NOT NULL,
  identity TEXT NOT NULL, server_version TEXT NOT NULL, model TEXT NOT NULL,
  measured BLOB NOT NULL, PRIMARY KEY (run, case_id)
);
CREATE INDEX cases_by_identity ON cases (identity, server_version);
"""


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


class History:
    """The index in one SQLite file, made when it is first written.

    All methods raise `ResultsError` if it cannot be read or written, or a run is not in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def check(self) -> None:
        """Whether there is a history that can be written, or one can be made."""
        with self._writing():
            pass

    def add(self, run: IndexedRun) -> None:
        """Index a run, or index it again. Its tags are added to those it has."""
        with self._writing() as db:
            db.execute("DELETE FROM cases WHERE run = ?", (run.id,))
            about = (run.id, str(run.path.absolute()), run.name, run.created_at, run.status)
            row = (*about, run.valid, run.simulated, run.tool_version)
            db.execute("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            for c in run.cases:
                known = (run.id, c.case_id, c.identity, c.server_version, c.model)
                values = msgspec.json.encode(c.values)
                db.execute("INSERT INTO cases VALUES (?, ?, ?, ?, ?, ?)", (*known, values))
            _add_tags(db, run.id, run.tags)

    def tag(self, run_id: str, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        """Add tags to a run, and take tags from it."""
        self.get(run_id)
        with self._writing() as db:
            _add_tags(db, run_id, add)
            db.executemany(
                "DELETE FROM tags WHERE run = ? AND tag = ?", [(run_id, tag) for tag in remove]
            )

    def remove(self, run_id: str) -> None:
        """Forget a run; its directory stays."""
        self.get(run_id)
        with self._writing() as db:
            for table, column in (("tags", "run"), ("cases", "run"), ("runs", "id")):
                db.execute(f"DELETE FROM {table} WHERE {column} = ?", (run_id,))

    def runs(self) -> list[IndexedRun]:
        """Every run with its tags and cases, oldest first; damaged rows are left out."""
        return self._read()[0]

    def damaged(self) -> list[str]:
        """The runs of which a row cannot be read, by id."""
        return self._read()[1]

    def _read(self, identity: str | None = None) -> tuple[list[IndexedRun], list[str]]:
        """The runs with their cases (of one identity), and the ids of those with damaged rows."""
        runs: list[IndexedRun] = []
        damaged: list[str] = []
        with self._reading() as db:
            if db is None:
                return runs, damaged
            tags: dict[str, list[str]] = {}
            for run_id, tag in db.execute("SELECT run, tag FROM tags ORDER BY tag"):
                if isinstance(tag, str):
                    tags.setdefault(run_id, []).append(tag)
            cases: dict[str, list[IndexedCase]] = {}
            which = "" if identity is None else "WHERE identity = ?"
            query = f"SELECT * FROM cases {which} ORDER BY rowid"
            for row in db.execute(query, () if identity is None else (identity,)):
                case = _case(row[1:])
                if case is None:
                    damaged.append(str(row[0]))
                else:
                    cases.setdefault(row[0], []).append(case)
            for row in db.execute("SELECT * FROM runs ORDER BY created_at, id"):
                run_id, path, name, created, status, valid, simulated, version = row
                if not all(isinstance(text, str) for text in (*row[:5], version)):
                    damaged.append(str(run_id))
                    continue
                held = tuple(tags.get(run_id, ())), tuple(cases.get(run_id, ()))
                about = run_id, Path(path), name, created, status, valid == 1, bool(simulated)
                runs.append(IndexedRun(*about, version, *held))
        return runs, list(dict.fromkeys(damaged))

    def get(self, run_id: str) -> IndexedRun:
        """The run with this id."""
        return next((r for r in self.runs() if r.id == run_id), None) or self._none(run_id)

    def find(self, name: str) -> IndexedRun:
        """The run that a user means: by id, by a part that fits no other, or a tag's newest."""
        runs = self.runs()
        exact = [r for r in runs if r.id == name]
        tagged = [r for r in runs if name in r.tags]
        parts = [r for r in runs if name in r.id] if len(name) >= _ID_PREFIX else []
        for found in (exact, tagged[-1:], parts):
            if len(found) == 1:
                return found[0]
        if parts:
            listed = ", ".join(r.id for r in parts[-5:])
            raise ResultsError(f"{name!r} could mean {len(parts)} runs", f"Among them: {listed}.")
        return self._none(name)

    def sessions(self, identity: str, server_version: str | None = None) -> list[PastCase]:
        """Valid, complete cases of one identity, oldest first.

        With `server_version`, only those of it.
        """
        return [
            PastCase(run.id, run.created_at, case)
            for run in self._read(identity)[0]
            if not run.unusable
            for case in run.cases
            if server_version in (None, case.server_version)
        ]

    def left_out(self, identity: str, server_version: str | None = None) -> list[str]:
        """Runs with a case of one identity that `sessions` leaves out, with the reason."""
        runs, damaged = self._read(identity)
        return [f"{run_id} (damaged)" for run_id in damaged] + [
            f"{run.id} ({run.unusable})"
            for run in runs
            if run.unusable and any(server_version in (None, c.server_version) for c in run.cases)
        ]

    def _none(self, name: str) -> IndexedRun:
        runs = self.runs()
        known = sorted({r.id for r in runs} | {t for r in runs for t in r.tags})
        near = difflib.get_close_matches(name, known, 3, cutoff=0.4)
        advice = f"Did you mean: {', '.join(near)}?" if near else "See `ollama-bench history list`."
        raise ResultsError(f"the history has no run called {name!r} ({self.path})", advice)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection; None if there is no history yet."""
        if not check_file(self.path):
            yield None
            return
        with self._connected() as db:
            yield db if check_tables(db, self.path) else None

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer can disturb."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._broken(error) from error
        with self._connected() as db:
            # Immediate: a writer that waits here for another one sees what that one wrote.
            db.execute("BEGIN IMMEDIATE")
            if not check_tables(db, self.path):
                for statement in _TABLES.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {SCHEMA}")
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        import sqlite3  # late: every run knows its history, and few need it before their end

        check_file(self.path)
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as db:
                db.execute("PRAGMA foreign_keys = ON")
                db.text_factory = lambda raw: raw.decode(errors="replace")
                yield db
        except sqlite3.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ResultsError:
        return ResultsError(
            f"cannot use the history {self.path}: {getattr(error, 'strerror', None) or error}",
            "Name another with --history, or switch it off with --no-history. If it is damaged, "
            "move it away and make it anew: ollama-bench history rebuild FOLDER",
        )


def _add_tags(db: sqlite3.Connection, run_id: str, tags: Sequence[str]) -> None:
    db.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(run_id, tag) for tag in tags])


def _case(row: Sequence[object]) -> IndexedCase | None:
    """A case of the table; None if the row is damaged."""
    case_id, identity, version, model, measured = row
    if not (isinstance(case_id, str) and isinstance(identity, str)):
        return None
    if not (isinstance(version, str) and isinstance(model, str) and isinstance(measured, bytes)):
        return None
    try:
        values = msgspec.json.decode(measured, type=dict[str, Value])
    except (ValueError, RecursionError):
        return None
    return IndexedCase(case_id, identity, version, model, values)
