"""Where the scenario library and the report templates lie, in a checkout and in a wheel alike."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent
DOCS = _PACKAGE / "docs"
"""The documents that `ollama-bench help` shows."""


def resource_dir(name: str) -> Path:
    """The folder `scenarios` or `reports` that ships with the program.

    In a wheel they are package data below `bench/_share`; in a checkout they stand beside `bench`.

    Raises:
        FileNotFoundError: the installation is broken.
    """
    for base in (_PACKAGE / "_share", _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(f"{name!r} is missing from this installation of ollama-bench")
