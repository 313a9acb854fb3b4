"""Keeps the garbage collector out of measured phases."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(active: bool = True) -> Iterator[None]:
    """Collect now, then not again until the end of the context.

    What is alive at the start is frozen: later collections do not look at it. Our own transports
    make no reference cycles, so nothing piles up; httpx does, so do not use this with it.
    """
    if not active or not gc.isenabled():
        yield
        return
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
