"""A metric over time: runs of one identity, change points, and the table of server versions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np

from bench.analysis.comparison.trend import Trend
from bench.analysis.run.summary import Estimate
from bench.metrics import METRICS
from bench.report.charts.palette import BAD, SERIES, SOFT
from bench.report.charts.parts import ABOVE, Canvas, ends, note, points, text_width
from bench.report.comparison.wording import metric_name
from bench.report.page import SIMULATED, Answer, Chart, Item, Page, Prose, Section, Tone
from bench.report.tables import Table, estimate_column, from_columns, text_column
from bench.report.units import minute, number, percent, plural, scale_for, show
from bench.stats.change_points import MAX_P, MIN_CHANGE, MIN_POINTS, ChangePoint

METHOD = (
    f"Change points by E-divisive means with Student's t (p < {MAX_P:g}, at least "
    f"{percent(MIN_CHANGE)}), looked for from {MIN_POINTS} runs of one identity on. The test "
    "allows for runs that resemble the run before, and a step must stay significant beside a "
    "straight line. About 5 in 100 series without a step at most show a false one, with an "
    "autocorrelation up to 0.8 or a drift of 10 %. With both it is about 10: a change that a slow "
    "drift explains nearly as well is said to be one, and of the others it is at most 5 again. "
    "Where runs scatter by 2 %, a drop of 5 % is found after one run hardly ever, after three in 6 "
    "of 10 cases, after five in 8 of 10; with 10 runs before and 10 since in fewer than half, as "
    "so short a series may also have drifted. This is a report, not a gate. Identity: model "
    "digest, options, prompts, load, hardware; the server's version may change. Intervals of "
    "versions are Student's "
    "t over runs."
)
_MOST_SERIES = 12
_DAY_S = 86_400
_FEW_DAYS = 5.0


def trend_page(trends: Sequence[Trend], links: Mapping[str, str] | None = None) -> Page:
    """The page about trends of one metric; `links` says where the report of a run is."""
    shown_trends = _distinct(trends[:_MOST_SERIES])
    metric = shown_trends[0].metric
    simulated = any(t.simulated for t in shown_trends)
    left_out = len(trends) - len(shown_trends)
    lead = f"Left out, with fewer runs: {left_out} more." if left_out else ""
    items: list[Item] = []
    for place, trend in enumerate(shown_trends):
        caption = f"{metric_name(metric)}, {trend.case}, by server version"
        table = _versions((trend,), f"versions-{place}", caption, bars=True)
        items += [_chart(trend, place, links or {}), table]
    return Page(
        title=f"{metric_name(metric)} over time",
        badges=(SIMULATED,) if simulated else (),
        facts=(("Identities", number(len(trends), 0)),),
        findings=tuple(_answer(t) for t in shown_trends),
        sections=(
            Section("trend", "Over time", tuple(items), lead),
            Section("method", "How change points are found", (Prose(METHOD),)),
        ),
        brief=(_versions(shown_trends, "versions", f"{metric_name(metric)} by server version"),),
        simulated=simulated,
        data=msgspec.json.encode(list(trends)),
        data_name="trend.json",
    )


def _distinct(trends: Sequence[Trend]) -> list[Trend]:
    """Cases of one name get a name that says what differs: scenario, else when they began."""
    named = list(trends)
    distinctions: tuple[Callable[[Trend], str], ...] = (
        lambda t: t.scenario,
        lambda t: f"from {minute(t.points[0].created_at)}",
    )
    for distinction in distinctions:
        kinds = {(t.case, distinction(t)) for t in named}
        seen = Counter(case for case, _ in kinds)
        differ = {case for case, n in seen.items() if n > 1}
        named = [
            replace(t, case=f"{t.case} ({distinction(t)})") if t.case in differ else t
            for t in named
        ]
    return named


def _versions(trends: Sequence[Trend], table_id: str, caption: str, *, bars: bool = False) -> Table:
    """Version, runs, mean with interval: the table that a maintainer makes by hand."""
    rows = [(t, v) for t in trends for v in t.versions]
    means = [Estimate(v.mean, v.low, v.high) for _, v in rows]
    columns = [text_column("Case", [t.case for t, _ in rows])] if len(trends) > 1 else []
    columns += [
        text_column("Server version", [v.server_version for _, v in rows]),
        text_column("Runs", [v.runs for _, v in rows]),
        estimate_column("Mean", _unit(trends[0]), means, bars=bars),
    ]
    return from_columns(table_id, caption, columns)


def _answer(trend: Trend) -> Answer:
    text, runs = "; ".join(_change_text(trend, c) for c in trend.changes), len(trend.points)
    if not trend.long_enough:
        text = f"{plural(runs, 'run')}; change points need {MIN_POINTS}"
    elif not text:
        text = f"no change in {plural(runs, 'run')}"
    tone: Tone = "caution" if trend.changes else "neutral"
    more = ((f"Left out: {', '.join(trend.left_out)}.",),) if trend.left_out else ()
    return Answer("", ((f"{trend.case}: {text}.",), *more), tone=tone)


def _change_text(trend: Trend, change: ChangePoint) -> str:
    point = trend.points[change.index]
    unit = _unit(trend)
    before, after = (show(Estimate(v), unit).number for v in (change.before, change.after))
    sign = "+" if change.change > 0 else ""
    drift = "" if change.firm else ", unless it is a slow drift, which explains it nearly as well"
    return (
        f"changed by {sign}{percent(change.change, 1)} with the run of "
        f"{minute(point.created_at)} ({point.server_version}): {before} before, "
        f"{after} since{drift}"
    )


def _chart(trend: Trend, number_: int, links: Mapping[str, str]) -> Chart:
    return Chart(
        id=f"trend-{number_}",
        title=trend.case,
        message=_span(trend),
        caption=(
            f"{metric_name(trend.metric)} of every run with its 95 % interval, in order of time. "
            "Red: means between change points, and where they change; dashed: another server "
            "version begins."
        ),
        table=_point_table(trend, number_, links),
        draw=lambda on: _draw(on, trend, f"trend-{number_}"),
        height=(320, 320),
        simulated=trend.simulated,
        full_width=True,
    )


def _span(trend: Trend) -> str:
    """What is drawn; what it means stands in the verdict, once."""
    first, last = (trend.points[i].created_at[:10] for i in (0, -1))
    versions = [v.server_version for v in trend.versions]
    which = " to ".join(dict.fromkeys((versions[0], versions[-1])))
    return f"{plural(len(trend.points), 'run')} from {first} to {last}, server {which}."


def _point_table(trend: Trend, number_: int, links: Mapping[str, str]) -> Table:
    points = trend.points
    values = [Estimate(p.value, p.low, p.high) for p in points]
    runs, cells = text_column("Run", [p.run for p in points])
    cells = [replace(c, href=links.get(p.run, "")) for c, p in zip(cells, points, strict=True)]
    columns = [
        (runs, cells),
        text_column("Time", [minute(p.created_at) for p in points]),
        text_column("Server version", [p.server_version for p in points]),
        estimate_column("Value", _unit(trend), values),
    ]
    caption = f"{metric_name(trend.metric)} of every run, {trend.case}"
    return from_columns(f"trend-{number_}-table", caption, columns)


def _draw(on: Canvas, trend: Trend, gid: str) -> None:
    ax = on.axes(66, 34, 26, 46)
    runs = trend.points
    scale = scale_for(_unit(trend), *(p.value for p in runs))
    # In days of UTC.
    xs = [datetime.fromisoformat(p.created_at).timestamp() / _DAY_S for p in runs]
    span = max(xs[-1] - xs[0], 1e-3)  # less is below what axes can tell from the date
    estimates = [Estimate(p.value, p.low, p.high) for p in runs]
    lengths = ends(estimates, scale.factor)
    values = [p.value * scale.factor for p in runs]
    ax.errorbar(xs, values, yerr=lengths, fmt="none", ecolor=SERIES[0], elinewidth=1, zorder=1)
    points(ax, xs, values, gid, 0, zorder=3)
    edges = [0, *(c.index for c in trend.changes), len(runs)]
    levels = [c.before for c in trend.changes[:1]] + [c.after for c in trend.changes]
    for start, end, level in zip(edges, edges[1:], levels, strict=False):
        ys = [level * scale.factor] * 2
        ax.plot([xs[start], xs[end - 1]], ys, color=BAD, linewidth=2, zorder=2)
        said = show(Estimate(level), _unit(trend), scale).text
        note(ax, said, (xs[start], ys[0]), (0, 5), color=BAD, fontsize=10.5)
    for change in trend.changes:
        where = (xs[change.index - 1] + xs[change.index]) / 2
        ax.axvline(where, color=BAD, linewidth=1)
    labelled = -math.inf
    for i in range(1, len(runs)):
        if runs[i].server_version != runs[i - 1].server_version:
            where = (xs[i - 1] + xs[i]) / 2
            ax.axvline(where, color=SOFT, linestyle=(0, (3, 3)), linewidth=1)
            place = (where - xs[0]) / span * on.width
            if 0 <= place - labelled < text_width(runs[i].server_version, 10) + 8:
                continue
            labelled = place
            version = trend.points[i].server_version
            note(ax, version, (where, 1.0), (3, 4), xycoords=ABOVE, color=SOFT, fontsize=10)
    ticks = np.linspace(xs[0], xs[-1], 3 if on.narrow else 6)
    ax.set_xticks(ticks, [_date(x, span) for x in ticks])
    ax.set_xlim(xs[0] - 0.04 * span, xs[-1] + 0.04 * span)
    ax.set_ylabel(scale.unit)
    tips = [
        f"{minute(p.created_at)}\n{p.server_version}\n{show(e, _unit(trend)).full}"
        for p, e in zip(runs, estimates, strict=True)
    ]
    on.say(gid, tips)


def _date(days: float, span: float) -> str:
    """A tick: the day, or within a few days the hour as well."""
    at = datetime.fromtimestamp(days * _DAY_S, UTC)
    return f"{at:%Y-%m-%d}" if span > _FEW_DAYS else f"{at:%m-%d %H:%M}"


def _unit(trend: Trend) -> str:
    kind = METRICS.get(trend.metric.partition(".")[0])
    return kind.shown_unit if kind else ""
