"""The charts of sessions: which there are, and of which case."""

from __future__ import annotations

from bench.report.model import Report
from bench.report.page import Chart
from bench.report.workloads.asked import MeasuredSession, sessions_of
from bench.report.workloads.context_wait import context_chart
from bench.report.workloads.grid import grid_chart
from bench.report.workloads.session_line import session_chart


def session_charts(report: Report) -> list[Chart]:
    """Of the case whose sessions lost most of their histories, or the first with sessions."""
    found = [s for c in report.cases if (s := sessions_of(report, c))]
    if not found:
        return []
    worst = max(found, key=_lost_share)
    first = min(found, key=_lost_share)
    grids = [grid_chart(worst, report.simulated)]
    if first is not worst and _lost_share(first) < _lost_share(worst):
        grids.insert(0, grid_chart(first, report.simulated))
    charts = [
        *grids,
        context_chart(worst, report.simulated),
        session_chart(worst, report.simulated),
    ]
    return [c for c in charts if c is not None]


def _lost_share(sessions: list[MeasuredSession]) -> float:
    later = [a for s in sessions for a in s.requests if a.history and a.cached is not None]
    return sum(a.lost for a in later) / len(later) if later else -1.0
