"""Keeps the garbage collector out of measured phases."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_inside = 0
"""Measured phases that are going on: the blocks of a mix overlap."""


@contextmanager
def quiet(active: bool = True) -> Iterator[None]:
    """Collect now, then not again until the end of the context, or of the last that overlaps it.

    What is alive at the start is frozen: later collections do not look at it. Our own transports
    make no reference cycles, so nothing piles up; httpx does, so do not use this with it.
    """
    global _inside
    if not active or (not _inside and not gc.isenabled()):
        yield
        return
    if not _inside:
        gc.collect()
        gc.freeze()
        gc.disable()
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            gc.enable()
            gc.unfreeze()
