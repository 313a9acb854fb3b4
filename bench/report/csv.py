"""The summary as one long CSV table: a row for each statistic, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bench.analysis.run.summary import CaseSummary, Estimate, Metric, Summary
from bench.report.tables import Table
from bench.shown import one_line

HEAD = (
    "run_id",
    "scenario",
    "simulated",
    "case",
    "model",
    "target",
    "axes",
    "metric",
    "unit",
    "n",
    "statistic",
    "value",
    "low",
    "high",
    "needs",
    "method",
)
"""The columns: stable names."""

# A cell that begins like this is run as a formula by spreadsheet programs (the last four are the
# full-width forms, which some take for the first four).
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(summaries: Sequence[Summary]) -> str:
    """Every statistic of every case; absent numbers are empty fields."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEAD)
    for summary in summaries:
        for case in summary.cases:
            for metric in case.metrics.values():
                for stat, estimate in metric.stats.items():
                    writer.writerow(_row(summary, case, metric, stat, estimate))
    return out.getvalue()


def table_csv(table: Table) -> str:
    """One table: its heads, then its rows with numbers in full precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([cell_text(column.head) for column in table.columns])
    for row in table.rows:
        pairs = zip(row.cells, table.columns, strict=True)
        writer.writerow(
            [cell_text(c.text) if c.raw is None else c.raw * column.factor for c, column in pairs]
        )
    return out.getvalue()


def _row(
    summary: Summary, case: CaseSummary, metric: Metric, stat: str, estimate: Estimate
) -> list[object]:
    axes = "; ".join(f"{k}={v}" for k, v in case.axes.items())
    named = (summary.run_id, summary.name, summary.simulated, case.id, case.model, case.target)
    texts = [cell_text(str(t)) for t in (*named, axes)]
    numbers = [estimate.value, estimate.low, estimate.high, estimate.needs]
    return [*texts, metric.id, metric.unit, metric.n, stat, *numbers, estimate.method]


def cell_text(text: str) -> str:
    """Text from outside as a cell: one line, and no formula."""
    text = one_line(text)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
