"""One session as it went: pauses, then waiting, reading and writing, a row a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from bench.report.charts.palette import LINE, PHASE_HATCHES, PHASES
from bench.report.charts.parts import axes_in, bar_legend, boxes, part_tag, tagged
from bench.report.charts.timeline import Bar, bar_of, draw_phases, row_box, row_scale
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
        draw=lambda figure, size: _draw(figure, size, bars),
        sample=f"n = {plural(len(bars), 'request')}",
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
    waits = [row_box(i, b.start - _pause(b), b.start) for i, b in pauses]
    boxes(ax, waits, LINE, gid=tagged("", [part_tag(LINE, _PAUSE)]))
    draw_phases(ax, bars, present)
    marks = Marks()
    boxes(ax, [row_box(i, b.start, b.end) for i, b in enumerate(bars)], "none", gid="session-bars")
    marks.tips["session-bars"] = [_tip(b) for b in bars]
    row_scale(ax, bars, "seconds since the session's first request")
    return marks


def _tip(bar: Bar) -> str:
    r = bar.record
    lines = [f"turn {(r.turn or 0) + 1}, {r.step or 'request'}"]
    lines += [
        f"{_WORDS.get(name, name)}: {show_value(stop - start, 's').number}"
        for name, start, stop in bar.parts
    ]
    return "\n".join(lines)
