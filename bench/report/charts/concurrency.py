"""Throughput and latency against the load: users of a closed loop, or arrivals per second."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.run.summary import Estimate
from bench.report.charts.limits import Limit, asked, limit_legend, limit_lines, with_limits
from bench.report.charts.palette import SOFT
from bench.report.charts.parts import (
    ABOVE,
    axes_in,
    case_tag,
    distinguishable,
    interval_line,
    look_of,
    note,
    picked,
    series_legend,
)
from bench.report.charts.scales import level_axis, time_axis
from bench.report.findings import sweeps
from bench.report.model import SEPARATOR, CaseView, Report
from bench.report.page import Chart, Marks, Size
from bench.report.result_tables import metrics_by_case
from bench.report.units import plural, scale_for, show, supported

_THROUGHPUT: Final = "output_tok_per_s"
_LATENCY: Final = "ttft_s"
_PERCENTILES: Final = ("p50", "p95")
_AXES: Final = {"users": "users at once", "rate": "arrivals (requests per second)"}


@dataclass(frozen=True, slots=True)
class _Sweep:
    """Cases that differ in their load alone, in its order."""

    axis: str
    cases: tuple[CaseView, ...]

    def levels(self) -> list[float]:
        return [
            float(c.users or 0) if self.axis == "users" else c.rate_per_s or 0 for c in self.cases
        ]

    @property
    def name(self) -> str:
        first, other = self.cases[0].axes, self.cases[-1].axes
        shared = [a for a in first if a in other]
        if shared and self.cases[0].label == SEPARATOR.join(first):
            return SEPARATOR.join(shared)
        return SEPARATOR.join((self.cases[0].model, *shared))


def concurrency_charts(report: Report) -> list[Chart]:
    """Throughput and latency against load; empty where nothing was measured at several loads."""
    for axis in _AXES:
        found = [_Sweep(axis, tuple(g)) for g in distinguishable(list(sweeps(report, axis)))]
        if found:
            return [c for c in (_throughput(report, found), _latency(report, found)) if c]
    return []


def _throughput(report: Report, found: Sequence[_Sweep]) -> Chart | None:
    kept = [s for s in found if _line(s, _THROUGHPUT, "value")[0]]
    if not kept:
        return None
    speeds = [np.array([e.value for e in _line(s, _THROUGHPUT, "value")[1]]) for s in kept]
    limits = asked(report, _THROUGHPUT, [np.zeros(1), *speeds])

    def draw(figure: Figure, size: Size) -> Marks:
        ax, marks = _axes(figure, size, kept, limits)
        for sweep in kept:
            _draw_line(ax, sweep, _THROUGHPUT, "value", 1.0, marks)
        limit_lines(ax, limits, upright=False)
        ax.set_ylim(0, ax.get_ylim()[1] * 1.08)
        ax.set_ylabel("tokens per second, all together")
        return marks

    return _chart(
        report,
        kept,
        draw,
        ("throughput", "Throughput", "Throughput and speed for each user"),
        " ".join(_best(s) for s in kept),
        "Output tokens of all users together per second of the measured window, with 95 % "
        "intervals.",
        ((_THROUGHPUT, "value"), ("decode_tok_per_s", "value"), ("request_per_s", "value")),
    )


def _latency(report: Report, found: Sequence[_Sweep]) -> Chart | None:
    kept = [s for s in found if _line(s, _LATENCY, "p50")[0]]
    if not kept:
        return None
    drawn = [e for s in kept for p in _PERCENTILES for e in _line(s, _LATENCY, p)[1]]
    values = [x for e in drawn for x in (e.value, e.low, e.high) if x is not None]
    limits = asked(report, _LATENCY, [np.array(values)], _PERCENTILES)

    def draw(figure: Figure, size: Size) -> Marks:
        ax, marks = _axes(figure, size, kept, limits)
        scale = scale_for("s", *values)
        for sweep in kept:
            _draw_line(ax, sweep, _LATENCY, "p50", scale.factor, marks)
            _draw_line(ax, sweep, _LATENCY, "p95", scale.factor, marks, dash=1)
        span = [v * scale.factor for v in with_limits([np.array(values)], limits)]
        time_axis(ax.yaxis, span, scale.unit, "time to first text")
        limit_lines(ax, limits, scale.factor, upright=False)
        if ax.get_yscale() == "linear":
            ax.set_ylim(0)
        return marks

    return _chart(
        report,
        kept,
        draw,
        ("latency-load", "Waiting", "Time to first text and in the queue"),
        " ".join(_wait(s) for s in kept),
        "Time to first text: solid p50, dashed p95 where the requests support it, with 95 % "
        "intervals.",
        ((_LATENCY, "p50"), (_LATENCY, "p95"), ("queue_s", "p50"), ("e2e_s", "p50")),
    )


def _chart(
    report: Report,
    kept: Sequence[_Sweep],
    draw: Callable[[Figure, Size], Marks],
    names: tuple[str, str, str],
    message: str,
    caption: str,
    wanted: Sequence[tuple[str, str]],
) -> Chart:
    """A chart by its id, what it shows and the name of its table; `wanted` are the table's."""
    id, what, listed = names
    cases = [c for s in kept for c in s.cases]
    n = f"n = {plural(sum(c.summary.requests.ok for c in cases), 'request')}"
    slots = "" if _common_slots(kept) is None else " Dotted line: slots observed."
    return Chart(
        id=id,
        title=f"{what} against {'users' if kept[0].axis == 'users' else 'arrival rate'}",
        message=message,
        caption=f"{caption}{slots} {n}.",
        table=metrics_by_case(f"{id}-table", listed, cases, wanted),
        draw=draw,
        height=(330, 320),
        sample=n,
        simulated=report.simulated,
    )


