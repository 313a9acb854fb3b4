"""The standard deviation of a normal distribution around 0, some of whose values are only bounded.

Tobin, "Estimation of Relationships for Limited Dependent Variables", Econometrica 1958, without
regressors and with the mean known to be 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEAST = 1e-3
"""The lower end of the search: no spread at all comes out as this."""
MOST = 20.0
_GOLDEN = (math.sqrt(5) - 1) / 2
_TOLERANCE = 1e-4
_FAR = 25.0
_erfc = np.frompyfunc(math.erfc, 1, 1)


def censored_spread(observed: Floats, at_least: Floats) -> float:
    """Maximum likelihood of s in N(0, s^2), within `LEAST` and `MOST`.

    The likelihood has one peak in log s, so a golden-section search finds it.

    Args:
        observed: values that were seen.
        at_least: for each value that was not seen, what it is not below.

    Returns:
        s; `LEAST` if nothing was observed.
    """
    if not len(observed):
        return LEAST
    squares = float(observed @ observed)
    n = len(observed)

    def loss(log_s: float) -> float:
        s = math.exp(log_s)
        return n * log_s + squares / (2 * s * s) - float(_log_above(at_least / s).sum())

    low, high = math.log(LEAST), math.log(MOST)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > _TOLERANCE:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return LEAST if low <= math.log(LEAST) else math.exp((low + high) / 2)


def _log_above(z: Floats) -> Floats:
    """Log P(Z >= z) of the standard normal; far out by the first term of Mills' ratio."""
    near = np.minimum(z, _FAR)
    log: Floats = np.log(np.asarray(_erfc(near / math.sqrt(2)), float) / 2)
    far = z > _FAR
    if far.any():
        log[far] = -(z[far] ** 2) / 2 - np.log(z[far]) - math.log(2 * math.pi) / 2
    return log
