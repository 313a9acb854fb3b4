"""Tables of how requests ended, and why some failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import numpy as np

from bench.analysis.run.evidence import columns_of
from bench.report.model import Report
from bench.report.result_tables import case_table
from bench.report.tables import Table, from_columns, text_column
from bench.results.directory import Run
from bench.results.record import RequestRecord
from bench.results.records import records_of

_MOST_ERRORS: Final = 20
"""At most so many kinds of failures are listed."""


def outcome_table(report: Report) -> Table:
    """How requests ended and why answers stopped, a row a case."""
    cases = report.cases
    counts = [c.summary.requests for c in cases]
    outcomes = dict.fromkeys(k for r in counts for k in r.by_outcome)
    reasons = dict.fromkeys(k for r in counts for k in r.by_done_reason)
    columns = [
        text_column(k.replace("_", " "), [r.by_outcome.get(k, 0) for r in counts]) for k in outcomes
    ]
    columns += [
        text_column(f"stopped: {k or 'not said'}", [r.by_done_reason.get(k, 0) for r in counts])
        for k in reasons
    ]
    if any(r.dropped for r in counts):
        columns.append(text_column("dropped", [r.dropped for r in counts]))
    return case_table("outcomes", "How the requests ended", cases, columns, folded=True)


def failed_of(run: Run) -> Iterator[RequestRecord]:
    """The measured requests of a run that failed."""
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    return records_of(run.records).read(np.flatnonzero(columns.measured & ~columns.ok))


def error_table(report: Report) -> Table | None:
    """What servers and connections said of failed requests, most frequent first."""
    found = Counter(
        (index, r.case, r.outcome.replace("_", " "), r.status or 0, r.error)
        for index, view in enumerate(report.runs)
        for r in failed_of(view.run)
    ).most_common(_MOST_ERRORS)
    if not found:
        return None
    cases = [report.case(run, case) for (run, case, *_), _ in found]
    columns = [
        text_column("Case", [report.case_label(run, case) for (run, case, *_), _ in found]),
        text_column("Outcome", [outcome for (_, _, outcome, _, _), _ in found]),
        text_column("Status", [status or "" for (*_, status, _), _ in found]),
        text_column("Requests", [n for _, n in found]),
        text_column("Said", [error for (*_, error), _ in found]),
    ]
    models = [c.model if c else "" for c in cases]
    return from_columns("errors", "Why requests failed", columns, models=models)
