"""requests.jsonl: appended as requests end, so that a kill loses nothing that had ended."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bench.errors import ResultsError

if TYPE_CHECKING:
    from bench.results.records import Records

REQUESTS_FILE = "requests.jsonl"


class Journal:
    """Appends records; each goes to the operating system before `append` returns.

    No fsync: the records survive a kill of this process, not a loss of power. All methods raise
    `ResultsError` if the disk is full or not writable; lines already written stay.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | _O_BINARY, 0o644)
            self._end_torn_line()
        except OSError as error:
            raise cannot_write(path, error, _KEPT) from error

    def _end_torn_line(self) -> None:
        """After a kill, so that no other line is lost with the one that it tore."""
        if os.fstat(self._fd).st_size:
            os.lseek(self._fd, -1, os.SEEK_END)
            if os.read(self._fd, 1) != b"\n":
                os.write(self._fd, b"\n")

    def append(self, record: Any) -> None:
        """Write a record as one line."""
        line, written = _encode(record) + b"\n", 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            with suppress(OSError):  # or else the next record would be lost with this one
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise cannot_write(self.path, error, _KEPT) from error
        self.count += 1

    def close(self) -> None:
        """Close the file; closing twice is harmless.

        A file that was deleted meanwhile is written again: what was measured is kept.
        """
        if self._fd < 0:
            return
        try:
            if self.count and not self.path.exists():
                self._write_again()
        except OSError as error:
            raise cannot_write(self.path, error, _KEPT) from error
        finally:
            os.close(self._fd)
            self._fd = -1

    def _write_again(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        os.lseek(self._fd, 0, os.SEEK_SET)
        mode = stat.S_IMODE(os.fstat(self._fd).st_mode)
        again = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_BINARY, mode)
        with os.fdopen(again, "wb") as file, os.fdopen(os.dup(self._fd), "rb") as deleted:
            shutil.copyfileobj(deleted, file)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ReadBack(NamedTuple):
    """What could be read of a journal.

    Attributes:
        records: of the lines that could be read.
        torn: how many lines could not be.
        cut: the last of these has no end: its writer was killed while it wrote.
    """

    records: Records
    torn: int = 0
    cut: bool = False


def read_records(path: Path, every: int = 1) -> ReadBack:
    """All readable records of a journal.

    A missing file is an empty journal: the run was killed before its first request ended. `every`:
    one line in so many, for drawings of large runs.
    """
    from bench.results.records import read_lines, records_of  # late: numpy, which no writer needs

    try:
        return ReadBack(*read_lines(path, every))
    except FileNotFoundError:
        return ReadBack(records_of([]))
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error


def cannot_write(path: Path, error: OSError, kept: str = "") -> ResultsError:
    """What is wrong, and what to do about it; `kept` is said in addition."""
    advice = f"Free some space, or name another folder with -o.{kept}"
    return ResultsError(f"cannot write {path}: {error.strerror or error}", advice)


_KEPT = " What was measured so far is kept."
_O_BINARY: int = getattr(os, "O_BINARY", 0)
_encode = msgspec.json.Encoder().encode
