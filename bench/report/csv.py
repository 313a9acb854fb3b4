"""The summary as one long CSV table: a row for each statistic, in full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from bench.analysis.run.summary import Summary
from bench.report.tables import Table
from bench.shown import one_line

# A cell that begins like this is run as a formula by spreadsheet programs (the last four are the
# full-width forms, which some take for the first four).
_FORMULA_STARTS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(summaries: Sequence[Summary]) -> str:
    """Every statistic of every case; absent numbers are empty fields."""
    columns = statistics(summaries)
    rows = zip(*columns.values(), strict=True)
    texts = ([cell_text(v) if isinstance(v, str) else v for v in row] for row in rows)
    return rows_csv([list(columns), *texts])


def rows_csv(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as a file holds them."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def statistics(summaries: Sequence[Summary]) -> dict[str, list[Any]]:
    """Every statistic of every case as columns with stable names; absent numbers are None."""
    rows = [
        (summary, case, metric, name, estimate)
        for summary in summaries
        for case in summary.cases
        for metric in case.metrics.values()
        for name, estimate in metric.stats.items()
    ]
    return {
        "run_id": [s.run_id for s, *_ in rows],
        "scenario": [s.name for s, *_ in rows],
        "simulated": [s.simulated for s, *_ in rows],
        "case": [c.id for _, c, *_ in rows],
        "model": [c.model for _, c, *_ in rows],
        "target": [c.target for _, c, *_ in rows],
        "axes": ["; ".join(f"{k}={v}" for k, v in c.axes.items()) for _, c, *_ in rows],
        "metric": [m.id for _, _, m, *_ in rows],
        "unit": [m.unit for _, _, m, *_ in rows],
        "n": [m.n for _, _, m, *_ in rows],
        "statistic": [name for *_, name, _ in rows],
        "value": [e.value for *_, e in rows],
        "low": [e.low for *_, e in rows],
        "high": [e.high for *_, e in rows],
        "needs": [e.needs for *_, e in rows],
        "method": [e.method for *_, e in rows],
    }


def table_csv(table: Table) -> str:
    """One table: its heads, then its rows with numbers in full precision."""
    pairs = (list(zip(row.cells, table.columns, strict=True)) for row in table.rows)
    cells = (
        [cell_text(c.text) if c.raw is None else c.raw * of.factor for c, of in row]
        for row in pairs
    )
    return rows_csv([[cell_text(column.head) for column in table.columns], *cells])


def cell_text(text: str) -> str:
    """Text from outside as a cell: one line, and no formula."""
    text = one_line(text)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
