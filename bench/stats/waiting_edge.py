"""Percentiles near the share of requests that need not wait for a slot.

Below that share no request waits, just above it times rise steeply. The share of a sample lies a
little beside the true one, so that its percentile holds sometimes no wait and sometimes a long one:
on average too much. At 35 % load of four slots p95 lies there (94 % need not wait): it comes out
15 % too high of 750 requests and 5 % of 3,000, although 95 % of the intervals hold it. How far off
it is depends on the load alone, so it is known before anything is measured:

* Erlang's C of the requests wait: exact for M/M/k. With service times that vary less, up to 7 %
  fewer where few wait, 2 % where most do; and where few wait, an error of the load is four times
  as large in their share.
* The waits of those who wait are exponential, with mean s (ca2 + cs2) / (2 k (1 - rho)): exact for
  M/M/k, else Allen and Cunneen's (`bench.stats.queueing`).
* The share at or below a percentile scatters by sqrt(p (1 - p) memory / n), less for low
  percentiles: in simulations of M/G/4 at 20 to 90 % load by .4 to .5 of it for p50 and, where
  waiting begins near them, by .9 to 1.2 for p90 and p95.
"""

from __future__ import annotations

import math

import numpy as np

LIMIT = 0.03
"""A percentile is given if it is off by no more than this, relatively. It is a little more in
simulations: up to 5 %."""
_DOUBT = 0.15
_NEAR_ZERO_S = 0.05
"""Smaller values count as this much: near 0 a relative error means nothing."""
_GROWTH = 1.25
_Z = np.linspace(-3, 3, 61)
_WEIGHTS = np.exp(-(_Z**2) / 2)


def share_error(p: float, memory: float, n: float) -> float:
    """Standard error of the share of n requests at or below the p-quantile."""
    return 1.1 * math.pow(p, 1.3) * math.sqrt(p * (1 - p) * memory / n)


def relative_bias(
    p: float, error: float, waiting_share: float, wait_s: float, base_s: float
) -> float:
    """How much too high the p-quantile is on average, relatively.

    Args:
        p: which quantile.
        error: `share_error`.
        waiting_share: share of requests that wait.
        wait_s: mean wait of those.
        base_s: the metric without a wait.
    """
    shares = 1 / (1 + np.exp(-(math.log(p / (1 - p)) + _Z * error / (p * (1 - p)))))
    worst = 0.0
    doubt = _DOUBT * (1 - waiting_share) ** 2
    for factor in (1 - doubt, 1.0, 1 + doubt):
        share = factor * waiting_share
        middle = base_s + wait_s * max(0.0, math.log(share / (1 - p))) if share > 0 else base_s
        drawn = base_s + wait_s * np.log(np.maximum(share / (1 - shares), 1))
        mean = float(_WEIGHTS @ drawn / _WEIGHTS.sum())
        worst = max(worst, (mean - middle) / max(middle, _NEAR_ZERO_S))
    return worst


def requests_needed(
    p: float, memory: float, n: int, waiting_share: float, wait_s: float, base_s: float
) -> float:
    """From how many requests on, n at least, the p-quantile is off by `LIMIT` at most."""
    needed = float(n)
    while (
        relative_bias(p, share_error(p, memory, needed), waiting_share, wait_s, base_s) > LIMIT
        and needed < 1e9
    ):
        needed *= _GROWTH
    return needed
