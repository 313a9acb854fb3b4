"""What the functions of the public API take in more than one form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ScenarioSource = str | Path | Mapping[str, Any]
"""Path of a scenario file, name of a shipped scenario, or the keys of one as a dict."""


def names(given: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several: a text is one name, not its letters."""
    return (given,) if isinstance(given, str) else tuple(given)
