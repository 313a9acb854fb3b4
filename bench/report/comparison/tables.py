"""Tables of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.comparison.result import CaseComparison, Comparison, MetricComparison
from bench.analysis.comparison.setup_difference import Role
from bench.analysis.comparison.verdict_rule import Verdict
from bench.report.comparison.wording import change_shown, key_name, metric_name, verdict_text
from bench.report.tables import (
    Cell,
    Column,
    Table,
    TableColumn,
    from_columns,
    number_column,
    text_column,
)
from bench.report.units import percent, scale_for, show_value

_MOVED = (Verdict.WORSE, Verdict.BETTER)

Judged = Sequence[tuple[CaseComparison, MetricComparison]]


def verdict_table(comparison: Comparison, number: int, *, brief: bool) -> Table:
    """One row a metric; in brief only primary metrics, and others that moved."""
    rows = [
        (case, m)
        for case, m in comparison.judged()
        if not brief or m.primary or m.verdict in _MOVED
    ]
    columns = [text_column("Metric", [metric_name(m.metric) for _, m in rows])]
    if len(comparison.cases) > 1:
        columns.append(text_column("Case", [c.case for c, _ in rows]))
    columns += [
        _change_column(rows),
        text_column("Verdict", [verdict_text(m) for _, m in rows]),
        text_column("Baseline", [_level(m, m.baseline) for _, m in rows]),
        text_column("Candidate", [_level(m, m.candidate) for _, m in rows]),
        text_column("Gates", ["yes" if m.primary else "" for _, m in rows]),
        text_column("p", [_p(m.p_corrected) for _, m in rows], "Holm if it gates, else BH"),
        text_column("Explained by", [", ".join(map(key_name, m.explained_by)) for _, m in rows]),
    ]
    if not brief:
        sizes = [f"{percent(m.ignore)}\u00a0/ {percent(m.catch)}" for _, m in rows]
        columns += [
            text_column("p, sign flip", [_p(m.sign_flip_p) for _, m in rows]),
            text_column("Ignore / catch", sizes),
            text_column("Pairs or blocks", [m.n for _, m in rows]),
            text_column("Note", [m.note for _, m in rows]),
        ]
    kind, caption = ("brief", "Verdicts") if brief else ("all", "All metrics")
    note = "Changes with 95 % intervals. Only metrics that gate decide."
    name = f"verdicts-{kind}-{number}"
    return from_columns(name, caption, columns, note=note, filterable=not brief)


def difference_table(comparison: Comparison, number: int) -> Table:
    """Everything that differs besides the numbers."""
    found = [(case, d) for case in comparison.cases for d in case.differences]
    columns = [text_column("What", [key_name(d.key) for _, d in found])]
    if len(comparison.cases) > 1:
        columns.append(text_column("Case", [c.case for c, _ in found]))
    columns += [
        text_column("Baseline", [d.baseline for _, d in found]),
        text_column("Candidate", [d.candidate for _, d in found]),
        text_column("Means", [_ROLES[d.role] for _, d in found]),
        text_column("Why", [d.message for _, d in found]),
        text_column("Touches", [", ".join(d.metrics) for _, d in found]),
    ]
    return from_columns(f"differences-{number}", "What differs", columns)


_ROLES = {
    Role.COMPARED: "compared",
    Role.EXPLAINS: "may explain a change",
    Role.ALLOWED: "allowed to differ",
    Role.WITHHOLDS: "what it touches is not judged",
    Role.BLOCKS: "not comparable",
}


def block_table(case: CaseComparison, m: MetricComparison, table_id: str) -> Table:
    """The block values behind one metric, in order of time within each side."""
    points = [("baseline", p) for p in m.baseline_blocks]
    points += [("candidate", p) for p in m.candidate_blocks]
    points.sort(key=lambda item: (item[1].pair is None, item[1].pair or 0, item[1].start_s))
    columns = [
        text_column("Side", [side for side, _ in points]),
        text_column("Pair", [None if p.pair is None else p.pair + 1 for _, p in points]),
        number_column("Start", "s", [p.start_s for _, p in points]),
        number_column("Value", m.unit, [p.value for _, p in points]),
    ]
    caption = f"{metric_name(m.metric)} of every block, {case.case}"
    return from_columns(table_id, caption, columns)


def _change_column(rows: Judged) -> TableColumn:
    shown = [(m, change_shown(m)) for _, m in rows]
    cells = [Cell(said.cell, m.change, m.low, m.high, said) for m, said in shown]
    return Column("Change", "%", True, "candidate / baseline - 1", factor=100.0), cells


def _level(m: MetricComparison, value: float | None) -> str:
    if value is None:
        return ""
    scale = scale_for(m.unit, m.baseline, m.candidate)
    return show_value(value, m.unit, scale).number


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return "<\u00a00.001" if value < 0.001 else f"{value:.3f}"
