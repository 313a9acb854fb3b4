"""Numbers from files of sysfs."""

from __future__ import annotations

from pathlib import Path

from bench.telemetry.source import is_blank


def number_in(path: Path) -> float | None:
    """The number that a file holds; None if there is no such file or it holds no value.

    Raises:
        OSError: the file is there but cannot be read now: no permission, device asleep or busy.
    """
    try:
        value = float(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return None if is_blank(value) else value


def text_in(path: Path) -> str:
    """The text of a file without white space around it; "" if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
