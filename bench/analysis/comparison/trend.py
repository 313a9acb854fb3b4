"""A metric over the runs of one identity: its change points, and its mean in every server version.

It is a report, never a gate: see `bench.stats.change_points` for its error rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.comparison.case_matching import without_side
from bench.results.history import IndexedCase, IndexedRun
from bench.stats.change_points import MIN_POINTS, ChangePoint, change_points
from bench.stats.paired import paired_effect


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """The metric in one run.

    Attributes:
        low, high: 95 % interval within the run; None where it has no such end.
    """

    run: str
    created_at: str
    server_version: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class VersionMean:
    """The metric in all runs with one server version.

    Attributes:
        mean: geometric mean over runs.
        low, high: 95 % interval of it by Student's t over runs; None with one run.
    """

    server_version: str
    runs: int
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Trend:
    """One metric of one case of one identity over time.

    Attributes:
        scenario: name of the newest run's.
        identity: see `bench.results.history.IndexedCase`.
        points: oldest first.
        changes: change points; none below `MIN_POINTS` points.
        left_out: runs of this identity that are not among the points, with the reason.
    """

    metric: str
    case: str
    model: str
    identity: str
    simulated: bool
    points: tuple[TrendPoint, ...]
    changes: tuple[ChangePoint, ...]
    versions: tuple[VersionMean, ...]
    left_out: tuple[str, ...] = ()
    scenario: str = ""

    @property
    def long_enough(self) -> bool:
        """Whether change points were looked for."""
        return len(self.points) >= MIN_POINTS


def trends(runs: Sequence[IndexedRun], metric: str) -> list[Trend]:
    """The trend of a metric for every identity that has it, those with the most runs first."""
    series: dict[str, dict[str, tuple[IndexedRun, IndexedCase, TrendPoint]]] = {}
    left_out: dict[str, dict[str, None]] = {}
    for run in sorted(runs, key=lambda r: (r.created_at, r.id)):
        if run.unusable:
            for case in run.cases:
                name = f"{run.id} ({run.unusable})"
                left_out.setdefault(case.identity, {})[name] = None
            continue
        for case in run.cases:
            found = case.values.get(metric)
            if found is None or found.value <= 0:
                continue
            point = TrendPoint(
                run.id, run.created_at, case.server_version, found.value, found.low, found.high
            )
            # A run in pairs may hold an identity twice, and is one session all the same.
            series.setdefault(case.identity, {})[run.id] = (run, case, point)
    made = [
        _trend(metric, identity, tuple(by_run.values()), tuple(left_out.get(identity, ())))
        for identity, by_run in series.items()
    ]
    return sorted(made, key=lambda t: (-len(t.points), t.case))


def _trend(
    metric: str,
    identity: str,
    items: Sequence[tuple[IndexedRun, IndexedCase, TrendPoint]],
    left_out: tuple[str, ...],
) -> Trend:
    points = tuple(point for _, _, point in items)
    newest = items[-1][1]
    return Trend(
        metric=metric,
        case=without_side(newest.case_id),
        model=newest.model,
        identity=identity,
        simulated=any(run.simulated for run, _, _ in items),
        points=points,
        changes=change_points([p.value for p in points]),
        versions=version_means(points),
        left_out=left_out,
        scenario=items[-1][0].name,
    )


def version_means(points: Sequence[TrendPoint]) -> tuple[VersionMean, ...]:
    """The mean of every server version, in the order in which the versions first appear."""
    by_version: dict[str, list[float]] = {}
    for point in points:
        by_version.setdefault(point.server_version, []).append(point.value)
    means = []
    for version, values in by_version.items():
        logs = np.log(values)
        mean, low, high = math.exp(float(logs.mean())), None, None
        if logs.size > 1:
            low, high = (math.exp(end) for end in paired_effect(logs).log_interval())
        means.append(VersionMean(version, int(logs.size), mean, low, high))
    return tuple(means)
