"""requests.jsonl: appended as requests end, so that a kill loses nothing that had ended."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from types import TracebackType

import msgspec

from bench.errors import ResultsError
from bench.results.record import RequestRecord, decode_record, encode_record

REQUESTS_FILE = "requests.jsonl"


class Journal:
    """Appends records; each goes to the operating system before `append` returns.

    No fsync: the records survive a kill of this process, not a loss of power.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _O_BINARY, 0o644)
        except OSError as error:
            raise _cannot_append(path, error) from error

    def append(self, record: RequestRecord) -> None:
        """Write one line.

        Raises:
            ResultsError: the disk is full or not writable; lines already written stay.
        """
        line = encode_record(record)
        try:
            written = os.write(self._fd, line)
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as error:
            raise _cannot_append(self.path, error) from error
        self.count += 1

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_records(path: Path, every: int = 1) -> tuple[list[RequestRecord], int]:
    """All readable records of a journal, and the number of lines that were not.

    A missing file is an empty journal: the run was killed before its first request ended.

    Args:
        path: of the file.
        every: read only every so manieth line, for drawings of large runs.

    Raises:
        ResultsError: the file cannot be read.
    """
    records: list[RequestRecord] = []
    torn = 0
    try:
        # Line by line: a large run's file needs not be in memory beside its records.
        with path.open("rb") as file:
            for line in islice(file, 0, None, every):
                try:
                    records.append(decode_record(line))
                except msgspec.DecodeError:
                    torn += 1
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    return records, torn


_O_BINARY: int = getattr(os, "O_BINARY", 0)


def _cannot_append(path: Path, error: OSError) -> ResultsError:
    return ResultsError(
        f"cannot write {path}: {error.strerror or error}",
        "Free some space, or name another folder with -o. What was measured so far is kept.",
    )
