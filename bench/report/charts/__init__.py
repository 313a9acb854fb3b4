"""Charts by matplotlib as inline SVG: one chart a file."""

from __future__ import annotations

from bench.report.charts.concurrency import concurrency_charts
from bench.report.charts.context_depth import depth_chart
from bench.report.charts.distribution import distribution_chart
from bench.report.charts.drift import drift_chart
from bench.report.charts.latency_split import split_chart
from bench.report.charts.speed import speed_chart
from bench.report.charts.timeline import timeline_chart
from bench.report.charts.utilisation import utilisation_chart
from bench.report.model import Report
from bench.report.page import Chart
from bench.report.samples import samples_of


def run_charts(report: Report) -> list[Chart]:
    """Every chart for which the runs hold data, in the order of reading."""
    samples = samples_of(report)
    charts = [
        speed_chart(report),
        split_chart(samples),
        *concurrency_charts(report),
        distribution_chart(samples, "ttft_s", "first-text"),
        distribution_chart(samples, "tpot_s", "per-token"),
        depth_chart(report),
        timeline_chart(samples),
        drift_chart(report),
        utilisation_chart(report),
    ]
    return [c for c in charts if c is not None]
