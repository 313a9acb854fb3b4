"""Importing matplotlib without the documentation that it writes as it is imported.

It lists the properties of every artist in the docstrings and signatures of a hundred methods: half
of the time of its import, which is a third of the time of a short report.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any


def import_matplotlib() -> None:
    """Import what charts need, quickly unless someone is there who may ask for documentation."""
    if "matplotlib.figure" in sys.modules or "IPython" in sys.modules or hasattr(sys, "ps1"):
        return
    from matplotlib import artist

    in_full = artist.kwdoc, artist.ArtistInspector
    changed: Any = artist
    changed.kwdoc, changed.ArtistInspector = lambda _: "", partial(_Inspector, in_full[1])
    try:
        import matplotlib.figure  # noqa: F401
    finally:
        changed.kwdoc, changed.ArtistInspector = in_full


class _Inspector:
    """Matplotlib's own, but that it finds no properties."""

    def __init__(self, in_full: Any, artist: Any) -> None:
        self._in_full, self._artist = in_full, artist

    def get_setters(self) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._in_full(self._artist), name)
