"""Charts of the sweep: throughput against users, and what it costs in waiting."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.capacity.result import CapacityResult
from bench.analysis.capacity.sweep import Level
from bench.report.capacity.tables import frontier_table, sweep_table
from bench.report.capacity.wording import knee_sentence, load_text
from bench.report.charts.palette import SERIES, SOFT
from bench.report.charts.parts import Canvas, ends, interval_bars, note, picked, tagged
from bench.report.charts.scales import level_axis, plain, time_axis
from bench.report.page import Chart
from bench.report.units import plural, scale_for, show

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
