"""Curves over what was varied: users against the cache, texts against batches, pictures by size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from bench.report.charts.axes import Limit, asked, case_legend, legend_room, limit_lines, value_axis
from bench.report.charts.palette import SOFT
from bench.report.charts.parts import Canvas, distinguishable, interval_line
from bench.report.findings import key_without
from bench.report.model import SEPARATOR, CaseView, Report, shared_name
from bench.report.page import Chart
from bench.report.result_tables import metrics_by_case
from bench.report.units import plural, scale_for, show

_PANEL: Final = 210
_FRAME: Final = 70


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric over the axis: its id, statistic, unit and label, and whether it begins at 0."""

    metric: str
    stat: str
    unit: str
    label: str
    share: bool = False


@dataclass(frozen=True, slots=True)
class Curve:
    """What one chart shows: panels over one axis.

    Attributes:
        varied: the axis of the scenario; cases that differ in another one have lines of their own.
        at: where a case stands on the axis; None if it does not.
        slots: mark how many slots the server was seen to have.
    """

    id: str
    title: str
    axis: str
    varied: str
    at: Callable[[CaseView], float | None]
    panels: tuple[Panel, ...]
    caption: str
    slots: bool = False


def _batch(case: CaseView) -> float | None:
    found = re.search(r"\d+", case.summary.axes.get("batch", ""))
    return float(found[0]) if found else None


def _megapixels(case: CaseView) -> float | None:
    sides = [float(n) for n in re.findall(r"\d+", case.summary.axes.get("pixels", ""))]
    return sides[0] * sides[1] / 1e6 if len(sides) == 2 else None


CURVES: Final = (
    Curve(
        "cache-users",
        "What is kept as sessions become more",
        "users at once",
        "users",
        lambda c: float(c.users) if c.users else None,
        (
            Panel("eligible_cached_share", "value", "", "share of histories kept", share=True),
            Panel("user_turn_s", "p50", "s", "turn of a user"),
        ),
        "Above: which share of its history a request finds in the server's cache. Below: what a "
        "user waits for a turn, median. 95 % intervals; the dashed line: slots of the server.",
        slots=True,
    ),
    Curve(
        "batches",
        "Texts per second against batches",
        "texts in a request",
        "batch",
        _batch,
        (Panel("text_per_s", "value", "texts/s", "texts per second"),),
        "Embedded texts per second over the number of texts in a request, 95 % intervals.",
    ),
    Curve(
        "pictures",
        "What a picture costs by its size",
        "megapixels",
        "pixels",
        _megapixels,
        (
            Panel("image_s", "value", "s", "time of a picture"),
            Panel("image_tokens", "value", "tokens", "tokens of a picture"),
        ),
        "Differences to the same prompts without pictures, 95 % intervals.",
    ),
)


def curve_chart(report: Report, curve: Curve) -> Chart | None:
    """The chart; None where fewer than two values of the axis have all its metrics."""
    lines = [g for g in _groups(report, curve) if len({curve.at(c) for c in g}) > 1]
    groups = distinguishable(lines)
    if not groups:
        return None
    cases = [c for g in groups for c in g]
    n = sum(c.n(curve.panels[0].metric) for c in cases)
    limits = []
    for panel in curve.panels:
        values = np.array([0.0, *(c.value(panel.metric, panel.stat) for c in cases)])
        stat = "" if panel.stat == "value" else panel.stat
        limits.append(asked(report, panel.metric, [values], (stat,)))
    height = _FRAME + _PANEL * len(curve.panels) + legend_room(sum(map(len, limits)))
    return Chart(
        id=curve.id,
        title=curve.title,
        message=" ".join(_message(g, curve.panels[0]) for g in groups),
        caption=curve.caption,
        table=metrics_by_case(
            f"{curve.id}-table", curve.title, cases, [(p.metric, p.stat) for p in curve.panels]
        ),
        draw=lambda on: _draw(on, curve, groups, limits),
        sample=f"n = {plural(n, 'value')}",
        height=(height, height),
    )


def _groups(report: Report, curve: Curve) -> list[list[CaseView]]:
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in report.cases:
        shown = all(case.known(p.metric, p.stat) for p in curve.panels)
        if shown and curve.at(case) is not None:
            groups.setdefault(key_without(case, curve.varied), []).append(case)
    return [sorted(g, key=lambda c: curve.at(c) or 0.0) for g in groups.values()]


def _message(group: Sequence[CaseView], panel: Panel) -> str:
    first, last = (c.estimate(panel.metric, panel.stat) for c in (group[0], group[-1]))
    return (
        f"{shared_name(group)}: {show(first, panel.unit).full} ({_place(group[0])}), "
        f"{show(last, panel.unit).full} ({_place(group[-1])})."
    )


def _place(case: CaseView) -> str:
    return SEPARATOR.join(case.axes) or case.label


def _draw(
    on: Canvas,
    curve: Curve,
    groups: Sequence[Sequence[CaseView]],
    limits: Sequence[Sequence[Limit]],
) -> None:
    named = ((shared_name(g), g) for g in groups)
    top = case_legend(on, named, [x for own in limits for x in own])
    inner = (on.height - top - 42) / len(curve.panels)
    last = len(curve.panels) - 1
    for place, panel in enumerate(curve.panels):
        above = top + inner * place + (14 if place else 0)
        ax = on.axes(54, 14, above, 42 + inner * (last - place))
        scale = scale_for(
            panel.unit, *(c.value(panel.metric, panel.stat) for g in groups for c in g)
        )
        for group in groups:
            drawn = [
                (curve.at(c) or 0.0, e, f"{c.label}\n{show(e, panel.unit).full}")
                for c in group
                if (e := c.estimate(panel.metric, panel.stat))
            ]
            gid = f"{curve.id}-{place}-{group[0].key}"
            interval_line(on, ax, group, gid, drawn, scale.factor)
        value_axis(ax.xaxis, [np.array([curve.at(c) for g in groups for c in g])])
        limit_lines(ax, limits[place], scale.factor, upright=False)
        ax.set_ylim(0, 1.02 if panel.share else None)
        ax.set_ylabel(f"{panel.label} ({scale.unit})" if scale.unit else panel.label)
        slots = {s for g in groups for c in g if (s := c.summary.identity.slots_observed)}
        if curve.slots and slots:
            ax.axvline(max(slots), color=SOFT, linestyle="--", linewidth=1.2)
        if place < last:
            ax.set_xticklabels([])
    ax.set_xlabel(curve.axis)
