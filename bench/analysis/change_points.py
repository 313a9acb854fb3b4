"""Where a series of runs changed its level: for the trend report, never for a gate.

E-divisive (Matteson & James, arXiv 1306.4933) as Hunter / Apache Otava does it (Fleming et al.,
arXiv 2301.03034): the split that separates the two sides best, then Student's t in place of
permutations, then the same on each side. Unlike Otava the variance has ddof 1: with 3 points a side
ddof 0 turns a nominal 5 % into 8.5 %.

Because the best of many splits is tested, "p < .001" is not the false-alarm rate of a series. With
at least 3 points a side and at least 3 % it is below 1 % on a stable series of 10 to 100 points (sd
2 %); a drop of 5 % is found in 1 % of the cases after one run, 7 of 10 after three, 9 of 10 after
five (tests/performance/comparison_error_rates.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.analysis.student_t import t_cdf

MIN_POINTS = 10
"""Shorter series get no change points."""

MAX_P = 0.001
MIN_CHANGE = 0.03
_MIN_SIDE = 3


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The series has another level from this point on.

    Attributes:
        index: of the first point at the new level.
        before, after: mean (geometric) on either side, up to the neighbouring change points.
        p_value: of Student's t between the two sides (not corrected for the search).
    """

    index: int
    before: float
    after: float
    p_value: float

    @property
    def change(self) -> float:
        """Relative change of level, e.g. -0.07."""
        return self.after / self.before - 1


def change_points(
    values: ArrayLike, max_p: float = MAX_P, min_change: float = MIN_CHANGE
) -> tuple[ChangePoint, ...]:
    """The change points of one metric over runs of one identity, in order of time.

    Args:
        values: positive, oldest first.
        max_p: a split counts if its p lies below.
        min_change: and if the level changed by at least this much, relatively.
    """
    series = np.asarray(values, float)
    if series.size < MIN_POINTS:
        return ()
    if not np.all(series > 0):
        raise ValueError("change points are looked for in logs, so values must be above 0")
    logs: NDArray[np.float64] = np.log(series)
    cuts = sorted(_splits(logs, 0, logs.size, max_p, min_change))
    return _without_weak(logs, cuts, max_p, min_change)


def _splits(
    logs: NDArray[np.float64], start: int, end: int, max_p: float, min_change: float
) -> list[int]:
    """Split positions inside [start, end), found by bisection."""
    if end - start < 2 * _MIN_SIDE:
        return []
    cut = start + _best_split(logs[start:end])
    p_value, step = _between(logs[start:cut], logs[cut:end])
    if p_value >= max_p or not _large(step, min_change):
        return []
    left = _splits(logs, start, cut, max_p, min_change)
    return [*left, cut, *_splits(logs, cut, end, max_p, min_change)]


def _best_split(x: NDArray[np.float64]) -> int:
    """The split with the largest energy statistic Q (alpha = 1), at least 3 points a side."""
    n = x.size
    distance = np.abs(x[:, None] - x[None, :])
    # Sums of distances within the first tau points, within the others, and across, for every tau.
    cumulative = distance.cumsum(0).cumsum(1)
    total = cumulative[-1, -1]
    best, best_q = _MIN_SIDE, -math.inf
    for tau in range(_MIN_SIDE, n - _MIN_SIDE + 1):
        left = cumulative[tau - 1, tau - 1]
        across = cumulative[tau - 1, -1] - left
        right = total - left - 2 * across
        m, k = tau, n - tau
        energy = 2 * across / (m * k) - left / (m * (m - 1)) - right / (k * (k - 1))
        q = m * k / (m + k) * energy
        if q > best_q:
            best, best_q = tau, q
    return best


def _between(left: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[float, float]:
    """(two-sided p of Student's pooled t, difference of means) between two stretches of logs."""
    df = left.size + right.size - 2
    step = float(right.mean() - left.mean())
    pooled = (
        (left.size - 1) * left.var(ddof=1) + (right.size - 1) * right.var(ddof=1)
    ) / df  # ddof 1, weighted: Student's pooled variance
    if pooled == 0:
        return (1.0 if step == 0 else 0.0), step
    t = step / math.sqrt(pooled * (1 / left.size + 1 / right.size))
    return 2 * t_cdf(-abs(t), df), step


def _large(step: float, min_change: float) -> bool:
    return abs(step) >= math.log1p(min_change)


def _without_weak(
    logs: NDArray[np.float64], cuts: list[int], max_p: float, min_change: float
) -> tuple[ChangePoint, ...]:
    """Judge each cut against its neighbours' stretches; drop the weakest until all hold."""
    while True:
        edges = [0, *cuts, logs.size]
        judged = [
            _between(logs[a:cut], logs[cut:b])
            for a, cut, b in zip(edges[:-2], cuts, edges[2:], strict=True)
        ]
        weak = [
            i for i, (p, step) in enumerate(judged) if p >= max_p or not _large(step, min_change)
        ]
        if not weak:
            break
        del cuts[max(weak, key=lambda i: judged[i][0])]
    return tuple(
        ChangePoint(
            index=cut,
            before=float(np.exp(logs[a:cut].mean())),
            after=float(np.exp(logs[cut:b].mean())),
            p_value=p,
        )
        for a, cut, b, (p, _) in zip(edges[:-2], cuts, edges[2:], judged, strict=True)
    )
