"""The compiled server of `nullserver/`: builds it, runs it, and reads what it noted.

It needs Linux and a C compiler.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

SOURCES = Path(__file__).parent / "nullserver"
NOTE = np.dtype([("stream", "<u4"), ("line", "<u4"), ("ns", "<i8")])


def build(folder: Path, name: str = "nullserver") -> Path:
    """Compile one of the programs."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("this benchmark needs a C compiler (gcc)")
    subprocess.run([compiler, "-O2", "-o", folder / name, SOURCES / f"{name}.c"], check=True)
    return folder / name


def _place(core: int | None, ahead: bool) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})
    if ahead:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))


@contextlib.contextmanager
def serving(
    program: Path, *, core: int | None = None, ahead: bool = False, **options: object
) -> Iterator[int]:
    """The server; yields its port.

    Args:
        core: a core of its own.
        ahead: before all other work, if this user may (root): else what it notes and what it does
            lie apart whenever other work comes between.
    """
    command = [str(program)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=partial(_place, core, ahead),
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


def read_notes(log: Path) -> tuple[np.ndarray, np.ndarray]:
    """When each line was sent, by stream and line; and where each stream's begin, by its number."""
    notes = np.fromfile(log, NOTE)
    notes = notes[np.lexsort((notes["line"], notes["stream"]))]
    last = int(notes["stream"].max()) if len(notes) else 0
    return notes["ns"], np.searchsorted(notes["stream"], np.arange(last + 2))
