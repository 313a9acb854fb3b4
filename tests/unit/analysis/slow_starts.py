"""A warning of one's own: its code and its check."""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.run.case_data import CaseData
from bench.analysis.run.summary import CaseSummary
from bench.analysis.run.warnings import add_check
from bench.results.run import RunWarning
from bench.results.warning_codes import Severity, add_code

SLOW_START = add_code("slow_start", Severity.NOTE, "the first token came very late")
LATE_S = 5.0


@add_check
def slow_starts(data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    """The slowest start of the case, where it is very late."""
    worst = summary.metrics["ttft_s"].stats["max"].value
    if worst is not None and worst > LATE_S:
        yield RunWarning(
            SLOW_START, f"a first token came after {worst:.1f} s", "Look.", data.case.id
        )
