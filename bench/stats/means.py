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
_TINY = 1e-100
_FAR = 100.0
"""Logits further out than this are 0 or 1."""
_NORMAL = 1.96
_SKEW = 3.0
"""How much further the end on the side of a long tail lies, in standard errors, for a skewness of
1 of the mean. The first term of the expansion of Student's t (Johnson, JASA 1978) says 1.4 at 95 %;
with few blocks and a skewness that the sample shows too small, twice that holds."""


def ratio_of_sums(numerators: Floats, denominators: Floats, blocks: Ints) -> Estimate:
    """sum(numerators) / sum(denominators), with blocks as what is repeated.

    The variance is the linearised one of a ratio of cluster totals (Cochran, *Sampling Techniques*,
    section 6.3 and 9A), its t that of `block_spread`. What cannot be negative has its interval on
    the log scale. The end on the side of a long tail of the requests lies further out, and never
    nearer than for independent requests: few blocks can be alike by chance because none of them had
    a slow one. A mean is the case where every denominator is 1.

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
    parts = total_by(groups, residuals)
    found = spread(parts, total_by(groups, denominators / total))
    if found is None:
        return Estimate(value, needs=2, method=method)
    plain = found.t * found.se
    below, above = plain, plain
    if len(numerators) > len(parts):
        skew, single = _skewness_of_mean(residuals), float(np.linalg.norm(residuals))
        far = max(plain, _NORMAL * single) + _SKEW * abs(skew) * max(found.se, single)
        below, above = (plain, far) if skew > 0 else (far, plain)
    if value <= 0 or numerators.min() < 0:
        return Estimate(value, value - below, value + above, method=method)
    if (below + above) / value > WIDEST:
        needs = blocks_needed((below + above) / value, found, len(parts))
        return Estimate(value, needs=needs, method=method, needs_unit="blocks")
    low, high = value * math.exp(-below / value), value * math.exp(above / value)
    return Estimate(value, low, high, method=method)


def _skewness_of_mean(residuals: Floats) -> float:
    """Of the mean of what has these distances from it."""
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

    The interval is the hull of two, both within 0..1. Jeffreys' (beta distribution; Brown, Cai &
    DasGupta, Statistical Science 2001), for an effective number of requests: that of independent
    ones with the variance that blocks show, times (t of the requests / t of the blocks)^2 for not
    knowing that variance well (Korn & Graubard, Survey Methodology 1998). And Student's t on the
    logit scale. Where blocks vary more than independent requests would, outcomes come in clumps,
    and few blocks show too few of them: by what they vary more, the end on the side of a long tail
    lies further out.

    Where fewer than two blocks saw either outcome, how much it clumps cannot be known, and there is
    no interval. If nothing shows that it does (one block, or at most one such request), there is
    what would be one if requests were independent.

    Args:
        numerators: one value a request, from 0 to its denominator: 1 if it counts, or a part.
        denominators: the whole of each: 1, or e.g. its characters.
        blocks: the block of each, numbered 0, 1, ...
    """
    n, total = len(numerators), float(denominators.sum())
    if total <= 0:
        return Estimate(None, needs=1)
    value = float(numerators.sum()) / total
    parts = total_by(blocks, (numerators - value * denominators) / total)
    found = spread(parts, total_by(blocks, denominators / total))
    counts, others = numerators > 0, numerators < denominators
    if found is None or min(len(np.unique(blocks[seen])) for seen in (counts, others)) < 2:
        silent = found is None or min(counts.sum(), others.sum()) < 2
        return Estimate(
            value,
            needs=2,
            needs_unit="blocks with each outcome",
            method="none: fewer than two blocks saw both outcomes",
            if_independent=_clopper_pearson(value, n) if silent else None,
        )
    whole = bool(((numerators == 0) | (numerators == denominators)).all())
    single = value * (1 - value)
    known = (t_quantile((1 + CONFIDENCE) / 2, n - 1) / found.t) ** 2
    effective = min(known * single / max(found.se**2, _TINY), n if whole else _MOST)
    low, high = (
        beta_quantile(
            (1 + s * CONFIDENCE) / 2, value * effective + 0.5, (1 - value) * effective + 0.5
        )
        for s in (-1, 1)
    )
    clumps = math.sqrt(max(found.se**2 - (single / n if whole else 0.0), 0.0))
    odds, skew = value / (1 - value), _SKEW * _skewness_of_mean(parts)
    below, above = (
        min((found.t * found.se + max(side, 0.0) * clumps) / single, _FAR) for side in (-skew, skew)
    )
    low = min(low, 1 / (1 + math.exp(below) / odds))
    high = max(high, 1 / (1 + math.exp(-above) / odds))
    method = "Jeffreys and t of logits"
    return Estimate(value, min(low, value), max(high, value), method=method)


def _clopper_pearson(value: float, n: float) -> tuple[float, float]:
    """The exact interval of a share of n independent requests; n need not be whole."""
    tail, k = (1 - CONFIDENCE) / 2, value * n
    low = beta_quantile(tail, k, n - k + 1) if value > 0 else 0.0
    high = beta_quantile(1 - tail, k + 1, n - k) if value < 1 else 1.0
    return min(low, value), max(high, value)
