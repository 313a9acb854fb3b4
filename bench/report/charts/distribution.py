"""Distribution of a time over the requests of each case (ECDF), with percentiles marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bench.analysis.summary import Estimate
from bench.report.charts.palette import DASHES, PAPER, SOFT, series_colour, series_marker
from bench.report.charts.parts import axes_in, look_of, sample_note, series_legend, some_drawn
from bench.report.charts.scales import time_axis
from bench.report.glossary import Term, term
from bench.report.model import SEPARATOR, CaseView
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import metric_table
from bench.report.samples import CURVE_POINTS, CaseSample, Samples, curve, sample_size
from bench.report.units import Scale, plural, scale_for, show, supported

MOST_CURVES: Final = 8
"""More curves than this cannot be told apart."""
_MARKED: Final = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_MIN_REQUESTS: Final = 5


def distribution_chart(samples: Samples, metric_id: str, chart_id: str) -> Chart | None:
    """The chart, None where no case has enough requests with that time."""
    have = [s for s in samples.cases if len(s.present(metric_id)) >= _MIN_REQUESTS]
    if not have:
        return None
    drawn = _chosen(have)
    n = sample_size(drawn, metric_id)
    name = term(metric_id)

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(n, 'request')}")
        return _draw(figure, size, drawn, metric_id)

    return Chart(
        id=chart_id,
        title=name.label,
        message=_message([s.case for s in have], metric_id),
        caption=(
            f"{_meaning(name, drawn)} Share of requests at or below each time; marked: p50, p90, "
            f"p95, p99 where the requests can support them. n = {plural(n, 'request')}."
            + _thinned(drawn, metric_id)
            + some_drawn(len(drawn), len(have))
        ),
        table=metric_table(samples.report, metric_id, f"{chart_id}-"),
        draw=draw,
        height=(350, 350),
        simulated=samples.report.simulated,
    )


def _meaning(name: Term, drawn: Sequence[CaseSample]) -> str:
    """What the time is; in an open loop it counts from another moment, which the caution says."""
    open_loop = any(s.case.rate_per_s is not None for s in drawn)
    return f"{name.meaning} {name.caution}".rstrip() if open_loop else name.meaning


def _chosen(have: Sequence[CaseSample]) -> list[CaseSample]:
    """Of every model as many cases as there is room for, from its lowest to its highest load."""
    if len(have) <= MOST_CURVES:
        return list(have)
    models = list(dict.fromkeys(s.case.model for s in have))
    each = max(1, MOST_CURVES // len(models))
    chosen = []
    for model in models:
        own = [s for s in have if s.case.model == model]
        places = np.linspace(0, len(own) - 1, min(each, len(own))).round().astype(int)
        chosen += [own[i] for i in places]
    return chosen[:MOST_CURVES]


def _thinned(drawn: Sequence[CaseSample], metric_id: str) -> str:
    most = max(len(s.present(metric_id)) for s in drawn)
    if most <= CURVE_POINTS:
        return ""
    return (
        f" Curves are drawn with {CURVE_POINTS} points each; all numbers are computed from every "
        "request."
    )


def _message(cases: Sequence[CaseView], metric_id: str) -> str:
    told = [(c, e) for c in cases if (e := c.estimate(metric_id, "p50")) and supported(e, "p50")]
    told.sort(key=lambda pair: pair[1].value or 0.0)
    if not told:
        return "There are too few requests for a median with an interval."
    if len(told) == 1:
        return f"Half of the requests take up to {show(told[0][1], 's', stat='p50').full}."
    return f"Half of the requests take up to {_said(*told[0])}; up to {_said(*told[-1])}."


def _said(case: CaseView, median: Estimate) -> str:
    return f"{show(median, 's', stat='p50').full} with {case.label}"


def _draw(figure: Figure, size: Size, drawn: Sequence[CaseSample], metric_id: str) -> Marks:
    dashes = _dashes(drawn)
    top = 20.0
    for entries in _legends(drawn, dashes):
        top += series_legend(figure, size, entries, top)
    ax = axes_in(figure, size, 60, 10, top + 8, 42)
    values = {s.case.key: s.present(metric_id) for s in drawn}
    scale = scale_for("s", *(float(np.median(v)) for v in values.values()))
    marks = Marks()
    for sample in drawn:
        case = sample.case
        x, share = curve(values[case.key] * scale.factor)
        gid = f"{metric_id}-line-{case.key}"
        ax.step(
            x,
            share,
            where="post",
            color=series_colour(case.series),
            linestyle=look_of(case, dashes[case.key])["linestyle"],
            gid=gid,
        )
        marks.models[gid] = case.model
        _mark_percentiles(ax, sample, metric_id, scale, marks)
    time_axis(
        ax.xaxis, [v * scale.factor for v in values.values()], scale.unit, term(metric_id).label
    )
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylabel("share of requests")
    return marks


def _legends(
    drawn: Sequence[CaseSample], dashes: dict[str, int]
) -> list[list[tuple[str, dict[str, Any]]]]:
    """Colours of models, then dashes of levels; one list of cases if levels differ by model."""
    models = list(dict.fromkeys(s.case.model for s in drawn))
    levels = [[s.case.axes for s in drawn if s.case.model == m] for m in models]
    if len(models) == len(drawn) or any(other != levels[0] for other in levels):
        return [[(s.case.label, look_of(s.case, dashes[s.case.key])) for s in drawn]]
    firsts = {s.case.model: s.case for s in reversed(drawn)}
    colours = [(m, look_of(firsts[m])) for m in models]
    lines = [
        (SEPARATOR.join(axes), {"color": SOFT, "linestyle": DASHES[i % len(DASHES)]})
        for i, axes in enumerate(levels[0])
    ]
    return [colours, lines]


def _dashes(drawn: Sequence[CaseSample]) -> dict[str, int]:
    """Cases of one model share its colour and differ in their dashes."""
    dashes = {}
    for model in dict.fromkeys(s.case.model for s in drawn):
        own = [s.case.key for s in drawn if s.case.model == model]
        dashes.update({key: i for i, key in enumerate(own)})
    return dashes


def _mark_percentiles(
    ax: Axes, sample: CaseSample, metric_id: str, scale: Scale, marks: Marks
) -> None:
    case = sample.case
    points = [
        (stat, share, estimate)
        for stat, share in _MARKED.items()
        if (estimate := case.estimate(metric_id, stat)) and supported(estimate, stat)
    ]
    if not points:
        return
    gid = f"{metric_id}-marks-{case.key}"
    ax.plot(
        [(e.value or 0.0) * scale.factor for _, _, e in points],
        [share for _, share, _ in points],
        linestyle="none",
        marker=series_marker(case.series),
        color=series_colour(case.series),
        markeredgecolor=PAPER,
        gid=gid,
    )
    marks.tips[gid] = [
        f"{case.label}\n{stat}: {show(e, 's', scale, stat).full}" for stat, _, e in points
    ]
    marks.models[gid] = case.model
