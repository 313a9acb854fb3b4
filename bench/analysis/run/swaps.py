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


def loads_of(columns: Columns, era: Era) -> list[tuple[float, float]]:
    """Spans in which requests waited for a load, in nanoseconds from the start of the run.

    A request waits from when it is sent; those that wait for one load end waiting together, so
    spans that overlap are one load.

    Args:
        columns: of one block of one model.
        era: of its server: what a request to a loaded model costs is no load.
    """
    warm_s = era.warm_load_s[1]
    limit_ns = (_WARM * warm_s if warm_s < LOAD_S else max(LOAD_S, _WARM * warm_s)) * 1e9
    with np.errstate(invalid="ignore"):
        waited = (columns.load_ns >= limit_ns) & columns.measured & columns.ok
    begins = columns.sent_ns[waited]
    ends = begins + columns.load_ns[waited]
    spans: list[tuple[float, float]] = []
    for begin, end in sorted(zip(begins.tolist(), ends.tolist(), strict=True)):
        if spans and begin < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans
