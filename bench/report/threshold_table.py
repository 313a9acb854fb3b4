"""The thresholds of the scenario: met or not, with the intervals of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bench.analysis.run.summary import Estimate, ThresholdResult, ThresholdVerdict
from bench.report.model import Report
from bench.report.result_tables import stored_unit
from bench.report.tables import Table, from_columns, text_column
from bench.report.units import plural, show

_NOTE: Final = (
    "The point estimate decides. Open: the interval reaches beyond the threshold. A request that "
    "never got the thing counts as infinitely late."
)
_NAMED: Final = 3

Judged = tuple[ThresholdResult, int]
"""A threshold on a case, and the run."""


def threshold_table(report: Report) -> Table | None:
    """Each threshold with its result, a row for all cases with the same; None without thresholds.

    Broken thresholds come first, and of several cases the one that is furthest off is shown.
    """
    groups: dict[tuple[str, str], list[Judged]] = {}
    for run, view in enumerate(report.runs):
        for t in view.summary.thresholds:
            groups.setdefault((t.threshold.text, _verdict(t)), []).append((t, run))
    if not groups:
        return None
    rows = sorted(groups.items(), key=lambda g: _ORDER.index(g[1][0][0].verdict))
    worst = [max(found, key=_off) for _, found in rows]
    columns = [
        text_column("Threshold", [threshold for (threshold, _), _ in rows]),
        text_column("Result", [verdict for (_, verdict), _ in rows]),
        text_column("Cases", [_cases(report, found) for _, found in rows]),
        text_column("Measured", [_measured(report, t, run) for t, run in worst]),
        text_column("Remark", [t.note for t, _ in worst]),
    ]
    several = any(len(found) > 1 for _, found in rows)
    note = f"Of several cases, the one that is furthest off is shown. {_NOTE}" if several else _NOTE
    return from_columns("thresholds", "Thresholds of the scenario", columns, note=note)


def threshold_details(report: Report) -> Table | None:
    """Every threshold on every case, where the other table has several in a row."""
    verdicts = [(t, i) for i, view in enumerate(report.runs) for t in view.summary.thresholds]
    if len({(t.threshold.text, _verdict(t)) for t, _ in verdicts}) == len(verdicts):
        return None
    cases = [report.case(run, t.case) for t, run in verdicts]
    columns = [
        text_column("Case", [report.case_label(run, t.case) for t, run in verdicts]),
        text_column("Threshold", [t.threshold.text for t, _ in verdicts]),
        text_column("Result", [_verdict(t) for t, _ in verdicts]),
        text_column("Measured", [_measured(report, t, run) for t, run in verdicts]),
        text_column("Remark", [t.note for t, _ in verdicts]),
    ]
    models, many = [c.model if c else "" for c in cases], len(verdicts) > 12
    more: dict[str, Any] = {"models": models, "note": _NOTE, "filterable": many, "folded": True}
    return from_columns("thresholds-all", "Thresholds, case by case", columns, **more)


_ORDER: Final = (ThresholdVerdict.NOT_MET, ThresholdVerdict.UNSUPPORTED, ThresholdVerdict.MET)


def _off(judged: Judged) -> float:
    """How far a value is beyond its limit; larger is worse, and what never came is the worst."""
    result, _ = judged
    if result.value is None:
        return float("inf")
    return result.value if result.threshold.op.startswith("<") else -result.value


def _cases(report: Report, found: Sequence[Judged]) -> str:
    if len(found) > 1 and len(found) == len(report.cases):
        return f"all {plural(len(found), 'case')}"
    if len(found) > _NAMED:
        return plural(len(found), "case")
    return ", ".join(report.case_label(run, t.case) for t, run in found)


def _measured(report: Report, result: ThresholdResult, run: int) -> str:
    """What was judged, with its interval; "" if the data carry no such number."""
    case = report.case(run, result.case)
    metric = case.metric(result.threshold.metric) if case else None
    if metric is None or result.value is None or result.verdict is ThresholdVerdict.UNSUPPORTED:
        return ""
    return show(Estimate(result.value, result.low, result.high), stored_unit(metric)).full


def _verdict(result: ThresholdResult) -> str:
    """Met or not; open where the interval reaches to both sides of the threshold."""
    if result.verdict is ThresholdVerdict.UNSUPPORTED:
        return "? not supported"
    words = "\u2713 met" if result.passed else "\u2717 not met"
    if result.value is None or result.needs is not None:
        return words
    ends = (result.low, result.high)
    settled = None not in ends and len({result.threshold.holds(x) for x in ends}) == 1
    return words if settled else f"{words}, but open"
