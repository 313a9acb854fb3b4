"""How many pairs of blocks a change takes to be seen, and what can be seen with those there are.

With sb the spread between blocks, se that which the requests add to a block's value (both as
standard deviations of logs), and B pairs, a mean log ratio has the variance 2 (sb^2 + se^2) / B.
For two-sided level alpha and power 1 - beta:

    pairs >= (t_{1-alpha/2} + t_{1-beta})^2 * 2 (sb^2 + se^2) / log(1 + delta)^2

with t at pairs - 1 degrees of freedom, so the smallest number is searched for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.columns import Floats
from bench.analysis.paired import MIN_PAIRS
from bench.analysis.student_t import t_quantile

MAX_PAIRS = 10_000
"""Above this the answer is "not by repetition"."""
_DRAWS = 1000
_MAX_DRAWN = 4_000_000
"""Values drawn in all, for large blocks."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How a metric scatters, as standard deviations of its logarithm (so about relative ones).

    Attributes:
        between_blocks: sb; the spread of block values without what the requests add.
        within_block: sw; spread of requests inside a block.
        blocks: how many blocks it was estimated from.
        requests_per_block: mean number of requests a block.
        of_value: se; what the requests add to the spread of a block's value. None stands for a
            mean of all requests, sw / sqrt(n): right for rates too, which are ratios of sums.
    """

    between_blocks: float
    within_block: float
    blocks: int
    requests_per_block: float
    of_value: float | None = None

    @property
    def pair_sd(self) -> float:
        """Standard deviation of one pair's log ratio."""
        of_value = self.of_value
        if of_value is None:
            of_value = self.within_block / math.sqrt(self.requests_per_block)
        return math.sqrt(2 * (self.between_blocks**2 + of_value**2))


def noise_of(blocks: Sequence[ArrayLike], quantile: float | None = None) -> Noise:
    """Both noises from requests grouped by block: one-way random effects on the logs.

    Method of moments for unequal groups (Searle, Casella & McCulloch, *Variance Components*,
    section 3.6); an estimate of sb^2 below 0 is taken as 0. A quantile of a block scatters more
    than its mean (a median of normal values by pi/2 in variance, a p95 by 4.5): by how much is
    found by drawing blocks from what is left when each block's mean is taken out.

    Args:
        blocks: the positive values of each block's requests; blocks without any are left out.
        quantile: the value of a block is this quantile, from 0 to 1; None: a mean or a rate.

    Raises:
        ValueError: fewer than two blocks with values, or no block with two requests.
    """
    logs = [np.log(np.asarray(b, float)) for b in blocks if np.size(b)]
    if len(logs) < 2:
        raise ValueError(f"the noise between blocks needs at least 2 blocks, not {len(logs)}")
    sizes = np.array([v.size for v in logs])
    total, groups = int(sizes.sum()), len(logs)
    if total == groups:
        raise ValueError("the noise within a block needs a block with at least 2 requests")
    means = np.array([v.mean() for v in logs])
    grand = float(np.dot(sizes, means) / total)
    within = sum(float(((v - m) ** 2).sum()) for v, m in zip(logs, means, strict=True))
    ms_within = within / (total - groups)
    ms_between = float((sizes * (means - grand) ** 2).sum()) / (groups - 1)
    n0 = (total - float((sizes**2).sum()) / total) / (groups - 1)
    left = np.concatenate([v - m for v, m in zip(logs, means, strict=True)])
    left *= math.sqrt(total / (total - groups))
    return Noise(
        between_blocks=math.sqrt(max(0.0, (ms_between - ms_within) / n0)),
        within_block=math.sqrt(ms_within),
        blocks=groups,
        requests_per_block=total / groups,
        of_value=None if quantile is None else _quantile_sd(left, quantile, total // groups),
    )


def _quantile_sd(values: Floats, quantile: float, n: int) -> float:
    """Standard deviation of a quantile of n values, by drawing them anew (seeded)."""
    rng = np.random.default_rng(0)
    draws = min(_DRAWS, max(100, _MAX_DRAWN // n))
    drawn = rng.choice(values, (draws, n))
    return float(np.quantile(drawn, quantile, axis=1).std(ddof=1))


def pairs_needed(
    pair_sd: float, change: float, power: float = 0.8, alpha: float = 0.05, metrics: int = 1
) -> int | None:
    """The smallest number of pairs that shows a change; None if more than `MAX_PAIRS`.

    Args:
        pair_sd: of one pair's log ratio (`Noise.pair_sd`).
        change: relative, e.g. 0.05.
        power: chance that the change is seen.
        alpha: two-sided level.
        metrics: how many primary metrics share alpha (Holm's first step: alpha / metrics).
    """
    if change <= 0:
        raise ValueError(f"a change to be seen is above 0, not {change}")
    wanted = math.log1p(change) ** 2

    def enough(pairs: int) -> bool:
        return pairs * wanted >= _t_sum(pairs, power, alpha / metrics) ** 2 * pair_sd**2

    if not enough(MAX_PAIRS):
        return None
    low, high = 1, 2
    while not enough(high):
        low, high = high, min(2 * high, MAX_PAIRS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def detectable_change(
    pair_sd: float, pairs: int, power: float = 0.8, alpha: float = 0.05, metrics: int = 1
) -> float:
    """The smallest relative change that so many pairs show, e.g. 0.023.

    Raises:
        ValueError: fewer than two pairs.
    """
    if pairs < 2:
        raise ValueError(f"a change takes at least 2 pairs to be seen, not {pairs}")
    exponent = _t_sum(pairs, power, alpha / metrics) * pair_sd / math.sqrt(pairs)
    return math.expm1(min(exponent, 700.0))


def planned_pairs(needed: int) -> int:
    """At least `MIN_PAIRS`, so that the sign-flip cross-check can speak."""
    return max(needed, MIN_PAIRS)


def _t_sum(pairs: int, power: float, alpha: float) -> float:
    df = pairs - 1
    return t_quantile(1 - alpha / 2, df) + t_quantile(power, df)
