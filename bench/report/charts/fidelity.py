"""Speed against fidelity, and fidelity by kind of text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from bench.analysis.fidelity.analyse import least
from bench.analysis.fidelity.pareto import front
from bench.analysis.fidelity.result import FidelityResult
from bench.analysis.run.summary import Estimate
from bench.report.charts.axes import log_axis, value_axis
from bench.report.charts.palette import GRID, PAPER, SOFT, series_colour, series_marker
from bench.report.charts.parts import Canvas, ends, interval_bars, picked, points, tagged
from bench.report.fidelity.page import Placed
from bench.report.fidelity.wording import NATS
from bench.report.page import Chart
from bench.report.units import show, show_value

SPEED: Final = "tok/s"
_LEAST_AREA, _MOST_AREA = 40.0, 320.0
_REFERENCE_SHARE = 0.7
"""Where below everything else the reference stands: its divergence is 0, which no logarithm has."""


def speed_chart(
    result: FidelityResult, placed: Mapping[int, Placed], sentences: Sequence[str]
) -> Chart | None:
    """Divergence over decode speed; None if fewer than two sides have a speed."""
    speeds = {i: p.speed for i, p in placed.items() if p.speed and p.speed.value}
    if len(speeds) < 2:
        return None
    line = front(result, speeds)
    names = ", ".join(result.sides[i].label for i in line)
    return Chart(
        id="speed-fidelity",
        title="Speed against fidelity",
        message=" ".join((f"On the Pareto front, from the fastest on: {names}.", *sentences)),
        caption=(
            "Right is faster, down is closer to the original. Lines: 95 % intervals both ways. "
            "The area of a point is the size of its file. Filled: on the Pareto front, by the "
            "values alone; the dotted line joins them. The reference stands on the lower edge: its "
            "divergence is 0. In the shaded band nothing can be distinguished from it."
        ),
        table=None,
        draw=lambda on: _draw(on, result, placed, speeds, line),
        height=(400, 380),
        simulated=result.simulated,
    )


def kinds_chart(result: FidelityResult, placed: Mapping[int, Placed]) -> Chart | None:
    """Divergence of each candidate by kind of text; None if there is one kind."""
    if len(result.kinds) < 2:
        return None
    kinds = list(result.kinds)
    said = [
        f"{result.sides[c.side].label}: "
        + ", ".join(f"{k} {show_value(c.by_kind[k].value, NATS).full}" for k in c.by_kind)
        for c in result.candidates
    ]
    return Chart(
        id="fidelity-kinds",
        title="Fidelity by kind of text",
        message=". ".join(said) + ".",
        caption=f"Divergence with 95 % intervals, for each kind of text: {', '.join(kinds)}.",
        table=None,
        draw=lambda on: _draw_kinds(on, result, placed, kinds),
        height=(60 + 26 * len(kinds) * max(2, len(result.candidates)), 380),
        simulated=result.simulated,
    )


def _draw(
    on: Canvas,
    result: FidelityResult,
    placed: Mapping[int, Placed],
    speeds: Mapping[int, Estimate],
    line: Sequence[int],
) -> None:
    sides = sorted(speeds, key=lambda i: placed[i].series)
    entries = [
        (_label(result, i, placed[i]), picked(_look(placed[i].series), f"side.{i}")) for i in sides
    ]
    top = on.legend(entries, 4) + 14
    ax = on.axes(62, 14, top, 42)
    found = {c.side: c.divergence for c in result.candidates if c.side in speeds}
    limit = least(result.floor)
    drawn = [v for e in found.values() for v in (e.value, e.low, e.high) if v and v > limit / 10]
    lowest = min([limit, *drawn]) * _REFERENCE_SHARE
    log_axis(ax.yaxis, lowest, max([limit, *drawn]) * 1.5)
    ax.axhspan(lowest, limit, color=GRID, alpha=0.6, gid="floor")
    value_axis(ax.xaxis, [np.array([v for e in speeds.values() for v in _ends(e)])])
    places = {0: (speeds[0].value or 0.0, lowest)} if 0 in speeds else {}
    places |= {i: (speeds[i].value or 0.0, max(e.value or 0.0, lowest)) for i, e in found.items()}
    joined = [places[i] for i in line if i in places]
    ax.plot(*zip(*joined, strict=True), color=SOFT, linestyle=":", linewidth=1.5, gid="front")
    largest = max((result.sides[i].size_bytes or 0 for i in sides), default=0) or 1
    for i in sides:
        x, y = places[i]
        colour, tags = series_colour(placed[i].series), [f"side.{i}"]
        gid, ends_of = tagged(f"fidelity-{i}", tags), tagged(f"fidelity-{i}-bars", tags)
        xerr, yerr = ends([speeds[i]]), ends([found[i]]) if i in found else None
        interval_bars(ax, [x], [y], ends_of, colour, xerr=xerr, yerr=yerr, capsize=3)
        share = (result.sides[i].size_bytes or 0) / largest
        side_look = {
            "color": colour if i in line else PAPER,
            "markersize": math.sqrt(_LEAST_AREA + share * (_MOST_AREA - _LEAST_AREA)),
            "markeredgecolor": PAPER if i in line else colour,
        }
        points(ax, [x], [y], gid, placed[i].series, markeredgewidth=1.5, clip_on=False, **side_look)
        divergence = show(found[i], NATS).full if i in found else "the reference"
        parts = (_label(result, i, placed[i]), show(speeds[i], SPEED).full, divergence)
        on.say(gid, ["\n".join(parts)], result.sides[i].model)
        on.marks.models[ends_of] = result.sides[i].model
    ax.set(xlabel="tokens per second, of one answer", ylabel="divergence (nats, logarithmic)")


def _draw_kinds(
    on: Canvas, result: FidelityResult, placed: Mapping[int, Placed], kinds: Sequence[str]
) -> None:
    candidates = sorted(result.candidates, key=lambda c: placed[c.side].series)
    entries = [
        (result.sides[c.side].label, picked(_look(placed[c.side].series), f"side.{c.side}"))
        for c in candidates
    ]
    top = on.legend(entries, 4) + 10
    ax = on.axes(70, 14, top, 42)
    step = 0.7 / max(1, len(candidates))
    for n, c in enumerate(candidates):
        chosen = [(k, e) for k, name in enumerate(kinds) if (e := c.by_kind.get(name)) and e.value]
        ys = [k - 0.35 + step * (n + 0.5) for k, _ in chosen]
        xs = [e.value or 0.0 for _, e in chosen]
        series = placed[c.side].series
        colour, tags = series_colour(series), [f"side.{c.side}"]
        gid, ends_of = tagged(f"kinds-{c.side}", tags), tagged(f"kinds-{c.side}-bars", tags)
        interval_bars(ax, xs, ys, ends_of, colour, xerr=ends([e for _, e in chosen]), capsize=3)
        points(ax, xs, ys, gid, series)
        of = result.sides[c.side]
        tips = (f"{of.label}, {kinds[k]}\n{show(e, NATS).full}" for k, e in chosen)
        on.say(gid, tips, of.model)
        on.marks.models[ends_of] = of.model
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(len(kinds) - 0.5, -0.5)
    for k in range(1, len(kinds)):
        ax.axhline(k - 0.5, color=GRID, linewidth=1)
    values = [v for c in candidates for e in c.by_kind.values() for v in _ends(e) if v > 0]
    logarithmic = value_axis(ax.xaxis, [np.array(values or [1.0])])
    ax.set_xlabel(f"divergence (nats{', logarithmic' if logarithmic else ''})")


def _look(series: int) -> dict[str, object]:
    look = {"color": series_colour(series), "marker": series_marker(series)}
    return {**look, "linestyle": "none", "markersize": 8}


def _label(result: FidelityResult, side: int, placed: Placed) -> str:
    about = result.sides[side]
    sizes = {"file": about.size_bytes, "GPU": placed.vram_bytes}
    parts = [f"{name} {show_value(size, 'B').full}" for name, size in sizes.items() if size]
    return f"{about.label} ({', '.join(parts)})" if parts else about.label


def _ends(estimate: Estimate) -> list[float]:
    return [v for v in (estimate.low, estimate.value, estimate.high) if v is not None]
