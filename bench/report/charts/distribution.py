"""Distribution of a time over the requests of each case: all shares (ECDF), or their tail.

Both lie over each other on one time axis, and the page shows one. In the tail, shares that the
requests cannot support are not drawn: p99 of 20 requests is their maximum under another name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from bench.analysis.run.columns import Floats
from bench.analysis.run.summary import Estimate
from bench.metrics import term
from bench.report.charts.axes import Limit, asked, limit_legend, limit_lines, time_axis, with_limits
from bench.report.charts.palette import DASHES, SOFT, series_colour
from bench.report.charts.parts import (
    MOST_CURVES,
    Canvas,
    case_tag,
    distinguishable,
    look_of,
    picked,
    points,
    tagged,
)
from bench.report.drill_down import TIMES
from bench.report.model import SEPARATOR, CaseView
from bench.report.page import Chart
from bench.report.result_tables import metric_table
from bench.report.samples import CURVE_POINTS, CaseSample, Samples, curve
from bench.report.units import Scale, plural, scale_for, show
from bench.stats.quantiles import order_statistic_ranks

_MARKED: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_MIN_REQUESTS: Final = 5
_STEPS: Final = 50
"""Of so many points on, a distribution is drawn as a line."""


def distribution_chart(samples: Samples, metric_id: str, chart_id: str) -> Chart | None:
    """The chart, None where no case has enough requests with that time."""
    have = [s for s in samples.cases if len(s.present(metric_id)) >= _MIN_REQUESTS]
    if not have:
        return None
    drawn = _chosen(have)
    n = sum(len(s.present(metric_id)) for s in drawn)
    name = term(metric_id)
    # In an open loop it counts from another moment, which the caution says.
    open_loop = any(s.case.rate_per_s is not None for s in drawn)
    meaning = f"{name.meaning} {name.caution}" if open_loop else name.meaning
    some = f" Drawn are {len(drawn)} of {len(have)} cases; the table has all."
    limits = asked(samples.report, metric_id, [s.present(metric_id) for s in drawn])
    return Chart(
        id=chart_id,
        title=name.label,
        message=_message([s.case for s in have], metric_id),
        caption=(
            f"{meaning.rstrip()} Share of requests at or below each time; marked: p50, p90, "
            "p95, p99 where the requests can support them. The tail ends where their support does. "
            f"n = {plural(n, 'request')}."
            + _thinned(drawn, metric_id)
            + (some if len(drawn) < len(have) else "")
        ),
        table=metric_table(samples.report, metric_id, f"{chart_id}-"),
        draw=lambda on: _draw(on, drawn, metric_id, limits),
        sample=f"n = {plural(n, 'request')}",
        height=(350, 350),
        views=VIEWS,
    )


def _chosen(have: Sequence[CaseSample]) -> list[CaseSample]:
    """Of every model as many cases as there is room for, from its lowest to its highest load."""
    by_model: dict[str, list[CaseSample]] = {}
    for s in have:
        by_model.setdefault(s.case.model, []).append(s)
    each = max(1, MOST_CURVES // len(by_model))
    spread = list(have)
    if len(have) > MOST_CURVES:
        places = [(own, i, min(each, len(own))) for own in by_model.values() for i in range(each)]
        spread = [own[round(i * (len(own) - 1) / max(n - 1, 1))] for own, i, n in places if i < n]
    samples = {s.case.key: s for s in spread}
    return [
        replace(samples[case.key], case=case)
        for (case,) in distinguishable([[s.case] for s in spread])
    ]


def _thinned(drawn: Sequence[CaseSample], metric_id: str) -> str:
    if max(len(s.present(metric_id)) for s in drawn) <= CURVE_POINTS:
        return ""
    return (
        f" Curves are drawn with {CURVE_POINTS} points at most; all numbers are computed from "
        "every request."
    )


def _message(cases: Sequence[CaseView], metric_id: str) -> str:
    medians = [(c, e) for c in cases if (e := c.known(metric_id, "p50"))]
    medians.sort(key=lambda pair: pair[1].value or 0.0)
    if not medians:
        return "There are too few requests for a median with an interval."
    if len(medians) == 1:
        return f"Half of the requests take up to {show(medians[0][1], 's', stat='p50').full}."
    return f"Half of the requests take up to {_said(*medians[0])}; up to {_said(*medians[-1])}."


def _said(case: CaseView, median: Estimate) -> str:
    return f"{show(median, 's', stat='p50').full} with {case.label}"


def _draw(on: Canvas, drawn: Sequence[CaseSample], metric_id: str, limits: Sequence[Limit]) -> None:
    dashes = _dashes(drawn)
    top = 20.0
    for entries in _legends(drawn, dashes):
        top += on.legend(entries, top)
    top += limit_legend(on, limits, top)
    margins = (60.0, 10.0, top + 8, 42.0)
    base = on.axes(*margins)
    values = {s.case.key: s.present(metric_id) for s in drawn}
    scale = scale_for("s", *(float(np.median(v)) for v in values.values()))
    span = [v * scale.factor for v in with_limits(list(values.values()), limits)]
    time_axis(base.xaxis, span, scale.unit, term(metric_id).label)
    limit_lines(base, limits, scale.factor, upright=True)
    on.marks.drawing.update(_axis_of(base, on, margins, scale, metric_id))
    highest = max(supported_share(len(v)) for v in values.values())
    views = share_axes(on, base, margins)
    for view, ax in enumerate(views):
        for sample in drawn:
            case = sample.case
            few = 2 if on.narrow else 1
            x, share = (
                tail_curve(values[case.key], TAIL_POINTS // few)
                if view
                else curve(values[case.key], CURVE_POINTS // few)
            )
            gid = tagged(f"{metric_id}-{view}-{case.key}", [case_tag(case)])
            ax.plot(
                x * scale.factor,
                in_tail(share) if view else share,
                # Many steps look like the line through them, which takes half the room.
                drawstyle="steps-post" if view or len(x) < _STEPS else "default",
                color=series_colour(case.series),
                linestyle=look_of(case, dashes[case.key])["linestyle"],
                clip_on=False,  # the axes hold every value
                gid=gid,
            )
            on.marks.models[gid] = case.model
            _mark_percentiles(on, ax, sample, metric_id, scale, tail=bool(view))
    all_shares(views[0])
    tail_shares(views[1], highest)


def _axis_of(
    ax: Axes, on: Canvas, margins: Margins, scale: Scale, metric_id: str
) -> dict[str, str]:
    """Where times stand, for the page's script: from a place it finds the request."""
    left, right, *_ = margins
    ends = (x / scale.factor * 1e3 for x in ax.get_xlim())
    kind, pixels = ax.get_xscale(), f"{left:g} {on.width - right:g}"
    return {
        "column": next(head for head, id in TIMES.items() if id == metric_id),
        "axis": f"{kind} {pixels} {' '.join(f'{x:.7g}' for x in ends)}",
    }


