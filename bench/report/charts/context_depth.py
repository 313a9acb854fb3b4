"""Decode speed against the length of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bench.report.charts.limits import Limit, asked, case_legend, limit_lines
from bench.report.charts.parts import Canvas, distinguishable, interval_line
from bench.report.charts.scales import value_axis
from bench.report.findings import depth_groups, prompt_length
from bench.report.model import CaseView, Report, shared_name
from bench.report.page import Chart
from bench.report.result_tables import metrics_by_case
from bench.report.units import count, plural, show

METRIC: Final = "decode_tok_per_s"


def depth_chart(report: Report) -> Chart | None:
    """The chart, None where all prompts of a model are about equally long."""
    known = [[c for c in g if c.value(METRIC)] for g in depth_groups(report)]
    groups = distinguishable([group for group in known if len(group) > 1])
    if not groups:
        return None
    speeds = (c.value(METRIC) for g in groups for c in g)
    limits = asked(report, METRIC, [np.array([0.0, *speeds])])
    n = sum(c.n(METRIC) for g in groups for c in g)
    return Chart(
        id="depth",
        title="Decode speed against context",
        message=" ".join(_message(g) for g in groups),
        caption=(
            "Decode speed with 95 % intervals over the mean length of the prompts. The answer adds "
            f"to the context while it is written. n = {plural(n, 'request')}."
        ),
        table=metrics_by_case(
            "depth-table",
            "Speed and prompt length",
            [c for g in groups for c in g],
            (("prompt_tokens", "mean"), (METRIC, "value"), ("prefill_tok_per_s", "value")),
        ),
        draw=lambda on: _draw(on, groups, limits),
        sample=f"n = {plural(n, 'request')}",
        height=(330, 320),
        simulated=report.simulated,
    )


def _message(group: Sequence[CaseView]) -> str:
    first, last = group[0], group[-1]
    return (
        f"{first.model}: {show(first.estimate(METRIC), 'tok/s').full} with {_prompt(first)}, "
        f"{show(last.estimate(METRIC), 'tok/s').full} with {_prompt(last)}."
    )


def _prompt(case: CaseView) -> str:
    return f"{count(round(prompt_length(case) or 0))} prompt tokens"


def _draw(on: Canvas, groups: Sequence[Sequence[CaseView]], limits: Sequence[Limit]) -> None:
    ax = on.axes(54, 14, case_legend(on, ((shared_name(g), g) for g in groups), limits), 42)
    for group in groups:
        drawn = [
            (prompt_length(c) or 0.0, e, f"{c.label}\n{show(e, 'tok/s').full}\n{_prompt(c)}")
            for c in group
            if (e := c.estimate(METRIC))
        ]
        interval_line(on, ax, group, f"depth-{group[0].key}", drawn)
    logarithmic = value_axis(ax.xaxis, [np.array([prompt_length(c) for g in groups for c in g])])
    ax.set_xlabel(f"tokens in the prompt{' (logarithmic)' if logarithmic else ''}")
    limit_lines(ax, limits, upright=False)
    ax.set_ylim(0)
    ax.set_ylabel("tokens per second")
