"""Where exactly the promise breaks: the limit with its interval, from all probes together.

Each probe says which share of its requests kept the promised time. That share falls as the load
rises; near the limit its logit is close to a straight line in the logarithm of the load. The limit
is where the line crosses the promised share, and its interval is Fieller's (J. R. Stat. Soc. B
1954), so that it is honest about a flat line too. The errors of the shares come from consecutive
batches of each probe and are widened by the probes' own scatter around the line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis.capacity.judge import BATCHES, MIN_PER_BATCH
from bench.analysis.capacity.search import Answer
from bench.analysis.student_t import t_quantile

NEAR = 1.6
"""Probes within this factor of the bracket's middle take part: the line is only straight nearby."""


@dataclass(frozen=True, slots=True)
class ProbeShare:
    """How many of a probe's requests kept the promised time.

    Attributes:
        share: kept / all; failed requests did not keep it.
        error: standard error of the logit of the share, batches as clusters.
    """

    load: float
    logit: float
    error: float

    @classmethod
    def of(cls, load: float, values: NDArray[np.float64], limit: float) -> ProbeShare:
        """From a probe's latencies in order of arrival; failed requests are infinite."""
        n = len(values)
        kept = values <= limit
        # Half a request on either side keeps the logit finite (Haldane-Anscombe).
        share = (float(kept.sum()) + 0.5) / (n + 1)
        variance = share * (1 - share) / n
        batches = min(BATCHES, n // MIN_PER_BATCH)
        if batches >= 2:
            means = [float(np.mean(batch)) for batch in np.array_split(kept, batches)]
            variance = max(variance, float(np.var(means, ddof=1)) / batches)
        slope = share * (1 - share)
        return cls(load, math.log(share / (1 - share)), math.sqrt(variance) / slope)


@dataclass(frozen=True, slots=True)
class Limit:
    """The load at which the promise breaks, with its 95 % interval; None = the data set no end."""

    load: float
    low: float | None
    high: float | None
    probes: int


def fit_limit(shares: list[ProbeShare], p: float, around: float) -> Limit | None:
    """The load where the share of kept requests crosses `p`.

    Args:
        shares: all probes of the search, any loads.
        p: the promised share, e.g. 0.95.
        around: a load near the limit (the middle of the search's bracket).

    Returns:
        None when fewer than three probes lie near, or the share does not fall with the load.
    """
    near = [s for s in shares if around / NEAR <= s.load <= around * NEAR]
    if len({s.load for s in near}) < 3:
        return None
    x = np.log([s.load for s in near]) - math.log(around)
    y = np.array([s.logit for s in near]) - math.log(p / (1 - p))
    weight = np.array([s.error for s in near]) ** -2.0
    design = np.column_stack([np.ones_like(x), x])
    information = design.T @ (weight[:, None] * design)
    covariance = np.linalg.inv(information).astype(np.float64)
    a, b = covariance @ (design.T @ (weight * y))
    if b >= 0:
        return None
    freedom = len(near) - 2
    scatter = float(np.sum(weight * (y - a - b * x) ** 2)) / freedom
    low, high = _fieller(
        a, b, covariance * np.float64(max(1.0, scatter)), t_quantile(0.975, freedom)
    )
    return Limit(
        load=around * math.exp(-a / b),
        low=None if low is None else around * math.exp(low),
        high=None if high is None else around * math.exp(high),
        probes=len(near),
    )


def stated_range(fit: Limit | None, answer: Answer) -> tuple[float | None, float | None]:
    """The range a report states: the fit's interval and the tests' bracket, whichever is wider.

    Alone, the fit is a little too sure (batches of a nearly full queue are not independent), and
    the bracket is wrong whenever one of its two tests is (5 % each). In simulations of M/G/4 queues
    the wider of both held the true limit in 96 % of the searches.
    """
    lows = [x for x in (fit.low if fit else None, answer.low) if x is not None]
    highs = [x for x in (fit.high if fit else None, answer.high) if x is not None]
    return min(lows, default=None), max(highs, default=None)


def _fieller(
    a: float, b: float, covariance: NDArray[np.float64], t: float
) -> tuple[float | None, float | None]:
    """All x at which a + b x is not significantly different from 0."""
    vaa, vab, vbb = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    quadratic = b * b - t * t * vbb
    linear = a * b - t * t * vab
    constant = a * a - t * t * vaa
    root = linear * linear - quadratic * constant
    if quadratic <= 0 or root < 0:
        return None, None
    ends = sorted(
        ((-linear - math.sqrt(root)) / quadratic, (-linear + math.sqrt(root)) / quadratic)
    )
    return float(ends[0]), float(ends[1])
