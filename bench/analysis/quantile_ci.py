"""Quantiles with their intervals.

The quantile is type 7 of Hyndman & Fan (1996), as numpy's default. Its interval is

* of independent requests: order statistics (Hahn & Meeker, *Statistical Intervals*, section 5.2):
  how many values lie below the true quantile is binomial, whatever the distribution;
* of requests in blocks (or gaps in requests): Woodruff's inversion (JASA 1952): the share of
  values below the estimate is a ratio whose variance the clusters show; its interval, with
  Student's t on clusters - 1 degrees of freedom, is read back as quantiles. It is never given
  narrower than the interval of independent requests: few clusters can agree by chance.

With few blocks Woodruff's interval may have no end where that of the requests has one. The latter
then stands in, and `Estimate.method` says that differences between blocks are not bounded by it.
A quantile whose interval has no end even so is not given: `needs` says how many it would take.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.analysis.columns import Floats, total_by
from bench.analysis.incomplete_beta import binomial_cdf
from bench.analysis.sample import Sample
from bench.analysis.student_t import t_quantile
from bench.analysis.summary import Estimate

CONFIDENCE = 0.95


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
def order_statistic_ranks(n: int, p: float, confidence: float = CONFIDENCE) -> tuple[int, int]:
    """The ranks whose values enclose the p-quantile of n independent values.

    Returns:
        (low, high), counted from 1; low is 0 and high is n + 1 where there is no bound.
    """
    tail = (1 - confidence) / 2
    low = _smallest(lambda k: binomial_cdf(k, n, p) > tail, n)
    high = _smallest(lambda k: binomial_cdf(k, n, p) >= 1 - tail, n) + 1
    return low, high


def _smallest(holds: Callable[[int], bool], n: int) -> int:
    """The smallest k in 0..n for which a monotone condition holds."""
    low, high = 0, n
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


@lru_cache(maxsize=256)
def requests_needed(p: float, confidence: float = CONFIDENCE) -> int:
    """How many independent values bound the p-quantile on both sides.

    At 95 %: 6 for p50, 36 for p90, 72 for p95, 368 for p99.
    """
    tail = (1 - confidence) / 2
    return math.ceil(math.log(tail) / math.log(max(p, 1 - p)))


def order_statistics(n: int, p: float) -> Shares:
    """The interval of the p-quantile of n independent values."""
    low, high = order_statistic_ranks(n, p)
    return Shares(
        _share_of_rank(low, n) if low >= 1 else None,
        _share_of_rank(high, n) if high <= n else None,
        "order statistics",
    )


def _share_of_rank(rank: int, n: int) -> float:
    """The share at which type 7 reads exactly the value of this rank."""
    return (rank - 1) / (n - 1) if n > 1 else 0.5


def woodruff(below: Floats, sizes: Floats, p: float, what: str) -> Shares:
    """Woodruff's interval of the p-quantile of clustered values.

    Args:
        below: for each cluster, how many of its values are at or below the estimate.
        sizes: for each cluster, how many values it has.
        p: which quantile.
        what: a cluster's name, for `method`.
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
        f"Woodruff, {clusters} {what}",
    )


def widest(outer: Shares, inner: Shares) -> Shares:
    """The outer interval, but never narrower than the inner one, which also fills missing ends."""
    filled = (outer.low is None and inner.low is not None) or (
        outer.high is None and inner.high is not None
    )
    return Shares(
        _either(min, outer.low, inner.low),
        _either(max, outer.high, inner.high),
        f"{inner.method}; too few blocks to bound differences between them"
        if filled
        else outer.method,
    )


def _either(
    pick: Callable[[float, float], float], a: float | None, b: float | None
) -> float | None:
    if a is None or b is None:
        return b if a is None else None
    return pick(a, b)


def quantile_estimates(sample: Sample, quantiles: Mapping[str, float]) -> dict[str, Estimate]:
    """Quantiles of a sample, with 95 % intervals.

    Args:
        sample: of one case.
        quantiles: name -> p, e.g. {"p95": 0.95}.

    Returns:
        Name -> estimate. `value` is None where the data cannot bound the quantile.
    """
    if not len(sample.values):
        return {name: Estimate(None, needs=requests_needed(p)) for name, p in quantiles.items()}
    ordered = np.sort(sample.values)
    sizes = sample.sizes
    return {name: _estimate(sample, sizes, ordered, p) for name, p in quantiles.items()}


def read_quantile(ordered: Floats, p: float) -> float:
    """The type 7 quantile of values in ascending order, at least one."""
    at = p * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    low, high = float(ordered[below]), float(ordered[above])
    return low + (high - low) * (at - below)


def _estimate(sample: Sample, sizes: Floats, ordered: Floats, p: float) -> Estimate:
    point = read_quantile(ordered, p)
    shares = _shares(sample, sample.by_unit(sample.values <= point), sizes, p)
    if shares.low is None or shares.high is None:
        needs = max(requests_needed(p), sample.units + 1)
        return Estimate(None, needs=needs, method=shares.method)
    low, high = read_quantile(ordered, shares.low), read_quantile(ordered, shares.high)
    # Interpolation may round past the point itself where the values are all but equal.
    return Estimate(point, min(low, point), max(high, point), method=shares.method)


def _shares(sample: Sample, below: Floats, sizes: Floats, p: float) -> Shares:
    if sample.owner is None:
        inner = order_statistics(sample.units, p)
    elif sample.units > 1:
        inner = woodruff(below, sizes, p, "requests")
    else:
        inner = Shares(None, None, "one request")
    if sample.block_count < 2:
        return inner
    by_block = total_by(sample.blocks, below), total_by(sample.blocks, sizes)
    return widest(woodruff(*by_block, p, "blocks"), inner)
