"""Files of sessions, read once for all who ask."""

from __future__ import annotations

import functools
from pathlib import Path

from bench.scenario.session_files import read_sessions
from bench.scenario.sessions import SessionFile


@functools.lru_cache(maxsize=4)
def session_file(path: str, format: str, columns: tuple[tuple[str, str], ...]) -> SessionFile:
    """What a file of sessions holds.

    Raises:
        ValueError: it cannot be read; the message names the file, and what was seen.
    """
    return read_sessions(Path(path), format, dict(columns) or None)
