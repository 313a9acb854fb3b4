"""Where the history is, and whether a file is one: nothing else is ever written to.

Its header is read before SQLite opens the file, because SQLite may write even when it only reads
(it rolls back and checkpoints what another program left behind).
https://www.sqlite.org/fileformat.html#the_database_header
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ResultsError
from bench.files import read_file

if TYPE_CHECKING:
    import sqlite3

SCHEMA = 1
"""Version of the database. History: 1 = first."""

HISTORY_VARIABLE = "OLLAMA_BENCH_HISTORY"
"""Environment variable with the path of the history, or "off"."""

APPLICATION_ID = 0x4F4C4248
"""Stands in the header of every history ("OLBH"); the first ones had none."""

_MAGIC = b"SQLite format 3\0"
_HEADER_BYTES = 100
_USER_VERSION = slice(60, 64)
_APPLICATION_ID = slice(68, 72)
_TABLES = {"runs", "tags", "cases"}


def check_file(path: Path) -> bool:
    """Whether a file is a history; False if it can become one: it is empty, or is not there.

    Raises:
        ResultsError: it is something else, or cannot be read.
    """
    try:
        header = read_file(path, _HEADER_BYTES)
    except FileNotFoundError:
        return False
    except OSError as error:
        folder = isinstance(error, IsADirectoryError)
        why = "is a directory" if folder else f"cannot be read: {error.strerror or error}"
        raise _refused(path, why) from error
    if not header:
        return False
    if not header.startswith(_MAGIC):
        raise _refused(path, "is not a database")
    version, owner = (int.from_bytes(header[s]) for s in (_USER_VERSION, _APPLICATION_ID))
    if owner == APPLICATION_ID and version > SCHEMA:
        raise ResultsError(
            f"the history {path} has schema {version}, this program reads up to {SCHEMA}",
            "Upgrade ollama-bench: pip install -U ollama-bench",
        )
    if (owner, version) not in ((APPLICATION_ID, SCHEMA), (0, SCHEMA)):
        raise _foreign(path)
    return True


def check_tables(db: sqlite3.Connection, path: Path) -> bool:
    """Whether an open database holds a history; False if it holds nothing yet.

    Raises:
        ResultsError: it holds something else.
    """
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if tables and not tables >= _TABLES:
        raise _foreign(path)
    return bool(tables)


def _foreign(path: Path) -> ResultsError:
    return _refused(path, "is a database of another program")


def _refused(path: Path, why: str) -> ResultsError:
    return ResultsError(
        f"{path} {why}, so it cannot be the history",
        "It is left as it is. Name another file with --history or OLLAMA_BENCH_HISTORY, or switch "
        "the history off with --no-history.",
    )


def default_history() -> Path | None:
    """Where the history is: OLLAMA_BENCH_HISTORY, else the platform's data folder; None = off."""
    chosen = os.environ.get(HISTORY_VARIABLE, "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("ollama-bench") / "history.sqlite"
