"""Charts by matplotlib as inline SVG: one chart a file."""

from __future__ import annotations

from bench.report.charts.concurrency import concurrency_charts
from bench.report.charts.context_depth import depth_chart
from bench.report.charts.distribution import distribution_chart
from bench.report.charts.drift import drift_chart
from bench.report.charts.heat_map import heat_chart
from bench.report.charts.latency_split import split_chart
from bench.report.charts.machine_panel import machine_panels
from bench.report.charts.roofline import roofline_chart
from bench.report.charts.speed import speed_chart, validity_charts
from bench.report.charts.thinking import thinking_chart
from bench.report.charts.timeline import timeline_chart
from bench.report.model import Report
from bench.report.page import Chart
from bench.report.samples import samples_of
from bench.report.workloads.asked import MeasuredSession, sessions_of
from bench.report.workloads.curves import CURVES, curve_chart
from bench.report.workloads.session_charts import context_chart, grid_chart, session_chart


def run_charts(report: Report) -> list[Chart]:
    """Every chart for which the runs hold data, in the order of reading."""
    samples = samples_of(report)
    charts = [
        heat_chart(report) or speed_chart(report),
        split_chart(samples),
        thinking_chart(samples),
        *concurrency_charts(report),
        distribution_chart(samples, "ttft_s", "first-text"),
        distribution_chart(samples, "tpot_s", "per-token"),
        depth_chart(report),
        *_session_charts(report),
        *(curve_chart(report, curve) for curve in CURVES),
        *validity_charts(report),
        timeline_chart(samples),
        drift_chart(report),
        roofline_chart(report),
        *machine_panels(report),
    ]
    return [c for c in charts if c is not None]


def _session_charts(report: Report) -> list[Chart]:
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
