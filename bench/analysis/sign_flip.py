"""The exact sign-flip permutation test of paired differences: a cross-check without normality.

If nothing differs, each difference could as well have had the other sign. The p value is the share
of all 2^n sign patterns whose mean is at least as far from 0 as the one seen. It cannot be smaller
than 2 / 2^n, so with fewer than 6 pairs it cannot reach .05.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

MAX_EXACT = 20
"""Above so many pairs the 2^n patterns are sampled instead of listed."""

_SAMPLES = 100_000


def sign_flip_p(differences: ArrayLike, seed: int = 0) -> float:
    """Two-sided p value of "the differences are symmetric about 0".

    Exact up to `MAX_EXACT` pairs; beyond, from 100,000 seeded random patterns with the observed
    one counted in (so never 0).

    Raises:
        ValueError: no differences.
    """
    d = np.asarray(differences, float)
    if d.size == 0:
        raise ValueError("a sign-flip test needs at least one pair")
    # A pattern with all signs turned has the same distance from 0, so the first sign can stay.
    seen = abs(d.sum())
    slack = 1e-12 * np.abs(d).sum()
    if d.size <= MAX_EXACT:
        sums = np.array([d[0]])
        for value in d[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return float(np.mean(np.abs(sums) >= seen - slack))
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), size=(_SAMPLES, d.size))
    hits = int(np.sum(np.abs(signs @ d) >= seen - slack))
    return (hits + 1) / (_SAMPLES + 1)
