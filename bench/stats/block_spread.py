"""How sure an average over a few blocks is: the one interval that means and quantiles rest on.

Requests of one block resemble each other (the same clock rate, the same neighbours on the
machine), so the block is what is repeated, and Student's t over blocks is exact where block values
are normal, whatever the correlation inside a block. Blocks of unequal size are weighted by size;
then plain formulas give too little. So residuals are scaled by 1 / (1 - weight), and the degrees of
freedom are those of the variance estimate itself (Bell & McCaffrey, Survey Methodology 2002;
Imbens & Kolesar, REStat 2016): blocks - 1 where all are equal, less where one weighs most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.stats.estimate import CONFIDENCE
from bench.stats.student_t import t_quantile

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_BATCHES, MAX_BATCHES = 5, 10
BATCH_REQUESTS = 12
"""One block alone is cut into batches of about so many requests."""

WIDEST = float(np.log(100.0))
"""An interval whose ends differ by more than this factor says nothing: more blocks are needed."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard error of a weighted mean, and its degrees of freedom."""

    se: float
    df: float

    @property
    def t(self) -> float:
        """Student's t for the confidence of every interval."""
        return t_quantile((1 + CONFIDENCE) / 2, self.df)


def spread(parts: Floats, weights: Floats) -> Spread | None:
    """The standard error of the mean of some groups.

    Args:
        parts: for each group, its weight times its distance from the mean.
        weights: of each group, together 1.

    Returns:
        None where there is one group, or one that has all the weight.
    """
    left = 1 - weights
    if len(weights) < 2 or left.min() < 1e-12:
        return None
    # The variance estimate is v' A v for group values v; were their variances all 1, its mean
    # would be the trace of A and its variance twice that of A A.
    g = weights**2 / left
    cross = np.outer(weights, g)
    a = np.diag(g) - cross - cross.T + g.sum() * np.outer(weights, weights)
    trace = float(np.trace(a))
    variance = float(weights @ weights) / trace * float((parts**2 / left).sum())
    return Spread(variance**0.5, trace**2 / float((a * a).sum()))


def total_by(group: Ints | NDArray[np.int32], values: Floats | NDArray[np.bool_]) -> Floats:
    """The sum of the values of each group; groups are numbered 0, 1, 2, ..."""
    return np.bincount(group, weights=values).astype(np.float64)


def groups_of(blocks: Ints) -> tuple[Ints, str]:
    """What counts as repeated: blocks or, if there is one only, batches of consecutive requests.

    Batches show how requests of this block vary, neighbours that resemble each other included; what
    differs between blocks they cannot show, and the name says so.

    Args:
        blocks: the block of each request, numbered 0, 1, ...; in order of time within a block.

    Returns:
        The group of each request, numbered likewise, and a name, such as "6 blocks".
    """
    count = int(blocks.max(initial=0)) + 1
    if count > 1:
        return blocks, f"{count} blocks"
    n = len(blocks)
    batches = min(n, max(MIN_BATCHES, min(MAX_BATCHES, n // BATCH_REQUESTS)))
    what = "requests" if batches == n else "batches"
    return np.arange(n) * batches // max(n, 1), f"{batches} {what} of one block"


def blocks_needed(width: float, found: Spread, groups: int) -> int:
    """How many blocks it would take for an interval no wider than `WIDEST`.

    Args:
        width: of the interval now, as the log of the ratio of its ends.
        found: the spread it was made from.
        groups: how many groups that came from.
    """
    root, more = width / found.t * groups**0.5, max(groups, 2) + 1
    while more < 1000 and root * t_quantile((1 + CONFIDENCE) / 2, more - 1) > WIDEST * more**0.5:
        more += 1
    return more
