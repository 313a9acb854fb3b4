"""Where the history is: known before every run, without the database itself."""

from __future__ import annotations

import os
from pathlib import Path

HISTORY_VARIABLE = "OLLAMA_BENCH_HISTORY"
"""Environment variable with the path of the history, or "off"."""


def default_history() -> Path | None:
    """Where the history is: OLLAMA_BENCH_HISTORY, else the platform's data folder; None = off."""
    chosen = os.environ.get(HISTORY_VARIABLE, "")
    if chosen.lower() == "off":
        return None
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("ollama-bench") / "history.sqlite"
