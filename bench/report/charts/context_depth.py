"""Decode speed against the length of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bench.report.charts.limits import Limit, asked, limit_legend, limit_lines
from bench.report.charts.parts import (
    axes_in,
    case_tag,
    distinguishable,
    interval_line,
    look_of,
    picked,
    series_legend,
)
from bench.report.charts.scales import value_axis
from bench.report.findings import depth_groups, prompt_length
from bench.report.model import SEPARATOR, CaseView, Report
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import metrics_by_case
from bench.report.units import count, plural, show

METRIC: Final = "decode_tok_per_s"


def depth_chart(report: Report) -> Chart | None:
    """The chart, None where all prompts of a model are about equally long."""
    known = [[c for c in g if c.value(METRIC)] for g in depth_groups(report)]
    found = [group for group in known if len(group) > 1]
    if not found:
        return None
    groups = distinguishable(found)
    speeds = [e.value for g in groups for c in g if (e := c.estimate(METRIC))]
    limits = asked(report, METRIC, [np.array([0.0, *speeds])])
    n = sum(m.n for g in groups for c in g if (m := c.metric(METRIC)))

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
        draw=lambda figure, size: _draw(figure, size, groups, limits),
        sample=f"n = {plural(n, 'request')}",
        height=(330, 320),
        simulated=report.simulated,
    )


def _message(group: Sequence[CaseView]) -> str:
    first, last = group[0], group[-1]
    return (
        f"{first.model}: {show(first.estimate(METRIC), 'tok/s').full} with "
        f"{_prompt(first)}, "
        f"{show(last.estimate(METRIC), 'tok/s').full} with "
        f"{_prompt(last)}."
    )


def _prompt(case: CaseView) -> str:
    return f"{count(round(prompt_length(case) or 0))} prompt tokens"


def _name(group: Sequence[CaseView]) -> str:
    shared = [a for a in group[0].axes if a in group[-1].axes]
    return SEPARATOR.join((group[0].model, *shared))


def _draw(
    figure: Figure, size: Size, groups: Sequence[Sequence[CaseView]], limits: Sequence[Limit]
) -> Marks:
    marks = Marks()
    entries = [(_name(g), picked(look_of(g[0]), *map(case_tag, g))) for g in groups]
    top = 20 + series_legend(figure, size, entries, 20)
    top += limit_legend(figure, size, limits, top) + 8
    ax = axes_in(figure, size, 54, 14, top, 42)
    for group in groups:
        estimates = [e for c in group if (e := c.estimate(METRIC))]
        tips = [
            f"{c.label}\n{show(e, 'tok/s').full}\n{_prompt(c)}"
            for c, e in zip(group, estimates, strict=True)
        ]
        xs = [prompt_length(c) or 0.0 for c in group]
        interval_line(ax, group, f"depth-{group[0].key}", xs, estimates, tips, marks)
    logarithmic = value_axis(ax.xaxis, [np.array([prompt_length(c) for g in groups for c in g])])
    ax.set_xlabel(f"tokens in the prompt{' (logarithmic)' if logarithmic else ''}")
    limit_lines(ax, limits, upright=False)
    ax.set_ylim(0)
    ax.set_ylabel("tokens per second")
    return marks
