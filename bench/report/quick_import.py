"""Importing matplotlib without the documentation that it writes as it is imported.

It lists the properties of every artist in the docstrings of a hundred methods: a third of the time
of its import, which is a third of the time of a short report.
"""

from __future__ import annotations

import sys


def import_matplotlib() -> None:
    """Import what charts need, quickly unless someone is there who may ask for documentation."""
    if "matplotlib.figure" in sys.modules or "IPython" in sys.modules or hasattr(sys, "ps1"):
        return
    from matplotlib import artist

    in_full = artist.kwdoc
    artist.kwdoc = lambda artist: ""
    try:
        import matplotlib.figure  # noqa: F401
    finally:
        artist.kwdoc = in_full
