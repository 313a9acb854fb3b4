"""Every warning of the analysis: its code, its condition and what to do about it.

Each check is a generator over the data of one case (or the run), so that a condition stands beside
its advice. Warnings that only the moment of the run can know (server unreachable, model absent,
clock trouble) come with the run itself, in `RunInfo.warnings`.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.analysis.case_data import CaseData
from bench.analysis.slots import Slots
from bench.analysis.summary import CaseSummary
from bench.results.run import RunInfo, RunStatus, RunWarning

MAX_DROPPED_SHARE = 0.01


def run_warnings(info: RunInfo) -> list[RunWarning]:
    """What concerns the whole run."""
    found = []
    if info.simulated:
        found.append(
            RunWarning(
                "simulated",
                "These numbers come from the simulated engine: no model was run.",
                "Use them to try the tool, never as a result.",
            )
        )
    if info.status is not RunStatus.COMPLETE:
        found.append(
            RunWarning(
                "incomplete",
                f"The run is {info.status.value}: not every block was measured.",
                "Take it as a part of the plan only.",
            )
        )
    return found


def case_warnings(data: CaseData, summary: CaseSummary, slots: Slots | None) -> list[RunWarning]:
    """What concerns one case."""
    return [*_errors(data, summary)]


def _errors(data: CaseData, summary: CaseSummary) -> Iterator[RunWarning]:
    if summary.requests.failed:
        yield RunWarning(
            "errors",
            f"{summary.requests.failed} of {len(data.measured)} requests failed.",
            "See the outcomes and the error texts.",
            data.case.id,
        )
