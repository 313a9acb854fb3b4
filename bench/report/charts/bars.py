"""Charts of a bar a case: decode speed, and the shares of answers that pass checks.

Rows have the model as a heading where it has several cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.run.summary import Estimate
from bench.report.charts.axes import (
    Limit,
    asked,
    legend_room,
    limit_legend,
    limit_lines,
    with_limits,
)
from bench.report.charts.palette import INK, SERIES_HATCHES, SOFT, series_colour
from bench.report.charts.parts import (
    BESIDE,
    Canvas,
    boxes,
    case_tag,
    ends,
    note,
    only_first,
    shortened,
    text_width,
)
from bench.report.model import SEPARATOR, CaseView, Report
from bench.report.page import Chart
from bench.report.result_tables import few_blocks, metric_table, metrics_by_case
from bench.report.session_words import CHECKS
from bench.report.units import plural, scale_for, show

METRIC: Final = "decode_tok_per_s"


def speed_chart(report: Report) -> Chart | None:
    """The chart, None where no case has a decode speed."""
    cases = [c for c in report.cases if c.known(METRIC)]
    if not cases:
        return None
    drawn = cases[:MOST_ROWS]
    limits = asked(report, METRIC, [np.array([0.0, *(c.value(METRIC) for c in drawn)])])
    n = sum(c.n(METRIC) for c in cases)
    best, worst, first, last = _extremes(cases, METRIC, "tok/s")

    def draw(on: Canvas) -> None:
        ax, reach = metric_bars(on, drawn, METRIC, "tok/s", limits)
        ax.set_xlim(0, max(x for v in with_limits([np.array([reach])], limits) for x in v) * 1.02)
        limit_lines(ax, limits, upright=True)
        ax.set_xlabel("tokens per second")

    return Chart(
        id="speed",
        title="Decode speed",
        message=f"{cases[0].subject} writes {best}."
        if len(cases) == 1
        else f"From {best} for {first} down to {worst} for {last}.",
        caption=(
            "Bars: tokens per second of one answer while it is being written, on the server's "
            f"clock. Lines: 95 % intervals. {_without(cases, n)}"
            f"n = {plural(n, 'request')}.{only_first(len(drawn), len(cases), 'case')}"
        ),
        table=metric_table(report, METRIC, "chart-"),
        draw=draw,
        sample=f"n = {plural(n, 'request')}",
        height=chart_height(drawn, legend_room(len(limits))),
    )


def _extremes(cases: Sequence[CaseView], id: str, unit: str) -> tuple[str, str, str, str]:
    """The highest and the lowest value, and whose they are."""
    ordered = sorted(cases, key=lambda c: -c.value(id))
    best, worst = (show(c.estimate(id), unit).full for c in (ordered[0], ordered[-1]))
    return best, worst, ordered[0].label, ordered[-1].label


def _without(cases: Sequence[CaseView], n: int) -> str:
    """How many answers have no speed, and why, as the metric says it."""
    left_out = sum(c.summary.requests.ok for c in cases) - n
    metrics = [m for c in cases if (m := c.metric(METRIC))]
    reasons = dict.fromkeys(m.note.rpartition(": ")[2] for m in metrics if m.note)
    if left_out < 1 or not reasons:
        return ""
    return f"{plural(left_out, 'request')} left out: {'; '.join(reasons)}. "


def validity_charts(report: Report) -> list[Chart]:
    """One chart a check of answers; that of JSON only where no schema asks for more."""
    found = {id: cases for id in CHECKS if (cases := [c for c in report.cases if c.known(id)])}
    if "schema_valid_rate" in found:
        found.pop("json_valid_rate", None)
    return [_validity_chart(id, cases) for id, cases in found.items()]


def _validity_chart(id: str, cases: Sequence[CaseView]) -> Chart:
    drawn = cases[:MOST_ROWS]
    n = sum(c.n(id) for c in cases)
    checked = [(i, "value") for i in CHECKS if any(c.known(i) for c in cases)]
    best, worst, first, last = _extremes(cases, id, "share")

    def draw(on: Canvas) -> None:
        ax, _ = metric_bars(on, drawn, id, "share")
        ax.set_xlim(0, 100)
        ax.set_xlabel("% of the answers")

    return Chart(
        id=f"valid-{id.partition('_')[0]}",
        title=f"Answers that {CHECKS[id]}",
        message=f"{cases[0].subject}: {best} of the answers {CHECKS[id]}."
        if len(cases) == 1
        else f"Of the answers {best} {CHECKS[id]} for {first}, {worst} for {last}.",
        caption=(
            f"Bars: share of the answers that {CHECKS[id]}. Lines: 95 % intervals "
            "(Jeffreys', with the spread of blocks). Answers that were cut at their length "
            f"count as invalid.{only_first(len(drawn), len(cases), 'case')}"
            + "".join(f" {note}" for note in few_blocks(cases))
        ),
        table=metrics_by_case(f"valid-{id}-table", "Valid answers", cases, checked),
        draw=draw,
        sample=f"n = {plural(n, 'answer')}",
        height=chart_height(drawn),
    )


MOST_ROWS: Final = 24
"""At most so many cases are drawn."""
_NUMBER_FONT: Final = 11.5
_FONT: Final = 12
_HEADING: Final = 30
_FEW: Final = 4
_ROW: Final = 27
_ROOMY_ROW: Final = 58
_NAME_ROW: Final = 18
_THICKEST: Final = 26
_TOP: Final = 22
_BOTTOM: Final = 44


@dataclass(frozen=True, slots=True)
class Rows:
    """Where each case is drawn, in pixels from the top of the axes.

    Attributes:
        headings: (text, place) of every model with several cases.
        places: (case, label, place of its bar).
        height: of all rows.
        bar: thickness of a bar.
    """

    headings: tuple[tuple[str, float], ...]
    places: tuple[tuple[CaseView, str, float], ...]
    height: float
    bar: float


def lay_out(cases: Sequence[CaseView], narrow: bool) -> Rows:
    """Rows for some cases, models together in their order."""
    headings, places, y = [], [], 0.0
    step = _ROOMY_ROW if len(cases) <= _FEW and not narrow else _ROW
    for model in dict.fromkeys(c.model for c in cases):
        own = [c for c in cases if c.model == model]
        grouped = len(own) > 1
        if grouped:
            headings.append((model, y + _HEADING / 2 + 3))
            y += _HEADING
        for case in own:
            label = SEPARATOR.join(case.axes) if grouped else case.label
            on_top = narrow and not (grouped and text_width(label, _FONT) < 80)
            y += _NAME_ROW if on_top else 0
            places.append((case, label, y + step / 2))
            y += step
    return Rows(tuple(headings), tuple(places), y, min(step * 0.58, _THICKEST))


def chart_height(cases: Sequence[CaseView], legend: int = 0) -> tuple[int, int]:
    """Height of the wide and of the narrow drawing, with so many pixels above the rows."""
    frame = _TOP + _BOTTOM + legend
    wide, narrow = (round(lay_out(cases, n).height) + frame for n in (False, True))
    return wide, narrow


def metric_bars(
    on: Canvas, cases: Sequence[CaseView], metric_id: str, unit: str, limits: Sequence[Limit] = ()
) -> tuple[Axes, float]:
    """A bar a case with its interval and number; also how far right they reach, as displayed."""
    rows = lay_out(cases, on.narrow)
    half, factor = rows.bar / 2, scale_for(unit).factor
    shown = {c.key: show(c.estimate(metric_id), unit) for c in cases}
    top = _TOP + limit_legend(on, limits, _TOP - 2)
    ax = row_axes(on, rows, [shown[c.key].cell for c, _, _ in rows.places], top)
    for model in dict.fromkeys(c.model for c in cases):
        own = [(c, y) for c, _, y in rows.places if c.model == model]
        series, gid = own[0][0].series, f"bars-{metric_id}-{own[0][0].key}"
        places = [(0.0, c.value(metric_id) * factor, y - half, y + half) for c, y in own]
        hatch = SERIES_HATCHES[series % len(SERIES_HATCHES)]
        boxes(ax, places, series_colour(series), hatch, gid)
        tips = (f"{c.label}\n{shown[c.key].full}\nn = {c.n(metric_id)}" for c, _ in own)
        on.say(gid, tips, model, (case_tag(c) for c, _ in own))
    estimates = [e for c, _, _ in rows.places if (e := c.estimate(metric_id))]
    middles, tags = [y for *_, y in rows.places], [case_tag(c) for c, _, _ in rows.places]
    return ax, bar_intervals(on, ax, middles, estimates, metric_id, tags, factor)


def bar_intervals(
    on: Canvas,
    ax: Axes,
    middles: Sequence[float],
    estimates: Sequence[Estimate],
    gid: str,
    tags: list[str],
    factor: float = 1.0,
    thick: float = 2.0,
) -> float:
    """The intervals of bars, each with the tags of its bar; returns how far right they reach."""
    values = [(e.value or 0.0) * factor for e in estimates]
    lengths = ends(estimates, factor)
    look: dict[str, Any] = {"ecolor": INK, "elinewidth": thick, "capsize": 2 * thick}
    bars = ax.errorbar(values, middles, xerr=lengths, fmt="none", **look)
    for i, part in enumerate((*bars.lines[1], *bars.lines[2])):
        part.set_gid(f"{gid}-bars-{i}")
        on.marks.tags[f"{gid}-bars-{i}"] = tags
    return max(map(sum, zip(values, lengths[1], strict=True)))


def row_axes(on: Canvas, rows: Rows, numbers: Sequence[str], top: float = _TOP) -> Axes:
    """Axes in which y is pixels from the top, with the rows' names and numbers beside them."""
    labels = [label for _, label, _ in rows.places]
    widest = max(text_width(label, _FONT) for label in labels)
    room = min(widest + 14.0, on.width * (0.28 if on.narrow else 0.44))
    on_top = on.narrow and widest >= 80
    left = 10.0 if on_top else room  # half a number of the scale
    right = 20 + max(text_width(text, _NUMBER_FONT) for text in numbers)
    ax = on.axes(left, right, top, _BOTTOM)
    ax.set_ylim(rows.height, 0)
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False, axis="y")
    for text, y in rows.headings:
        _name(ax, shortened(text, on.width - 12, _FONT), y, -left + 4, "left", "bold")
    for _, label, y in rows.places:
        if on_top:
            _name(ax, shortened(label, on.width - 12, _FONT), y - 17, 0, "left")
        else:
            _name(ax, shortened(label, left - 12, _FONT), y, -8, "right")
    look = {"va": "center", "color": SOFT, "fontsize": _NUMBER_FONT, "annotation_clip": False}
    for (*_, y), text in zip(rows.places, numbers, strict=True):
        note(ax, text, (1, y), (8, 0), xycoords=BESIDE, **look)
    return ax


def _name(ax: Axes, text: str, y: float, dx: float, align: str, weight: str = "normal") -> None:
    look = {"va": "center", "color": INK, "fontsize": _FONT, "annotation_clip": False}
    note(ax, text, (0, y), (dx, 0), xycoords=BESIDE, ha=align, fontweight=weight, **look)
