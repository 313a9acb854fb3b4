"""Charts by matplotlib as inline SVG."""

from __future__ import annotations

from dataclasses import replace

from bench.report.charts.bars import speed_chart, validity_charts
from bench.report.charts.curves import CURVES, curve_chart
from bench.report.charts.distribution import distribution_chart
from bench.report.charts.drift import drift_chart
from bench.report.charts.heat_map import heat_chart
from bench.report.charts.load_and_depth import concurrency_charts, depth_chart
from bench.report.charts.machine_panel import machine_panels
from bench.report.charts.request_parts import split_chart, thinking_chart
from bench.report.charts.roofline import roofline_chart
from bench.report.charts.sessions import (
    MeasuredSession,
    context_chart,
    grid_chart,
    session_chart,
    sessions_of,
)
from bench.report.charts.timeline import timeline_chart
from bench.report.model import Report
from bench.report.page import Chart
from bench.report.samples import samples_of


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
    return [replace(c, simulated=report.simulated) for c in charts if c is not None]


def _session_charts(report: Report) -> list[Chart | None]:
    """Of the case whose sessions lost most of their histories, or the first with sessions."""
    found = [s for c in report.cases if (s := sessions_of(report, c))]
    if not found:
        return []
    worst, first = max(found, key=_lost_share), min(found, key=_lost_share)
    grids = [first, worst] if _lost_share(first) < _lost_share(worst) else [worst]
    return [*map(grid_chart, grids), context_chart(worst), session_chart(worst)]


def _lost_share(sessions: list[MeasuredSession]) -> float:
    later = [a for s in sessions for a in s.requests if a.history and a.cached is not None]
    return sum(a.lost for a in later) / len(later) if later else -1.0
