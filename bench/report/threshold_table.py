"""The thresholds of the scenario: met or not, with the intervals of what was measured."""

from __future__ import annotations

from bench.analysis.summary import ThresholdResult
from bench.report.model import CaseView, Report
from bench.report.result_tables import stored_unit
from bench.report.tables import Column, Row, Table, text_cell
from bench.report.units import NO_VALUE, show
from bench.scenario.thresholds import parse_threshold


def threshold_table(report: Report) -> Table | None:
    """The thresholds of the scenario and whether each case met them; None without thresholds."""
    told = [(i, t) for i, view in enumerate(report.runs) for t in view.summary.thresholds]
    if not told:
        return None
    cases = {(c.run, c.summary.id): c for c in report.cases}
    rows = []
    for run, result in told:
        case = cases.get((run, result.case))
        estimate, uncertain = _judged(case, result)
        cells = (
            text_cell(report.case_label(run, result.case)),
            text_cell(result.expression),
            text_cell(_verdict(result.passed, uncertain)),
            text_cell(estimate),
            text_cell("" if estimate else result.message),
        )
        rows.append(Row(cells, case.model if case else ""))
    columns = tuple(Column(t) for t in ("Case", "Threshold", "Result", "Measured", "Remark"))
    kept = [k for k in range(5) if k < 4 or any(r.cells[k].text != NO_VALUE for r in rows)]
    return Table(
        "thresholds",
        "Thresholds of the scenario",
        tuple(columns[k] for k in kept),
        tuple(Row(tuple(r.cells[k] for k in kept), r.model) for r in rows),
        note="The point estimate decides. Open: the interval reaches beyond the threshold.",
    )


def _judged(case: CaseView | None, result: ThresholdResult) -> tuple[str, bool]:
    """What was measured, and whether its interval reaches to both sides of the threshold."""
    threshold = parse_threshold(result.expression)
    stat = threshold.statistic or "value"
    estimate = case.estimate(threshold.metric, stat) if case else None
    metric = case.metric(threshold.metric) if case else None
    if estimate is None or metric is None or estimate.value is None:
        return "", result.value is not None
    told = show(estimate, stored_unit(metric), stat=stat).full
    if estimate.low is None or estimate.high is None:
        return told, True
    return told, threshold.holds(estimate.low) != threshold.holds(estimate.high)


def _verdict(passed: bool, uncertain: bool) -> str:
    words = "✓ met" if passed else "✗ not met"
    return f"{words}, but open" if uncertain else words
