"""Means, ratios of sums and shares, with their intervals."""

from __future__ import annotations

import math

import numpy as np

from bench.analysis.columns import Floats, Ints, numbered, total_by
from bench.analysis.incomplete_beta import beta_quantile
from bench.analysis.sample import Sample
from bench.analysis.student_t import t_quantile
from bench.analysis.summary import Estimate

CONFIDENCE = 0.95
_T = (1 + CONFIDENCE) / 2


def ratio_of_sums(numerators: Floats, denominators: Floats, blocks: Ints) -> Estimate:
    """sum(numerators) / sum(denominators), with blocks as the units that vary.

    The interval is Student's t with the linearised variance of a ratio of cluster totals (Cochran,
    *Sampling Techniques*, section 6.3 and 9A), on blocks - 1 degrees of freedom. With one block
    there is no sign of what differs between blocks: requests stand in, and `method` says so. A mean
    is the case where every denominator is 1.

    Args:
        numerators: one value a request, without NaN. Where none is negative, no end of the
            interval is.
        denominators: the same, not negative.
        blocks: which block each belongs to.
    """
    total = float(denominators.sum())
    if not len(numerators) or total <= 0:
        return Estimate(None, needs=1)
    value = float(numerators.sum()) / total
    number = numbered(blocks)
    method = f"t, {len(numerators)} requests of one block"
    if number.max() > 0:
        numerators = total_by(number, numerators)
        denominators = total_by(number, denominators)
        method = f"t, {len(numerators)} blocks"
    units = len(numerators)
    if units < 2:
        return Estimate(value, needs=2, method="one request")
    residuals = numerators - value * denominators
    variance = units / (units - 1) * float((residuals**2).sum()) / total**2
    half = t_quantile(_T, units - 1) * math.sqrt(variance)
    low = value - half
    if numerators.min() >= 0:
        low = max(low, 0.0)
    return Estimate(value, low, value + half, method=method)


def mean(sample: Sample) -> Estimate:
    """The mean of a sample, with blocks as the units that vary, or requests if there is one."""
    return ratio_of_sums(sample.by_unit(sample.values), sample.sizes, sample.blocks)


def block_ratio(numerators: Floats, denominators: Floats) -> Estimate:
    """sum(numerators) / sum(denominators) of block totals, e.g. tokens and window seconds.

    One block has no interval: nothing inside it is a repetition of the whole.
    """
    total = float(denominators.sum())
    if total <= 0:
        return Estimate(None, needs=1)
    if len(numerators) < 2:
        return Estimate(float(numerators.sum()) / total, needs=2, method="one block")
    return ratio_of_sums(numerators, denominators, np.arange(len(numerators)))


def share(hits: Ints, sizes: Ints) -> Estimate:
    """A share of requests, from counts per block.

    Clopper & Pearson's exact interval, with the effective number of requests where blocks differ
    more than chance explains (Korn & Graubard, Survey Methodology 1998).

    Args:
        hits: how many requests of each block count.
        sizes: how many requests each block has.
    """
    n = int(sizes.sum())
    if n == 0:
        return Estimate(None, needs=1)
    value = float(hits.sum()) / n
    effective = n / _design_effect(hits, sizes, value)
    k = value * effective
    tail = (1 - CONFIDENCE) / 2
    low = beta_quantile(tail, k, effective - k + 1) if hits.sum() else 0.0
    high = beta_quantile(1 - tail, k + 1, effective - k) if hits.sum() < n else 1.0
    return Estimate(value, low, high, method="Clopper-Pearson")


def _design_effect(hits: Ints, sizes: Ints, value: float) -> float:
    """Variance of the share between blocks, over what independent requests would show; >= 1."""
    n, blocks = float(sizes.sum()), len(sizes)
    if blocks < 2 or value in (0.0, 1.0):
        return 1.0
    residuals = hits - value * sizes
    variance = blocks / (blocks - 1) * float((residuals**2).sum()) / n**2
    # An effective size below one request would be meaningless.
    return float(np.clip(variance / (value * (1 - value) / n), 1.0, n))
