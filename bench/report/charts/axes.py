"""Axes of charts: their scales, and what scenarios ask for as lines, named in the legend."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.analysis.run.columns import Floats
from bench.report.charts.palette import BAD, DASHES
from bench.report.charts.parts import Canvas, case_tag, look_of, picked
from bench.report.model import CaseView, Report
from bench.report.units import Scale, number
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


_LOG_FROM: Final = 12.0
"""An axis whose largest value exceeds its smallest by this factor is logarithmic."""
_MINUTES_FROM_S: Final = 180.0


def plain(value: float, _: object = None) -> str:
    """A tick's number in full, without exponent or trailing zeros."""
    exact = f"{value:.8f}".rstrip("0").rstrip(".")
    return number(value, len(exact.partition(".")[2]))


def time_axis(axis: Axis, values: Sequence[Floats], unit: str, label: str) -> None:
    """Scale, ticks and label of an axis of times, already in `unit`."""
    logarithmic = value_axis(axis, values)
    axis.set_label_text(f"{label} ({unit}, logarithmic)" if logarithmic else f"{label} ({unit})")


def value_axis(axis: Axis, values: Sequence[Floats]) -> bool:
    """Scale and ticks of an axis that holds some values; says whether it is logarithmic."""
    everything = np.concatenate([np.asarray(v, dtype=float) for v in values])
    positive = everything[everything > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.0, 1.0)
    set_limits = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
    logarithmic = bool(low > 0 and high / low > _LOG_FROM)
    if logarithmic:
        log_axis(axis, low / 1.2, high * 1.2)
    else:
        margin = (high - low) * 0.04 or high * 0.1 or 1.0
        set_limits(max(0.0, low - margin), high + margin)
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(plain))
    return logarithmic


def log_axis(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis between two positive values, with plain numbers as ticks."""
    horizontal = isinstance(axis, XAxis)
    (axis.axes.set_xscale if horizontal else axis.axes.set_yscale)("log")
    (axis.axes.set_xlim if horizontal else axis.axes.set_ylim)(low, high)
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))


def elapsed(seconds: float) -> Scale:
    """The unit for an axis of time since the start of a run that lasted so long."""
    return Scale("seconds") if seconds < _MINUTES_FROM_S else Scale("minutes", 1 / 60)


def level_axis(ax: Axes, levels: Sequence[float], label: str) -> None:
    """The x axis of load levels: a tick for each, logarithmic if they double."""
    ordered = sorted(set(levels))
    if len(ordered) > 2 and ordered[0] > 0 and ordered[-1] / ordered[0] > 4:
        ax.set_xscale("log")
        ax.set_xlim(ordered[0] / 1.12, ordered[-1] * 1.12)
    else:
        span = ordered[-1] - ordered[0] or 1.0
        ax.set_xlim(ordered[0] - 0.06 * span, ordered[-1] + 0.06 * span)
    ax.xaxis.set_major_locator(FixedLocator(ordered))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(plain))
    ax.set_xlabel(label)
