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

from bench.analysis.columns import Bools, Floats, Ints, numbered, size_by, total_by
from bench.analysis.incomplete_beta import binomial_cdf
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


def quantile_estimates(
    values: Floats,
    quantiles: Mapping[str, float],
    blocks: Ints,
    requests: Ints | None = None,
) -> dict[str, Estimate]:
    """Quantiles of the values of a case, with 95 % intervals.

    Args:
        values: without NaN.
        quantiles: name -> p, e.g. {"p95": 0.95}.
        blocks: which block each value belongs to.
        requests: which request each value belongs to, where one request gives many values (gaps):
            then they are not independent, and requests are the clusters inside a block.

    Returns:
        Name -> estimate. `value` is None where the data cannot bound the quantile.
    """
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    block_of = numbered(blocks)
    request_of = None if requests is None else numbered(requests)
    estimates = {}
    for name, p in quantiles.items():
        inner_n = len(values) if request_of is None else int(request_of.max(initial=-1)) + 1
        if not len(values):
            estimates[name] = Estimate(None, needs=requests_needed(p))
            continue
        point = float(np.quantile(ordered, p))
        below = values <= point
        shares = _shares(below, p, block_of, request_of)
        estimates[name] = _estimate(ordered, point, p, shares, inner_n)
    return estimates


def _shares(below: Bools, p: float, blocks: Ints, requests: Ints | None) -> Shares:
    inner = (
        order_statistics(len(below), p)
        if requests is None
        else _clustered(below, p, requests, "requests")
    )
    if blocks.max() == 0:
        return inner
    return widest(_clustered(below, p, blocks, "blocks"), inner)


def _clustered(below: Bools, p: float, clusters: Ints, what: str) -> Shares:
    sizes = size_by(clusters).astype(np.float64)
    if len(sizes) < 2:
        return Shares(None, None, f"one of the {what}")
    return woodruff(total_by(clusters, below), sizes, p, what)


def _estimate(ordered: Floats, point: float, p: float, shares: Shares, n: int) -> Estimate:
    low, high = shares.low, shares.high
    if low is None or high is None:
        return Estimate(None, needs=max(requests_needed(p), n + 1), method=shares.method)
    ends = np.quantile(ordered, [low, high])
    return Estimate(point, float(ends[0]), float(ends[1]), method=shares.method)
