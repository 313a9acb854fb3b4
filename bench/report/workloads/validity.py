"""How many answers are what was asked for: JSON, the schema, right calls of tools."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.report.charts.palette import INK, SERIES_HATCHES, series_colour
from bench.report.charts.parts import boxes, case_tag, ends, only_first, sample_note, text_width
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
from bench.report.result_tables import CHECKS, few_blocks, metrics_by_case
from bench.report.units import plural, show


def validity_charts(report: Report) -> list[Chart]:
    """One chart a check; that of JSON only where no schema asks for more."""
    found = {id: cases for id in CHECKS if (cases := _checked(report, id))}
    if "schema_valid_rate" in found:
        found.pop("json_valid_rate", None)
    return [_chart(report, id, cases) for id, cases in found.items()]


def _checked(report: Report, id: str) -> list[CaseView]:
    return [c for c in report.cases if (e := c.estimate(id)) and e.value is not None]


def _chart(report: Report, id: str, cases: Sequence[CaseView]) -> Chart:
    drawn = cases[:MOST_ROWS]
    n = sum(m.n for c in cases if (m := c.metric(id)))
    ids = [i for i in CHECKS if any(_has(c, i) for c in cases)]

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(n, 'answer')}")
        return _draw(figure, size, id, drawn)

    return Chart(
        id=f"valid-{id.partition('_')[0]}",
        title=f"Answers that {CHECKS[id]}",
        message=_message(id, cases),
        caption=(
            f"Bars: share of the answers that {CHECKS[id]}. Lines: 95 % intervals "
            "(Clopper-Pearson, with the spread of blocks). Answers that were cut at their length "
            f"count as invalid.{only_first(len(drawn), len(cases), 'case')}"
            + "".join(f" {note}" for note in few_blocks(cases))
        ),
        table=metrics_by_case(
            f"valid-{id}-table", "Valid answers", cases, [(i, "value") for i in ids]
        ),
        draw=draw,
        height=chart_height(drawn),
        simulated=report.simulated,
    )


def _has(case: CaseView, id: str) -> bool:
    estimate = case.estimate(id)
    return estimate is not None and estimate.value is not None


def _value(id: str, case: CaseView) -> float:
    estimate = case.estimate(id)
    return (estimate.value if estimate else None) or 0.0


def _message(id: str, cases: Sequence[CaseView]) -> str:
    ordered = sorted(cases, key=lambda c: -_value(id, c))
    best = show(ordered[0].estimate(id), "share").full
    if len(cases) == 1:
        return f"{cases[0].subject}: {best} of the answers {CHECKS[id]}."
    worst = show(ordered[-1].estimate(id), "share").full
    return (
        f"Of the answers {best} {CHECKS[id]} for {ordered[0].label}, {worst} for "
        f"{ordered[-1].label}."
    )


def _draw(figure: Figure, size: Size, id: str, cases: Sequence[CaseView]) -> Marks:
    rows = lay_out(cases, size.narrow)
    shown = [show(c.estimate(id), "share") for c, _, _ in rows.places]
    right = 20 + max(text_width(s.cell, NUMBER_FONT) for s in shown)
    ax = row_axes(figure, size, rows, right=right)
    marks, half = Marks(), rows.bar / 2
    for number, ((case, _, y), said) in enumerate(zip(rows.places, shown, strict=True)):
        gid = f"valid-{number}-{case.key}"
        hatch = SERIES_HATCHES[case.series % len(SERIES_HATCHES)]
        box = (0.0, 100 * _value(id, case), y - half, y + half)
        boxes(ax, [box], series_colour(case.series), hatch, gid)
        marks.tips[gid] = [f"{case.label}\n{said.full}"]
        marks.models[gid] = case.model
        marks.tags[gid] = [case_tag(case)]
        number_beside(ax, y, said.cell)
    estimates = [e for c, _, _ in rows.places if (e := c.estimate(id))]
    lengths = [[100 * x for x in side] for side in ends(estimates)]
    values = [100 * _value(id, c) for c, _, _ in rows.places]
    places = [y for _, _, y in rows.places]
    ax.errorbar(values, places, xerr=lengths, fmt="none", ecolor=INK, elinewidth=2, capsize=4)
    ax.set_xlim(0, 100)
    ax.set_xlabel("% of the answers")
    return marks
