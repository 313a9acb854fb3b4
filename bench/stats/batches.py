"""Statistics of a series with memory, from batches that are long against it.

The interval of a percentile takes the share of requests at or below it in long batches in a row,
with Student's t over the batches, on the scale of the logit, which has no end (Woodruff 1952;
batch means: Law & Kelton, *Simulation Modeling and Analysis*, section 9.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats.incomplete_beta import beta_cdf
from bench.stats.student_t import t_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
_BATCHES, _BATCHES_IN_TAIL, _TAIL = 12, 6, 0.8
_BLOCKS_DIFFER_P = 0.1


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its 95 % interval; an end is None where there is none."""

    value: float
    low: float | None
    high: float | None
    method: str


def batch_quantile(blocks: Sequence[Floats], p: float, least_error: float = 0.0) -> Interval:
    """A quantile of a series with memory, from batches that are long against it.

    Args:
        blocks: the series in pieces, each in order of time; not empty.
        p: which quantile, between 0 and 1.
        least_error: of the share of values at or below it, whatever the batches show.
    """
    values = np.concatenate(blocks)
    ordered, n = np.sort(values), len(values)
    point = _read(ordered, p)
    wanted = _BATCHES if max(p, 1 - p) < _TAIL else _BATCHES_IN_TAIL
    batches, what = _batches([b <= point for b in blocks], wanted)
    below = np.array([b.mean() for b in batches])
    sizes = np.array([len(b) for b in batches])
    if len(batches) < 2:
        return Interval(point, None, None, what)
    error = max(_spread(below, sizes), math.sqrt(p * (1 - p) / n), least_error)
    reach = t_quantile((1 + CONFIDENCE) / 2, len(batches) - 1) * error / (p * (1 - p))
    low, high = (1 / (1 + math.exp(-(math.log(p / (1 - p)) + side))) for side in (-reach, reach))
    return Interval(
        point,
        _read(ordered, low) if low >= 1 / n else None,
        _read(ordered, high) if high <= 1 - 1 / n else None,
        what,
    )


def batch_mean(blocks: Sequence[Floats]) -> Interval:
    """The mean of a series with memory, as `batch_quantile`."""
    value = float(np.concatenate(blocks).mean())
    batches, what = _batches(blocks, _BATCHES)
    if len(batches) < 2:
        return Interval(value, None, None, what)
    means, sizes = np.array([b.mean() for b in batches]), np.array([len(b) for b in batches])
    reach = t_quantile((1 + CONFIDENCE) / 2, len(batches) - 1) * _spread(means, sizes)
    return Interval(value, value - reach, value + reach, what)


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


def _spread(means: Floats, sizes: Ints) -> float:
    """Standard error of the mean of all values, from the means of batches."""
    total = sizes.sum()
    residuals = sizes * (means - (means * sizes).sum() / total)
    count = len(means)
    return math.sqrt(count / (count - 1) * float((residuals**2).sum())) / float(total)


def _read(ordered: Floats, p: float) -> float:
    """The type 7 quantile of values in ascending order."""
    return float(np.interp(p * (len(ordered) - 1), np.arange(len(ordered)), ordered))
