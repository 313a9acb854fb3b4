"""Charts of the search: the promised time against load, goodput, and the queue's growth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.capacity.result import CapacityResult, ProbeResult
from bench.analysis.capacity.sweep import Level
from bench.analysis.run.summary import Estimate
from bench.report.capacity.tables import (
    VERDICTS,
    frontier_table,
    goodput_table,
    promise_table,
    sweep_table,
    wait_table,
)
from bench.report.capacity.wording import knee_sentence, load_text, probe_cells, searched_text
from bench.report.charts.axes import level_axis, limit_legend, limit_lines, limits, plain, time_axis
from bench.report.charts.palette import BAD, GRID, SERIES, SOFT
from bench.report.charts.parts import Canvas, ends, interval_bars, note, picked, tagged
from bench.report.page import Chart
from bench.report.units import plural, scale_for, show, show_value, three_digits

Look = dict[str, Any]

_LOOKS: Final[dict[str, Look]] = {
    "pass": {"color": SERIES[2], "marker": "o", "linestyle": "none"},
    "fail": {"color": BAD, "marker": "X", "linestyle": "none"},
    "undecided": {"color": SOFT, "marker": "D", "linestyle": "none"},
}
_MEASURED: Final[Look] = {"color": SERIES[0], "marker": "o", "linestyle": "none"}
_MODELLED: Final[Look] = {"color": SERIES[1], "marker": "", "linestyle": (0, (5, 2))}
_LOG_FROM: Final = 12
"""A promised time that goes beyond its limit by this factor is drawn on a logarithmic axis."""


def capacity_charts(result: CapacityResult) -> list[Chart]:
    """Every chart of a search; empty without probes."""
    charts: list[Chart] = []
    if result.probes:
        charts += [_promise_chart(result, i) for i in range(len(result.promises))]
        charts.append(_goodput_chart(result))
        if any(p.modelled_wait_s is not None for p in result.probes):
            charts.append(_wait_chart(result))
    return [*charts, *sweep_charts(result)]


def _promise_chart(result: CapacityResult, i: int) -> Chart:
    promise = result.promises[i]
    finite = [p for p in result.probes if p.kept[i].value is not None]
    cells = [(p, probe_cells(p)[i]) for p in finite]
    unit = promise.kind.shown_unit
    scale = scale_for(unit, promise.value, *(e.value for _, e in cells))
    limit = limits([promise], [np.array([promise.value])])

    def draw(on: Canvas) -> None:
        legend = [
            (f"promise {VERDICTS[v]}", picked(look, f"verdict.{v}")) for v, look in _LOOKS.items()
        ]
        height = on.legend(legend, 24)
        ax = on.axes(62, 14, 32 + height + limit_legend(on, limit, 24 + height), 52)
        for verdict, look in _LOOKS.items():
            shown = [(p, e) for p, e in cells if p.kept[i].verdict == verdict]
            gid = tagged(f"promise-{i}-{verdict}", [f"verdict.{verdict}"])
            _points(ax, shown, scale.factor, look, gid)
            tips = (f"{load_text(result, p.load)}\n{show(e, unit, scale).full}" for p, e in shown)
            on.say(gid, tips)
        limit_lines(ax, limit, scale.factor, upright=False)
        if result.low is not None and result.high is not None:
            ax.axvspan(result.low, result.high, color=GRID, zorder=0)
        highest = max((e.value or 0.0 for _, e in cells), default=0.0)
        if promise.value > 0 and highest > _LOG_FROM * promise.value:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0)
        _finish(ax, result, f"{promise.label} ({scale.unit})")

    return Chart(
        id=f"promise-{i}",
        title=f"{promise.text}, against load",
        message=f"The promise {promise.text} at {plural(len(result.probes), 'probe')}.",
        caption=(
            "Each point is one probe, with one-sided 97.5 % bounds; dashed: the promise; grey "
            f"band: where the limit lies. {_n(result)}."
        ),
        table=promise_table(result, i),
        draw=draw,
        sample=_n(result),
        height=(350, 340),
        simulated=result.simulated,
    )


def _points(
    ax: Axes, shown: list[tuple[ProbeResult, Estimate]], factor: float, look: Look, gid: str
) -> None:
    """Probes with their bounds; one without a lower bound reaches down to 0."""
    if shown:
        x = [p.load for p, _ in shown]
        y = [(e.value or 0.0) * factor for _, e in shown]
        bounds = ends([replace(e, low=max(e.low or 0.0, 0.0)) for _, e in shown], factor)
        tags = tagged("", [gid.partition("@")[2]])
        interval_bars(ax, x, y, tags, look["color"], yerr=bounds, elinewidth=1.2, capsize=3)
        ax.plot(x, y, gid=gid, **look)


def _goodput_chart(result: CapacityResult) -> Chart:
    probes = sorted(result.probes, key=lambda p: p.load)
    best = max(probes, key=lambda p: p.goodput_per_s)

    def draw(on: Canvas) -> None:
        legend = [("in time", picked(_MEASURED, "rate.good"))]
        gid = tagged("goodput", ["rate.good"])
        if result.by == "rate":
            arriving = {"color": SOFT, "linestyle": (0, (1.5, 1.5))}
            legend.append(("all that arrive", picked(arriving, "rate.all")))
        ax = on.axes(62, 14, 32 + on.legend(legend, 24), 52)
        ax.plot([p.load for p in probes], [p.goodput_per_s for p in probes], gid=gid, **_MEASURED)
        if result.by == "rate":
            top = max(p.load for p in probes)
            ax.plot([0, top], [0, top], linewidth=1, **legend[1][1])
        ax.set_ylim(0)
        _finish(ax, result, "requests in time, per second")
        on.say(
            gid,
            (
                f"{load_text(result, p.load)}\n{three_digits(p.goodput_per_s)} in time/s"
                for p in probes
            ),
        )

    most = f"{three_digits(best.goodput_per_s)} requests/s in time"
    return Chart(
        id="goodput",
        title="Goodput against load",
        message=f"Goodput is highest at {load_text(result, best.load)}: {most}.",
        caption=f"Requests that kept every promised time, per second of the probe. {_n(result)}.",
        table=goodput_table(result),
        draw=draw,
        sample=_n(result),
        simulated=result.simulated,
    )


def _wait_chart(result: CapacityResult) -> Chart:
    probes = sorted((p for p in result.probes if p.queue_mean_s is not None), key=lambda p: p.load)
    modelled = [(p.load, w) for p in probes if (w := p.modelled_wait_s) is not None]
    scale = scale_for("s", *(p.queue_mean_s for p in probes))

    def draw(on: Canvas) -> None:
        legend = [
            ("measured", picked(_MEASURED, "queue.seen")),
            ("M/G/k model", picked(_MODELLED, "queue.model")),
        ]
        gid = tagged("waits", ["queue.seen"])
        ax = on.axes(62, 14, 32 + on.legend(legend, 24), 52)
        waits = [(p.queue_mean_s or 0.0) * scale.factor for p in probes]
        ax.plot([p.load for p in probes], waits, gid=gid, **_MEASURED)
        ax.plot([x for x, _ in modelled], [w * scale.factor for _, w in modelled], **legend[1][1])
        ax.set_ylim(0, 1.1 * max(waits) or 1.0)
        _finish(ax, result, f"mean wait for a slot ({scale.unit})")
        said = (show_value(p.queue_mean_s, "s", scale).number for p in probes)
        tips = zip((load_text(result, p.load) for p in probes), said, strict=True)
        on.say(gid, map("\n".join, tips))

    return Chart(
        id="queue-growth",
        title="How the queue grows",
        message="Mean wait for a slot at every probe, beside what an M/G/k queue would have.",
        caption=(
            "Points: measured. Dashed: a model, not a measurement: a queue before as many slots "
            "as were observed, with the service times of each probe (Allen and Cunneen). "
            f"{_n(result)}."
        ),
        table=wait_table(result),
        draw=draw,
        sample=_n(result),
        simulated=result.simulated,
    )


def _finish(ax: Axes, result: CapacityResult, label: str) -> None:
    ax.set_xlim(0)
    ax.set(xlabel=searched_text(result), ylabel=label)
    ax.xaxis.set_major_formatter(plain)
    ax.yaxis.set_major_formatter(plain)


def _n(result: CapacityResult) -> str:
    return f"n = {plural(sum(p.requests for p in result.probes), 'request')}"


_ALL: Final[dict[str, Any]] = {"color": SERIES[0], "marker": "o", "linestyle": "-"}
_EACH: Final[dict[str, Any]] = {"color": SERIES[1], "marker": "s", "linestyle": "-"}
_LAW: Final[dict[str, Any]] = {"color": SOFT, "marker": "", "linestyle": (0, (5, 2))}
_SLOTS: Final[dict[str, Any]] = {"color": SOFT, "marker": "", "linestyle": (0, (1.5, 2))}
_PROBES: Final[dict[str, Any]] = {"color": SERIES[2], "marker": "D", "linestyle": "none"}


def sweep_charts(result: CapacityResult) -> list[Chart]:
    """Throughput against users and the frontier; empty with fewer than two levels."""
    levels = [x for x in result.sweep.levels if x.speed]
    if len(levels) < 2:
        return []
    return [_throughput(result, levels), _frontier(result, levels)]


def _throughput(result: CapacityResult, levels: list[Level]) -> Chart:
    slots, law = result.slots_observed, result.sweep.usl
    n = f"n = {plural(sum(x.requests for x in levels), 'request')}"

    def draw(on: Canvas) -> None:
        legend = [
            ("all together", picked(_ALL, "speed.all")),
            ("each user", picked(_EACH, "speed.each")),
        ]
        legend += [("slots observed", _SLOTS)] if slots else []
        fitted = picked(_LAW, "speed.law")
        legend += [("scalability law (model)", fitted)] if law else []
        ax = on.axes(62, 14, 32 + on.legend(legend, 24), 52)
        _line(on, ax, levels, "tok_per_s", legend[0][1])
        _line(on, ax, levels, "user_tok_per_s", legend[1][1], " each")
        level_axis(ax, [x.users for x in levels], "users at once")
        if slots and slots <= levels[-1].users:
            ax.axvline(slots, linewidth=1.2, color=SOFT, linestyle=_SLOTS["linestyle"])
        if law and slots:
            users = np.linspace(1, slots, 60)
            ax.plot(users, law.throughput(users), **fitted)
        ax.set_ylim(0)
        ax.set_ylabel("tokens per second")
        ax.yaxis.set_major_formatter(plain)

    return Chart(
        id="sweep-throughput",
        title="Throughput against users",
        message=knee_sentence(result),
        caption=(
            "Output tokens of all users together, and the speed at which each sees its answer "
            f"written, with 95 % intervals. {n}."
        ),
        table=sweep_table(result),
        draw=draw,
        sample=n,
        simulated=result.simulated,
    )


def _frontier(result: CapacityResult, levels: list[Level]) -> Chart:
    shown = [x for x in levels if x.ttft_p50_s and x.ttft_p50_s.value is not None]
    probes = [p for p in result.probes if p.ttft_p50_s is not None and p.ttft_p50_s > 0]
    requests = sum(x.requests for x in levels) + sum(p.requests for p in probes)
    n = f"n = {plural(requests, 'request')}"
    times = [x.ttft_p50_s.value or 0.0 for x in shown if x.ttft_p50_s]
    times += [p.ttft_p50_s or 0.0 for p in probes]
    scale = scale_for("s", *times)

    def draw(on: Canvas) -> None:
        legend = [
            ("sweep over users", picked(_ALL, "point.sweep")),
            ("probes", picked(_PROBES, "point.probe")),
        ]
        ax = on.axes(62, 14, 32 + on.legend(legend if probes else legend[:1], 24), 52)
        speeds = [x.speed for x in shown]
        waits = [t * scale.factor for t in times]
        _joined(ax, speeds, waits[: len(shown)], legend[0][1], "frontier-sweep")
        found = tagged("frontier-probes", ["point.probe"])
        ax.plot([p.tok_per_s for p in probes], waits[len(shown) :], gid=found, **_PROBES)
        for level, speed, wait in zip(shown, speeds, waits, strict=False):
            note(ax, str(level.users), (speed, wait), (6, 4), fontsize=11)
        time_axis(ax.yaxis, [np.array(waits)], scale.unit, "time to first text, p50")
        ax.set_xlim(0)
        ax.set_xlabel("tokens per second, all together")
        ax.xaxis.set_major_formatter(plain)
        on.say("frontier-sweep@point.sweep", (plural(x.users, "user") for x in shown))
        on.say(found, (load_text(result, p.load) for p in probes))

    return Chart(
        id="frontier",
        title="Throughput and waiting",
        message="What more throughput costs in waiting: right is more, down is sooner.",
        caption=(
            "Each point is one level of the sweep, with its users beside it, or one probe of the "
            f"search. {n}."
        ),
        table=frontier_table(result),
        draw=draw,
        sample=n,
        simulated=result.simulated,
    )


def _line(
    on: Canvas, ax: Axes, levels: list[Level], name: str, look: dict[str, Any], each: str = ""
) -> None:
    known = [(x.users, e) for x in levels if (e := getattr(x, name)) and e.value is not None]
    if known:
        xs, estimates = [u for u, _ in known], [e for _, e in known]
        ys = [e.value for e in estimates]
        interval_bars(ax, xs, ys, look["gid"], look["color"], yerr=ends(estimates), capsize=4)
        _joined(ax, xs, ys, look, name)
        tips = (f"{plural(x, 'user')}\n{show(e, 'tok/s').full}{each}" for x, e in known)
        on.say(name + look["gid"], tips)


def _joined(ax: Axes, xs: list[Any], ys: list[Any], look: dict[str, Any], gid: str) -> None:
    """A line, and markers of its own that can be asked."""
    ax.plot(xs, ys, **(look | {"marker": ""}))
    ax.plot(xs, ys, **(look | {"linestyle": "none", "gid": gid + look["gid"]}))
