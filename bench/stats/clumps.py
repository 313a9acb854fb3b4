"""How few independent requests a tail rests on whose requests resemble their neighbours.

Slow requests that follow each other are seen all together or not at all: a run that met few of them
shows a p95 that is too low, and no sign of it in its tail. But where slow ones follow each other,
so do the others, and of these there are enough. So all requests tell the correlation of neighbours,
and a first-order normal series with that correlation how alike neighbours are about being slow.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from bench.stats.block_spread import Floats, Ints

_BY_CHANCE = 3.9
"""Over the root of the pairs: three standard errors of the correlation of independent values."""
_MOST = 0.8
"""What drifts is more alike, and is no clump. Four requests are worth one then, at p95."""
_LEAST_PAIRS = 8
_TERMS = 60


def neighbour_correlation(values: Floats, blocks: Ints) -> float:
    """Correlation of a request with the one before, by ranks; 0 if chance explains it.

    The smaller of two: that of all values, which grows where blocks differ; and that from the
    differences of neighbours and of next neighbours, whose variances have the ratio 1 + correlation
    in a first-order series, which is large for prompts that come in turn.

    Args:
        values: in order of time within a block.
        blocks: the block of each.
    """
    near, next_but_one = blocks[1:] == blocks[:-1], blocks[2:] == blocks[:-2]
    pairs = int(next_but_one.sum())
    if pairs < _LEAST_PAIRS:
        return 0.0
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - counts / 2)[place]  # equal values share theirs
    ranks -= len(ranks) / 2
    first = float(((ranks[1:] - ranks[:-1])[near] ** 2).mean())
    second = float(((ranks[2:] - ranks[:-2])[next_but_one] ** 2).mean())
    if not first:
        return 0.0
    of_all = float((ranks[1:] * ranks[:-1])[near].mean() / (ranks**2).mean())
    found = min(second / first - 1, of_all)
    return min(found, _MOST) if found > _BY_CHANCE / math.sqrt(pairs) else 0.0


def requests_like_one(correlation: float, p: float) -> float:
    """How many requests in a row say as much as one about the share beyond the p-quantile.

    1 + 2 sum over k of the correlation of "beyond" with "beyond" k requests later, by Mehler's
    expansion of the bivariate normal distribution in Hermite polynomials (Cramer, *Mathematical
    Methods of Statistics*, section 21.12).
    """
    if correlation <= 0:
        return 1.0
    z = NormalDist().inv_cdf(p)
    scale, total = NormalDist().pdf(z) ** 2 / (p * (1 - p)), 1.0
    before, now = 0.0, 1.0
    for j in range(1, _TERMS + 1):
        power = correlation**j
        total += 2 * scale * now**2 / j * power / (1 - power)
        before, now = now, (z * now - math.sqrt(j - 1) * before) / math.sqrt(j)
    return total
