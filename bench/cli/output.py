"""What is printed: nothing of it can end the program or bend its exit code.

A reader may stop reading (`| head`), a disk may be full, a terminal may be gone, a stream may be
closed or not take every character. That changes nothing of what was found.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from bench.hidden import scrub
from bench.shown import json_text, shown

if TYPE_CHECKING:
    from rich.console import Console

    from bench.commands.run import FinishedRun


def say(text: str, err: bool = True) -> None:
    """A line for people, on standard error unless it is a result: shown, never obeyed."""
    _write(shown(scrub(text)) + "\n", sys.stderr if err else sys.stdout)


def tell_not_written(run: FinishedRun) -> None:
    """Say what could not be written though the run has ended well."""
    for warning in run.not_written:
        say(f"warning: {warning.message}\n  {warning.advice}")


def echo(text: str) -> None:
    """A whole document on standard output, as it is: its renderer has made it fit."""
    _write(text, sys.stdout)


def echo_json(document: bytes) -> None:
    """A JSON document on standard output, indented, as it may be shown."""
    import msgspec

    echo(json_text(msgspec.json.format(document, indent=2)))


def console(*, err: bool = False, quiet: bool = False) -> Console:
    """A rich console on standard output, or standard error: no text is markup, none is obeyed."""
    from bench.report.console import Terminal

    return Terminal(stderr=err, quiet=quiet)


def _write(text: str, stream: Any) -> None:
    if stream is None:
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))
    stream.flush()


_NOBODY_READS = (errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN)
_DROPPED_BYTES = 1 << 16


class PatientStreams:
    """Standard output and standard error that take everything, while this program runs.

    What cannot be written is dropped, and the reason kept: see `lost`.
    """

    def __init__(self) -> None:
        _occupy()
        self._out, sys.stdout = _patient(sys.stdout)
        self._err, sys.stderr = _patient(sys.stderr)

    @property
    def lost(self) -> str:
        """Why standard output does not hold all that was written to it; "" if it does.

        A reader that stopped reading has what it wanted.
        """
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        error = self._out.error
        if error is None or error.errno in _NOBODY_READS:
            return ""
        return error.strerror or str(error)

    @property
    def dropped(self) -> str:
        """The end of what did not reach standard output."""
        return self._out.dropped.decode(sys.stdout.encoding, "replace")


class _PatientFile(io.RawIOBase):
    """Hands on what is written, until that fails; then takes it and drops it."""

    def __init__(self, below: io.RawIOBase) -> None:
        self._below = below
        self.error: OSError | None = None
        self.dropped = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._below.fileno()

    def isatty(self) -> bool:
        with suppress(OSError, ValueError):
            return self._below.isatty()
        return False

    def write(self, data: Any) -> int:
        while self.error is None:
            try:
                written = self._below.write(data)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                select.select([], [self._below], [])  # somebody made it non-blocking
        if self.error.errno not in _NOBODY_READS:
            self.dropped = (self.dropped + bytes(data))[-_DROPPED_BYTES:]
        return len(data)


def _patient(stream: Any) -> tuple[_PatientFile, Any]:
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # closed from the start
        nowhere = io.FileIO(os.devnull, "w")
        raw = _PatientFile(cast(io.RawIOBase, nowhere))
        return raw, io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")
    with suppress(OSError, ValueError):
        stream.flush()
    raw = _PatientFile(getattr(buffer, "raw", buffer))
    patient = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream is sys.stderr,
    )
    return raw, patient


def _occupy() -> None:
    """No file of ours may get the number of a closed standard stream: others write to that."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
