"""How many pairs of blocks a change takes to be seen, and what can be seen with those there are.

With sb the spread between blocks and sw that between requests of one block (both as standard
deviations of logs), n requests a block and B pairs, a mean log ratio has the variance
2 (sb^2 + sw^2 / n) / B. For two-sided level alpha and power 1 - beta:

    pairs >= (t_{1-alpha/2} + t_{1-beta})^2 * 2 (sb^2 + sw^2 / n) / log(1 + delta)^2

with t at pairs - 1 degrees of freedom, so the smallest number is searched for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from bench.analysis.paired import MIN_PAIRS
from bench.analysis.student_t import t_quantile

MAX_PAIRS = 10_000
"""Above this the answer is "not by repetition"."""


@dataclass(frozen=True, slots=True)
class Noise:
    """How a metric scatters, as standard deviations of its logarithm (so about relative ones).

    Attributes:
        between_blocks: sb; the spread of block values without what the requests add.
        within_block: sw; spread of requests inside a block.
        blocks: how many blocks it was estimated from.
        requests_per_block: mean number of requests a block.
    """

    between_blocks: float
    within_block: float
    blocks: int
    requests_per_block: float

    def pair_sd(self, requests_per_block: float) -> float:
        """Standard deviation of one pair's log ratio."""
        return math.sqrt(2 * (self.between_blocks**2 + self.within_block**2 / requests_per_block))


def noise_of(blocks: Sequence[ArrayLike]) -> Noise:
    """Both noises from requests grouped by block: one-way random effects on the logs.

    Method of moments for unequal groups (Searle, Casella & McCulloch, *Variance Components*,
    section 3.6); an estimate of sb^2 below 0 is taken as 0.

    Args:
        blocks: the positive values of each block's requests; blocks without any are left out.

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
    return Noise(
        between_blocks=math.sqrt(max(0.0, (ms_between - ms_within) / n0)),
        within_block=math.sqrt(ms_within),
        blocks=groups,
        requests_per_block=total / groups,
    )


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
