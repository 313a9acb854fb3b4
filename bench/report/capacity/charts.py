"""Charts of the search: the promised time against load, goodput, and the queue's growth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.capacity.result import CapacityResult, ProbeResult
from bench.analysis.run.summary import Estimate
from bench.report.capacity.sweep_charts import sweep_charts
from bench.report.capacity.tables import VERDICTS, goodput_table, promise_table, wait_table
from bench.report.capacity.wording import load_text, probe_cells, searched_text
from bench.report.charts.limits import limit_legend, limit_lines, limits
from bench.report.charts.palette import BAD, GRID, SERIES, SOFT
from bench.report.charts.parts import Canvas, ends, interval_bars, picked, tagged
from bench.report.charts.scales import plain
from bench.report.page import Chart
from bench.report.units import plural, scale_for, show, show_value

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
            gid, (f"{load_text(result, p.load)}\n{p.goodput_per_s:.3g} in time/s" for p in probes)
        )

    most = f"{best.goodput_per_s:.3g} requests/s in time"
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
    ax.set_xlabel(searched_text(result))
    ax.set_ylabel(label)
    ax.xaxis.set_major_formatter(plain)
    ax.yaxis.set_major_formatter(plain)


def _n(result: CapacityResult) -> str:
    return f"n = {plural(sum(p.requests for p in result.probes), 'request')}"
