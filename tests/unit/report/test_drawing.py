"""Drawings of pages are what matplotlib saves, though their texts are measured once."""

from __future__ import annotations

import io

from runs import CHAT, build

from bench.report.charts import drawing, run_charts
from bench.report.model import build_report


def test_a_drawing_is_the_same_as_a_saved_figure() -> None:
    run, summary = build(CHAT)
    for chart in run_charts(build_report([run], [summary]))[:3]:
        for narrow in (False, True):
            with drawing._style():
                found, _ = drawing._svg(chart, narrow=narrow)
                figure = drawing._drawn(chart, narrow=narrow).figure
                out = io.StringIO()
                figure.savefig(out, format="svg", metadata=drawing._NO_DATE)
            assert found == out.getvalue()
