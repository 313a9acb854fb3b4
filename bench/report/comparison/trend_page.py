"""A metric over time: runs of one identity, change points, and the table of server versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from matplotlib.figure import Figure

import bench
from bench.analysis.change_points import MAX_P, MIN_CHANGE, MIN_POINTS, ChangePoint
from bench.analysis.metrics import METRICS
from bench.analysis.summary import Estimate
from bench.analysis.trend import Trend
from bench.report.charts.palette import BAD, PAPER, SERIES, SOFT
from bench.report.charts.parts import axes_in, ends
from bench.report.comparison.wording import metric_name
from bench.report.page import Answer, Badge, Chart, Marks, Page, Prose, Section, Size, Tone
from bench.report.tables import Table, estimate_column, from_columns, text_column
from bench.report.units import number, percent, plural, scale_for, show

METHOD = (
    f"Change points by E-divisive means with Student's t (p < {MAX_P:g}, at least "
    f"{percent(MIN_CHANGE)}), looked for from {MIN_POINTS} runs of one identity on. Where runs "
    "scatter by 2 %, about 1 in 100 stable series shows a false one, and a drop of 5 % is found "
    "after one run hardly ever, after three in 7 of 10 cases, after five in 9 of 10: this is a "
    "report, not a gate. Identity: model digest, options, "
    "prompts, load, hardware; the server's version may change. Intervals of versions are Student's "
    "t over runs."
)
_MOST_SERIES = 12


def trend_page(trends: Sequence[Trend]) -> Page:
    """The page about trends of one metric.

    Args:
        trends: at least one.
    """
    told = trends[:_MOST_SERIES]
    metric = told[0].metric
    simulated = any(t.simulated for t in told)
    left_out = len(trends) - len(told)
    items = [item for i, t in enumerate(told) for item in (_chart(t, i), version_table(t, i))]
    return Page(
        title=f"{metric_name(metric)} over time",
        subtitle="",
        badges=(Badge("simulated", "caution"),) if simulated else (),
        facts=(("Identities", number(len(trends), 0)),),
        findings=tuple(_answer(t) for t in told),
        answers=(),
        warnings=(),
        sections=(
            Section(
                "trend",
                "Over time",
                tuple(items),
                f"{left_out} identities with fewer runs are left out." if left_out else "",
            ),
            Section("method", "How change points are found", (Prose(METHOD),)),
        ),
        brief=(_all_versions(told),),
        simulated=simulated,
        data=trend_json(trends),
        data_name="trend.json",
        tool_version=bench.__version__,
    )


def trend_json(trends: Sequence[Trend]) -> bytes:
    """The trends as JSON: `metric, case, identity, points[], changes[], versions[]`."""
    return msgspec.json.encode(list(trends))


def version_table(trend: Trend, number_: int) -> Table:
    """Version, runs, mean with interval: the table that a maintainer makes by hand."""
    unit = _unit(trend)
    means = [Estimate(v.mean, v.low, v.high) for v in trend.versions]
    return from_columns(
        f"versions-{number_}",
        f"{metric_name(trend.metric)}, {trend.case}, by server version",
        [
            text_column("Server version", [v.server_version for v in trend.versions]),
            text_column("Runs", [v.runs for v in trend.versions]),
            estimate_column("Mean", unit, means, bars=True),
        ],
    )


def _all_versions(trends: Sequence[Trend]) -> Table:
    """The version tables of several identities in one."""
    rows = [(t, v) for t in trends for v in t.versions]
    means = [Estimate(v.mean, v.low, v.high) for _, v in rows]
    columns = [text_column("Case", [t.case for t, _ in rows])] if len(trends) > 1 else []
    return from_columns(
        "versions",
        f"{metric_name(trends[0].metric)} by server version",
        [
            *columns,
            text_column("Server version", [v.server_version for _, v in rows]),
            text_column("Runs", [v.runs for _, v in rows]),
            estimate_column("Mean", _unit(trends[0]), means),
        ],
    )


def _answer(trend: Trend) -> Answer:
    if not trend.long_enough:
        text = f"{plural(len(trend.points), 'run')}; change points need {MIN_POINTS}"
    elif not trend.changes:
        text = f"no change in {plural(len(trend.points), 'run')}"
    else:
        text = "; ".join(_change_text(trend, c) for c in trend.changes)
    tone: Tone = "caution" if trend.changes else "neutral"
    return Answer("", ((f"{trend.case}: {text}.",),), tone=tone)


def _change_text(trend: Trend, change: ChangePoint) -> str:
    point = trend.points[change.index]
    unit = _unit(trend)
    before, after = (show(Estimate(v), unit).number for v in (change.before, change.after))
    sign = "+" if change.change > 0 else ""
    return (
        f"changed by {sign}{percent(change.change, 1)} with the run of "
        f"{point.created_at[:16].replace('T', ' ')} ({point.server_version}): {before} before, "
        f"{after} since"
    )


def _chart(trend: Trend, number_: int) -> Chart:
    def draw(figure: Figure, size: Size) -> Marks:
        return _draw(figure, size, trend, f"trend-{number_}")

    return Chart(
        id=f"trend-{number_}",
        title=trend.case,
        message=_answer(trend).texts[0],
        caption=(
            f"{metric_name(trend.metric)} of every run with its 95 % interval, in order of time. "
            "Lines: means between change points; dashed: another server version begins."
        ),
        table=_point_table(trend, number_),
        draw=draw,
        height=(320, 320),
        simulated=trend.simulated,
        full_width=True,
    )


def _point_table(trend: Trend, number_: int) -> Table:
    points = trend.points
    values = [Estimate(p.value, p.low, p.high) for p in points]
    return from_columns(
        f"trend-{number_}-table",
        f"{metric_name(trend.metric)} of every run, {trend.case}",
        [
            text_column("Run", [p.run for p in points]),
            text_column("Time", [p.created_at[:16].replace("T", " ") for p in points]),
            text_column("Server version", [p.server_version for p in points]),
            estimate_column("Value", _unit(trend), values),
        ],
    )


def _draw(figure: Figure, size: Size, trend: Trend, gid: str) -> Marks:
    ax = axes_in(figure, size, 66, 34, 26, 46)
    points = trend.points
    scale = scale_for(_unit(trend), *(p.value for p in points))
    xs = list(range(len(points)))
    estimates = [Estimate(p.value, p.low, p.high) for p in points]
    lengths = [[x * scale.factor for x in side] for side in ends(estimates)]
    values = [p.value * scale.factor for p in points]
    ax.errorbar(xs, values, yerr=lengths, fmt="none", ecolor=SERIES[0], elinewidth=1, zorder=1)
    ax.plot(
        xs,
        values,
        linestyle="none",
        marker="o",
        color=SERIES[0],
        markeredgecolor=PAPER,
        gid=gid,
        zorder=3,
    )
    edges = [0, *(c.index for c in trend.changes), len(points)]
    levels = [c.before for c in trend.changes[:1]] + [c.after for c in trend.changes]
    for start, end, level in zip(edges, edges[1:], levels, strict=False):
        ys = [level * scale.factor] * 2
        ax.plot([xs[start], xs[end - 1]], ys, color=BAD, linewidth=2, zorder=2)
    for i in range(1, len(points)):
        if points[i].server_version != points[i - 1].server_version:
            where = i - 0.5
            ax.axvline(where, color=SOFT, linestyle=(0, (3, 3)), linewidth=1)
            ax.annotate(
                points[i].server_version,
                (where, 1.0),
                (3, 4),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=SOFT,
                fontsize=10,
            )
    most = 4 if size.narrow else 8
    ticks = np.unique(np.linspace(0, len(xs) - 1, min(most, len(xs))).round().astype(int))
    ax.set_xticks(ticks, [points[i].created_at[:10] for i in ticks])
    ax.set_xlim(-0.5, len(xs) - 0.5)
    ax.set_ylabel(scale.unit)
    tips = [
        f"{p.created_at[:16].replace('T', ' ')}\n{p.server_version}\n{show(e, _unit(trend)).full}"
        for p, e in zip(points, estimates, strict=True)
    ]
    return Marks(tips={gid: tips})


def _unit(trend: Trend) -> str:
    kind = METRICS.get(trend.metric.partition(".")[0])
    return kind.unit if kind else ""