def _axes(
    figure: Figure, size: Size, kept: Sequence[_Sweep], limits: Sequence[Limit]
) -> tuple[Axes, Marks]:
    """Axes of load levels, with the slots and the legend of sweeps and limits."""
    entries = [(s.name, picked(look_of(s.cases[0]), *map(case_tag, s.cases))) for s in kept]
    top = 20 + series_legend(figure, size, entries, 20)
    top += limit_legend(figure, size, limits, top) + 8
    ax = axes_in(figure, size, 54, 12, top, 44)
    level_axis(ax, [x for s in kept for x in s.levels()], _AXES[kept[0].axis])
    _slots(ax, kept)
    return ax, Marks()


def _line(
    sweep: _Sweep, metric_id: str, stat: str
) -> tuple[list[float], list[Estimate], list[CaseView]]:
    points = [
        (x, e, c)
        for x, c in zip(sweep.levels(), sweep.cases, strict=True)
        if (e := c.estimate(metric_id, stat)) and supported(e, stat)
    ]
    return [p[0] for p in points], [p[1] for p in points], [p[2] for p in points]


def _draw_line(
    ax: Axes, sweep: _Sweep, metric_id: str, stat: str, factor: float, marks: Marks, dash: int = 0
) -> None:
    xs, estimates, cases = _line(sweep, metric_id, stat)
    if not xs:
        return
    unit = "tok/s" if metric_id == _THROUGHPUT else "s"
    label = "" if stat == "value" else f"{stat}: "
    tips = [
        f"{c.label}\n{label}{show(e, unit, stat=stat).full}"
        for c, e in zip(cases, estimates, strict=True)
    ]
    gid = f"{metric_id}-{stat}-{sweep.cases[0].key}"
    interval_line(ax, sweep.cases, gid, xs, estimates, tips, marks, factor=factor, dash=dash)


def _common_slots(kept: Sequence[_Sweep]) -> int | None:
    """The observed slots, where all sweeps agree on them and reach them."""
    seen = {c.summary.identity.slots_observed for s in kept for c in s.cases} - {None}
    if kept[0].axis != "users" or len(seen) != 1:
        return None
    slots = next(iter(seen))
    levels = [x for s in kept for x in s.levels()]
    return slots if slots is not None and min(levels) <= slots <= max(levels) else None


def _slots(ax: Axes, kept: Sequence[_Sweep]) -> None:
    slots = _common_slots(kept)
    if slots is None:
        return
    ax.axvline(slots, color=SOFT, linewidth=1.2, linestyle=(0, (1.5, 2)))
    look = {"va": "top", "fontsize": 11, "color": SOFT}
    note(ax, plural(slots, "slot"), (slots, 1), (4, -2), xycoords=ABOVE, **look)


def _best(sweep: _Sweep) -> str:
    _, estimates, cases = _line(sweep, _THROUGHPUT, "value")
    best = max(range(len(cases)), key=lambda i: estimates[i].value or 0.0)
    return f"{sweep.name}: at most {show(estimates[best], 'tok/s').full} ({_level(cases[best])})."


def _wait(sweep: _Sweep) -> str:
    _, estimates, cases = _line(sweep, _LATENCY, "p50")
    said = [
        f"{show(e, 's', stat='p50').full} with {_level(c)}"
        for e, c in zip(estimates, cases, strict=True)
    ]
    return f"{sweep.name}: median {', '.join(dict.fromkeys((said[0], said[-1])))}."


def _level(case: CaseView) -> str:
    return plural(case.users, "user") if case.users else f"{case.rate_per_s:g} requests/s"
