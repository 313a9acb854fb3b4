"""How many answers are what was asked for: JSON, the schema, right calls of tools."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from bench.report.charts.parts import only_first
from bench.report.charts.rows import MOST_ROWS, chart_height, metric_bars
from bench.report.model import CaseView, Report
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import few_blocks, metrics_by_case
from bench.report.session_words import CHECKS
from bench.report.units import plural, show


def validity_charts(report: Report) -> list[Chart]:
    """One chart a check; that of JSON only where no schema asks for more."""
    found = {id: cases for id in CHECKS if (cases := _checked(report.cases, id))}
    if "schema_valid_rate" in found:
        found.pop("json_valid_rate", None)
    return [_chart(report, id, cases) for id, cases in found.items()]


def _checked(cases: Sequence[CaseView], id: str) -> list[CaseView]:
    return [c for c in cases if (e := c.estimate(id)) and e.value is not None]


def _chart(report: Report, id: str, cases: Sequence[CaseView]) -> Chart:
    drawn = cases[:MOST_ROWS]
    n = sum(m.n for c in cases if (m := c.metric(id)))
    ids = [i for i in CHECKS if _checked(cases, i)]
    return Chart(
        id=f"valid-{id.partition('_')[0]}",
        title=f"Answers that {CHECKS[id]}",
        message=_message(id, cases),
        caption=(
            f"Bars: share of the answers that {CHECKS[id]}. Lines: 95 % intervals "
            "(Jeffreys', with the spread of blocks). Answers that were cut at their length "
            f"count as invalid.{only_first(len(drawn), len(cases), 'case')}"
            + "".join(f" {note}" for note in few_blocks(cases))
        ),
        table=metrics_by_case(
            f"valid-{id}-table", "Valid answers", cases, [(i, "value") for i in ids]
        ),
        draw=lambda figure, size: _draw(figure, size, id, drawn),
        sample=f"n = {plural(n, 'answer')}",
        height=chart_height(drawn),
        simulated=report.simulated,
    )


def _message(id: str, cases: Sequence[CaseView]) -> str:
    ordered = sorted(cases, key=lambda c: -c.value(id))
    best = show(ordered[0].estimate(id), "share").full
    if len(cases) == 1:
        return f"{cases[0].subject}: {best} of the answers {CHECKS[id]}."
    worst = show(ordered[-1].estimate(id), "share").full
    return (
        f"Of the answers {best} {CHECKS[id]} for {ordered[0].label}, {worst} for "
        f"{ordered[-1].label}."
    )


def _draw(figure: Figure, size: Size, id: str, cases: Sequence[CaseView]) -> Marks:
    ax, marks, _ = metric_bars(figure, size, cases, id, "share")
    ax.set_xlim(0, 100)
    ax.set_xlabel("% of the answers")
    return marks
