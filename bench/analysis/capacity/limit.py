"""Where exactly the promise breaks: the limit with its interval, from all probes together.

Each probe says how many of its requests kept the promised time. That share falls as the load rises;
near the limit its logit is close to a straight line in the logarithm of the load. The line is
fitted by logistic regression (quasi-binomial: McCullagh and Nelder, Generalized Linear Models,
1989, 4.5), probes counting less the further they are from the limit, since the line is only
straight nearby. The limit is where it crosses the promised share; its interval is Fieller's (J. R.
Stat. Soc. B 1954), so that it is honest about a flat line too.

Requests of a probe are not independent (a queue has a memory), so the variance is larger than the
binomial one: by the scatter of consecutive batches within the probes, or by that of the probes
around the line, whichever is more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.analysis.capacity.judge import BATCHES, MIN_PER_BATCH
from bench.analysis.capacity.probe import SearchAnswer, SearchEnding
from bench.stats.student_t import t_quantile

Floats = NDArray[np.float64]

NEARNESS = 0.35
"""Width of the kernel, in the logarithm of the load: a probe at 1.4 times the limit counts 0.6."""
MIN_COUNT = 0.01
"""A probe that counts less than this is left out."""
REACH = 3 * NEARNESS
WIDENED = 1.9
"""Factor on the variance. The loads were chosen by what earlier probes had said, and batches near
saturation are not independent: with 1.35 the interval held the limit in 93 % of 150 searches."""
MIN_LOADS = 3
MOST_MOVES = 8
FLATTEST = -0.5
"""A share that falls less than this with the logarithm of the load crosses nothing in reach."""


@dataclass(frozen=True, slots=True)
class ProbeShare:
    """How many of a probe's requests kept the promised time.

    Attributes:
        kept: of the settled requests; failed ones did not keep it.
        requests: settled ones.
        excess: how many times the variance of the share is that of independent requests, judged by
            consecutive batches.
    """

    load: float
    kept: int
    requests: int
    excess: float

    @classmethod
    def of(cls, load: float, values: Floats, limit: float) -> ProbeShare:
        """From a probe's latencies in order of arrival; failed requests are infinite."""
        n = len(values)
        kept = values <= limit
        total = int(kept.sum())
        batches = min(BATCHES, n // MIN_PER_BATCH)
        excess = 1.0
        if batches >= 2 and 0 < total < n:
            means = [float(np.mean(batch)) for batch in np.array_split(kept, batches)]
            share = total / n
            excess = float(np.var(means, ddof=1)) / batches / (share * (1 - share) / n)
        return cls(load, total, n, excess)


@dataclass(frozen=True, slots=True)
class LoadLimit:
    """The load at which the promise breaks, with its 95 % interval; None = the data set no end.

    Attributes:
        about: its ends by the delta method, which are too near where there is little data.
    """

    load: float
    low: float | None
    high: float | None
    about: tuple[float, float] = (math.inf, 0.0)


def fit_limit(shares: Sequence[ProbeShare], p: float, around: float) -> LoadLimit | None:
    """The load where the share of kept requests crosses `p`.

    `around` is a load near the limit: the middle of the search's bracket.

    Returns:
        None when fewer than three loads lie near, or the share does not fall with the load.
    """
    centre = around
    for _ in range(MOST_MOVES):
        line = _fit_line(shares, centre)
        if line is None or line.slope > FLATTEST:
            return None
        step = -(line.level - math.log(p / (1 - p))) / line.slope
        if abs(step) < NEARNESS / 8:
            break
        # The line is only good nearby: it is fitted again where it crosses, step by step.
        centre *= math.exp(float(np.clip(step, -NEARNESS, NEARNESS)))
    else:
        return None
    return line.crossing(p, centre)


@dataclass(frozen=True, slots=True)
class _Line:
    """logit(share) = level + slope x log(load / centre)."""

    level: float
    slope: float
    covariance: Floats
    freedom: int

    def crossing(self, p: float, centre: float) -> LoadLimit:
        level = self.level - math.log(p / (1 - p))
        t = t_quantile(0.975, self.freedom)
        low, high = (
            # Further out there was nothing to fit: the data set no such end.
            None if x is None or abs(x) > REACH else centre * math.exp(x)
            for x in _fieller(level, self.slope, self.covariance, t)
        )
        x = -level / self.slope
        there = np.array([1.0, x])
        half = t * math.sqrt(float(there @ self.covariance @ there)) / -self.slope
        about = (max(x - half, -REACH), min(x + half, REACH))
        load, near, far = (centre * math.exp(end) for end in (x, *about))
        return LoadLimit(load, low, high, (near, far))


def _fit_line(shares: Sequence[ProbeShare], centre: float) -> _Line | None:
    """Logistic regression by Newton's method, weighted by nearness to the centre."""
    x = np.log([s.load / centre for s in shares])
    count = np.exp(-0.5 * (x / NEARNESS) ** 2)
    near = count > MIN_COUNT
    x, count = x[near], count[near]
    if len(np.unique(x)) < MIN_LOADS:
        return None
    n = np.array([s.requests for s in shares], dtype=np.float64)[near]
    kept = np.array([s.kept for s in shares], dtype=np.float64)[near]
    design = np.column_stack([np.ones_like(x), x])
    share = float((count @ kept + 0.5) / (count @ n + 1))
    beta = np.array([math.log(share / (1 - share)), -1.0])
    for _ in range(50):
        fitted = _logistic(design @ beta)
        information = design.T @ ((count * n * fitted * (1 - fitted))[:, None] * design)
        score = design.T @ (count * (kept - n * fitted))
        step = np.linalg.lstsq(information, score, rcond=None)[0]
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.all(np.abs(step) < 1e-9):
            break
    fitted = _logistic(design @ beta)
    variance = n * fitted * (1 - fitted)
    excess = np.array([s.excess for s in shares])[near]
    within = float(count @ (excess * variance) / (count @ variance))
    freedom = len(x) - 2
    between = float(count @ ((kept - n * fitted) ** 2 / variance) / count.sum())
    between *= len(x) / freedom
    bread = np.linalg.pinv(design.T @ ((count * variance)[:, None] * design))
    meat = design.T @ ((count**2 * variance)[:, None] * design)
    excess_all = WIDENED * max(1.0, within, between)
    covariance = (bread @ meat @ bread * excess_all).astype(np.float64)
    return _Line(float(beta[0]), float(beta[1]), covariance, freedom)


def _logistic(z: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))), dtype=np.float64)


