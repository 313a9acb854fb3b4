"""Charts of sessions: what was read again, waiting against context, and one session as it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, Final

import numpy as np

from bench.analysis.run.evidence import columns_of
from bench.report.charts.axes import time_axis, value_axis
from bench.report.charts.palette import (
    LINE,
    PAPER,
    PHASE_HATCHES,
    PHASES,
    series_colour,
    series_marker,
)
from bench.report.charts.parts import Canvas, boxes, part_tag, picked, tagged
from bench.report.charts.timeline import Bar, bar_of, draw_phases, part_length, row_box, row_scale
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.tables import Table, from_columns, number_column, text_column
from bench.report.units import count, percent, plural, scale_for, show_value
from bench.results.record import RequestRecord
from bench.results.records import records_of

_MOST_SESSIONS: Final = 40
_MOST_BOXES: Final = 60
_BOX_ROW: Final = 13
_GRID_FRAME: Final = 96
_PALEST: Final = 0.06
_MOST_POINTS: Final = 400
_FEWEST: Final = 3
_MOST_BARS: Final = 48
_BAR_ROW: Final = 9
_LINE_FRAME: Final = 104
_PAUSE: Final = "pause"
_WORDS: Final = {"queue": "queue", "load": "load", "prefill": "read", "decode": "write"}


def grid_chart(sessions: Sequence[MeasuredSession]) -> Chart | None:
    """Sessions and their requests: the darker, the more was read again.

    None where the server does not say what was cached.
    """
    complete = [s for s in sessions if s.cache_reported]
    if not complete:
        return None
    drawn = complete[:_MOST_SESSIONS]
    n = plural(sum(len(s.requests) for s in complete), "request")
    case = complete[0].case
    most = max(len(s.requests) for s in drawn)
    cut = f" Only the first {_MOST_BOXES} requests are drawn." if most > _MOST_BOXES else ""
    height = _GRID_FRAME + _BOX_ROW * len(drawn)
    return Chart(
        id=f"sessions-{case.key}",
        title="What each session had to read again",
        message=f"{case.label}: {_lost(complete)}",
        caption=(
            f"{case.label}: a row a session, in the order they began; a box a request. Faint: read "
            f"from the server's cache. Strong: read again.{cut} n = {n} in "
            f"{plural(len(complete), 'session')}."
        ),
        table=_grid_table(complete),
        draw=lambda on: _draw_grid(on, drawn),
        sample=f"n = {n}",
        height=(height, height),
        full_width=True,
    )


def _lost(sessions: Sequence[MeasuredSession]) -> str:
    later = [a for s in sessions for a in s.requests if a.history]
    lost = sum(a.lost for a in later)
    if not later:
        return "no request had a history."
    n = plural(len(later), "later request")
    if not lost:
        return f"all {n} found their history in the cache."
    return f"{lost} of {n} had to read more than half of their history again."


def _cached(asked: MeasuredRequest) -> float:
    """The share of the prompt that came from the cache."""
    return (asked.cached or 0) / asked.context


def _grid_table(sessions: Sequence[MeasuredSession]) -> Table:
    rows = [(i, a) for i, s in enumerate(sessions, 1) for a in s.requests]
    case = sessions[0].case
    columns = [
        number_column("Session", "", [i for i, _ in rows]),
        number_column("Turn", "", [(a.record.turn or 0) + 1 for _, a in rows]),
        text_column("Step", [a.record.step or "" for _, a in rows]),
        number_column("Prompt", "tokens", [a.context for _, a in rows]),
        number_column("Cached", "tokens", [a.cached for _, a in rows]),
        number_column("Time to first text", "s", [a.wait_s for _, a in rows]),
    ]
    caption = f"Requests of sessions ({case.label})"
    return from_columns(
        f"sessions-{case.key}-table", caption, columns, folded=True, models=[case.model] * len(rows)
    )


def _draw_grid(on: Canvas, sessions: Sequence[MeasuredSession]) -> None:
    ax = on.axes(46, 12, 30, 46)
    cells = [
        (r, c, a) for r, s in enumerate(sessions) for c, a in enumerate(s.requests[:_MOST_BOXES])
    ]
    colours = [(PHASES["prefill"], max(1 - _cached(a), _PALEST)) for *_, a in cells]
    # A gap between rows, none between requests.
    places = [(c, c + 1, r, r + 0.9) for r, c, _ in cells]
    boxes(ax, places, colours)
    boxes(ax, places, "none", gid="session-cells")
    tips = (
        f"session {r + 1}, request {c + 1}\n{count(a.context)} tokens\n{percent(_cached(a))} cached"
        for r, c, a in cells
    )
    on.say("session-cells", tips)
    ax.set_ylim(len(sessions), 0)
    widest = max(c for _, c, _ in cells) + 1
    ax.set_xlim(0, widest)
    shown = range(0, len(sessions), max(1, len(sessions) // 8))
    ax.set_yticks([r + 0.45 for r in shown], [str(r + 1) for r in shown])
    numbered = range(0, widest, max(1, widest // 12))
    ax.set_xticks([c + 0.5 for c in numbered], [str(c + 1) for c in numbered])
    ax.grid(visible=False)
    ax.set(xlabel="request of the session", ylabel="session")


def context_chart(sessions: Sequence[MeasuredSession]) -> Chart | None:
    """Time to the first text against the length of the context: kept and lost histories apart.

    None without times, or where the server tells no cached counts.
    """
    known = [a for s in sessions if s.cache_reported for a in s.requests if a.wait_s is not None]
    if len(known) < _FEWEST:
        return None
    case = sessions[0].case
    groups = {
        "from the cache": [a for a in known if _cached(a) >= 0.5],
        "read again": [a for a in known if _cached(a) < 0.5],
    }
    medians = [
        f"{show_value(median(a.wait_s or 0.0 for a in asked), 's').number} with most of the prompt "
        f"{words} (median of {len(asked)})"
        for words, asked in groups.items()
        if len(asked) >= _FEWEST
    ]
    every = max(1, -(-len(known) // _MOST_POINTS))
    thinned = f" One in {every} is drawn." if every > 1 else ""
    drawn = {name: asked[::every] for name, asked in groups.items()}
    return Chart(
        id=f"context-wait-{case.key}",
        title="Waiting against context",
        message=f"{case.label}: {', '.join(medians) or 'too few requests for a median'}.",
        caption=(
            f"Time to the first text of each request over the tokens of its prompt ({case.label}). "
            "Filled: at least half of the prompt came from the cache; hollow: it was read again."
            f"{thinned} n = {plural(len(known), 'request')}."
        ),
        table=None,
        draw=lambda on: _draw_context(on, case.series, drawn),
        sample=f"n = {plural(len(known), 'request')}",
        height=(330, 320),
    )


def _draw_context(on: Canvas, series: int, drawn: dict[str, list[MeasuredRequest]]) -> None:
    colour = series_colour(series)
    shared = {"linestyle": "none", "marker": series_marker(series), "markersize": 6}
    filled, hollow = (
        {"color": colour, "markeredgecolor": PAPER},
        {"color": PAPER, "markeredgecolor": colour},
    )
    looks: list[dict[str, Any]] = [shared | filled, shared | hollow]
    entries = [(name, picked(looks[i], f"cache.{i}")) for i, name in enumerate(drawn)]
    top = 20 + on.legend(entries, 20) + 8
    ax = on.axes(54, 14, top, 42)
    waits = [np.array([a.wait_s or 0.0 for a in asked]) for asked in drawn.values()]
    unit = scale_for("s", float(np.concatenate(waits).max()))
    for i, (name, asked) in enumerate(drawn.items()):
        if asked:
            gid = tagged(f"waits-{i}", [f"cache.{i}"])
            ax.plot([a.context for a in asked], waits[i] * unit.factor, gid=gid, **looks[i])
            times = (show_value(a.wait_s or 0.0, "s").number for a in asked)
            parts = (f"{count(a.context)} tokens, {percent(_cached(a))} cached" for a in asked)
            on.say(gid, (f"{t}\n{of}\n{name}" for t, of in zip(times, parts, strict=True)))
    time_axis(ax.yaxis, [w * unit.factor for w in waits], unit.unit, "time to first text")
    contexts = np.array([a.context for asked in drawn.values() for a in asked])
    logarithmic = value_axis(ax.xaxis, [contexts])
    ax.set_xlabel(f"tokens in the prompt{' (logarithmic)' if logarithmic else ''}")


def session_chart(sessions: Sequence[MeasuredSession]) -> Chart | None:
    """The session with most requests of a case: pauses, waiting, reading, writing; None without."""
    if not sessions:
        return None
    longest = max(sessions, key=lambda s: len(s.requests))
    origin = longest.requests[0].record.sent_ns or 0
    bars = [b for a in longest.requests[:_MOST_BARS] if (b := bar_of(a.record, origin))]
    if len(bars) < 2 or not any(b.parts for b in bars):
        return None
    total, case = len(longest.requests), longest.case
    height = _LINE_FRAME + _BAR_ROW * len(bars)
    some = f"The first {len(bars)} of {total}" if len(bars) < total else f"All {total}"
    spent = {word: sum(part_length(b, part) for b in bars) for part, word in _WORDS.items()}
    spent[_PAUSE] = sum(map(_pause, bars[1:]))
    shares = [f"{show_value(s, 's').number} {word}" for word, s in spent.items() if s > 0]
    return Chart(
        id=f"session-line-{case.key}",
        title="One session",
        message=f"{case.label}: {', '.join(shares)} in {plural(len(bars), 'request')}.",
        caption=(
            f"{some} requests of the session with most of them ({case.label}), a row each: "
            "the pause of the tools or of the user before it, then waiting for a slot, reading "
            "the prompt and writing the answer, by the server's durations."
        ),
        table=None,
        draw=lambda on: _draw_line(on, bars),
        sample=f"n = {plural(len(bars), 'request')}",
        height=(height, height),
        full_width=True,
    )


def _pause(bar: Bar) -> float:
    return (bar.record.gap_ns or 0) / 1e9


def _draw_line(on: Canvas, bars: Sequence[Bar]) -> None:
    present = [p for p in _WORDS if any(part_length(b, p) > 0 for b in bars)]
    legend = [(_WORDS[p], PHASES[p], PHASE_HATCHES[p]) for p in present]
    pauses = [(i, b) for i, b in enumerate(bars) if i and _pause(b) > 0]
    if pauses:
        legend.append((_PAUSE, LINE, ""))
    on.bar_legend(legend, 20)
    ax = on.axes(12, 12, 62, 40)
    waits = [row_box(i, b.start - _pause(b), b.start) for i, b in pauses]
    boxes(ax, waits, LINE, gid=tagged("", [part_tag(LINE, _PAUSE)]))
    draw_phases(ax, bars, present)
    boxes(ax, [row_box(i, b.start, b.end) for i, b in enumerate(bars)], "none", gid="session-bars")
    on.say("session-bars", map(_bar_tip, bars))
    row_scale(ax, bars, "seconds since the session's first request")


def _bar_tip(bar: Bar) -> str:
    r = bar.record
    spent = (
        f"{_WORDS.get(name, name)}: {show_value(stop - start, 's').number}"
        for name, start, stop in bar.parts
    )
    return "\n".join((f"turn {(r.turn or 0) + 1}, {r.step or 'request'}", *spent))


LOST_BELOW: Final = 0.5
"""A request that finds less of its history in the cache has lost it."""


@dataclass(frozen=True, slots=True)
class MeasuredRequest:
    """One measured request of a session that ended well.

    Attributes:
        context: tokens of its prompt.
        cached: how many of them were read from the cache; None where the server does not say.
        history: how many of them may have been: the prompt before and its answer; 0 of the first.
        wait_s: until its first text; None without any.
    """

    record: RequestRecord
    context: int
    cached: int | None
    history: int
    wait_s: float | None

    @property
    def lost(self) -> bool:
        """Its history was there before, and had to be read again."""
        return self.cached is not None and self.cached < LOST_BELOW * self.history


@dataclass(frozen=True, slots=True)
class MeasuredSession:
    """One session of a case: requests that build on each other, in the order of sending."""

    case: CaseView
    requests: tuple[MeasuredRequest, ...]

    @property
    def cache_reported(self) -> bool:
        """The server said of every request how much was cached."""
        return all(a.cached is not None for a in self.requests)


def sessions_of(report: Report, case: CaseView) -> list[MeasuredSession]:
    """The sessions of a case in the order in which they began; side requests are left out."""
    run = report.runs[case.run].run
    ids = [c.id for c in run.info.plan.cases]
    if case.summary.id not in ids:  # the short form on a terminal knows no plan and no records
        return []
    columns = columns_of(run.records, ids)
    place = ids.index(case.summary.id)
    ours = columns.measured & columns.ok & (columns.case == place)
    rows = np.flatnonzero(ours & (columns.work.session >= 0))
    found: dict[tuple[object, ...], list[RequestRecord]] = {}
    for record in records_of(run.records).read(rows):
        if record.session is not None and record.sent_ns is not None and not record.thread:
            key = (record.block, record.user, record.session)
            found.setdefault(key, []).append(record)
    begun = sorted(found.values(), key=lambda records: min(r.sent_ns or 0 for r in records))
    made = (MeasuredSession(case, _asked(sorted(r, key=lambda r: r.sent_ns or 0))) for r in begun)
    return [s for s in made if len(s.requests) > 1]


def _asked(records: Sequence[RequestRecord]) -> tuple[MeasuredRequest, ...]:
    known = [r for r in records if r.server.prompt_eval_count]
    before = [0] + [
        (a.server.prompt_eval_count or 0) + (a.server.eval_count or 0) for a, _ in pairwise(known)
    ]
    return tuple(_one(r, b) for r, b in zip(known, before, strict=False))


def _one(record: RequestRecord, before: int) -> MeasuredRequest:
    context = record.server.prompt_eval_count or 0
    texts = [t for t in (record.first_thinking_ns, record.first_answer_ns) if t is not None]
    wait = (min(texts) - record.sent_ns) / 1e9 if texts and record.sent_ns is not None else None
    history = min(context, before)
    return MeasuredRequest(record, context, record.server.prompt_eval_cached_count, history, wait)
