"""Processes of our own, and their temporary folders: only our code runs, and nothing stays."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_START = (
    "import runpy, sys; sys.path.append(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
_PREFIX = "ollama-bench-"
_OURS = re.compile(rf"{_PREFIX}(\d+)-")
_CLOCK_SLACK_S = 2.0


def module_command(module: str) -> list[str]:
    """The command that runs one of our modules in a process of its own; arguments may follow.

    Not `python -m`: that looks for modules in the current folder first, so a `queue.py` of the
    user's would be executed. This package's own place comes last, for a checkout.
    """
    home = str(Path(__file__).parents[1])
    return [sys.executable, "-P", "-c", _START, home, module]


def ended_how(code: int) -> str:
    """How a child process ended, from its exit code; goes on "the process ..."."""
    if code < 0:
        with suppress(ValueError):
            return f"was killed ({signal.Signals(-code).name})"
    return f"ended by itself (exit code {code})"


def leave_signals_to_parent(*, terminate: bool = True) -> None:
    """Of a child: Ctrl-C, a lost terminal and SIGTERM may reach the whole group of processes.

    What they mean is the parent's decision; a child ends when its standard input does. SIGTERM is
    left alone without `terminate`.
    """
    names = ["SIGINT", "SIGHUP", *(["SIGTERM"] if terminate else [])]
    for number in (getattr(signal, name, None) for name in names):
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A temporary folder for as long as the body runs.

    Its name holds the number of this process; what killed processes have left is removed first.
    """
    _remove_abandoned(Path(tempfile.gettempdir()))
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _remove_abandoned(parent: Path) -> None:
    try:
        found = [(path, _OURS.match(path.name)) for path in parent.glob(f"{_PREFIX}*-*")]
    except OSError:
        return
    for path, name in found:
        if name is not None and _abandoned(path, int(name[1])):
            shutil.rmtree(path, ignore_errors=True)


def _abandoned(folder: Path, pid: int) -> bool:
    """Whether a folder is this user's, and the process that made it has ended."""
    import psutil  # late: there is hardly ever such a folder

    try:
        status = folder.lstat()
        if not folder.is_dir() or folder.is_symlink():
            return False
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return False
        return bool(psutil.Process(pid).create_time() > status.st_ctime + _CLOCK_SLACK_S)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError, OverflowError):
        return False
