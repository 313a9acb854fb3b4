"""How many pairs of blocks a change takes to be seen, and what can be seen with those there are.

With the standard deviation s of one pair's log ratio, B pairs see a change delta with Student's t
at level alpha with the power of the noncentral t distribution,

    P(|T'| > t_{1-alpha/2}),   T' noncentral t, B - 1 degrees of freedom, log(1 + delta) sqrt(B) / s

But s is estimated from a pilot with few degrees of freedom. Taken for true it promises 80 % where
66 to 79 % come, so the power is averaged over what s may be, given the pilot: s^2 = s_pilot^2 df /
chi-square(df) (expected power; Julious & Owen, Pharmaceutical Statistics 2006).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.stats.paired import MIN_PAIRS
from bench.stats.student_t import t_quantile

MAX_PAIRS = 10_000
"""Above this the answer is "not by repetition"."""
_DRAWS = 1000
_MAX_DRAWN = 4_000_000
"""Values drawn in all, for large blocks."""
_NODES = 48


@dataclass(frozen=True, slots=True)
class Noise:
    """How a metric scatters, as standard deviations of its logarithm (so about relative ones).

    Attributes:
        between_blocks: sb; the spread of block values without what the requests add.
        within_block: sw; spread of requests inside a block.
        blocks: how many blocks it was estimated from.
        requests_per_block: mean number of requests a block.
        of_value: se; what the requests add to the spread of a block's value, if both blocks of a
            pair have the same prompts. None stands for a mean of all requests, sw / sqrt(n): right
            for rates too, which are ratios of sums.
    """

    between_blocks: float
    within_block: float
    blocks: int
    requests_per_block: float
    of_value: float | None = None

    @property
    def pair_sd(self) -> float:
        """Standard deviation of one pair's log ratio."""
        of_value = self.of_value
        if of_value is None:
            of_value = self.within_block / math.sqrt(self.requests_per_block)
        return math.sqrt(2 * (self.between_blocks**2 + of_value**2))


