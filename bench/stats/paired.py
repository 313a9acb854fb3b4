"""The effect between two sides measured in pairs of blocks, run back to back.

The block is the unit: requests inside one share its fate, so they are no independent evidence.
Each pair gives one log ratio; their mean, with Student's t over pairs, is the effect. Drift that
is common to both members of a pair cancels. (Kalibera & Jones, ISMM 2013: repeat at the level at
which variance arises; Cameron, Gelbach & Miller, REStat 2008: few clusters want t with G-1.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.student_t import t_cdf, t_quantile

MIN_PAIRS = 6
"""Below this the sign-flip cross-check cannot reach .05 (2/2^5 = .0625), whatever the data."""

MAX_EXACT = 20
"""Above so many pairs the 2^n patterns are sampled instead of listed."""

_SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class LogEffect:
    """A difference of mean logs, candidate minus baseline, with what its interval rests on.

    Attributes:
        log_ratio: mean of log(candidate / baseline).
        standard_error: of `log_ratio`.
        df: degrees of freedom of the t distribution used.
        n: how many independent differences (pairs), or blocks of the smaller side.
    """

    log_ratio: float
    standard_error: float
    df: float
    n: int

    @property
    def ratio_change(self) -> float:
        """Candidate / baseline - 1, e.g. -0.05 for a loss of 5 %."""
        return math.expm1(self.log_ratio)

    @property
    def p_value(self) -> float:
        """Two-sided p of "no difference"."""
        if self.standard_error == 0:
            return 1.0 if self.log_ratio == 0 else 0.0
        return 2 * t_cdf(-abs(self.log_ratio) / self.standard_error, self.df)

    def log_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The t interval of the log ratio."""
        half = t_quantile((1 + confidence) / 2, self.df) * self.standard_error
        return self.log_ratio - half, self.log_ratio + half

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The interval of `ratio_change`, back-transformed."""
        low, high = self.log_interval(confidence)
        return _expm1(low), _expm1(high)


def logs_of(values: ArrayLike) -> NDArray[np.float64]:
    """The logs of values whose ratios are looked at.

    Raises:
        ValueError: a value has none.
    """
    array = np.asarray(values, float).ravel()
    if not (np.all(array > 0) and np.all(np.isfinite(array))):
        raise ValueError("a ratio needs finite values above 0")
    return np.asarray(np.log(array), float)


def log_ratios(baseline: ArrayLike, candidate: ArrayLike) -> NDArray[np.float64]:
    """log(candidate_i / baseline_i), one a pair.

    Raises:
        ValueError: the two do not pair up, or hold a value that has no logarithm.
    """
    a, b = logs_of(baseline), logs_of(candidate)
    if a.size != b.size:
        raise ValueError(f"{a.size} baseline values do not pair with {b.size} candidate values")
    return b - a


def paired_effect(differences: ArrayLike) -> LogEffect:
    """Paired t on log ratios.

    Args:
        differences: one log ratio a pair (`log_ratios`); at least two.

    Raises:
        ValueError: fewer than two pairs.
    """
    d = np.asarray(differences, float)
    if d.size < 2:
        raise ValueError(f"an interval needs at least 2 pairs, not {d.size}")
    return LogEffect(
        log_ratio=float(d.mean()),
        standard_error=float(d.std(ddof=1) / math.sqrt(d.size)),
        df=d.size - 1,
        n=int(d.size),
    )


def _expm1(value: float) -> float:
    return math.expm1(min(value, 700.0))


def sign_flip_p(differences: ArrayLike, seed: int = 0) -> float:
    """Two-sided p value of "the differences are symmetric about 0": needs no normality.

    If nothing differs, each difference could as well have had the other sign. The p value is the
    share of all 2^n sign patterns whose mean is at least as far from 0 as the one seen. It cannot
    be smaller than 2 / 2^n, so with fewer than 6 pairs it cannot reach .05.

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
