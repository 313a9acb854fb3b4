"""Quantiles with their intervals.

The quantile is type 7 of Hyndman & Fan (1996), as numpy's default. Its interval:

* Each block has a quantile of its own. How these vary says how sure the common one is: Student's t
  over blocks, on the log scale where all values are positive, because noise is a factor there.
* A percentile far from the median also depends on how much blocks differ, and few blocks show that
  badly. The end away from the median therefore lies further out, by what an error in the spread of
  the blocks' medians would move the percentile.
* Blocks too short to have that quantile (fewer than ten requests beyond it) add the interval of
  independent requests: order statistics (Hahn & Meeker, *Statistical Intervals*, section 5.2) or,
  for many values a request (gaps), Woodruff's (JASA 1952) over requests. It only ever widens.
* Of a thin tail (p95, p99) that interval counts so many requests as are worth an independent one
  where neighbours are alike (`bench.stats.clumps`). Where they are not, its end towards the median
  is not needed.

A quantile that so many independent requests would not bound is not given, nor is one whose interval
spans a factor of 100: `needs` says how many requests or blocks it would take. Measured coverage:
`tests/performance/interval_coverage.py`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.stats.block_spread import (
    WIDEST,
    Floats,
    Ints,
    blocks_needed,
    groups_of,
    spread,
    total_by,
)
from bench.stats.clumps import neighbour_correlation, requests_like_one
from bench.stats.estimate import CONFIDENCE, Estimate
from bench.stats.incomplete_beta import binomial_cdf
from bench.stats.student_t import t_quantile

_BEYOND = 10
"""A block with so many requests beyond a quantile has that quantile."""
_THIN = 0.06
"""A percentile with less beyond it lies in a thin tail."""
_TAIL = 2.0
"""The spread of a few blocks is found too small more often than too large: twice its standard
error is added. Chosen on the grid of `tests/performance/interval_coverage.py`."""


@dataclass(frozen=True, slots=True)
class Shares:
    """The ends of an interval as shares of the sorted values; None = no bound.

    Attributes:
        method: how it was made.
        low, high: between 0 and 1.
    """

    low: float | None
    high: float | None
    method: str


@lru_cache(maxsize=4096)
def order_statistic_ranks(n: int, p: float) -> tuple[int, int]:
    """The ranks whose values enclose the p-quantile of n independent values.

    Returns:
        (low, high), counted from 1; low is 0 and high is n + 1 where there is no bound.
    """
    tail, ranks = (1 - CONFIDENCE) / 2, range(n)
    low = bisect_left(ranks, True, key=lambda k: binomial_cdf(k, n, p) > tail)
    high = bisect_left(ranks, True, key=lambda k: binomial_cdf(k, n, p) >= 1 - tail)
    return low, high + 1


@lru_cache(maxsize=256)
def requests_needed(p: float) -> int:
    """How many independent values bound the p-quantile on both sides.

    At 95 %: 6 for p50, 36 for p90, 72 for p95, 368 for p99.
    """
    return math.ceil(math.log((1 - CONFIDENCE) / 2) / math.log(max(p, 1 - p)))


def order_statistics(n: int, p: float) -> Shares:
    """The interval of the p-quantile of n independent values."""
    low, high = order_statistic_ranks(n, p)
    last = max(n - 1, 1)  # type 7 reads exactly the value of a rank at (rank - 1) / (n - 1)
    return Shares(
        (low - 1) / last if low >= 1 else None,
        (high - 1) / last if high <= n else None,
        "order statistics",
    )


def woodruff(below: Floats, sizes: Floats, p: float) -> Shares:
    """Woodruff's interval of the p-quantile of values that come from requests, many from each.

    Args:
        below: for each request, how many of its values are at or below the estimate.
        sizes: for each request, how many values it has.
        p: which quantile.
    """
    clusters = len(sizes)
    total = sizes.sum()
    # Linearised variance of the ratio sum(below) / sum(sizes).
    residuals = below - (below.sum() / total) * sizes
    variance = clusters / (clusters - 1) * float((residuals**2).sum()) / total**2
    half = t_quantile((1 + CONFIDENCE) / 2, clusters - 1) * math.sqrt(variance)
    return Shares(
        p - half if p - half > 0 else None,
        p + half if p + half < 1 else None,
        f"Woodruff, {clusters} requests",
    )


@dataclass(frozen=True, slots=True)
class _Grouped:
    """The values of one metric, sorted: all of them, and those of each group.

    Attributes:
        ordered: ascending.
        parts: the same for each group.
        units: how many requests they come from.
        name: of the groups.
    """

    ordered: Floats
    parts: list[Floats]
    units: int
    name: str

    @property
    def weights(self) -> Floats:
        """The share of the values that each group has."""
        return np.array([len(part) for part in self.parts]) / len(self.ordered)

    def is_short(self, p: float, like_one: float) -> bool:
        """Whether too few requests of a block lie beyond the quantile, worth so many one."""
        return self.units / len(self.parts) / like_one * min(p, 1 - p) < _BEYOND


def quantile_estimates(
    values: Floats,
    blocks: Ints,
    quantiles: Mapping[str, float],
    owner: Ints | NDArray[np.int32] | None = None,
    patterned: bool = False,
) -> dict[str, Estimate]:
    """Quantiles of some values, with 95 % intervals.

    Args:
        values: without NaN.
        blocks: the block of each request, numbered 0, 1, ...; every request has a value.
        quantiles: name -> p, e.g. {"p95": 0.95}.
        owner: the request of each value where one has many (gaps); None = one each, in order of
            time within a block.
        patterned: neighbours are alike by plan, as turns of a session are: that is no clump.

    Returns:
        Name -> estimate. `value` is None where the data cannot bound the quantile.
    """
    if not len(values):
        return {name: Estimate(None, needs=requests_needed(p)) for name, p in quantiles.items()}
    groups, name = groups_of(blocks)
    parts = _sorted_parts(values, groups if owner is None else groups.astype(np.int32)[owner])
    data = _Grouped(np.sort(values), parts, len(blocks), name)
    if owner is not None:
        counts = np.bincount(owner).astype(np.float64)
        return {
            name: _estimate(data, p, _of_gaps(values, owner, counts, data, p))
            for name, p in quantiles.items()
        }
    looked_at = [p for p in quantiles.values() if min(p, 1 - p) < _THIN and data.is_short(p, 5)]
    alike = neighbour_correlation(values, blocks) if looked_at and not patterned else 0.0
    found = {}
    for name, p in quantiles.items():
        like_one = requests_like_one(alike, p) if p in looked_at else 1.0
        requests = order_statistics(int(data.units / like_one), p)
        found[name] = _estimate(data, p, requests, like_one)
    return found


def _sorted_parts(values: Floats, group: Ints | NDArray[np.int32]) -> list[Floats]:
    """The values of each group, ascending."""
    unordered = (group[1:] < group[:-1]).any()  # as a rule they come in the order of groups
    ordered = values[np.argsort(group, kind="stable")] if unordered else values.copy()
    parts = np.split(ordered, np.cumsum(np.bincount(group))[:-1])
    for part in parts:
        part.sort()  # in place: millions of gaps need no further copy
    return parts


def read_quantile(ordered: Floats, p: float) -> float:
    """The type 7 quantile of values in ascending order, at least one."""
    at = p * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (high - low) * (at - below)


def _of_gaps(
    values: Floats, owner: Ints | NDArray[np.int32], counts: Floats, data: _Grouped, p: float
) -> Shares:
    """The interval of requests that are independent of each other, `counts` values from each."""
    if data.units < 2:
        return Shares(None, None, "one request")
    below = total_by(owner, values <= read_quantile(data.ordered, p))
    return woodruff(below, counts, p)


def _estimate(data: _Grouped, p: float, requests: Shares, like_one: float = 1.0) -> Estimate:
    point = read_quantile(data.ordered, p)
    if requests.low is None or requests.high is None:
        needs = max(math.ceil(like_one * requests_needed(p)), data.units + 1)
        return Estimate(None, needs=needs, method=requests.method)
    method = f"t, {data.name}"
    weights, positive = data.weights, float(data.ordered[0]) > 0
    own, medians = (_scaled(data.parts, q, positive) for q in (p, 0.5))
    found = spread(weights * (own - weights @ own), weights)
    middle = spread(weights * (medians - weights @ medians), weights)
    if found is None or middle is None:
        return Estimate(None, needs=2, method=method, needs_unit="blocks")
    at, median = _scaled([data.ordered], p, positive)[0], _scaled([data.ordered], 0.5, positive)[0]
    inner = found.t * found.se
    variance = middle.se**2 / float(weights @ weights)
    tail = _spread_error(abs(at - median), variance, p, found.df)
    outer = found.t * math.hypot(found.se, _TAIL * tail)
    if positive and inner + outer > WIDEST:
        needs = blocks_needed(inner + outer, found, len(weights))
        return Estimate(None, needs=needs, method=method, needs_unit="blocks")
    ends = at - (outer if p < 0.5 else inner), at + (outer if p > 0.5 else inner)
    low, high = (math.exp(e) if positive else float(e) for e in ends)
    if not positive and data.ordered[0] == 0:
        low = max(low, 0.0)
    if data.is_short(p, like_one):
        thin = min(p, 1 - p) < _THIN and like_one == 1
        if not thin or p < 0.5:
            low = min(low, read_quantile(data.ordered, requests.low))
        if not thin or p > 0.5:
            high = max(high, read_quantile(data.ordered, requests.high))
        method += f" and {requests.method}"
    # Rounding may move an end past the point where values are all but equal.
    return Estimate(point, min(low, point), max(high, point), method=method)


def _scaled(parts: list[Floats], p: float, positive: bool) -> Floats:
    found = np.array([read_quantile(part, p) for part in parts])
    return np.log(found) if positive else found


def _spread_error(distance: float, between: float, p: float, df: float) -> float:
    """The standard error that not knowing the spread of blocks well gives a percentile.

    Were all normal, the percentile would lie z standard deviations from the median, and part of
    that variance is the one between blocks, known on `df` degrees of freedom only.

    Args:
        distance: of the percentile from the median.
        between: the variance of block medians.
        p: which quantile.
        df: degrees of freedom of that variance.
    """
    shifts = NormalDist().inv_cdf(p) ** 2 * between
    part = 1.0 if shifts >= distance**2 else shifts / distance**2
    return distance * part / math.sqrt(2 * df)