def _legends(
    drawn: Sequence[CaseSample], dashes: dict[str, int]
) -> list[list[tuple[str, dict[str, Any]]]]:
    """Colours of models, then dashes of levels; one list of cases if levels differ by model."""
    models = list(dict.fromkeys(s.case.model for s in drawn))
    levels = [[s.case.axes for s in drawn if s.case.model == m] for m in models]
    if len(models) in (1, len(drawn)) or any(other != levels[0] for other in levels):
        looks = ((s.case, look_of(s.case, dashes[s.case.key])) for s in drawn)
        return [[(case.label, picked(look, case_tag(case))) for case, look in looks]]
    firsts = {s.case.model: s.case for s in reversed(drawn)}
    colours = [
        (m, picked(look_of(firsts[m]), *(case_tag(s.case) for s in drawn if s.case.model == m)))
        for m in models
    ]
    lines = []
    for i, axes in enumerate(levels[0]):
        tags = (case_tag(s.case) for s in drawn if s.case.axes == axes)
        look = {"color": SOFT, "linestyle": DASHES[i % len(DASHES)]}
        lines.append((SEPARATOR.join(axes), picked(look, *tags)))
    return [colours, lines]


def _dashes(drawn: Sequence[CaseSample]) -> dict[str, int]:
    """Cases of one model share its colour and differ in their dashes."""
    seen: Counter[str] = Counter()
    dashes = {}
    for s in drawn:
        dashes[s.case.key] = seen[s.case.model]
        seen[s.case.model] += 1
    return dashes


