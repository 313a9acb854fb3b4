"""Who waited, who ran: the requests of one block in order of time, with their phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.analysis.run.columns import Floats
from bench.analysis.run.evidence import columns_of
from bench.analysis.run.plausibility import FIELD_NAMES, FIELDS
from bench.report.charts.axes import Limit, asked, limit_legend
from bench.report.charts.palette import BAD, GRID, INK, PHASE_HATCHES, PHASES, SOFT
from bench.report.charts.parts import ABOVE, Box, Canvas, boxes, case_tag, note, part_tag, tagged
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.samples import CaseSample, Samples
from bench.report.tables import Table, from_columns, number_column, text_column
from bench.report.units import plural, show_value
from bench.results.record import Phase, RequestRecord
from bench.results.records import records_of
from bench.results.run import BlockInfo
from bench.wire.exchange import Outcome

MOST_REQUESTS: Final = 64
"""At most so many requests are drawn, the first of the block."""
_NARROW_MOST: Final = 32
_ROW: Final = 7.5
_FRAME: Final = 104
_NS: Final = 1e9
_MEASURED: Final = "measured"
_LEGEND_ROW: Final = 19
_FAILED: Final = 64
"""Pixels that the cross and its name take in the legend."""
_NOTICEABLE_S: Final = 0.05
_CROSS: Final[dict[str, Any]] = {
    "linestyle": "none",
    "marker": "x",
    "markersize": 6,
    "color": BAD,
    "markeredgewidth": 2,
}
_ORDER: Final = ("load", "queue", "prefill", "decode", "overhead")


@dataclass(frozen=True, slots=True)
class Bar:
    """One request as it is drawn: seconds since the block began."""

    record: RequestRecord
    start: float
    end: float
    parts: tuple[tuple[str, float, float], ...]


def timeline_chart(samples: Samples) -> Chart | None:
    """The chart of the block in which requests waited most, None without requests."""
    found = _busiest(samples)
    if found is None:
        return None
    sample, block = found
    case = sample.case
    sent = _sent_in(samples.report, case, block)
    bars = [b for r in sent[:MOST_REQUESTS] if (b := bar_of(r, block.start_ns)) is not None]
    if not bars:
        return None
    waits = (_queues(sample, block) >= _NOTICEABLE_S).any()
    reason = ", the one with the longest waits" if waits else ""
    asked_for = _limits(samples.report, bars)
    ticks = "Ticks: when the time that was asked for is over. " if asked_for else ""
    phones = f"Phones show the first {_NARROW_MOST}. " if len(bars) > _NARROW_MOST else ""
    some = f"The first {len(bars)} of {len(sent)}" if len(bars) < len(sent) else f"All {len(bars)}"

    def draw(on: Canvas) -> None:
        shown = bars[:_NARROW_MOST] if on.narrow else bars
        on.sample(f"n = {plural(len(shown), 'request')}")
        _draw(on, shown, block, case, samples.report)

    return Chart(
        id="timeline",
        title="Who waited, who ran",
        message=_message(sample, block, sent),
        caption=(
            f"{some} requests of block {block.number} ({case.label}){reason}, "
            "in the order they were sent; a row each. Phases have the server's durations, "
            "laid one after another from the moment of sending; what is left is overhead. "
            f"What was sent in the measured time counts. {ticks}{phones}"
            f"n = {plural(len(bars), 'request')}."
        ),
        table=_table(bars, case),
        draw=draw,
        height=(round(_FRAME + _ROW * len(bars)), round(_FRAME + _ROW * len(bars[:_NARROW_MOST]))),
        full_width=True,
        folded=not waits and all(b.record.outcome is Outcome.OK for b in bars),
    )


def bar_of(record: RequestRecord, origin_ns: int) -> Bar | None:
    """A request as it is drawn; None if it was never sent or has not ended."""
    begun = record.sent_ns if record.planned_ns is None else record.planned_ns
    if begun is None or record.sent_ns is None or record.end_ns is None:
        return None
    sent, end = ((t - origin_ns) / _NS for t in (record.sent_ns, record.end_ns))
    parts: list[tuple[str, float, float]] = []
    at = sent
    for name, length in _durations(record):
        stop = min(at + length, end)
        if stop > at:
            parts.append((name, at, stop))
        at = stop
    if parts and end > at:
        parts.append(("overhead", at, end))
    return Bar(record, (begun - origin_ns) / _NS, end, tuple(parts))


def _durations(record: RequestRecord) -> list[tuple[str, float]]:
    """The server's durations in the order in which it spends them; empty where one is missing."""
    s = record.server
    named = (s.load_duration, s.prompt_eval_duration, s.eval_duration)
    known = [ns for ns in named if ns is not None]
    if s.total_duration is None or len(known) < len(named):
        return []
    known.insert(1, max(s.total_duration - sum(known), 0))
    return [(name, ns / _NS) for name, ns in zip(_ORDER, known, strict=False)]


