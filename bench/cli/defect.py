"""What a user sees of a defect of this program: one message, and a file to send."""

from __future__ import annotations

import platform
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

from bench.cli.output import say
from bench.hidden import scrub

_PREFIX = "ollama-bench-defect-"


def report_defect(error: BaseException) -> None:
    """Write the traceback to a file, without secrets, and say where it is and how to go on.

    Notes of the error (`add_note`) say what of the measurement is kept.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    what = f"{type(error).__name__}: {error}".strip().removesuffix(":")
    lines = [f"ollama-bench: a defect of ollama-bench, not of your set-up: {what}{place}"]
    file = _written(error)
    if file:
        lines.append(f"  Please report it, with this file: {file}")
    lines += [f"  {note}" for note in getattr(error, "__notes__", ())]
    say("\n".join(lines))


def _written(error: BaseException) -> str:
    """Path of the file with the traceback; "" if none can be written."""
    import bench

    trace = "".join(traceback.format_exception(error))
    text = (
        f"ollama-bench {bench.__version__}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.release()}\n"
        f"{' '.join(sys.argv[1:])}\n\n{trace}"
    )
    with (
        suppress(OSError),
        tempfile.NamedTemporaryFile(
            "w",
            prefix=_PREFIX,
            suffix=".txt",
            delete=False,
            encoding="utf-8",
            errors="backslashreplace",
        ) as file,
    ):
        file.write(scrub(text))
        return file.name
    return ""
