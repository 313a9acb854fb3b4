"""Decode speed of every case, with intervals and the values of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bench.report.charts.limits import Limit, asked, legend_room, limit_lines, with_limits
from bench.report.charts.parts import only_first
from bench.report.charts.rows import MOST_ROWS, chart_height, metric_bars
from bench.report.model import CaseView, Report
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import metric_table
from bench.report.units import plural, show

METRIC: Final = "decode_tok_per_s"


def speed_chart(report: Report) -> Chart | None:
    """The chart, None where no case has a decode speed."""
    cases = [c for c in report.cases if (e := c.estimate(METRIC)) and e.value is not None]
    if not cases:
        return None
    drawn = cases[:MOST_ROWS]
    limits = asked(report, METRIC, [np.array([0.0, *(c.value(METRIC) for c in drawn)])])
    n = sum(m.n for c in cases if (m := c.metric(METRIC)))
    return Chart(
        id="speed",
        title="Decode speed",
        message=_message(cases),
        caption=(
            "Bars: tokens per second of one answer while it is being written, on the server's "
            f"clock. Lines: 95 % intervals. {_without(cases, n)}"
            f"n = {plural(n, 'request')}.{only_first(len(drawn), len(cases), 'case')}"
        ),
        table=metric_table(report, METRIC, "chart-"),
        draw=lambda figure, size: _draw(figure, size, drawn, limits),
        sample=f"n = {plural(n, 'request')}",
        height=chart_height(drawn, legend_room(len(limits))),
        simulated=report.simulated,
    )


def _message(cases: Sequence[CaseView]) -> str:
    ordered = sorted(cases, key=lambda c: -c.value(METRIC))
    best = show(ordered[0].estimate(METRIC), "tok/s").full
    if len(cases) == 1:
        return f"{cases[0].subject} writes {best}."
    worst = show(ordered[-1].estimate(METRIC), "tok/s").full
    return f"From {best} for {ordered[0].label} down to {worst} for {ordered[-1].label}."


def _without(cases: Sequence[CaseView], n: int) -> str:
    """How many answers have no speed, and why, as the metric says it."""
    left_out = sum(c.summary.requests.ok for c in cases) - n
    metrics = [m for c in cases if (m := c.metric(METRIC))]
    reasons = dict.fromkeys(m.note.rpartition(": ")[2] for m in metrics if m.note)
    if left_out < 1 or not reasons:
        return ""
    return f"{plural(left_out, 'request')} left out: {'; '.join(reasons)}. "


def _draw(figure: Figure, size: Size, cases: Sequence[CaseView], limits: Sequence[Limit]) -> Marks:
    ax, marks, reach = metric_bars(figure, size, cases, METRIC, "tok/s", limits)
    ax.set_xlim(0, max(x for v in with_limits([np.array([reach])], limits) for x in v) * 1.02)
    limit_lines(ax, limits, upright=True)
    ax.set_xlabel("tokens per second")
    return marks
