"""Runs with a planted truth: requests in blocks, with noise like that of real servers.

A value is exp(block shift + request noise): blocks differ as wholes (clock rate, temperature,
neighbours), requests of a block resemble those before them (AR(1)), and tails may be heavy. The
truth is the mean or quantile of all blocks there could be, not of those that were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.stats.estimate import Estimate
from bench.stats.means import ratio_of_sums, share
from bench.stats.quantiles import quantile_estimates

Floats = NDArray[np.float64]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
SHARES = (0.05, 0.2, 0.5)
SLOW_SHARE, SLOW_SHAPE = 0.1, 3.5
"""The mixture: one request in ten is slower by a Pareto factor."""


@dataclass(frozen=True)
class Noise:
    """How values vary.

    Attributes:
        between, within: standard deviations of logs, of blocks and of requests in one.
        correlation: of a request with the one before, within its block.
        slow: one request in ten is slower by a Pareto factor.
        clumped: slow ones are those whose other noise is highest, so that they follow each other;
            else they come independently.
    """

    between: float
    within: float
    correlation: float = 0.0
    slow: bool = False
    clumped: bool = False

    @property
    def ratio(self) -> float:
        return self.between / self.within

    def draw(self, rng: np.random.Generator, sizes: Sequence[int], runs: int) -> Floats:
        """Values of `runs` runs, one row each, block after block."""
        noise = _correlated(rng, sizes, runs, self.correlation)
        logs = self.within * noise
        shift = self.between * rng.normal(size=(runs, len(sizes)))
        logs += np.repeat(shift, sizes, axis=1)
        if self.slow:
            chance = stats.norm.sf(noise) if self.clumped else rng.random(logs.shape)
            logs += np.maximum(np.log(SLOW_SHARE / chance), 0.0) / SLOW_SHAPE
        return np.exp(logs)

    @lru_cache(maxsize=64)  # noqa: B019 - frozen, and few
    def truth(self) -> dict[str, float]:
        """Mean, quantiles, and for each of `SHARES` the limit that it lies above."""
        sample = self.draw(np.random.default_rng(99), [1] * 1_000_000, 1)[0]
        mean = float(np.exp((self.between**2 + self.within**2) / 2))
        if self.slow:
            mean *= 1 - SLOW_SHARE + SLOW_SHARE * SLOW_SHAPE / (SLOW_SHAPE - 1)
        if self.clumped:
            mean = float(sample.mean())
        asked = {**QUANTILES, **{f"above {s}": 1 - s for s in SHARES}}
        return {"mean": mean} | {k: float(np.quantile(sample, p)) for k, p in asked.items()}


def _correlated(
    rng: np.random.Generator, sizes: Sequence[int], runs: int, correlation: float
) -> Floats:
    """Standard normal values, AR(1) within each block."""
    noise = rng.normal(size=(runs, sum(sizes)))
    if correlation:
        starts = set(np.cumsum([0, *sizes[:-1]]).tolist())
        for i in range(1, noise.shape[1]):
            if i not in starts:
                new = np.sqrt(1 - correlation**2) * noise[:, i]
                noise[:, i] = correlation * noise[:, i - 1] + new
    return noise


@dataclass
class Tally:
    """How often intervals held.

    Attributes:
        runs: that were drawn.
        given: that had an interval.
        held: whose interval held the truth.
        widths: log ratio of the ends (of shares: their difference).
    """

    runs: int
    given: int
    held: int
    widths: list[float]

    @property
    def coverage(self) -> float:
        return self.held / self.given if self.given else float("nan")

    @property
    def width(self) -> float:
        return float(np.median(self.widths)) if self.widths else float("nan")


def coverage(
    noise: Noise, sizes: Sequence[int], runs: int, seed: int = 1, which: Sequence[str] = ()
) -> dict[str, Tally]:
    """How often the intervals of the program hold the truth, statistic by statistic.

    Statistics: `mean`, `ratio` (a ratio of sums whose denominators vary), p50 to p99, and
    `share 0.05` and so on.

    Args:
        noise: of the values.
        sizes: requests of each block.
        runs: how many to draw.
        seed: of the draws.
        which: statistics wanted; empty means all.
    """
    truth = noise.truth()
    values = noise.draw(np.random.default_rng(seed), sizes, runs)
    blocks = np.repeat(np.arange(len(sizes)), sizes)
    ones = np.ones(len(blocks))
    tokens = np.random.default_rng(seed + 1).integers(20, 200, values.shape).astype(float)

    def each(name: str, of: Callable[[int], Estimate], true: float, log: bool = True) -> Tally:
        found = [of(i) for i in range(runs)]
        ends = np.array(
            [(e.low, e.high) for e in found if e.low is not None and e.high is not None]
        )
        if not len(ends):
            return Tally(runs, 0, 0, [])
        held = int(((ends[:, 0] <= true) & (true <= ends[:, 1])).sum())
        width = np.log(ends[:, 1] / ends[:, 0]) if log else ends[:, 1] - ends[:, 0]
        return Tally(runs, len(ends), held, width.tolist())

    wanted = which or ("mean", "ratio", *QUANTILES, *(f"share {s}" for s in SHARES))
    quantiles = {name: p for name, p in QUANTILES.items() if name in wanted}
    rows = [quantile_estimates(values[i], blocks, quantiles) for i in range(runs)]
    tallies = {}
    for name in wanted:
        if name == "mean":
            tally = each(name, lambda i: ratio_of_sums(values[i], ones, blocks), truth["mean"])
        elif name == "ratio":
            # Seconds over tokens: each request takes its tokens times a time a token.
            tally = each(
                name,
                lambda i: ratio_of_sums(values[i] * tokens[i], tokens[i], blocks),
                truth["mean"],
            )
        elif name in QUANTILES:
            tally = each(name, lambda i, name=name: rows[i][name], truth[name])
        else:
            part = float(name.split()[1])
            above = values > truth[f"above {part}"]
            counts = np.add.reduceat(above.astype(int), np.cumsum([0, *sizes[:-1]]), axis=1)
            tally = each(name, lambda i, k=counts: _share(k[i], sizes), part, log=False)
        tallies[name] = tally
    return tallies


def _share(counts: NDArray[np.int64], sizes: Sequence[int]) -> Estimate:
    """The share of what was counted in blocks; their order does not matter to it."""
    return _share_of(tuple(sorted(zip(sizes, counts.tolist(), strict=True))))


@lru_cache(maxsize=100_000)
def _share_of(counted: tuple[tuple[int, int], ...]) -> Estimate:
    hits = np.concatenate([np.arange(size) < count for size, count in counted]).astype(float)
    blocks = np.repeat(np.arange(len(counted)), [size for size, _ in counted])
    return share(hits, np.ones(len(hits)), blocks)


def standard_error(tally: Tally) -> float:
    """Of a coverage of 95 %, found with so many intervals."""
    return float(stats.binom.std(tally.given, 0.95) / max(tally.given, 1))
