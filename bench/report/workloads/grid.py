"""Sessions and their requests as a grid: the darker, the more was read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from bench.report.charts.palette import PHASES
from bench.report.charts.parts import axes_in, boxes
from bench.report.page import Chart, Marks, Size
from bench.report.tables import Table, from_columns, number_column, text_column
from bench.report.units import count, percent, plural
from bench.report.workloads.asked import MeasuredSession

MOST_SESSIONS: Final = 40
MOST_REQUESTS: Final = 60
_ROW: Final = 13
_FRAME: Final = 96
_PALEST: Final = 0.06


def grid_chart(sessions: Sequence[MeasuredSession], simulated: bool) -> Chart | None:
    """The chart of one case; None where the server does not say what was cached."""
    complete = [s for s in sessions if s.cache_reported]
    if not complete:
        return None
    drawn = complete[:MOST_SESSIONS]
    n = sum(len(s.requests) for s in complete)

    case = complete[0].case
    most = max(len(s.requests) for s in drawn)
    cut = f" Only the first {MOST_REQUESTS} requests are drawn." if most > MOST_REQUESTS else ""
    height = round(_FRAME + _ROW * len(drawn))
    return Chart(
        id=f"sessions-{case.key}",
        title="What each session had to read again",
        message=_message(complete),
        caption=(
            f"{case.label}: a row a session, in the order they began; a box a request. Faint: read "
            f"from the server's cache. Strong: read again.{cut} n = {plural(n, 'request')} in "
            f"{plural(len(complete), 'session')}."
        ),
        table=_table(complete),
        draw=lambda figure, size: _draw(figure, size, drawn),
        sample=f"n = {plural(n, 'request')}",
        height=(height, height),
        simulated=simulated,
        full_width=True,
    )


def _message(sessions: Sequence[MeasuredSession]) -> str:
    label = sessions[0].case.label
    later = [a for s in sessions for a in s.requests if a.history]
    lost = sum(a.lost for a in later)
    if not later:
        return f"{label}: no request had a history."
    if not lost:
        return (
            f"{label}: all {plural(len(later), 'later request')} found their history in the cache."
        )
    return (
        f"{label}: {lost} of {plural(len(later), 'later request')} had to read more than half of "
        "their history again."
    )


def _share(cached: int | None, context: int) -> float:
    return (cached or 0) / context


def _table(sessions: Sequence[MeasuredSession]) -> Table:
    rows = [(i, a) for i, s in enumerate(sessions, 1) for a in s.requests]
    return from_columns(
        f"sessions-{sessions[0].case.key}-table",
        f"Requests of sessions ({sessions[0].case.label})",
        [
            number_column("Session", "", [i for i, _ in rows]),
            number_column("Turn", "", [(a.record.turn or 0) + 1 for _, a in rows]),
            text_column("Step", [a.record.step or "" for _, a in rows]),
            number_column("Prompt", "tokens", [a.context for _, a in rows]),
            number_column("Cached", "tokens", [a.cached for _, a in rows]),
            number_column("Time to first text", "s", [a.wait_s for _, a in rows]),
        ],
        folded=True,
        models=[sessions[0].case.model] * len(rows),
    )


def _draw(figure: Figure, size: Size, sessions: Sequence[MeasuredSession]) -> Marks:
    ax = axes_in(figure, size, 46, 12, 30, 46)
    marks = Marks()
    cells = [
        (row, column, a)
        for row, s in enumerate(sessions)
        for column, a in enumerate(s.requests[:MOST_REQUESTS])
    ]
    again = [1 - _share(a.cached, a.context) for _, _, a in cells]
    colours = [(PHASES["prefill"], max(share, _PALEST)) for share in again]
    # A gap between rows, none between requests.
    places = [(c, c + 1, r, r + 0.9) for r, c, _ in cells]
    boxes(ax, places, colours)
    boxes(ax, places, "none", gid="session-cells")
    marks.tips["session-cells"] = [
        f"session {r + 1}, request {c + 1}\n{count(a.context)} tokens\n"
        f"{percent(_share(a.cached, a.context))} cached"
        for r, c, a in cells
    ]
    ax.set_ylim(len(sessions), 0)
    widest = max(c for _, c, _ in cells) + 1
    ax.set_xlim(0, widest)
    shown = range(0, len(sessions), max(1, len(sessions) // 8))
    ax.set_yticks([r + 0.45 for r in shown], [str(r + 1) for r in shown])
    numbered = range(0, widest, max(1, widest // 12))
    ax.set_xticks([c + 0.5 for c in numbered], [str(c + 1) for c in numbered])
    ax.grid(visible=False)
    ax.set_xlabel("request of the session")
    ax.set_ylabel("session")
    return marks
