"""The summary as one long CSV table: a row for each statistic, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from bench.analysis.summary import CaseSummary, Estimate, Metric, Summary
from bench.report.tables import Table

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

# A cell that begins like this is run as a formula by spreadsheet programs.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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
    writer.writerow([column.head for column in table.columns])
    for row in table.rows:
        pairs = zip(row.cells, table.columns, strict=True)
        writer.writerow(
            [_harmless(c.text) if c.raw is None else c.raw * column.factor for c, column in pairs]
        )
    return out.getvalue()


def _row(
    summary: Summary, case: CaseSummary, metric: Metric, stat: str, estimate: Estimate
) -> list[object]:
    axes = "; ".join(f"{k}={v}" for k, v in case.axes.items())
    named = (summary.run_id, summary.name, summary.simulated, case.id, case.model, case.target)
    texts = [_harmless(str(t)) for t in (*named, axes)]
    numbers = [estimate.value, estimate.low, estimate.high, estimate.needs]
    return [*texts, metric.id, metric.unit, metric.n, stat, *numbers, estimate.method]


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
