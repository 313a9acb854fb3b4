"""Means, ratios of sums and shares, with their intervals.

Where no interval can be had the value is given all the same, as what these requests came to;
`needs` then says how many requests or blocks an interval would take.
"""

from __future__ import annotations

import math

import numpy as np

from bench.stats.block_spread import (
    WIDEST,
    Floats,
    Ints,
    blocks_needed,
    groups_of,
    spread,
    total_by,
)
from bench.stats.estimate import CONFIDENCE, Estimate
from bench.stats.incomplete_beta import beta_quantile
from bench.stats.student_t import t_quantile

_MOST = 1e5
"""Requests that a share is worth at most: parts that are all equal would be worth any number."""
_SKEW = 3.0
"""How much further the end on the side of a long tail lies, in standard errors, for a skewness of
1 of the mean. The first term of the expansion of Student's t (Johnson, JASA 1978) says 1.4 at 95 %;
with few blocks and a skewness that the sample shows too small, twice that holds."""


def ratio_of_sums(numerators: Floats, denominators: Floats, blocks: Ints) -> Estimate:
    """sum(numerators) / sum(denominators), with blocks as what is repeated.

    The variance is the linearised one of a ratio of cluster totals (Cochran, *Sampling Techniques*,
    section 6.3 and 9A), its t that of `block_spread`. What cannot be negative has its interval on
    the log scale. The end on the side of a long tail of the requests lies further out. A mean is
    the case where every denominator is 1.

    Args:
        numerators: one value a request, without NaN.
        denominators: the same, not negative.
        blocks: the block of each, numbered 0, 1, ...
    """
    total = float(denominators.sum())
    if not len(numerators) or total <= 0:
        return Estimate(None, needs=1)
    value = float(numerators.sum()) / total
    groups, name = groups_of(blocks)
    method = f"t, {name}"
    residuals = (numerators - value * denominators) / total
    found = spread(total_by(groups, residuals), total_by(groups, denominators / total))
    if found is None:
        return Estimate(value, needs=2, method=method)
    skew = _skewness_of_mean(residuals) if len(numerators) > groups.max() + 1 else 0.0
    below = (found.t + _SKEW * max(-skew, 0.0)) * found.se
    above = (found.t + _SKEW * max(skew, 0.0)) * found.se
    if value <= 0 or numerators.min() < 0:
        return Estimate(value, value - below, value + above, method=method)
    if (below + above) / value > WIDEST:
        needs = blocks_needed((below + above) / value, found, int(groups.max()) + 1)
        return Estimate(value, needs=needs, method=method, needs_unit="blocks")
    low, high = value * math.exp(-below / value), value * math.exp(above / value)
    return Estimate(value, low, high, method=method)


def _skewness_of_mean(residuals: Floats) -> float:
    square = float((residuals**2).mean())
    if square == 0:
        return 0.0
    return float((residuals**3).mean() / square**1.5) / math.sqrt(len(residuals))


def block_ratio(numerators: Floats, denominators: Floats) -> Estimate:
    """sum(numerators) / sum(denominators) of block totals, e.g. tokens and window seconds.

    One block has no interval: nothing inside it is a repetition of the whole.
    """
    if len(numerators) == 1 and denominators[0] > 0:
        value = float(numerators[0] / denominators[0])
        return Estimate(value, needs=2, method="one block", needs_unit="blocks")
    return ratio_of_sums(numerators, denominators, np.arange(len(numerators)))


def share(numerators: Floats, denominators: Floats, blocks: Ints) -> Estimate:
    """A share, such as failed requests or the part of the text that is thinking.

    Clopper & Pearson's exact interval for an effective number of requests: that of independent
    ones with the variance that blocks show, times (t of the requests / t of the blocks)^2 for not
    knowing that variance well (Korn & Graubard, Survey Methodology 1998). It is in 0..1 always.
    Where none or all count there is no variance to see, and the second factor alone is applied. One
    block has no sign of what differs between blocks: its requests are taken as independent.

    Args:
        numerators: one value a request, from 0 to its denominator: 1 if it counts, or a part.
        denominators: the whole of each: 1, or e.g. its characters.
        blocks: the block of each, numbered 0, 1, ...
    """
    n, total = len(numerators), float(denominators.sum())
    if total <= 0:
        return Estimate(None, needs=1)
    value = float(numerators.sum()) / total
    whole = bool(((numerators == 0) | (numerators == denominators)).all())
    effective = min(n * _effective_size(value, numerators, denominators, blocks), _MOST)
    if whole:
        effective = min(effective, float(n))
    tail, k = (1 - CONFIDENCE) / 2, value * effective
    low = beta_quantile(tail, k, effective - k + 1) if value > 0 else 0.0
    high = beta_quantile(1 - tail, k + 1, effective - k) if value < 1 else 1.0
    return Estimate(value, min(low, value), max(high, value), method="Clopper-Pearson")


def _effective_size(value: float, numerators: Floats, denominators: Floats, blocks: Ints) -> float:
    """How many independent requests one of these requests is worth."""
    n, total = len(numerators), float(denominators.sum())
    residuals = (numerators - value * denominators) / total
    found = spread(total_by(blocks, residuals), total_by(blocks, denominators / total))
    if found is None:
        return 1.0
    known = (t_quantile((1 + CONFIDENCE) / 2, n - 1) / found.t) ** 2
    if found.se == 0 or value in (0.0, 1.0):
        return known
    return known * value * (1 - value) / found.se**2 / n
