"""Curves over what was varied: users against the cache, texts against batches, pictures by size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.charts.limits import Limit, asked, legend_room, limit_legend, limit_lines
from bench.report.charts.palette import SOFT
from bench.report.charts.parts import (
    axes_in,
    case_tag,
    interval_line,
    look_of,
    picked,
    series_legend,
)
from bench.report.charts.scales import value_axis
from bench.report.model import SEPARATOR, CaseView, Report
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import metrics_by_case
from bench.report.units import plural, scale_for, show, supported

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
        at: where a case stands on the axis; None if it does not.
        slots: mark how many slots the server was seen to have.
    """

    id: str
    title: str
    axis: str
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
        _batch,
        (Panel("text_per_s", "value", "texts/s", "texts per second"),),
        "Embedded texts per second over the number of texts in a request, 95 % intervals.",
    ),
    Curve(
        "pictures",
        "What a picture costs by its size",
        "megapixels",
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
    groups = [g for g in _groups(report, curve) if len({curve.at(c) for c in g}) > 1]
    if not groups:
        return None
    cases = [c for g in groups for c in g]
    n = sum(m.n for c in cases if (m := c.metric(curve.panels[0].metric)))
    limits = [_asked(report, panel, cases) for panel in curve.panels]
    room = legend_room(sum(map(len, limits)))

    height = _FRAME + _PANEL * len(curve.panels) + room
    return Chart(
        id=curve.id,
        title=curve.title,
        message=" ".join(_message(g, curve.panels[0]) for g in groups),
        caption=curve.caption,
        table=metrics_by_case(
            f"{curve.id}-table", curve.title, cases, [(p.metric, p.stat) for p in curve.panels]
        ),
        draw=lambda figure, size: _draw(figure, size, curve, groups, limits),
        sample=f"n = {plural(n, 'value')}",
        height=(height, height),
        simulated=report.simulated,
    )


def _groups(report: Report, curve: Curve) -> list[list[CaseView]]:
    groups: dict[tuple[object, ...], list[CaseView]] = {}
    for case in report.cases:
        known = [case.estimate(p.metric, p.stat) for p in curve.panels]
        shown = all(
            e is not None and supported(e, p.stat) for e, p in zip(known, curve.panels, strict=True)
        )
        if curve.at(case) is not None and shown:
            groups.setdefault((case.run, case.model), []).append(case)
    return [sorted(g, key=lambda c: curve.at(c) or 0.0) for g in groups.values()]


def _message(group: Sequence[CaseView], panel: Panel) -> str:
    first, last = (c.estimate(panel.metric, panel.stat) for c in (group[0], group[-1]))
    return (
        f"{group[0].model}: {show(first, panel.unit).full} ({_place(group[0])}), "
        f"{show(last, panel.unit).full} ({_place(group[-1])})."
    )


def _place(case: CaseView) -> str:
    return SEPARATOR.join(case.axes) or case.label


def _asked(report: Report, panel: Panel, cases: Sequence[CaseView]) -> list[Limit]:
    values = [e.value for c in cases if (e := c.estimate(panel.metric, panel.stat))]
    stat = "" if panel.stat == "value" else panel.stat
    return asked(report, panel.metric, [np.array([0.0, *values])], (stat,))


def _draw(
    figure: Figure,
    size: Size,
    curve: Curve,
    groups: Sequence[Sequence[CaseView]],
    limits: Sequence[Sequence[Limit]],
) -> Marks:
    marks = Marks()
    entries = [(g[0].model, picked(look_of(g[0]), *map(case_tag, g))) for g in groups]
    top = 20 + series_legend(figure, size, entries, 20)
    top += limit_legend(figure, size, [x for own in limits for x in own], top) + 8
    inner = (size.height - top - 42) / len(curve.panels)
    for place, panel in enumerate(curve.panels):
        above = top + inner * place
        below = 42 + inner * (len(curve.panels) - 1 - place)
        ax = axes_in(figure, size, 54, 14, above + (14 if place else 0), below)
        _panel(ax, curve, panel, groups, limits[place], marks, place)
        if place < len(curve.panels) - 1:
            ax.set_xticklabels([])
        else:
            ax.set_xlabel(curve.axis)
    return marks


def _panel(
    ax: Axes,
    curve: Curve,
    panel: Panel,
    groups: Sequence[Sequence[CaseView]],
    limits: Sequence[Limit],
    marks: Marks,
    place: int,
) -> None:
    every = [e for g in groups for c in g if (e := c.estimate(panel.metric, panel.stat))]
    scale = scale_for(panel.unit, *(e.value for e in every))
    for group in groups:
        estimates = [e for c in group if (e := c.estimate(panel.metric, panel.stat))]
        tips = [
            f"{c.label}\n{show(e, panel.unit).full}" for c, e in zip(group, estimates, strict=True)
        ]
        xs = [curve.at(c) or 0.0 for c in group]
        gid = f"{curve.id}-{place}-{group[0].key}"
        interval_line(ax, group, gid, xs, estimates, tips, marks, factor=scale.factor)
    value_axis(ax.xaxis, [np.array([curve.at(c) for g in groups for c in g])])
    limit_lines(ax, limits, scale.factor, upright=False)
    ax.set_ylim(0, 1.02 if panel.share else None)
    ax.set_ylabel(f"{panel.label} ({scale.unit})" if scale.unit else panel.label)
    slots = {s for g in groups for c in g if (s := c.summary.identity.slots_observed)}
    if curve.slots and slots:
        ax.axvline(max(slots), color=SOFT, linestyle="--", linewidth=1.2)
