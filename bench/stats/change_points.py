"""Where a series of runs changed its level: for the trend report, never for a gate.

Candidates come from E-divisive (Matteson & James, arXiv 1306.4933) as Hunter / Apache Otava does it
(Fleming et al., arXiv 2301.03034): the split that separates the two sides best, then Student's t in
place of permutations, then the same on each side. Unlike Otava the variance has ddof 1: with 3
points a side ddof 0 turns a nominal 5 % into 8.5 %.

Each candidate must then hold between its neighbours against two things that are no step:

- Runs that resemble the run before. The variance of a mean is widened by (1 + phi) / (1 - phi),
  phi being the lag-1 autocorrelation around the two levels, corrected for its bias in short series.
- A slow drift. The step must stay significant when a straight line is fitted with it.

Because the best of many splits is tested, "p < .001" is not the false-alarm rate of a series. That
rate, and how often a step is found, is measured by tests/performance/change_point_error_rates.py,
which has the figures. At most 5 % of series without a step show one with autocorrelation up to .8
or a drift of 10 %; with both, up to 11 %, since autocorrelation hides how well a line would do. So
steps that a line explains nearly as well are kept apart from others (`ChangePoint.firm`):
of the others, at most 5 % are false with both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.student_t import t_cdf

MIN_POINTS = 10
"""Shorter series get no change points."""

MAX_P = 0.001
MIN_CHANGE = 0.03
"""A split counts if its p lies below `MAX_P` and the level changed by so much, relatively."""
_MIN_SIDE = 3
_LINE_P = 0.25
"""A step beside a line must have a p below this, divided by the number of points: of the splits
between them the best is tested (Bonferroni)."""
_FIRM_LINE_P = 0.05
"""The same for a step that stands out from a drift whose runs also resemble the run before."""
_MOST_PHI = 0.9


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """The series has another level from this point on.

    Attributes:
        index: of the first point at the new level.
        before, after: mean (geometric) on either side, up to the neighbouring change points.
        p_value: of Student's t between the two sides, widened by their autocorrelation (not
            corrected for the search).
        firm: False if a slow drift explains it nearly as well.
    """

    index: int
    before: float
    after: float
    p_value: float
    firm: bool = True

    @property
    def change(self) -> float:
        """Relative change of level, e.g. -0.07."""
        return self.after / self.before - 1


def change_points(values: ArrayLike) -> tuple[ChangePoint, ...]:
    """The change points of one metric over runs of one identity, in order of time.

    Args:
        values: positive, oldest first.
    """
    series = np.asarray(values, float)
    if series.size < MIN_POINTS:
        return ()
    if not np.all(series > 0):
        raise ValueError("change points are looked for in logs, so values must be above 0")
    logs: NDArray[np.float64] = np.log(series)
    return _without_weak(logs, sorted(_splits(logs, 0, logs.size)))


def _splits(logs: NDArray[np.float64], start: int, end: int) -> list[int]:
    """Split positions inside [start, end), found by bisection."""
    if end - start < 2 * _MIN_SIDE:
        return []
    cut = start + _best_split(logs[start:end])
    # Not judged strictly yet: two steps in one stretch look like autocorrelation.
    if _is_weak(*_between(logs[start:cut], logs[cut:end])):
        return []
    return [*_splits(logs, start, cut), cut, *_splits(logs, cut, end)]


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


def _step(left: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[float, float, bool]:
    """As `_between`, but p allows for autocorrelation, and is 1 where a line explains the step.

    Also whether no line explains it nearly as well.
    """
    p_value, step = _between(left, right)
    a, b = left - left.mean(), right - right.mean()
    squares = float(a @ a + b @ b)
    if squares == 0:
        return p_value, step, True
    n = left.size + right.size
    widened = _widening(float(a[1:] @ a[:-1] + b[1:] @ b[:-1]) / squares, n)
    t = step / math.sqrt(squares / (n - 2) * widened * (1 / left.size + 1 / right.size))
    design = np.column_stack(
        (np.ones(n), np.arange(n) - (n - 1) / 2, np.repeat((0.0, 1.0), (left.size, right.size)))
    )
    x = np.concatenate((left, right))
    beside = np.linalg.inv(design.T @ design)
    beta = beside @ design.T @ x
    error = math.sqrt(float(np.sum((x - design @ beta) ** 2)) / (n - 3) * widened * beside[2, 2])
    beside_line = n * _p(float(beta[2]), error, (n - 3) / widened)
    if beta[2] * step <= 0 or beside_line >= _LINE_P:
        return 1.0, step, False
    return _p(t, 1.0, (n - 2) / widened), step, beside_line < _FIRM_LINE_P


def _widening(rho: float, n: int) -> float:
    """By how much autocorrelation widens the variance of a mean of n points.

    Args:
        rho: lag-1 autocorrelation of the residuals around two means.
        n: points on both sides together.
    """
    # Around one mean E(rho) is about phi - (1 + 3 phi) / n (Marriott & Pope, Biometrika 1954); the
    # second mean costs another (1 + phi) / n.
    phi = min(max((rho + 2 / n) / (1 - 4 / n), 0.0), _MOST_PHI)
    return (1 + phi) / (1 - phi)


def _p(step: float, error: float, df: float) -> float:
    if error == 0:
        return 0.0
    return 2 * t_cdf(-abs(step / error), max(df, 1.0))


def _is_weak(p_value: float, step: float) -> bool:
    return p_value >= MAX_P or abs(step) < math.log1p(MIN_CHANGE)


def _without_weak(logs: NDArray[np.float64], cuts: list[int]) -> tuple[ChangePoint, ...]:
    """Judge each cut against its neighbours' stretches; drop the weakest until all hold."""
    while True:
        edges = [0, *cuts, logs.size]
        judged = [
            _step(logs[a:cut], logs[cut:b])
            for a, cut, b in zip(edges[:-2], cuts, edges[2:], strict=True)
        ]
        weak = [i for i, (p, step, _) in enumerate(judged) if _is_weak(p, step)]
        if not weak:
            break
        del cuts[max(weak, key=lambda i: judged[i][0])]
    return tuple(
        ChangePoint(
            index=cut,
            before=float(np.exp(logs[a:cut].mean())),
            after=float(np.exp(logs[cut:b].mean())),
            p_value=p,
            firm=firm,
        )
        for a, cut, b, (p, _, firm) in zip(edges[:-2], cuts, edges[2:], judged, strict=True)
    )
