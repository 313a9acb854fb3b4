"""Results as notebooks show them: a fragment of HTML, and tables for pandas and polars."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from html import escape
from typing import Any, Literal, get_args

from bench.analysis.run.summary import Summary
from bench.errors import UsageError
from bench.report.csv import statistics
from bench.report.page import Page
from bench.report.request_rows import request_table
from bench.report.tables import Table
from bench.report.units import plural
from bench.results.directory import Run
from bench.shown import all_shown

What = Literal["requests", "cases", "blocks"]
TABLES = get_args(What)


def fragment(page: Page) -> str:
    """The answers, the warnings and the tables of the short forms; the page's style is not needed.

    Everything is escaped: names of models and texts of servers come from outside.
    """
    page = all_shown(page)
    said = (" ".join(a.texts) for a in (*page.findings, *page.answers))
    answers = "".join(f"<li>{escape(text)}</li>" for text in said)
    kinds = ((w.code.replace("_", " "), w.message) for w in page.warnings)
    warnings = "".join(f"<li><b>{escape(code)}</b>: {escape(text)}</li>" for code, text in kinds)
    simulated = "<p><b>Simulated: a model made these numbers up.</b></p>" if page.simulated else ""
    count = plural(len(page.warnings), "kind")
    folded = f"<details><summary>{count} of warnings</summary><ul>{warnings}</ul></details>"
    return (
        f"<div><h4>{escape(page.title)}</h4>{simulated}<ul>{answers}</ul>"
        f"{folded if warnings else ''}{''.join(_table(t) for t in page.brief)}</div>"
    )


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(c.head)}</th>" for c in table.columns)
    cells = ("".join(f"<td>{escape(c.text)}</td>" for c in row.cells) for row in table.rows)
    rows = "".join(f"<tr>{row}</tr>" for row in cells)
    caption = f"<table><caption>{escape(table.caption)}</caption>"
    return f"{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def frame_columns(runs: Sequence[Run], summaries: Sequence[Summary], what: str) -> dict[str, Any]:
    """The columns of a data frame.

    Args:
        runs: whose requests; needed for "requests" only.
        summaries: whose cases and blocks.
        what: "requests": one row a request, with derived metrics. "cases": one row a statistic of
            a metric of a case, with its interval. "blocks": one row a value of a block.

    Raises:
        UsageError: there is no such table.
    """
    if what == "requests":
        return request_table(runs)
    if what not in TABLES:
        raise UsageError(f"there is no table {what!r}", f"Known: {', '.join(TABLES)}.")
    if what == "cases":
        return statistics(summaries)
    rows = [row for s in summaries for row in _blocks(s)]
    return {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}


def _blocks(summary: Summary) -> list[dict[str, Any]]:
    return [
        {
            "run_id": summary.run_id,
            "case": case.id,
            "block": block.number,
            "pair": block.pair,
            "side": block.side,
            "start_s": block.start_s,
            "metric": metric,
            "value": value,
        }
        for case in summary.cases
        for block in case.blocks
        for metric, value in block.values.items()
    ]


def frame_of(library: Literal["pandas", "polars"], columns: dict[str, Any]) -> Any:
    """A data frame; absent values are absent in it."""
    try:
        module = importlib.import_module(library)
    except ImportError:
        advice = f"Install it with: pip install {library}"
        raise UsageError(f"{library} is not installed", advice) from None
    more = {"infer_schema_length": None} if library == "polars" else {}
    return module.DataFrame(columns, **more)
