"""Does a probe keep the promise? A test, not a glance.

A probe passes when the one-sided 97.5 % upper bound of the promised percentile is within the limit,
fails when the lower bound is beyond it, and is undecided in between. (97.5 and not 95, since a
search looks at a load several times.)

Latencies of one probe are correlated (a queue has a memory), so the bounds come from Woodruff's
inversion (JASA 1952) over consecutive batches of the probe: the fraction of requests under the
pooled percentile is computed in each batch, its t interval over the batches is taken around p, and
the pooled percentile is read at the interval's ends. A batch is a cluster; the variance is never
taken below that of independent requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bench.stats.student_t import t_quantile

BATCHES = 6
"""Consecutive batches of one probe, at least; enough for the t distribution, few enough to outlive
the queue's memory: with 10, a queue exactly at its limit passed 13 % of probes of 512, not 5 %.
"""
MOST_BATCHES = 20
BATCH_MEMORIES = 15
"""So many of the queue's memories a batch must last if there are to be more than the least."""
TREND_BATCHES = 10
MIN_PER_BATCH = 3
CONFIDENCE = 0.975


class ProbeVerdict(StrEnum):
    """What a probe says about a load."""

    PASS = "pass"
    FAIL = "fail"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Bound:
    """A percentile with its one-sided 97.5 % bounds; infinite where the data set none."""

    value: float
    lower: float
    upper: float
    n: int

    def against(self, limit: float) -> ProbeVerdict:
        """Within the limit, beyond it, or neither proven."""
        if self.upper <= limit:
            return ProbeVerdict.PASS
        if self.lower > limit:
            return ProbeVerdict.FAIL
        return ProbeVerdict.UNDECIDED


def least_requests(p: float) -> int:
    """So many requests can prove a percentile within its limit, if all of them are.

    A percentile of 0.95 makes 160.
    """
    t = t_quantile(CONFIDENCE, BATCHES - 1)
    n = BATCHES * MIN_PER_BATCH
    while p + t * math.sqrt(p * (1 - p) / n) > 1 - 1 / n:
        n += 1
    return math.ceil(n / 10) * 10


def least_without_failure(share: float) -> int:
    """So many requests can prove a share of failures, if none fails: Wilson's bound, solved."""
    z = t_quantile(CONFIDENCE, math.inf)
    return math.ceil(z * z * (1 - share) / share / 10) * 10


def batches_for(n: int, memory: float) -> int:
    """How many batches a probe of n requests is cut into: more only if each outlives the queue."""
    return int(np.clip(n / (BATCH_MEMORIES * memory), BATCHES, MOST_BATCHES))


def percentile_bound(values: NDArray[np.float64], p: float, batches: int = BATCHES) -> Bound:
    """The percentile of a probe's latencies with one-sided 97.5 % bounds.

    Latencies are in order of arrival. A request that failed is infinite: a broken promise, not a
    missing value.
    """
    n = len(values)
    if n == 0:
        return Bound(math.nan, -math.inf, math.inf, 0)
    value = _quantile(values, p)
    batches = min(batches, n // MIN_PER_BATCH)
    independent = p * (1 - p) / n
    if batches < 2:
        return Bound(value, -math.inf, math.inf, n)
    below = np.array([np.mean(batch <= value) for batch in np.array_split(values, batches)])
    spread = max(float(np.var(below, ddof=1)) / batches, independent)
    reach = t_quantile(CONFIDENCE, batches - 1) * math.sqrt(spread)
    # A percentile past the largest observation is unknown, however it would be interpolated.
    upper = _quantile(values, p + reach) if p + reach <= 1 - 1 / n else math.inf
    lower = _quantile(values, p - reach) if p - reach >= 1 / n else -math.inf
    return Bound(value, lower, upper, n)


def share_bound(successes: int, n: int) -> Bound:
    """A share (an error rate) with one-sided 97.5 % Wilson bounds (JASA 1927)."""
    if n == 0:
        return Bound(math.nan, 0.0, 1.0, 0)
    z = t_quantile(CONFIDENCE, math.inf)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Bound(share, max(0.0, centre - half), min(1.0, centre + half), n)


def backlog_grows(in_system: NDArray[np.float64]) -> bool:
    """Does the number of requests in the system grow through the probe?

    A line is fitted through the means of consecutive batches; it grows when the slope's one-sided
    99 % bound is above zero and the line rises by more than half of the mean level. `in_system` is
    the number of open requests seen by each arrival, in order.
    """
    if len(in_system) < TREND_BATCHES * MIN_PER_BATCH:
        return False
    levels = np.array([batch.mean() for batch in np.array_split(in_system, TREND_BATCHES)])
    x = np.arange(TREND_BATCHES) - (TREND_BATCHES - 1) / 2
    slope = float(x @ levels / (x @ x))
    residual = levels - levels.mean() - slope * x
    error = math.sqrt(float(residual @ residual) / (TREND_BATCHES - 2) / float(x @ x))
    rises = slope > t_quantile(0.99, TREND_BATCHES - 2) * error
    return rises and slope * (TREND_BATCHES - 1) > max(1.0, 0.5 * float(levels.mean()))


def together(verdicts: list[ProbeVerdict]) -> ProbeVerdict:
    """All promises at once: one broken is broken, all kept is kept."""
    if ProbeVerdict.FAIL in verdicts:
        return ProbeVerdict.FAIL
    return ProbeVerdict.UNDECIDED if ProbeVerdict.UNDECIDED in verdicts else ProbeVerdict.PASS


def _quantile(values: NDArray[np.float64], p: float) -> float:
    """Type 7, but an infinite neighbour makes infinity, not NaN."""
    ordered = np.sort(values)
    position = p * (len(ordered) - 1)
    low = math.floor(position)
    high = math.ceil(position)
    if low == high or ordered[low] == ordered[high]:
        return float(ordered[low])
    return float(ordered[low] + (position - low) * (ordered[high] - ordered[low]))