def noise_of(
    blocks: Sequence[ArrayLike],
    quantile: float | None = None,
    explained: Sequence[ArrayLike] | None = None,
) -> Noise:
    """Both noises from requests grouped by block: one-way random effects on the logs.

    Method of moments for unequal groups (Searle, Casella & McCulloch, *Variance Components*,
    section 3.6); an estimate of sb^2 below 0 is taken as 0. A quantile of a block scatters more
    than its mean (a median of normal values by pi/2 in variance, a p95 by 4.5): by how much is
    found by drawing pairs of blocks with the same prompts, and noise from what is left when each
    block's mean is taken out.

    Args:
        blocks: the positive values of each block's requests; blocks without any are left out.
        quantile: the value of a block is this quantile, from 0 to 1; None: a mean or a rate.
        explained: the part of each value's log that its prompt explains; both blocks of a pair
            have the same prompts, so it is no noise. None: nothing is known of that.

    Raises:
        ValueError: fewer than two blocks with values, or no block with two requests.
    """
    known = [np.zeros(np.size(b)) for b in blocks] if explained is None else explained
    given = [(np.log(np.asarray(b, float)), np.asarray(e, float))
             for b, e in zip(blocks, known, strict=True) if np.size(b)]  # fmt: skip
    logs = [values - part for values, part in given]
    if len(logs) < 2:
        raise ValueError(f"the noise between blocks needs at least 2 blocks, not {len(logs)}")
    sizes = np.array([v.size for v in logs])
    total, groups = int(sizes.sum()), len(logs)
    if total == groups:
        raise ValueError("the noise within a block needs a block with at least 2 requests")
    means = np.array([v.mean() for v in logs])
    grand = float(np.dot(sizes, means) / total)
    within = sum(float(((v - m) ** 2).sum()) for v, m in zip(logs, means, strict=True))
    ms_within = within / (total - groups)
    ms_between = float((sizes * (means - grand) ** 2).sum()) / (groups - 1)
    n0 = (total - float((sizes**2).sum()) / total) / (groups - 1)
    left = np.concatenate([v - m for v, m in zip(logs, means, strict=True)])
    left *= math.sqrt(total / (total - groups))
    return Noise(
        between_blocks=math.sqrt(max(0.0, (ms_between - ms_within) / n0)),
        within_block=math.sqrt(ms_within),
        blocks=groups,
        requests_per_block=total / groups,
        of_value=None
        if quantile is None
        else _quantile_sd(left, np.concatenate([e for _, e in given]), quantile, total // groups),
    )


def _quantile_sd(
    noise: NDArray[np.float64], explained: NDArray[np.float64], quantile: float, n: int
) -> float:
    """What noise adds to a quantile of n values, by drawing pairs of blocks (seeded).

    Args:
        noise: what is left of each log.
        explained: what the prompt explains of it, common to both blocks of a pair.
        quantile: from 0 to 1.
        n: requests a block.
    """
    rng = np.random.default_rng(0)
    draws = min(_DRAWS, max(100, _MAX_DRAWN // n))
    prompts = rng.choice(explained, (draws, n))
    first, second = (
        np.quantile(prompts + rng.choice(noise, (draws, n)), quantile, axis=1) for _ in range(2)
    )
    return float((first - second).std(ddof=1) / math.sqrt(2))


def expected_power(
    pairs: int,
    change: float,
    pair_sd: float,
    df: float = math.inf,
    alpha: float = 0.05,
    ignore: float = 0.0,
    strict: bool = False,
) -> float:
    """The chance that so many pairs show a change: significant, and beyond what is ignored.

    Args:
        pairs: at least 2.
        change: relative, above 0.
        pair_sd: of one pair's log ratio, as a pilot shows it.
        df: degrees of freedom of `pair_sd`; infinite: it is known.
        alpha: two-sided level.
        ignore: relative; what is found must lie beyond it.
        strict: its whole 95 % interval must.
    """
    if pair_sd == 0:
        return float(change > ignore)
    root = math.sqrt(pairs) / pair_sd * np.sqrt(_chi_square_nodes(df))[:, None]
    seen = np.sqrt(_chi_square_nodes(pairs - 1))[None, :]
    beyond = math.log1p(ignore) * root + strict * t_quantile(0.975, pairs - 1) * seen
    least = np.maximum(t_quantile(1 - alpha / 2, pairs - 1) * seen, beyond)
    return float(np.mean(_normal_cdf(math.log1p(change) * root - least)))


def pairs_needed(
    pair_sd: float,
    change: float,
    power: float = 0.8,
    alpha: float = 0.05,
    metrics: int = 1,
    df: float = math.inf,
    ignore: float = 0.0,
    strict: bool = False,
) -> int | None:
    """The smallest number of pairs that shows a change; None if more than `MAX_PAIRS`.

    Args:
        pair_sd: of one pair's log ratio (`Noise.pair_sd`).
        change: relative, e.g. 0.05.
        power: chance that the change is seen.
        alpha: two-sided level.
        metrics: how many primary metrics share alpha (Holm's first step: alpha / metrics).
        df: degrees of freedom of `pair_sd`; infinite: it is known.
        ignore: what is found must lie beyond it.
        strict: its whole 95 % interval must.
    """
    if change <= 0:
        raise ValueError(f"a change to be seen is above 0, not {change}")

    def enough(pairs: int) -> bool:
        found = expected_power(pairs, change, pair_sd, df, alpha / metrics, ignore, strict)
        return found >= power

    found = bisect_left(range(2, MAX_PAIRS + 1), True, key=enough) + 2
    return found if found <= MAX_PAIRS else None


def detectable_change(
    pair_sd: float,
    pairs: int,
    power: float = 0.8,
    alpha: float = 0.05,
    metrics: int = 1,
    df: float = math.inf,
    ignore: float = 0.0,
    strict: bool = False,
) -> float:
    """The smallest relative change that so many pairs show, e.g. 0.023; infinite above e^50.

    Raises:
        ValueError: fewer than two pairs.
    """
    if pairs < 2:
        raise ValueError(f"a change takes at least 2 pairs to be seen, not {pairs}")
    if pair_sd == 0:
        return ignore

    def shown(log: float) -> bool:
        change = math.expm1(log)
        found = expected_power(pairs, change, pair_sd, df, alpha / metrics, ignore, strict)
        return found >= power

    low, high = 0.0, 50.0
    if not shown(high):
        return math.inf
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return math.expm1(high)


def sd_interval(sd: float, df: float) -> tuple[float, float]:
    """The 95 % interval of a standard deviation of normal values, by chi-square."""
    w, cdf = _chi_square(df)
    low, high = np.interp((0.025, 0.975), cdf, w)
    return sd / math.sqrt(float(high)), sd / math.sqrt(float(low))


@lru_cache(maxsize=256)
def _chi_square(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(values, distribution function) of chi-square / df, from its density on a log scale."""
    spread = math.sqrt(2 / df)
    logs = np.linspace(-12 * spread - 6 / df, 6 * spread + 1 / df, 8001)
    density = np.exp(df / 2 * (logs - np.exp(logs) + 1))
    cdf = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    return np.exp(logs), cdf / cdf[-1]


@lru_cache(maxsize=256)
def _chi_square_nodes(df: float) -> NDArray[np.float64]:
    """Values of chi-square / df, each of the same probability: for means over it."""
    if math.isinf(df):
        return np.ones(1)
    w, cdf = _chi_square(df)
    return np.interp((np.arange(_NODES) + 0.5) / _NODES, cdf, w)


_ERF = np.vectorize(math.erf, otypes=[np.float64])


def _normal_cdf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((1 + _ERF(x / math.sqrt(2))) / 2)


def planned_pairs(needed: int) -> int:
    """At least `MIN_PAIRS`, so that the sign-flip cross-check can speak."""
    return max(needed, MIN_PAIRS)
