"""Valid answers are drawn with their intervals, the strictest check only."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
import pytest
from cases import case, metric

from bench.analysis.run.summary import BlockSummary, Estimate
from bench.report import charts
from bench.report.charts.parts import Canvas
from bench.report.model import Report


def report(*found: Any) -> Report:
    return cast(Report, SimpleNamespace(cases=tuple(found), simulated=False))


def rate(id: str, value: float) -> Any:
    return metric(id, "", 24, value=Estimate(value, value - 0.2, value + 0.1))


def test_the_strictest_check_is_drawn_with_its_interval() -> None:
    one = case(rate("json_valid_rate", 0.8), rate("schema_valid_rate", 0.7))
    two = case(rate("json_valid_rate", 0.9), rate("schema_valid_rate", 0.6), model="qwen3:4b")
    (chart,) = charts.validity_charts(report(one, two))
    assert chart.id == "valid-schema"
    assert "70 %" in chart.message
    assert "60 %" in chart.message
    figure = plt.figure(figsize=(7, 2.5))
    assert chart.draw is not None
    canvas = Canvas(figure, 700, 250)
    chart.draw(canvas)
    marks = canvas.marks
    assert next(t for tips in marks.tips.values() for t in tips).endswith("70 % (50–80)\nn = 24")
    # Who picks a case in a legend sees its interval, and not those of the others.
    intervals = [tags for gid, tags in marks.tags.items() if "-bars-" in gid]
    assert intervals and all(tags == ["c.0", "c.0"] or len(set(tags)) == 2 for tags in intervals)
    (bars,) = [c for c in figure.axes[0].collections if len(c.get_paths()) == 2]
    ends = np.sort([path.vertices[:, 0] for path in bars.get_paths()], axis=1)
    assert ends.tolist() == [pytest.approx([50, 80]), pytest.approx([40, 70])]
    plt.close(figure)


def test_tools_and_json_stand_beside_each_other_and_nothing_without_checks() -> None:
    checked = case(rate("json_valid_rate", 0.8), rate("tool_call_valid_rate", 0.7))
    assert [c.id for c in charts.validity_charts(report(checked))] == ["valid-json", "valid-tool"]
    assert charts.validity_charts(report(case())) == []


def blocks(count: int) -> tuple[BlockSummary, ...]:
    return tuple(BlockSummary(n, n, 0.0, 20, {}) for n in range(count))


@pytest.mark.parametrize(("count", "said"), [(2, True), (3, True), (6, False)])
def test_few_blocks_are_named_as_the_reason_of_a_wide_interval(count: int, said: bool) -> None:
    checked = case(rate("json_valid_rate", 0.8))
    checked = replace(checked, summary=replace(checked.summary, blocks=blocks(count)))
    (chart,) = charts.validity_charts(report(checked))
    assert ("Six (blocks: 6) do." in chart.caption) is said
    assert (f"rest on {count} blocks" in chart.caption) is said