def _busiest(samples: Samples) -> tuple[CaseSample, BlockInfo] | None:
    """The block whose requests waited longest for a slot, on average; else the first there is."""
    runs = samples.report.runs
    every = (
        (sample, block)
        for sample in samples.cases
        for block in runs[sample.case.run].run.info.blocks
        if block.case == sample.case.summary.id
    )

    def wait(pair: tuple[CaseSample, BlockInfo]) -> float:
        queues = _queues(*pair)
        return float(queues.mean()) if len(queues) else -1.0

    return max(every, key=wait, default=None)


def _queues(sample: CaseSample, block: BlockInfo) -> Floats:
    """Queue times of the measured requests of a block that ended well."""
    queues: Floats = sample.times["queue_s"][sample.columns.block == block.index]
    known: Floats = queues[np.isfinite(queues)]
    return known


def _sent_in(report: Report, case: CaseView, block: BlockInfo) -> list[RequestRecord]:
    """The requests of a block in the order they were sent."""
    run = report.runs[case.run].run
    columns = columns_of(run.records, [c.id for c in run.info.plan.cases])
    rows = np.flatnonzero(columns.block == block.index)
    found = map(_believed, records_of(run.records).read(rows), columns.refused[rows])
    sent = (r for r in found if r.sent_ns is not None)
    return sorted(sent, key=lambda r: r.sent_ns or 0)


def _believed(record: RequestRecord, refused: NDArray[np.int8]) -> RequestRecord:
    """The record without what the server said of it that cannot be true."""
    if not refused.any():
        return record
    names = (FIELD_NAMES[FIELDS[i]] for i in np.flatnonzero(refused))
    return replace(record, server=replace(record.server, **dict.fromkeys(names)))


def _message(sample: CaseSample, block: BlockInfo, records: Sequence[RequestRecord]) -> str:
    measured = [r for r in records if r.phase is Phase.MEASURE]
    label, n = sample.case.label, plural(len(measured), "measured request")
    if measured and not any(r.outcome is Outcome.OK for r in measured):
        return f"{label}: all {n} failed."
    queues = _queues(sample, block)
    waited = queues[queues >= _NOTICEABLE_S]
    if not len(waited):
        return f"{label}: no request waited noticeably for a slot."
    longest = show_value(float(waited.max()), "s").number
    return f"{label}: {len(waited)} of {n} waited for a slot, the longest {longest}."


def part_length(bar: Bar, part: str) -> float:
    """Seconds of a request spent on a part of it."""
    return sum(stop - start for name, start, stop in bar.parts if name == part)


def _table(bars: Sequence[Bar], case: CaseView) -> Table:
    names = [f"{b.record.phase.replace('_', '-')} {b.record.index + 1}" for b in bars]
    lengths = {p.capitalize(): [part_length(b, p) or None for b in bars] for p in _ORDER}
    columns = [
        text_column("Request", names),
        number_column("Sent", "s", [b.start for b in bars]),
        *(number_column(part, "s", seconds) for part, seconds in lengths.items()),
        number_column("End", "s", [b.end for b in bars]),
        text_column("Outcome", [b.record.outcome.replace("_", " ") for b in bars]),
    ]
    caption, models = f"Requests drawn ({case.label})", [case.model] * len(bars)
    return from_columns("timeline-table", caption, columns, models=models)


def _draw(
    on: Canvas, bars: Sequence[Bar], block: BlockInfo, case: CaseView, report: Report
) -> None:
    present = [p for p in _ORDER if any(part_length(b, p) > 0 for b in bars)]
    lines = _limits(report, bars)
    right = on.bar_legend([(p, PHASES[p], PHASE_HATCHES[p]) for p in present], 20)
    failed = any(b.record.outcome is not Outcome.OK for b in bars)
    # On phones the first row of the legend is full.
    wrapped = _LEGEND_ROW if failed and right + _FAILED > on.width else 0
    if failed:
        x, y = 2.0 if wrapped else right, 27 + wrapped
        on.figure.add_artist(Line2D([(x + 7) / on.width], [1 - y / on.height], **_CROSS))
        on.text(x + 18, y, "failed", fontsize=11, color=INK, va="center")
    top = 39.0 + wrapped
    top += 23 + limit_legend(on, lines, top)
    ax = on.axes(12, 12, top, 40)
    end = max(b.end for b in bars)
    for line in lines:
        _due(ax, bars, line)
    _bands(ax, block, end)
    draw_phases(ax, bars, present)
    if failed:
        _failures(ax, bars)
    on.marks.drawing["case"] = case_tag(case).partition(".")[2]
    whole = [row_box(i, b.start, b.end, 0.5) for i, b in enumerate(bars)]
    boxes(ax, whole, "none", gid="timeline-bars")
    on.say("timeline-bars", map(_tip, bars))
    row_scale(ax, bars, "seconds since the block began")


