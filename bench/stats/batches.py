"""Statistics of a series with memory, from batches that are long against it.

The interval of a percentile takes the share of requests at or below it in long batches in a row,
with Student's t over the batches, on the scale of the logit, which has no end (Woodruff 1952;
batch means: Law & Kelton, *Simulation Modeling and Analysis*, section 9.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.stats.block_spread import Floats, spread
from bench.stats.estimate import Estimate
from bench.stats.incomplete_beta import beta_cdf
from bench.stats.quantiles import read_quantile

_BATCHES, _BATCHES_IN_TAIL, _TAIL = 12, 6, 0.8
_BLOCKS_DIFFER_P = 0.1


def batch_quantile(blocks: Sequence[Floats], p: float, least_error: float = 0.0) -> Estimate:
    """A quantile of a series with memory, from batches that are long against it.

    Args:
        blocks: the series in pieces, each in order of time; not empty.
        p: which quantile, between 0 and 1.
        least_error: of the share of values at or below it, whatever the batches show.
    """
    ordered = np.sort(np.concatenate(blocks))
    n, point = len(ordered), read_quantile(ordered, p)
    wanted = _BATCHES if max(p, 1 - p) < _TAIL else _BATCHES_IN_TAIL
    batches, what = _batches([b <= point for b in blocks], wanted)
    weights, below = _weighed(batches)
    found = spread(weights * (below - weights @ below), weights)
    if found is None:
        return Estimate(point, method=what)
    error = max(found.se, math.sqrt(p * (1 - p) / n), least_error)
    reach, logit = found.t * error / (p * (1 - p)), math.log(p / (1 - p))
    low, high = (1 / (1 + math.exp(-(logit + side))) for side in (-reach, reach))
    return Estimate(
        point,
        read_quantile(ordered, low) if low >= 1 / n else None,
        read_quantile(ordered, high) if high <= 1 - 1 / n else None,
        method=what,
    )


def batch_mean(blocks: Sequence[Floats]) -> Estimate:
    """The mean of a series with memory, as `batch_quantile`."""
    batches, what = _batches(blocks, _BATCHES)
    weights, means = _weighed(batches)
    value = float(weights @ means)
    found = spread(weights * (means - value), weights)
    if found is None:
        return Estimate(value, method=what)
    reach = found.t * found.se
    return Estimate(value, value - reach, value + reach, method=what)


def _weighed(batches: Sequence[Floats]) -> tuple[Floats, Floats]:
    """The share of the values that each batch has, and its mean."""
    sizes = np.array([len(b) for b in batches])
    return sizes / sizes.sum(), np.array([b.mean() for b in batches])


def _batches(
    blocks: Sequence[Floats] | Sequence[NDArray[np.bool_]], wanted: int
) -> tuple[list[NDArray[np.float64]], str]:
    """So many batches of all blocks together; the blocks themselves if they differ."""
    each = -(-wanted // len(blocks))
    per_block = [
        [np.asarray(part, dtype=np.float64) for part in np.array_split(b, min(each, len(b)))]
        for b in blocks
        if len(b)
    ]
    if each == 1 or _blocks_differ(per_block):
        whole = [np.asarray(b, dtype=np.float64) for b in blocks if len(b)]
        return whole, f"{len(whole)} blocks"
    found = [part for parts in per_block for part in parts]
    return found, f"{len(found)} batches in a row"


def _blocks_differ(per_block: list[list[Floats]]) -> bool:
    """One-way analysis of variance: do batches of one block resemble each other?"""
    means = [np.array([part.mean() for part in parts]) for parts in per_block]
    groups, n = len(means), sum(len(m) for m in means)
    if groups < 2 or n <= groups:
        return False
    middle = np.concatenate(means).mean()
    between = sum(len(m) * float((m.mean() - middle) ** 2) for m in means) / (groups - 1)
    within = sum(float(((m - m.mean()) ** 2).sum()) for m in means) / (n - groups)
    if within <= 0:
        return between > 0
    first, second = groups - 1, n - groups
    f = between / within
    return beta_cdf(second / (second + first * f), second / 2, first / 2) < _BLOCKS_DIFFER_P
