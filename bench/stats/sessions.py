"""How much sessions differ when nothing has changed, from earlier sessions in order of time.

A regression that stays is a new level, and no noise: if its nights counted as noise, the second
slow night would already be "inconclusive". So the spread is taken within stretches of one level:
between change points (`bench.stats.change_points`), and without the newest sessions if these are
unlike all before them. A slow session in between that did not stay is noise, and counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.change_points import change_points
from bench.stats.paired import logs_of
from bench.stats.student_t import two_sided_p

MIN_SESSIONS = 5
"""Fewer earlier sessions than this say too little: the verdict is then only indicative."""

_NEW_LEVEL_P = 0.02
"""The newest sessions are a level of their own if chance makes them so unlike more rarely."""
_RANGE_MARGIN = 0.25
"""Of the range of earlier sessions: so far beyond it a session still counts as seen before."""
_UNUSUAL_P = 0.02
"""A baseline is unusual if chance makes it so unlike the other sessions more rarely."""


@dataclass(frozen=True, slots=True)
class SessionNoise:
    """The spread of sessions within stretches of one level.

    Attributes:
        variance: of the logs.
        df: degrees of freedom of it.
        levels: the logs of each stretch, in order of time.
    """

    variance: float
    df: float
    levels: tuple[tuple[float, ...], ...]

    def is_unusual(self, value: float, error: float = 0.0) -> bool:
        """Whether a session is unlike those of every level.

        Args:
            value: of the session.
            error: standard error of its log within the session.
        """
        return all(
            _p_apart(
                math.log(value) - fmean(level),
                self.variance * (1 + 1 / len(level)) + error**2,
                self.df,
            )
            <= _UNUSUAL_P
            for level in self.levels
        )

    def has_seen(self, value: float, baseline: float) -> bool:
        """Whether sessions of the baseline's level were about as far out as this value.

        Some machines have two states, and the rare one is no change. Student's t knows nothing of
        that; that such a session was seen before says it.
        """
        level = min(self.levels, key=lambda found: abs(fmean(found) - math.log(baseline)))
        margin = _RANGE_MARGIN * (max(level) - min(level))
        return min(level) - margin <= math.log(value) <= max(level) + margin


def session_noise(values: ArrayLike) -> SessionNoise:
    """The spread of sessions.

    Args:
        values: one positive value a session, oldest first.

    Raises:
        ValueError: fewer than `MIN_SESSIONS`, or a value that has no logarithm.
    """
    logs = logs_of(values)
    if logs.size < MIN_SESSIONS:
        raise ValueError(f"{logs.size} sessions are too few, {MIN_SESSIONS} are needed")
    cuts = [0, *(c.index for c in change_points(values)), logs.size]
    stretches = [logs[a:b] for a, b in pairwise(cuts)]
    last = stretches.pop()
    kept = last.size - _newest(last)
    stretches += [part for part in (last[:kept], last[kept:]) if part.size]
    df = sum(s.size - 1 for s in stretches)
    squares = sum(float(((s - s.mean()) ** 2).sum()) for s in stretches)
    return SessionNoise(squares / df, df, tuple(tuple(s.tolist()) for s in stretches))


def _newest(logs: NDArray[np.float64]) -> int:
    """How many of the newest sessions are a level of their own; those before are enough then."""
    best, least = 0, _NEW_LEVEL_P
    for count in range(1, logs.size - MIN_SESSIONS + 1):
        before, after = logs[:-count], logs[-count:]
        df = logs.size - 2
        squares = before.var() * before.size + after.var() * after.size
        error = squares / df * (1 / count + 1 / before.size)
        p = _p_apart(float(after.mean() - before.mean()), float(error), df)
        if p <= least:
            best, least = count, p
    return best


def _p_apart(distance: float, variance: float, df: float) -> float:
    if variance == 0:
        return 1.0 if distance == 0 else 0.0
    return two_sided_p(distance / math.sqrt(variance), df)
