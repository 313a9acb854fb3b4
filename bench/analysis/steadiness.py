"""Did the numbers stay the same over a case? A label; nothing is ever deleted.

Deleting "warm-up" by looking at the numbers throws away good data of steady runs and, when a GPU
throttles half-way, keeps the bad half. So the requests of a case, in order of time, are tested:

* step: the largest standardised CUSUM over all splits, against the same of permuted series
  (p <= 0.01). Neighbours that resemble each other (autocorrelation) are permuted as blocks, or
  nothing would be needed to find a step;
* drift: Kendall's tau (p <= 0.01), on means of such blocks.

What is tested is the residual of the log of the decode speed (or of the time to answer, where there
is no speed) after what is known to move it is taken out: prompt length, output length and how many
streams were being written meanwhile.

At 40 requests of 2 % noise this finds a step of 3 % four times out of five.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from bench.analysis.case_data import CaseData
from bench.analysis.columns import Bools, Columns, Floats
from bench.analysis.slots import mean_at_once, working_spans
from bench.analysis.summary import Steadiness

MIN_REQUESTS = 20
"""Fewer say nothing about steadiness."""
MAX_P = 0.01
MIN_CHANGE = 0.01
"""Smaller changes are not worth a label, however significant."""

_MAX_POINTS = 200
"""Longer series are tested as this many means of neighbours."""
_MIN_SIDE = 3
_PERMUTATIONS = 499
_SEED = 20260101
_CORRELATED = 0.2
"""From this lag-1 autocorrelation on, neighbours are permuted together."""


@dataclass(frozen=True, slots=True)
class Change:
    """A step or a drift in a series of logs.

    Attributes:
        kind: "step" or "drift".
        at: position of the first value after the step; 0 for a drift.
        size: relative change: of the level, or from the first value to the last.
    """

    kind: str
    at: int
    size: float


def case_steadiness(data: CaseData) -> Steadiness:
    """Whether a case held its speed over its requests, in order of time."""
    steady_load = _without_drain(data.ok, data.columns, data.case.load.users or 0)
    order = np.argsort(data.ok.sent_ns, kind="stable")
    order = order[steady_load[order]]
    speed = data.decode.per_request[order]
    what, values = "decode speed", np.log(speed)
    if np.isnan(speed).sum() > 0.2 * len(speed):
        what, values = "time to answer", np.log(np.maximum(data.times["e2e_s"][order], 1e-9))
    there = np.isfinite(values)
    order, values = order[there], values[there]
    if len(values) < MIN_REQUESTS:
        return Steadiness(None, f"{len(values)} requests are too few to tell")
    change = find_change(_residuals(values, data.ok.select(order), data.columns))
    if change is None:
        return Steadiness(True)
    where = f" at request {change.at + 1} of {len(values)}" if change.kind == "step" else ""
    over = f" over {len(values)} requests" if change.kind == "drift" else ""
    return Steadiness(False, f"{change.kind} of {change.size:+.1%} in {what}{where}{over}")


def _without_drain(ok: Columns, everything: Columns, users: int) -> Bools:
    """Leaves out the requests that saw users stop: they had the server more to themselves."""
    keep = np.ones(len(ok), dtype=np.bool_)
    if users < 2:
        return keep
    for block in np.unique(ok.block):
        sent = everything.sent_ns[everything.block == block]
        keep &= ~((ok.block == block) & (ok.end_ns > np.nanmax(sent)))
    return keep


def _residuals(values: Floats, requests: Columns, everything: Columns) -> Floats:
    """What is left of the values after a least-squares fit of what is known to move them."""
    start, end = working_spans(requests)
    candidates = [
        requests.prompt_tokens,
        requests.output_tokens,
        np.log1p(mean_at_once(*working_spans(everything), start, end)),
    ]
    moving = [x for x in candidates if np.isfinite(x).all() and _varies(x)]
    design = np.column_stack([np.ones(len(values)), *((x - x.mean()) / x.std() for x in moving)])
    fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return np.asarray(values - fitted, dtype=np.float64)


def _varies(values: Floats) -> bool:
    return bool(values.std() > 1e-9 * (1 + abs(values.mean())))


def find_change(series: Floats) -> Change | None:
    """A step or a drift in a series of residual logs, in order of time; None if it is steady."""
    per_point = math.ceil(len(series) / _MAX_POINTS)
    points = means_of_neighbours(series, per_point)
    if points.std() < 1e-12:
        return None
    split, _ = _largest_step(points)
    length = _correlation_length(points, split)
    step = float(points[split:].mean() - points[:split].mean())
    drift = _slope(points) * (len(points) - 1)
    has_step = step_p(points, length) <= MAX_P and _large(step)
    has_drift = drift_p(means_of_neighbours(points, length)) <= MAX_P and _large(drift)
    if not has_step and not has_drift:
        return None
    if has_drift and (not has_step or _line_fits_better(points, split)):
        return Change("drift", 0, math.expm1(drift))
    return Change("step", split * per_point, math.expm1(step))


def means_of_neighbours(series: Floats, size: int) -> Floats:
    """Means of runs of `size` values; the last run may be shorter."""
    starts = np.arange(0, len(series), size)
    sizes = np.diff(np.append(starts, len(series)))
    return np.asarray(np.add.reduceat(series, starts) / sizes, dtype=np.float64)


def step_p(points: Floats, length: int) -> float:
    """The permutation p value of the largest step in a series.

    Args:
        points: in order of time.
        length: so many neighbours are permuted together.
    """
    _, observed = _largest_step(points)
    rng = np.random.default_rng(_SEED)
    pieces = [points[i : i + length] for i in range(0, len(points), length)]
    shuffled = np.empty((_PERMUTATIONS, len(points)))
    for row in shuffled:
        row[:] = np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])
    as_large = int((_cusum(shuffled).max(axis=1) >= observed * (1 - 1e-9)).sum())
    return (as_large + 1) / (_PERMUTATIONS + 1)


def _largest_step(points: Floats) -> tuple[int, float]:
    """(position of the split, standardised size) of the largest step."""
    sizes = _cusum(points[None, :])[0]
    best = int(sizes.argmax())
    return best + _MIN_SIDE, float(sizes[best])


def _cusum(rows: Floats) -> Floats:
    """Standardised CUSUM of each row at every split with `_MIN_SIDE` values on either side."""
    n = rows.shape[1]
    before = np.arange(1, n)
    sums = np.cumsum(rows - rows.mean(axis=1, keepdims=True), axis=1)[:, :-1]
    scaled = np.abs(sums) / np.sqrt(before * (n - before) / n)
    return np.asarray(scaled[:, _MIN_SIDE - 1 : n - _MIN_SIDE], dtype=np.float64)


def _correlation_length(points: Floats, split: int) -> int:
    """How many neighbours hang together, judged within the two sides of the largest split.

    Twice the integrated autocorrelation time of an AR(1) series, (1 + r) / (1 - r).
    """
    inside = np.concatenate(
        (points[:split] - points[:split].mean(), points[split:] - points[split:].mean())
    )
    power = float((inside**2).sum())
    r = float((inside[1:] * inside[:-1]).sum()) / power if power > 0 else 0.0
    if r < _CORRELATED:
        return 1
    length = math.ceil(2 * (1 + r) / (1 - min(r, 0.95)))
    return min(length, max(len(points) // 6, 1))


def drift_p(points: Floats) -> float:
    """Two-sided p value of Kendall's tau between a series and time (normal approximation).

    Kendall, *Rank Correlation Methods*; the variance is that without ties.
    """
    n = len(points)
    if n < 6:
        return 1.0
    upper = np.triu_indices(n, 1)
    score = float(np.sign(points[None, :] - points[:, None])[upper].sum())
    sd = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return 2 * NormalDist().cdf(-max(abs(score) - 1, 0) / sd)


def _slope(points: Floats) -> float:
    time = np.arange(len(points)) - (len(points) - 1) / 2
    return float((time * points).sum() / (time**2).sum())


def _line_fits_better(points: Floats, split: int) -> bool:
    time = np.arange(len(points)) - (len(points) - 1) / 2
    line = points - points.mean() - _slope(points) * time
    sides = np.concatenate(
        (points[:split] - points[:split].mean(), points[split:] - points[split:].mean())
    )
    return float((line**2).sum()) < float((sides**2).sum())


def _large(change: float) -> bool:
    return abs(math.expm1(change)) >= MIN_CHANGE
