"""Charts of a search: the promised time against load, goodput, and the queue's growth."""

from __future__ import annotations

import math
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.capacity.result import CapacityResult
from bench.report.capacity.tables import probe_table, wait_table
from bench.report.charts.palette import BAD, GRID, INK, SERIES, SOFT
from bench.report.charts.parts import axes_in, sample_note, series_legend
from bench.report.charts.scales import plain
from bench.report.page import Chart, Marks, Size
from bench.report.units import plural
from bench.scenario.thresholds import parse_threshold

_LOOKS: Final[dict[str, dict[str, Any]]] = {
    "pass": {"color": SERIES[2], "marker": "o", "linestyle": "none"},
    "fail": {"color": BAD, "marker": "X", "linestyle": "none"},
    "undecided": {"color": SOFT, "marker": "D", "linestyle": "none"},
}
_MEASURED: Final[dict[str, Any]] = {"color": SERIES[0], "marker": "o", "linestyle": "none"}
_MODELLED: Final[dict[str, Any]] = {"color": SERIES[1], "marker": "", "linestyle": (0, (5, 2))}
_WORDS: Final = {"pass": "kept", "fail": "broken", "undecided": "undecided"}


def capacity_charts(result: CapacityResult) -> list[Chart]:
    """Every chart of a search; empty without probes."""
    if not result.probes:
        return []
    charts = [_promise_chart(result, i) for i in range(len(result.promises))]
    charts.append(_goodput_chart(result))
    if any(p.modelled_wait_s is not None for p in result.probes):
        charts.append(_wait_chart(result))
    return charts


def _promise_chart(result: CapacityResult, i: int) -> Chart:
    promise = parse_threshold(result.promises[i])
    share = promise.metric == "error_rate"
    factor, unit = (100.0, "%") if share else (1.0, "s")
    finite = [p for p in result.probes if math.isfinite(p.kept[i].bound.value)]

    def draw(figure: Figure, size: Size) -> Marks:
        legend = [(f"promise {_WORDS[v]}", look) for v, look in _LOOKS.items()]
        top = 8 + series_legend(figure, size, legend, 22)
        ax = axes_in(figure, size, 62, 14, top + 22, 52)
        for verdict, look in _LOOKS.items():
            shown = [p for p in finite if p.kept[i].verdict == verdict]
            bounds = [p.kept[i].bound for p in shown]
            ax.errorbar(
                [p.load for p in shown],
                [b.value * factor for b in bounds],
                yerr=[
                    [max(0.0, b.value - max(b.lower, 0.0)) * factor for b in bounds],
                    [(b.upper - b.value) * factor if b.upper < math.inf else 0.0 for b in bounds],
                ],
                elinewidth=1.2,
                capsize=3,
                **look,
            )
        ax.axhline(promise.value * factor, color=BAD, linewidth=1.4, linestyle=(0, (5, 2)))
        if result.low is not None and result.high is not None:
            ax.axvspan(result.low, result.high, color=GRID, zorder=0)
        highest = max((p.kept[i].bound.value for p in finite), default=0.0)
        if promise.value > 0 and highest > 12 * promise.value:
            ax.set_yscale("log")
        else:
            ax.set_ylim(0)
        _finish(ax, result, f"{promise.metric}.{promise.statistic}".rstrip(".") + f" ({unit})")
        sample_note(figure, size, f"n = {plural(_n(result), 'request')}")
        return Marks()

    return Chart(
        id=f"promise-{i}",
        title=f"{promise.text}, against load",
        message=f"The promise {promise.text} at {plural(len(result.probes), 'probe')}.",
        caption=(
            "Each point is one probe, with one-sided 95 % bounds; dashed: the promise; grey band: "
            f"where the limit lies. n = {plural(_n(result), 'request')}."
        ),
        table=probe_table(result, f"promise-{i}-table"),
        draw=draw,
        height=(350, 340),
        simulated=result.simulated,
    )


def _goodput_chart(result: CapacityResult) -> Chart:
    probes = sorted(result.probes, key=lambda p: p.load)
    best = max(probes, key=lambda p: p.goodput_per_s)

    def draw(figure: Figure, size: Size) -> Marks:
        ax = axes_in(figure, size, 62, 14, 30, 52)
        ax.plot(
            [p.load for p in probes],
            [p.goodput_per_s for p in probes],
            color=SERIES[0],
            marker="o",
            linestyle="none",
        )
        if result.by == "rate":
            top = max(p.load for p in probes)
            ax.plot([0, top], [0, top], color=SOFT, linewidth=1, linestyle=(0, (1.5, 1.5)))
        ax.set_ylim(0)
        _finish(ax, result, "requests in time, per second")
        sample_note(figure, size, f"n = {plural(_n(result), 'request')}")
        return Marks()

    return Chart(
        id="goodput",
        title="Goodput against load",
        message=f"Goodput is highest at {best.load:.3g}: {best.goodput_per_s:.3g} requests/s.",
        caption=(
            "Requests that kept every promised time, per second of the probe. Dotted: all that "
            f"arrive. n = {plural(_n(result), 'request')}."
        ),
        table=probe_table(result, "goodput-table"),
        draw=draw,
        simulated=result.simulated,
    )


def _wait_chart(result: CapacityResult) -> Chart:
    probes = sorted((p for p in result.probes if p.queue_mean_s is not None), key=lambda p: p.load)
    modelled = [p for p in probes if _finite(p.modelled_wait_s)]

    def draw(figure: Figure, size: Size) -> Marks:
        legend = [("measured", _MEASURED), ("M/G/k model", _MODELLED)]
        top = 8 + series_legend(figure, size, legend, 22)
        ax = axes_in(figure, size, 62, 14, top + 22, 52)
        ax.plot([p.load for p in probes], [p.queue_mean_s or 0.0 for p in probes], **_MEASURED)
        ax.plot(
            [p.load for p in modelled], [p.modelled_wait_s or 0.0 for p in modelled], **_MODELLED
        )
        ax.set_ylim(0)
        _finish(ax, result, "mean wait for a slot (s)")
        sample_note(figure, size, f"n = {plural(_n(result), 'request')}")
        return Marks()

    return Chart(
        id="queue-growth",
        title="How the queue grows",
        message="Mean wait for a slot at every probe, beside what an M/G/k queue would have.",
        caption=(
            "Points: measured. Dashed: a model, not a measurement: a queue before as many slots "
            "as were observed, with the service times of each probe (Allen and Cunneen). "
            f"n = {plural(_n(result), 'request')}."
        ),
        table=wait_table(result),
        draw=draw,
        simulated=result.simulated,
    )


def _finish(ax: Axes, result: CapacityResult, label: str) -> None:
    ax.set_xlim(0)
    ax.set_xlabel("users at once" if result.by == "users" else "arrivals (requests per second)")
    ax.set_ylabel(label)
    ax.xaxis.set_major_formatter(plain)
    ax.yaxis.set_major_formatter(plain)
    ax.tick_params(colors=INK)


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _n(result: CapacityResult) -> int:
    return sum(p.requests for p in result.probes)
