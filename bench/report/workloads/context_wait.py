"""Time to the first text against the length of the context: kept and lost histories apart."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from bench.report.charts.palette import PAPER, series_colour, series_marker
from bench.report.charts.parts import axes_in, picked, series_legend, tagged
from bench.report.charts.scales import time_axis, value_axis
from bench.report.page import Chart, Marks, Size
from bench.report.units import count, percent, plural, scale_for, show_value
from bench.report.workloads.asked import MeasuredRequest, MeasuredSession

MOST_POINTS: Final = 400
_FEWEST: Final = 3


def context_chart(sessions: Sequence[MeasuredSession], simulated: bool) -> Chart | None:
    """The chart of one case; None without times, or where the server tells no cached counts."""
    known = [a for s in sessions if s.cache_reported for a in s.requests if a.wait_s is not None]
    if len(known) < _FEWEST:
        return None
    case = sessions[0].case
    kept = [a for a in known if not _again(a)]
    lost = [a for a in known if _again(a)]
    every = max(1, -(-len(known) // MOST_POINTS))

    thinned = f" One in {every} is drawn." if every > 1 else ""
    return Chart(
        id=f"context-wait-{case.key}",
        title="Waiting against context",
        message=f"{case.label}: {_message(kept, lost)}",
        caption=(
            f"Time to the first text of each request over the tokens of its prompt ({case.label}). "
            "Filled: at least half of the prompt came from the cache; hollow: it was read again."
            f"{thinned} n = {plural(len(known), 'request')}."
        ),
        table=None,
        draw=lambda figure, size: _draw(figure, size, sessions[0], kept[::every], lost[::every]),
        sample=f"n = {plural(len(known), 'request')}",
        height=(330, 320),
        simulated=simulated,
    )


def _again(asked: MeasuredRequest) -> bool:
    return (asked.cached or 0) < asked.context / 2


def _message(kept: Sequence[MeasuredRequest], lost: Sequence[MeasuredRequest]) -> str:
    parts = []
    for asked, words in ((kept, "from the cache"), (lost, "read again")):
        if len(asked) >= _FEWEST:
            wait = show_value(median(a.wait_s or 0.0 for a in asked), "s").number
            parts.append(f"{wait} with most of the prompt {words} (median of {len(asked)})")
    return f"{', '.join(parts)}." if parts else "too few requests for a median."


def _draw(
    figure: Figure,
    size: Size,
    of: MeasuredSession,
    kept: Sequence[MeasuredRequest],
    lost: Sequence[MeasuredRequest],
) -> Marks:
    colour, marker = series_colour(of.case.series), series_marker(of.case.series)
    looks = {
        "from the cache": (kept, {"color": colour, "markeredgecolor": PAPER}),
        "read again": (lost, {"color": PAPER, "markeredgecolor": colour}),
    }
    shared = {"linestyle": "none", "marker": marker, "markersize": 6}
    entries = [
        (name, picked(shared | look, f"cache.{i}"))
        for i, (name, (_, look)) in enumerate(looks.items())
    ]
    top = 20 + series_legend(figure, size, entries, 20) + 8
    ax = axes_in(figure, size, 54, 14, top, 42)
    waits = [np.array([a.wait_s or 0.0 for a in asked]) for asked, _ in looks.values()]
    unit = scale_for("s", float(np.concatenate(waits).max()))
    marks = Marks()
    for place, (name, (asked, look)) in enumerate(looks.items()):
        if not asked:
            continue
        gid = tagged(f"waits-{place}", [f"cache.{place}"])
        ax.plot(
            [a.context for a in asked],
            waits[place] * unit.factor,
            gid=gid,
            **(shared | look),  # type: ignore[arg-type]
        )
        marks.tips[gid] = [_tip(a, name) for a in asked]
    time_axis(ax.yaxis, [w * unit.factor for w in waits], unit.unit, "time to first text")
    logarithmic = value_axis(ax.xaxis, [np.array([a.context for a in [*kept, *lost]])])
    ax.set_xlabel(f"tokens in the prompt{' (logarithmic)' if logarithmic else ''}")
    return marks


def _tip(asked: MeasuredRequest, name: str) -> str:
    share = percent((asked.cached or 0) / asked.context)
    wait = show_value(asked.wait_s or 0.0, "s").number
    return f"{wait}\n{count(asked.context)} tokens, {share} cached\n{name}"
