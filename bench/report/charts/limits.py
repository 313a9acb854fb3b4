"""What scenarios ask for, as lines in the charts of the same metric, named in the legend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.run.columns import Floats
from bench.report.charts.palette import BAD, DASHES
from bench.report.charts.parts import Canvas, case_tag, look_of, picked
from bench.report.model import CaseView, Report
from bench.thresholds import Threshold

_REACH: Final = 4.0
"""A limit beyond the values by this factor is only named: its line would squeeze the curves."""
_ROW: Final = 19


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold in a chart.

    Attributes:
        drawn: it lies within reach of the values; others are named as beyond the axis.
    """

    threshold: Threshold
    look: dict[str, Any]
    drawn: bool

    @property
    def entry(self) -> tuple[str, dict[str, Any]]:
        """Its label and look for a legend."""
        beyond = "" if self.drawn else " (beyond this axis)"
        return f"asked: {self.threshold.text}{beyond}", self.look


def asked(
    report: Report, metric: str, values: Sequence[Floats], statistics: Collection[str] = ()
) -> list[Limit]:
    """What the runs of a report ask of a metric.

    Args:
        report: the runs.
        metric: id of the metric that is drawn.
        values: what is drawn of it, in its own unit; with a 0 where the axis begins there.
        statistics: those that are drawn; empty for all.
    """
    by_text = {t.threshold.text: t.threshold for v in report.runs for t in v.summary.thresholds}
    found = [
        t
        for t in by_text.values()
        if t.metric == metric and (not statistics or t.statistic in statistics)
    ]
    return limits(found, values)


def limits(thresholds: Sequence[Threshold], values: Sequence[Floats]) -> list[Limit]:
    """Thresholds on what a chart draws, each with its own dash."""
    together = np.concatenate([np.asarray(v, dtype=float) for v in values])
    together = together[np.isfinite(together)]
    low, high = (together.min(), together.max()) if len(together) else (0.0, 0.0)
    return [
        Limit(
            t,
            {"color": BAD, "linewidth": 1.4, "linestyle": DASHES[1 + i % (len(DASHES) - 1)]},
            bool(low / _REACH <= t.value <= high * _REACH),
        )
        for i, t in enumerate(thresholds)
    ]


def legend_room(count: int) -> int:
    """Pixels that the entries of so many limits take, a row each."""
    return _ROW * count + 3 if count else 0


def limit_legend(on: Canvas, drawn: Sequence[Limit], top: float) -> float:
    """Their entries below each other; returns the pixels they take."""
    for i, limit in enumerate(drawn):
        on.legend([limit.entry], top + _ROW * i)
    return legend_room(len(drawn))


def case_legend(
    on: Canvas, lines: Iterable[tuple[str, Sequence[CaseView]]], drawn: Sequence[Limit] = ()
) -> float:
    """Entries of lines through cases, with the look of the first, then of limits.

    Returns:
        Where axes may begin, in pixels from the upper edge.
    """
    entries = [(name, picked(look_of(of[0]), *map(case_tag, of))) for name, of in lines]
    top = 20 + on.legend(entries, 20)
    return top + limit_legend(on, drawn, top) + 8


def with_limits(values: Sequence[Floats], drawn: Sequence[Limit]) -> list[Floats]:
    """The values and the limits that are drawn: what an axis has to hold."""
    return [*values, np.array([x.threshold.value for x in drawn if x.drawn])]


def limit_lines(ax: Axes, drawn: Sequence[Limit], factor: float = 1.0, *, upright: bool) -> None:
    """The lines themselves: upright where the metric is on the x axis."""
    for limit in drawn:
        if limit.drawn:
            line = ax.axvline if upright else ax.axhline
            line(limit.threshold.value * factor, **limit.look)