def stated(fit: LoadLimit | None, answer: SearchAnswer, *, whole: bool) -> SearchAnswer:
    """What a report states: the fit's interval where there is one, else what the tests say.

    Its load is served with 97.5 % confidence, its limit lies between `low` and `high` with 95 %.

    The fit knows all probes, and a test only its own: in 120 searches on two machines the tests'
    bracket held the limit 94 times and the fit's interval 113 times, though it was half as wide. So
    no load above the interval's low end is called served, whatever a test there said. Loads that
    are whole numbers are far apart, and a confirmed pair of them is taken as it is.
    """
    ending = answer.ending
    if ending in (SearchEnding.NEVER_PASSED, SearchEnding.NEVER_SATURATED) or fit is None:
        return answer
    low, high = fit.low, fit.high
    # An unsure fit has no end. The tests' own may then be nearer than the fit's would be.
    if low is None and answer.low is not None:
        low = min(answer.low, fit.about[0])
    if high is None and answer.high is not None:
        high = max(answer.high, fit.about[1])
    if whole:
        low = None if low is None else float(max(1, math.floor(low)))
        high = None if high is None else float(math.ceil(high))
    if ending is SearchEnding.CONFIRMED:
        assert answer.low is not None
        assert answer.high is not None
        if not answer.low <= fit.load <= answer.high:
            ending = SearchEnding.RANGE
    if ending is SearchEnding.CONFIRMED and whole:
        low, high = answer.low, answer.high
    if low is None or high is None:
        return SearchAnswer(ending, answer.load, answer.low, high)
    if ending is SearchEnding.UNDECIDED:
        ending = SearchEnding.RANGE
    return SearchAnswer(ending, low if answer.load is None else min(low, answer.load), low, high)


def _fieller(
    a: float, b: float, covariance: NDArray[np.float64], t: float
) -> tuple[float | None, float | None]:
    """All x at which a + b x is not significantly different from 0."""
    vaa, vab, vbb = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    quadratic = b * b - t * t * vbb
    linear = a * b - t * t * vab
    constant = a * a - t * t * vaa
    root = linear * linear - quadratic * constant
    if quadratic <= 0 or root < 0:
        return None, None
    ends = ((-linear + sign * math.sqrt(root)) / quadratic for sign in (-1, 1))
    return float(next(ends)), float(next(ends))
