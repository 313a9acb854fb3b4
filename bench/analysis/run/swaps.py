"""Loads of a model in the middle of measuring: two models take turns in memory that holds one."""

from __future__ import annotations

import numpy as np

from bench.analysis.run.columns import Columns
from bench.ollama.eras import Era

LOAD_S = 0.25
"""What a load takes at least: Ollama asks a new runner every 250 ms whether it is ready. The
shortest load in the recordings (98 MB on a CPU) took 0.285 s."""
_WARM = 2.0
"""Times the longest that a request to a loaded model usually waits: more is a load."""


def loads_of(columns: Columns, era: Era) -> tuple[int, float]:
    """Loads that requests waited for, and how long at least one of them waited, in nanoseconds.

    A request waits from when it is sent, for the loads of other models before its own too. Those
    that wait for the same load end waiting together; before a model has gone, another has come and
    it is loaded again, more time passes than one load takes.
    """
    warm_s = era.warm_load_s[1]
    limit_ns = (_WARM * warm_s if warm_s < LOAD_S else max(LOAD_S, _WARM * warm_s)) * 1e9
    with np.errstate(invalid="ignore"):
        waited = (columns.load_ns >= limit_ns) & columns.measured & columns.ok
    begins = columns.sent_ns[waited]
    ends = begins + columns.load_ns[waited]
    count, last_ns = 0, -np.inf
    for end in np.sort(ends).tolist():
        if end - last_ns >= LOAD_S * 1e9:
            count, last_ns = count + 1, end
    spent, until = 0.0, -np.inf
    for begin, end in sorted(zip(begins.tolist(), ends.tolist(), strict=True)):
        spent += max(end - max(begin, until), 0.0)
        until = max(end, until)
    return count, spent
