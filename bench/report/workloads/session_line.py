"""One session as it went: pauses, then waiting, reading and writing, a row a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from bench.report.charts.palette import LINE, PHASE_HATCHES, PHASES
from bench.report.charts.parts import (
    Box,
    axes_in,
    bar_legend,
    boxes,
    part_tag,
    sample_note,
    tagged,
)
from bench.report.charts.timeline import Bar, bar_of
from bench.report.page import Chart, Marks, Size
from bench.report.units import plural, show_value
from bench.report.workloads.asked import MeasuredSession

MOST_REQUESTS: Final = 48
_ROW: Final = 9
_FRAME: Final = 104
_PAUSE: Final = "pause"
_WORDS: Final = {"queue": "queue", "load": "load", "prefill": "read", "decode": "write"}


def session_chart(sessions: Sequence[MeasuredSession], simulated: bool) -> Chart | None:
    """The session with most requests of a case; None without any."""
    if not sessions:
        return None
    longest = max(sessions, key=lambda s: len(s.requests))
    origin = longest.requests[0].record.sent_ns or 0
    bars = [b for a in longest.requests[:MOST_REQUESTS] if (b := bar_of(a.record, origin))]
    if len(bars) < 2 or not any(b.parts for b in bars):
        return None
    total = len(longest.requests)
    height = _FRAME + _ROW * len(bars)

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(len(bars), 'request')}")
        return _draw(figure, size, bars)

    some = f"The first {len(bars)} of {total}" if len(bars) < total else f"All {total}"
    return Chart(
        id=f"session-line-{longest.case.key}",
        title="One session",
        message=f"{longest.case.label}: {_message(bars)}",
        caption=(
            f"{some} requests of the session with most of them ({longest.case.label}), a row each: "
            "the pause of the tools or of the user before it, then waiting for a slot, reading "
            "the prompt and writing the answer, by the server's durations."
        ),
        table=None,
        draw=draw,
        height=(height, height),
        simulated=simulated,
        full_width=True,
    )


def _pause(bar: Bar) -> float:
    return (bar.record.gap_ns or 0) / 1e9


def _spent(bars: Sequence[Bar], part: str) -> float:
    return sum(stop - start for b in bars for name, start, stop in b.parts if name == part)


def _message(bars: Sequence[Bar]) -> str:
    spent = {word: _spent(bars, part) for part, word in _WORDS.items()}
    spent[_PAUSE] = sum(map(_pause, bars[1:]))
    shares = [f"{show_value(s, 's').number} {word}" for word, s in spent.items() if s > 0]
    return f"{', '.join(shares)} in {plural(len(bars), 'request')}."


def _draw(figure: Figure, size: Size, bars: Sequence[Bar]) -> Marks:
    present = [p for p in _WORDS if _spent(bars, p) > 0]
    legend = [(_WORDS[p], PHASES[p], PHASE_HATCHES[p]) for p in present]
    pauses = [(i, b) for i, b in enumerate(bars) if i and _pause(b) > 0]
    if pauses:
        legend.append((_PAUSE, LINE, ""))
    bar_legend(figure, size, legend, 20)
    ax = axes_in(figure, size, 12, 12, 62, 40)
    waits = [_box(i, b.start - _pause(b), b.start) for i, b in pauses]
    boxes(ax, waits, LINE, gid=tagged("", [part_tag(LINE, _PAUSE)]))
    for part in present:
        drawn = [
            _box(i, start, stop)
            for i, b in enumerate(bars)
            for name, start, stop in b.parts
            if name == part
        ]
        gid = tagged("", [part_tag(PHASES[part])])
        boxes(ax, drawn, PHASES[part], PHASE_HATCHES[part], gid)
    marks = Marks()
    boxes(ax, [_box(i, b.start, b.end) for i, b in enumerate(bars)], "none", gid="session-bars")
    marks.tips["session-bars"] = [_tip(b) for b in bars]
    ax.set_ylim(len(bars), -0.6)
    ax.set_xlim(0, max(b.end for b in bars) * 1.01)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("seconds since the session's first request")
    return marks


def _box(row: int, start: float, stop: float) -> Box:
    return start, stop, row - 0.4, row + 0.4


def _tip(bar: Bar) -> str:
    r = bar.record
    lines = [f"turn {(r.turn or 0) + 1}, {r.step or 'request'}"]
    lines += [
        f"{_WORDS.get(name, name)}: {show_value(stop - start, 's').number}"
        for name, start, stop in bar.parts
    ]
    return "\n".join(lines)
