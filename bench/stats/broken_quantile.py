"""Is a quantile beyond a limit, where the data are too few to say where it lies?

If the p-quantile keeps an upper limit, a value lies beyond it with a probability of at most 1 - p.
So many or more of n independent values do so with a binomial probability (the sign test of a
quantile; Conover, *Practical Nonparametric Statistics*, section 3.2). Values of one block share its
fate, and one bad block is no proof: more than allowed must lie beyond the limit in every block.
Measured error rates: `tests/performance/threshold_verdicts.py`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bench.stats.incomplete_beta import binomial_cdf

NO_ACCIDENT = 0.01
"""Below this probability, values on the wrong side are no accident."""


def broken_beyond_doubt(
    wrong: NDArray[np.bool_], blocks: NDArray[np.int64], allowed: float
) -> bool:
    """Whether too many values lie on the wrong side of a limit.

    Args:
        wrong: one a value.
        blocks: the block of each, numbered 0, 1, ...
        allowed: share of them that may, e.g. 0.05 for an upper limit of a 95 % quantile.
    """
    count, n = int(wrong.sum()), len(wrong)
    if not count or 1 - binomial_cdf(count - 1, n, allowed) >= NO_ACCIDENT:
        return False
    by_block = np.bincount(blocks, weights=wrong) / np.bincount(blocks)
    return bool((by_block > allowed).all())
