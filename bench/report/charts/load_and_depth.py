"""Throughput and latency against the load, and decode speed against the length of the prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.run.summary import Estimate
from bench.report.charts.axes import (
    Limit,
    asked,
    case_legend,
    level_axis,
    limit_lines,
    time_axis,
    value_axis,
    with_limits,
)
from bench.report.charts.palette import SOFT
from bench.report.charts.parts import ABOVE, Canvas, distinguishable, interval_line, note
from bench.report.findings import depth_groups, prompt_length, sweeps
from bench.report.model import SEPARATOR, CaseView, Report, shared_name
from bench.report.page import Chart
from bench.report.result_tables import metrics_by_case
from bench.report.units import count, plural, scale_for, show

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
        by_users = self.axis == "users"
        return [float((c.users if by_users else c.rate_per_s) or 0) for c in self.cases]

    @property
    def name(self) -> str:
        first, name = self.cases[0], shared_name(self.cases)
        if first.label == SEPARATOR.join(first.axes):  # one model only
            return name.removeprefix(f"{first.model}{SEPARATOR}")
        return name


def concurrency_charts(report: Report) -> list[Chart]:
    """Throughput and latency against load; empty where nothing was measured at several loads."""
    for axis in _AXES:
        found = [_Sweep(axis, tuple(g)) for g in distinguishable(list(sweeps(report, axis)))]
        if found:
            return [c for c in (_throughput(report, found), _latency(report, found)) if c]
    return []


def _throughput(report: Report, found: Sequence[_Sweep]) -> Chart | None:
    kept = [s for s in found if _line(s, _THROUGHPUT, "value")]
    if not kept:
        return None
    speeds = [np.array([e.value for _, e, _ in _line(s, _THROUGHPUT, "value")]) for s in kept]
    limits = asked(report, _THROUGHPUT, [np.zeros(1), *speeds])

    def draw(on: Canvas) -> None:
        ax = _axes(on, kept, limits)
        for sweep in kept:
            _draw_line(on, ax, sweep, _THROUGHPUT, "value")
        limit_lines(ax, limits, upright=False)
        ax.set_ylim(0, ax.get_ylim()[1] * 1.08)
        ax.set_ylabel("tokens per second, all together")

    names = ("throughput", "Throughput", "Throughput and speed for each user")
    caption = (
        "Output tokens of all users together per second of the measured window, with 95 % "
        "intervals."
    )
    wanted = ((_THROUGHPUT, "value"), ("decode_tok_per_s", "value"), ("request_per_s", "value"))
    return _chart(kept, draw, names, " ".join(map(_best, kept)), caption, wanted)


def _latency(report: Report, found: Sequence[_Sweep]) -> Chart | None:
    kept = [s for s in found if _line(s, _LATENCY, "p50")]
    if not kept:
        return None
    drawn = [e for s in kept for p in _PERCENTILES for _, e, _ in _line(s, _LATENCY, p)]
    values = [x for e in drawn for x in (e.value, e.low, e.high) if x is not None]
    limits = asked(report, _LATENCY, [np.array(values)], _PERCENTILES)

    def draw(on: Canvas) -> None:
        ax = _axes(on, kept, limits)
        scale = scale_for("s", *values)
        for sweep in kept:
            for dash, stat in enumerate(_PERCENTILES):
                _draw_line(on, ax, sweep, _LATENCY, stat, scale.factor, dash)
        span = [v * scale.factor for v in with_limits([np.array(values)], limits)]
        time_axis(ax.yaxis, span, scale.unit, "time to first text")
        limit_lines(ax, limits, scale.factor, upright=False)
        if ax.get_yscale() == "linear":
            ax.set_ylim(0)

    names = ("latency-load", "Waiting", "Time to first text and in the queue")
    caption = (
        "Time to first text: solid p50, dashed p95 where the requests support it, with 95 % "
        "intervals."
    )
    wanted = ((_LATENCY, "p50"), (_LATENCY, "p95"), ("queue_s", "p50"), ("e2e_s", "p50"))
    return _chart(kept, draw, names, " ".join(map(_wait, kept)), caption, wanted)


def _chart(
    kept: Sequence[_Sweep],
    draw: Callable[[Canvas], None],
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
    )


def _axes(on: Canvas, kept: Sequence[_Sweep], limits: Sequence[Limit]) -> Axes:
    """Axes of load levels, with the slots and the legend of sweeps and limits."""
    top = case_legend(on, ((s.name, s.cases) for s in kept), limits)
    ax = on.axes(54, 12, top, 44)
    level_axis(ax, [x for s in kept for x in s.levels()], _AXES[kept[0].axis])
    slots = _common_slots(kept)
    if slots is not None:
        ax.axvline(slots, color=SOFT, linewidth=1.2, linestyle=(0, (1.5, 2)))
        look = {"va": "top", "fontsize": 11, "color": SOFT}
        note(ax, plural(slots, "slot"), (slots, 1), (4, -2), xycoords=ABOVE, **look)
    return ax


def _line(sweep: _Sweep, metric_id: str, stat: str) -> list[tuple[float, Estimate, CaseView]]:
    return [
        (x, e, c)
        for x, c in zip(sweep.levels(), sweep.cases, strict=True)
        if (e := c.known(metric_id, stat))
    ]


def _draw_line(
    on: Canvas, ax: Axes, sweep: _Sweep, metric_id: str, stat: str, factor: float = 1, dash: int = 0
) -> None:
    unit = "tok/s" if metric_id == _THROUGHPUT else "s"
    label = "" if stat == "value" else f"{stat}: "
    drawn = [
        (x, e, f"{c.label}\n{label}{show(e, unit, stat=stat).full}")
        for x, e, c in _line(sweep, metric_id, stat)
    ]
    if drawn:
        gid = f"{metric_id}-{stat}-{sweep.cases[0].key}"
        interval_line(on, ax, sweep.cases, gid, drawn, factor, dash)


def _common_slots(kept: Sequence[_Sweep]) -> int | None:
    """The observed slots, where all sweeps agree on them and reach them."""
    seen = {c.summary.identity.slots_observed for s in kept for c in s.cases} - {None}
    if kept[0].axis != "users" or len(seen) != 1:
        return None
    slots = next(iter(seen))
    levels = [x for s in kept for x in s.levels()]
    return slots if slots is not None and min(levels) <= slots <= max(levels) else None


def _best(sweep: _Sweep) -> str:
    _, best, case = max(_line(sweep, _THROUGHPUT, "value"), key=lambda p: p[1].value or 0.0)
    return f"{sweep.name}: at most {show(best, 'tok/s').full} ({_level(case)})."


def _wait(sweep: _Sweep) -> str:
    said = [
        f"{show(e, 's', stat='p50').full} with {_level(c)}"
        for _, e, c in _line(sweep, _LATENCY, "p50")
    ]
    return f"{sweep.name}: median {', '.join(dict.fromkeys((said[0], said[-1])))}."


def _level(case: CaseView) -> str:
    return plural(case.users, "user") if case.users else f"{case.rate_per_s:g} requests/s"


METRIC: Final = "decode_tok_per_s"


def depth_chart(report: Report) -> Chart | None:
    """The chart, None where all prompts of a model are about equally long."""
    known = [[c for c in g if c.value(METRIC)] for g in depth_groups(report)]
    groups = distinguishable([group for group in known if len(group) > 1])
    if not groups:
        return None
    speeds = (c.value(METRIC) for g in groups for c in g)
    limits = asked(report, METRIC, [np.array([0.0, *speeds])])
    n = sum(c.n(METRIC) for g in groups for c in g)
    return Chart(
        id="depth",
        title="Decode speed against context",
        message=" ".join(_message(g) for g in groups),
        caption=(
            "Decode speed with 95 % intervals over the mean length of the prompts. The answer adds "
            f"to the context while it is written. n = {plural(n, 'request')}."
        ),
        table=metrics_by_case(
            "depth-table",
            "Speed and prompt length",
            [c for g in groups for c in g],
            (("prompt_tokens", "mean"), (METRIC, "value"), ("prefill_tok_per_s", "value")),
        ),
        draw=lambda on: _draw(on, groups, limits),
        sample=f"n = {plural(n, 'request')}",
        height=(330, 320),
    )


def _message(group: Sequence[CaseView]) -> str:
    first, last = group[0], group[-1]
    return (
        f"{first.model}: {show(first.estimate(METRIC), 'tok/s').full} with {_prompt(first)}, "
        f"{show(last.estimate(METRIC), 'tok/s').full} with {_prompt(last)}."
    )


def _prompt(case: CaseView) -> str:
    return f"{count(round(prompt_length(case) or 0))} prompt tokens"


def _draw(on: Canvas, groups: Sequence[Sequence[CaseView]], limits: Sequence[Limit]) -> None:
    ax = on.axes(54, 14, case_legend(on, ((shared_name(g), g) for g in groups), limits), 42)
    for group in groups:
        drawn = [
            (prompt_length(c) or 0.0, e, f"{c.label}\n{show(e, 'tok/s').full}\n{_prompt(c)}")
            for c in group
            if (e := c.estimate(METRIC))
        ]
        interval_line(on, ax, group, f"depth-{group[0].key}", drawn)
    logarithmic = value_axis(ax.xaxis, [np.array([prompt_length(c) for g in groups for c in g])])
    ax.set_xlabel(f"tokens in the prompt{' (logarithmic)' if logarithmic else ''}")
    limit_lines(ax, limits, upright=False)
    ax.set_ylim(0)
    ax.set_ylabel("tokens per second")
