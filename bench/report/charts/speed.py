"""Bars of every case with intervals: decode speed, and the shares of answers that pass checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.report.charts.limits import asked, legend_room, limit_lines, with_limits
from bench.report.charts.parts import Canvas, only_first
from bench.report.charts.rows import MOST_ROWS, chart_height, metric_bars
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.result_tables import few_blocks, metric_table, metrics_by_case
from bench.report.session_words import CHECKS
from bench.report.units import plural, show

METRIC: Final = "decode_tok_per_s"


def speed_chart(report: Report) -> Chart | None:
    """The chart, None where no case has a decode speed."""
    cases = [c for c in report.cases if c.known(METRIC)]
    if not cases:
        return None
    drawn = cases[:MOST_ROWS]
    limits = asked(report, METRIC, [np.array([0.0, *(c.value(METRIC) for c in drawn)])])
    n = sum(c.n(METRIC) for c in cases)
    best, worst, first, last = _extremes(cases, METRIC, "tok/s")

    def draw(on: Canvas) -> None:
        ax, reach = metric_bars(on, drawn, METRIC, "tok/s", limits)
        ax.set_xlim(0, max(x for v in with_limits([np.array([reach])], limits) for x in v) * 1.02)
        limit_lines(ax, limits, upright=True)
        ax.set_xlabel("tokens per second")

    return Chart(
        id="speed",
        title="Decode speed",
        message=f"{cases[0].subject} writes {best}."
        if len(cases) == 1
        else f"From {best} for {first} down to {worst} for {last}.",
        caption=(
            "Bars: tokens per second of one answer while it is being written, on the server's "
            f"clock. Lines: 95 % intervals. {_without(cases, n)}"
            f"n = {plural(n, 'request')}.{only_first(len(drawn), len(cases), 'case')}"
        ),
        table=metric_table(report, METRIC, "chart-"),
        draw=draw,
        sample=f"n = {plural(n, 'request')}",
        height=chart_height(drawn, legend_room(len(limits))),
        simulated=report.simulated,
    )


def _extremes(cases: Sequence[CaseView], id: str, unit: str) -> tuple[str, str, str, str]:
    """The highest and the lowest value, and whose they are."""
    ordered = sorted(cases, key=lambda c: -c.value(id))
    best, worst = (show(c.estimate(id), unit).full for c in (ordered[0], ordered[-1]))
    return best, worst, ordered[0].label, ordered[-1].label


def _without(cases: Sequence[CaseView], n: int) -> str:
    """How many answers have no speed, and why, as the metric says it."""
    left_out = sum(c.summary.requests.ok for c in cases) - n
    metrics = [m for c in cases if (m := c.metric(METRIC))]
    reasons = dict.fromkeys(m.note.rpartition(": ")[2] for m in metrics if m.note)
    if left_out < 1 or not reasons:
        return ""
    return f"{plural(left_out, 'request')} left out: {'; '.join(reasons)}. "


def validity_charts(report: Report) -> list[Chart]:
    """One chart a check of answers; that of JSON only where no schema asks for more."""
    found = {id: cases for id in CHECKS if (cases := [c for c in report.cases if c.known(id)])}
    if "schema_valid_rate" in found:
        found.pop("json_valid_rate", None)
    return [_validity_chart(report, id, cases) for id, cases in found.items()]


def _validity_chart(report: Report, id: str, cases: Sequence[CaseView]) -> Chart:
    drawn = cases[:MOST_ROWS]
    n = sum(c.n(id) for c in cases)
    checked = [(i, "value") for i in CHECKS if any(c.known(i) for c in cases)]
    best, worst, first, last = _extremes(cases, id, "share")

    def draw(on: Canvas) -> None:
        ax, _ = metric_bars(on, drawn, id, "share")
        ax.set_xlim(0, 100)
        ax.set_xlabel("% of the answers")

    return Chart(
        id=f"valid-{id.partition('_')[0]}",
        title=f"Answers that {CHECKS[id]}",
        message=f"{cases[0].subject}: {best} of the answers {CHECKS[id]}."
        if len(cases) == 1
        else f"Of the answers {best} {CHECKS[id]} for {first}, {worst} for {last}.",
        caption=(
            f"Bars: share of the answers that {CHECKS[id]}. Lines: 95 % intervals "
            "(Jeffreys', with the spread of blocks). Answers that were cut at their length "
            f"count as invalid.{only_first(len(drawn), len(cases), 'case')}"
            + "".join(f" {note}" for note in few_blocks(cases))
        ),
        table=metrics_by_case(f"valid-{id}-table", "Valid answers", cases, checked),
        draw=draw,
        sample=f"n = {plural(n, 'answer')}",
        height=chart_height(drawn),
        simulated=report.simulated,
    )