def row_box(row: int, start: float, stop: float, half: float = 0.38) -> Box:
    """A box in a row of the drawing, half so thick."""
    return start, stop, row - half, row + half


def draw_phases(ax: Axes, bars: Sequence[Bar], present: Sequence[str]) -> None:
    """The phases of requests, a row each."""
    for part in present:
        drawn = [
            row_box(i, start, stop)
            for i, b in enumerate(bars)
            for name, start, stop in b.parts
            if name == part
        ]
        gid = tagged("", [part_tag(PHASES[part])])
        boxes(ax, drawn, PHASES[part], PHASE_HATCHES[part], gid)


def row_scale(ax: Axes, bars: Sequence[Bar], label: str) -> None:
    """Axes with a row a request, over time."""
    ax.set_ylim(len(bars), -0.6)
    ax.set_xlim(0, max(b.end for b in bars) * 1.01)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    ax.set_xlabel(label)


def _bands(ax: Axes, block: BlockInfo, end: float) -> None:
    """Load, warm-up and measurement are phases of the block, never mixed."""
    loaded = (block.load_ns or 0) / _NS
    window = (block.window_start_ns, block.window_end_ns)
    begin, over = ((ns - block.start_ns) / _NS for ns in window)
    for name, start, stop in (
        ("loading", 0.0, loaded),
        ("warm-up", loaded, begin),
        (_MEASURED, begin, min(over, end)),
        ("afterwards", over, end),
    ):
        if stop - start <= 0:
            continue
        if name != _MEASURED:
            alpha = 1.0 if name == "loading" else 0.55
            ax.axvspan(start, stop, color=GRID, alpha=alpha, linewidth=0)
        if (stop - start) / end > 0.06:
            look = {"ha": "center", "va": "bottom", "fontsize": 11, "color": SOFT}
            note(ax, name, ((start + stop) / 2, 1), (0, 3), xycoords=ABOVE, **look)


def _limits(report: Report, bars: Sequence[Bar]) -> list[Limit]:
    """What was asked of times from sending on, as far as a bar could reach it; a colour each."""
    wholes = [np.array([0.0, *(b.end - b.start for b in bars)])]
    found = [x for metric in ("e2e_s", "ttft_s") for x in asked(report, metric, wholes) if x.drawn]
    colours = (BAD, INK, SOFT)
    return [
        replace(x, look={"color": colours[i % len(colours)], "linewidth": 1.4})
        for i, x in enumerate(found)
    ]


def _due(ax: Axes, bars: Sequence[Bar], limit: Limit) -> None:
    """Where each request would have taken as long as was asked."""
    late = [b.start + limit.threshold.value for b in bars]
    places = [x for at in late for x in (at, at, math.nan)]
    rows = [y for i in range(len(bars)) for y in (i - 0.5, i + 0.5, math.nan)]
    ax.plot(places, rows, **limit.look)


def _failures(ax: Axes, bars: Sequence[Bar]) -> None:
    failed = [(i, b) for i, b in enumerate(bars) if b.record.outcome is not Outcome.OK]
    for i, bar in failed:
        ax.plot([bar.start, bar.end], [i, i], color=BAD, linewidth=1.5)
    ax.plot([b.end for _, b in failed], [i for i, _ in failed], **_CROSS)


def _tip(bar: Bar) -> str:
    r = bar.record
    who = f", user {r.user + 1}" if r.user is not None else ""
    lines = [f"{r.phase.replace('_', '-')} request {r.index + 1}{who}, block {r.block + 1}"]
    lines.append(f"sent at {show_value(bar.start, 's').number}")
    if r.outcome is not Outcome.OK:
        lines.append(r.outcome.replace("_", " "))
    lines += [f"{name}: {show_value(stop - start, 's').number}" for name, start, stop in bar.parts]
    return "\n".join(lines)
