"""Student's t: distribution, quantiles and p values, without scipy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

from bench.stats.incomplete_beta import beta_cdf, bisect


def t_cdf(t: float, df: float) -> float:
    """P(T <= t) for Student's t with `df` degrees of freedom."""
    tail = two_sided_p(t, df) / 2
    return 1 - tail if t > 0 else tail


def two_sided_p(t: float, df: float) -> float:
    """P(|T| >= |t|): the two-sided p value of a statistic `t`."""
    if math.isinf(df):
        return 2 * NormalDist().cdf(-abs(t))
    if math.isinf(t):
        return 0.0
    square = t * t
    # Two forms of one number: each is exact where the other subtracts what is nearly equal.
    if square < 1:
        return 1 - beta_cdf(square / (df + square), 0.5, df / 2)
    return beta_cdf(df / (df + square), df / 2, 0.5)


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """The t with P(T <= t) = p, for 0 < p < 1.

    Args:
        p: a probability.
        df: degrees of freedom, above 0; need not be whole; infinite means the normal distribution.
    """
    if p < 0.5:
        return -t_quantile(1 - p, df)
    high = 1.0
    while t_cdf(high, df) < p:
        high *= 2
    return bisect(lambda t: t_cdf(t, df), p, 0.0, high)
