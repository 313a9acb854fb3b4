"""Several comparisons at once: Holm for those that gate, Benjamini-Hochberg for the rest.

Holm (Scand. J. Stat. 1979) keeps the chance of *any* false alarm below alpha and needs no
independence. Benjamini & Hochberg (JRSS B 1995) keeps the expected share of false ones among those
called, and tolerates the positive correlation that these metrics have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm-adjusted p values, in the order given: reject where it is at most alpha."""
    p, order = _sorted(p_values)
    n = p.size
    stepped = np.maximum.accumulate(p * (n - np.arange(n)))
    return _unsorted(stepped, order)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Benjamini-Hochberg q values, in the order given."""
    p, order = _sorted(p_values)
    n = p.size
    scaled = p * n / (np.arange(n) + 1)
    stepped = np.minimum.accumulate(scaled[::-1])[::-1]
    return _unsorted(stepped, order)


def _sorted(p_values: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    p = np.asarray(p_values, float)
    if p.size and not (np.all(p >= 0) and np.all(p <= 1)):
        raise ValueError("a p value lies between 0 and 1")
    order = np.argsort(p, kind="stable")
    return p[order], order


def _unsorted(values: NDArray[np.float64], order: NDArray[np.intp]) -> list[float]:
    result = np.empty_like(values)
    result[order] = np.minimum(values, 1.0)
    return [float(v) for v in result]
