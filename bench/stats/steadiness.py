"""A step or a drift in series that were measured in blocks, beyond the blocks' own noise.

Blocks differ from each other even when nothing happens (block noise), and neighbours inside a block
resemble each other (autocorrelation). Neither is unsteadiness, so two things are tested:

* inside blocks, after each block's mean is taken out: the largest step at any place of any block,
  and the common slope of all blocks. What differs between blocks cannot matter here;
* from block to block, from `MIN_BLOCKS` blocks on: the largest step and the slope of the blocks'
  values against the spread that these have among themselves. With three blocks no order of them is
  rare enough to mean anything, so nothing is said then.

Several metrics are tested together. Each is turned into normal scores (van der Waerden), so
heavy tails and single outliers do not count for more than their rank; an AR(1) model takes out what
neighbours share. Its coefficient comes from the variances of first and second differences, which a
step or a drift hardly touches. The p values are those of the same procedure on series drawn from
that model (parametric bootstrap, fixed seed), with the largest statistic of all metrics (Westfall &
Young 1993), so correlated metrics cost nothing. The level is shared equally among the tests.

False labels and power: tests/performance/steadiness_error_rates.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA = 0.05
"""Chance of a label for a steady case, all metrics and tests together."""
MIN_BLOCKS = 4
"""Fewer blocks say nothing about changes from block to block."""
MIN_POINTS = 8
"""A block with fewer requests says nothing about changes inside it."""
MIN_SERIES = 20
"""Fewer requests in all say nothing about changes inside blocks."""

_MAX_POINTS = 120
"""Longer series are tested as so many means of neighbours, all blocks together."""
_SIDE = 2
"""Points on either side of a step, at least: one outlier is none."""
_FIRST_DRAWS, _MORE_DRAWS = 99, 400
_CLEAR = 0.1
"""Above this p after the first draws, no more are needed."""
_SEED = 20260101
_MAX_PHI = 0.95


@dataclass(frozen=True, slots=True)
class Change:
    """A step or a drift.

    Attributes:
        kind: of the change.
        inside: inside blocks; else from block to block.
        columns: the metrics that show it, the clearest first.
        block: the block with the step, or the first at the new level; 0 for a drift.
        at: where in that block the new level begins, as a share of its length; 0 if not `inside`.
    """

    kind: Literal["step", "drift"]
    inside: bool
    columns: tuple[int, ...]
    block: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class _Statistics:
    """Of many draws: the largest step and the slope of each metric, as shares of its variance.

    Attributes:
        step, drift: shape (draws, metrics).
        place: block and point of the largest step of each metric, shape (draws, metrics).
    """

    step: Floats
    drift: Floats
    place: NDArray[np.int64]


def usable_blocks(sizes: Sequence[int]) -> list[int]:
    """Positions of the blocks that are long enough to be looked into.

    A block cut short (below half of the median length) would shorten all others with it.
    """
    if not len(sizes):
        return []
    least = max(MIN_POINTS, float(np.median(sizes)) / 2)
    kept = [i for i, n in enumerate(sizes) if n >= least]
    enough = sum(sizes[i] for i in kept) >= MIN_SERIES and len(kept) * MIN_POINTS <= _MAX_POINTS
    return kept if enough else []


def find_changes(series: Sequence[Floats], block_values: Floats) -> list[Change]:
    """The changes that chance does not explain, changes inside blocks first.

    Args:
        series: of each block that is long enough (`usable_blocks`), its values in order of time,
            shape (requests, metrics), additive (logs); may be empty.
        block_values: one row a block in order of time, one column a metric, additive; may be empty.

    Returns:
        Per kind of test at most one change; `Change.block` counts within its own argument.
    """
    rng = np.random.default_rng(_SEED)
    tests: list[_SteadinessTest] = []
    if len(series) and series[0].shape[1]:
        tests.append(_inside(series, rng))
    if len(block_values) >= MIN_BLOCKS and block_values.shape[1]:
        tests.append(_between(block_values, rng))
    level = ALPHA / max(2 * len(tests), 1)
    return [change for test in tests if (change := test.change(level)) is not None]


@dataclass(frozen=True, slots=True)
class _SteadinessTest:
    """Observed statistics, and a source of what they are when nothing changes.

    Attributes:
        observed: of the series.
        draw: gives the statistics of so many steady series.
        inside: as for `Change`.
        points: how many make a block; 1 / n where each stands for n blocks.
    """

    observed: _Statistics
    draw: Callable[[int], _Statistics]
    inside: bool
    points: float

    def change(self, level: float) -> Change | None:
        """The clearer of a step and a drift, if either is rarer than `level`."""
        observed, (step, drift) = self.observed, self._null(level)
        found: list[tuple[float, Literal["step", "drift"], tuple[int, ...]]] = []
        if columns := _above(observed.step[0], step, level):
            found.append((float(observed.step[0][columns[0]]), "step", columns))
        if columns := _above(observed.drift[0], drift, level):
            found.append((float(observed.drift[0][columns[0]]), "drift", columns))
        if not found:
            return None
        # Where both are seen, what explains more of the variance is what it looks like.
        _, kind, columns = max(found, key=lambda f: f[0])
        if kind == "drift":
            return Change(kind, self.inside, columns)
        place = int(observed.place[0, columns[0]])
        if not self.inside:
            return Change(kind, False, columns, round(place / self.points))
        block, point = divmod(place, self.points)
        return Change(kind, True, columns, int(block), point / self.points)

    def _null(self, level: float) -> tuple[Floats, Floats]:
        """The largest statistics of all metrics, of each steady series drawn."""
        drawn = self.draw(_FIRST_DRAWS)
        step, drift = drawn.step.max(1), drawn.drift.max(1)
        clear = max(_CLEAR, 2 * level)
        if (
            _p_value(float(self.observed.step.max()), step) > clear
            and _p_value(float(self.observed.drift.max()), drift) > clear
        ):
            return step, drift
        more = self.draw(_MORE_DRAWS)
        return np.append(step, more.step.max(1)), np.append(drift, more.drift.max(1))


def _inside(series: Sequence[Floats], rng: np.random.Generator) -> _SteadinessTest:
    blocks = len(series)
    points = min(min(len(s) for s in series), _MAX_POINTS // blocks)
    values = np.stack([_means(s, points) for s in series])
    # Equal values must not be ranked by their place.
    spread = values.std(axis=(0, 1)) + 1e-300
    values = values + rng.uniform(-1e-7, 1e-7, values.shape) * spread
    observed, scores, shocks = _inside_statistics(values[None])
    # The estimate is uncertain: without a margin, half of the series that are more alike would be
    # labelled: three quarters of a standard error, and more for strong correlation.
    phi = _coefficients(scores)[0]
    phi = np.minimum(phi + (0.75 + phi) / np.sqrt(blocks * points), _MAX_PHI)
    correlations = np.atleast_2d(np.corrcoef(shocks[0].reshape(-1, values.shape[2]).T))
    mixing = np.linalg.cholesky(correlations * (1 - 1e-6) + 1e-6 * np.eye(len(phi)))

    def draw(count: int) -> _Statistics:
        """Of AR(1) series with correlated shocks: what the metrics do when nothing happens."""
        shocks = rng.normal(size=(count, blocks, points, len(phi))) @ mixing.T
        steady = np.empty_like(shocks)
        steady[:, :, 0] = shocks[:, :, 0]
        scale = np.sqrt(1 - phi**2)
        for i in range(1, points):
            steady[:, :, i] = phi * steady[:, :, i - 1] + scale * shocks[:, :, i]
        return _inside_statistics(steady)[0]

    return _SteadinessTest(observed, draw, inside=True, points=points)


def _between(block_values: Floats, rng: np.random.Generator) -> _SteadinessTest:
    values = _means(block_values, min(len(block_values), _MAX_POINTS))
    # Independent metrics: the largest of them is never smaller than of correlated ones.
    return _SteadinessTest(
        _statistics(values[None, None]),
        lambda count: _statistics(rng.normal(size=(count, 1, *values.shape))),
        inside=False,
        points=len(values) / len(block_values),
    )


def _means(values: Floats, count: int) -> Floats:
    """`count` means of neighbours along the first axis."""
    edges = np.linspace(0, len(values), count + 1).round().astype(int)
    sums = np.add.reduceat(values, edges[:-1], axis=0)
    return np.asarray(sums / np.diff(edges)[:, None], dtype=np.float64)


def _inside_statistics(values: Floats) -> tuple[_Statistics, Floats, Floats]:
    """(statistics, normal scores, shocks) of series of shape (draws, blocks, points, metrics)."""
    scores = _normal_scores(values - values.mean(axis=2, keepdims=True))
    phi = _coefficients(scores)[:, None, None, :]
    shocks = scores[:, :, 1:] - phi * scores[:, :, :-1]
    return _statistics(shocks, first=1), scores, shocks


def _statistics(values: Floats, first: int = 0) -> _Statistics:
    """Largest step and common slope of each metric, over all blocks.

    Args:
        values: shape (draws, blocks, points, metrics).
        first: place of the first point in its block.
    """
    draws, blocks, n, metrics = values.shape
    centred = values - values.mean(axis=2, keepdims=True)
    power = (centred**2).sum(axis=(1, 2)) + 1e-300
    before = np.arange(1, n)[_SIDE - 1 : n - _SIDE]
    sums = np.cumsum(centred, axis=2)[:, :, _SIDE - 1 : n - _SIDE]
    gains = (sums**2 * (n / (before * (n - before)))[:, None]).reshape(draws, -1, metrics)
    best = gains.argmax(axis=1)
    block, split = np.divmod(best, len(before))
    time = np.arange(n) - (n - 1) / 2
    slope = np.einsum("dbnm,n->dm", centred, time) ** 2 / (blocks * (time**2).sum())
    place = block * (n + first) + split + _SIDE + first
    return _Statistics(gains.max(axis=1) / power, slope / power, place)


def _coefficients(scores: Floats) -> Floats:
    """AR(1) coefficients, shape (draws, metrics): V2 / V1 = 1 + phi for variances of differences.

    Negative ones count as 0: they make steps rarer, not more frequent.
    """
    first = ((scores[:, :, 1:] - scores[:, :, :-1]) ** 2).mean(axis=(1, 2))
    second = ((scores[:, :, 2:] - scores[:, :, :-2]) ** 2).mean(axis=(1, 2))
    return np.asarray(np.clip(second / (first + 1e-300) - 1, 0.0, _MAX_PHI), dtype=np.float64)


def _normal_scores(values: Floats) -> Floats:
    """Every value's rank among those of its draw and metric, as a normal quantile."""
    flat = values.reshape(values.shape[0], -1, values.shape[3])
    scores = np.empty_like(flat)
    quantiles = np.broadcast_to(_normal_quantiles(flat.shape[1])[None, :, None], flat.shape)
    np.put_along_axis(scores, np.argsort(flat, axis=1), quantiles, axis=1)
    return scores.reshape(values.shape)


@lru_cache(maxsize=64)
def _normal_quantiles(n: int) -> Floats:
    inverse = NormalDist().inv_cdf
    return np.array([inverse((i + 0.5) / n) for i in range(n)])


def _p_value(observed: float, null: Floats) -> float:
    return (1 + int((null >= observed).sum())) / (1 + len(null))


def _above(observed: Floats, null: Floats, level: float) -> tuple[int, ...]:
    """The metrics that chance does not explain, the clearest first."""
    order = np.argsort(-observed, kind="stable")
    return tuple(int(i) for i in order if _p_value(float(observed[i]), null) <= level)