def _mark_percentiles(
    on: Canvas, ax: Axes, sample: CaseSample, metric_id: str, scale: Scale, *, tail: bool
) -> None:
    case = sample.case
    marked = [
        (stat, share, estimate)
        for stat, share in _MARKED.items()
        if (estimate := case.known(metric_id, stat))
    ]
    if not marked:
        return
    gid = tagged(f"{metric_id}-marks-{tail:d}-{case.key}", [case_tag(case)])
    shares = np.array([share for _, share, _ in marked])
    xs, ys = [(e.value or 0.0) * scale.factor for _, _, e in marked], in_tail(shares)
    points(ax, xs, list(ys if tail else shares), gid, case.series, clip_on=False)
    tips = (f"{case.label}\n{stat}: {show(e, 's', scale, stat).full}" for stat, _, e in marked)
    on.say(gid, tips, case.model)


VIEWS: Final = ("Shares", "Tail")
TAIL_POINTS: Final = 48
_TICKS: Final = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
Margins = tuple[float, float, float, float]
"""Margins of axes in pixels: left, right, top, bottom."""


def share_axes(on: Canvas, base: Axes, margins: Margins) -> tuple[Axes, Axes]:
    """The axes of both views, over the axes that hold the times."""
    base.set_yticks([])
    views = []
    for number, name in enumerate(("share of requests", "percentile (logarithmic)")):
        ax = on.axes(*margins)
        ax.set_gid(f"view-{number}")
        ax.set_xscale(base.get_xscale())
        ax.set_xlim(base.get_xlim())
        ax.xaxis.set_visible(False)
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name)
        views.append(ax)
    return views[0], views[1]


def all_shares(ax: Axes) -> None:
    """The scale of all requests."""
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def tail_shares(ax: Axes, highest: float) -> None:
    """The scale of the tail, up to the highest share that any requests support."""
    ticks = [t for t in _TICKS if t <= highest]
    ax.set_ylim(0, max(float(in_tail(np.array([highest]))[0]) * 1.05, 0.1))
    ax.set_yticks(in_tail(np.array(ticks)), [f"p{100 * t:g}" for t in ticks])


def in_tail(shares: Floats) -> Floats:
    """Where shares below 1 stand in the tail: every nine takes as much room as the one before."""
    places: Floats = -np.log10(1 - shares)
    return places


def supported_share(n: int) -> float:
    """The highest share of which n requests have an interval with both ends; 0 if none."""
    rank = n - 1
    while rank > 0 and order_statistic_ranks(n, rank / n)[1] > n:
        rank -= 1
    return max(rank, 0) / n


def tail_curve(ordered: Floats, points: int = TAIL_POINTS) -> tuple[Floats, Floats]:
    """An ordered distribution thinned for its tail: up to the highest supported share."""
    n = len(ordered)
    highest = round(supported_share(n) * n)
    if highest < 1:
        return ordered[:0], ordered[:0]
    beyond = np.geomspace(n, n - highest, points)
    ranks = np.unique(np.append(1, (n - beyond).round().astype(int)))
    ranks = ranks[(ranks >= 1) & (ranks <= highest)]
    return ordered[ranks - 1], ranks / n
