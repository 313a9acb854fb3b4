"""Decode speed of every case, with intervals and the values of its blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bench.report.charts.limits import (
    Limit,
    asked,
    legend_room,
    limit_legend,
    limit_lines,
    with_limits,
)
from bench.report.charts.palette import INK, SERIES_HATCHES, series_colour
from bench.report.charts.parts import (
    boxes,
    case_tag,
    ends,
    only_first,
    sample_note,
    text_width,
)
from bench.report.charts.rows import (
    MOST_ROWS,
    NUMBER_FONT,
    chart_height,
    lay_out,
    number_beside,
    row_axes,
)
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
    limits = asked(report, METRIC, [np.array([0.0, *map(_value, drawn)])])
    n = sum(_n(c) for c in cases)

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(n, 'request')}")
        return _draw(figure, size, drawn, limits)

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
        draw=draw,
        height=chart_height(drawn, legend_room(len(limits))),
        simulated=report.simulated,
    )


def _message(cases: Sequence[CaseView]) -> str:
    ordered = sorted(cases, key=lambda c: -_value(c))
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


def _value(case: CaseView) -> float:
    estimate = case.estimate(METRIC)
    return (estimate.value if estimate else None) or 0.0


def _n(case: CaseView) -> int:
    metric = case.metric(METRIC)
    return metric.n if metric else 0


def _draw(figure: Figure, size: Size, cases: Sequence[CaseView], limits: Sequence[Limit]) -> Marks:
    rows = lay_out(cases, size.narrow)
    beside = [show(c.estimate(METRIC), "tok/s").cell for c, _, _ in rows.places]
    top = 22 + limit_legend(figure, size, limits, 20)
    right = 20 + max(text_width(t, NUMBER_FONT) for t in beside)
    ax = row_axes(figure, size, rows, right=right, top=top)
    marks = Marks()
    for model in dict.fromkeys(c.model for c in cases):
        own = [(c, y) for c, _, y in rows.places if c.model == model]
        gid = f"speed-{own[0][0].key}"
        half = rows.bar / 2
        boxes(
            ax,
            [(0.0, _value(c), y - half, y + half) for c, y in own],
            series_colour(own[0][0].series),
            SERIES_HATCHES[own[0][0].series % len(SERIES_HATCHES)],
            gid,
        )
        labelled = [(c, show(c.estimate(METRIC), "tok/s")) for c, _ in own]
        marks.tips[gid] = [f"{c.label}\n{shown.full}\nn = {_n(c)}" for c, shown in labelled]
        marks.models[gid] = model
        marks.tags[gid] = [case_tag(c) for c, _ in own]
    estimates = [e for c, _, _ in rows.places if (e := c.estimate(METRIC))]
    values = [e.value or 0.0 for e in estimates]
    below, above = ends(estimates)
    places = [y for _, _, y in rows.places]
    bars = ax.errorbar(
        values, places, xerr=(below, above), fmt="none", ecolor=INK, elinewidth=2, capsize=4
    )
    for i, part in enumerate((*bars.lines[1], *bars.lines[2])):
        part.set_gid(f"speed-bars-{i}")
        marks.tags[f"speed-bars-{i}"] = [case_tag(c) for c, _, _ in rows.places]
    for text, y in zip(beside, places, strict=True):
        number_beside(ax, y, text)
    highest = [v + a for v, a in zip(values, above, strict=True)]
    ax.set_xlim(0, max(x for v in with_limits([np.array(highest)], limits) for x in v) * 1.02)
    limit_lines(ax, limits, upright=True)
    ax.set_xlabel("tokens per second")
    return marks
