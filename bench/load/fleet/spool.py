"""What a sender has said, kept in a file on its machine until the run's machine has it.

So nothing that ended is lost with a connection, an agent or the run's machine: what was not
fetched then is fetched when the next run uses these machines, or lies there for a person.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.files import open_file

_SUFFIX = ".jsonl"
_CLOCK_SLACK_S = 2.0
_KEPT_S = 14 * 86_400.0
"""Older files are removed: nobody came for them."""


def spool_folder() -> Path:
    """Where this machine keeps what its senders said."""
    import platformdirs  # late: a run without a fleet has no use for it

    return Path(platformdirs.user_state_dir("ollama-bench")) / "fleet"


class Kept(NamedTuple):
    """One file: what one sender of a run said; `agent` is the process that writes it, or did."""

    run: str
    sender: str
    agent: int
    path: Path

    @property
    def left(self) -> bool:
        """Whether nobody writes it any more."""
        import psutil  # late: there is hardly ever such a file

        try:
            writer = psutil.Process(self.agent)
            # Dask's worker leaves an agent that has ended a zombie; a number can come again.
            newer = writer.create_time() > self.path.stat().st_mtime + _CLOCK_SLACK_S
            return writer.status() == psutil.STATUS_ZOMBIE or newer
        except psutil.NoSuchProcess:
            return True
        except (psutil.Error, OSError):
            return False


class Spool:
    """A file that grows at its end and is read from anywhere."""

    def __init__(self, folder: Path, run: str, sender: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / f"{run}~{sender}~{os.getpid()}{_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        self._fd = os.open(self.path, flags, 0o600)
        self.size = 0

    def append(self, data: bytes) -> None:
        """Add to the end."""
        os.lseek(self._fd, 0, os.SEEK_END)
        while data:
            data = data[os.write(self._fd, data) :]
        self.size = os.lseek(self._fd, 0, os.SEEK_END)

    def read(self, start: int, most: int = 1 << 16) -> bytes:
        """What stands from `start` on, at most so much."""
        os.lseek(self._fd, start, os.SEEK_SET)
        return os.read(self._fd, most)

    def close(self, *, keep: bool) -> None:
        """Close it, and remove it unless it is wanted."""
        os.close(self._fd)
        if not keep:
            self.path.unlink(missing_ok=True)


def kept_here(folder: Path) -> Iterator[Kept]:
    """The files that are left, without those that nobody came for."""
    for path in sorted(folder.glob(f"*~*~*{_SUFFIX}")):
        if path.stat().st_mtime < time.time() - _KEPT_S:
            path.unlink(missing_ok=True)
            continue
        run, sender, agent = path.name.removesuffix(_SUFFIX).rsplit("~", 2)
        if agent.isdigit():
            yield Kept(run, sender, int(agent), path)


def kept_lines(path: Path, start: int = 0) -> bytes:
    """What one file holds from `start` on; empty if there is none."""
    try:
        with open_file(path) as file:
            file.seek(start)
            return file.read()
    except FileNotFoundError:
        return b""
