"""What the server's machine did while a case was measured: row by row, beside the blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.ticker import MaxNLocator

from bench.analysis.run.columns import Floats
from bench.analysis.run.machine_checks import CAUSES
from bench.report.charts.axes import elapsed, plain
from bench.report.charts.palette import BAD, DASHES, GRID, INK, series_colour
from bench.report.charts.parts import Canvas, picked
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.tables import Table, from_columns, text_column
from bench.report.units import number, plural
from bench.results.run import BlockInfo
from bench.telemetry.energy import DEVICE

_MOST_PANELS: Final = 2
"""Each costs the page some 30 kB."""
_MOST_LINES: Final = 4
_POINTS: Final = 200
_NS: Final = 1e9
_ROW: Final = 82

Line = tuple[Floats, Floats]
"""Seconds within the blocks of the case, one after the other, and values."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One quantity: which series show it, and how they are drawn."""

    title: str
    unit: str
    pattern: str
    factor: float = 1.0
    from_zero: bool = True


_ROWS: Final = (
    _Quantity("in use", "%", r"(.+_)?share", 100.0),
    _Quantity("power", "W", r".+_power_w"),
    _Quantity("temperature", "°C", r".+_temperature_c", from_zero=False),
    _Quantity("clock", "MHz", r".+_sm_clock_mhz", from_zero=False),
    _Quantity("memory", "GiB", r".+_memory_bytes|memory_used_bytes|server_rss_bytes", 2.0**-30),
)


def machine_panels(report: Report) -> list[Chart]:
    """A panel for each case of whose machine something was sampled."""
    found: list[tuple[CaseView, list[BlockInfo], _Rows]] = []
    for case in report.cases:
        infos = report.runs[case.run].run.info.blocks
        blocks = [b for b in infos if b.case == case.summary.id and b.utilisation]
        if rows := list(_rows(blocks)):
            found.append((case, blocks, rows))
    left_out = ""
    if len(found) > _MOST_PANELS:
        left_out = f" Of {len(found)} cases the first and the last are drawn; the table has all."
        found = [found[0], found[-1]]
    return [_panel(report, *one, left_out) for one in found]


_Rows = Sequence[tuple[_Quantity, dict[str, Line]]]


def _rows(blocks: Sequence[BlockInfo]) -> Iterator[tuple[_Quantity, dict[str, Line]]]:
    starts, _ = _laid(blocks)
    names = _series(blocks)
    for row in _ROWS:
        matching = [n for n in names if re.fullmatch(row.pattern, n)]
        if row.unit == "W":
            counters = [n.removesuffix("energy_j") for n in names if n.endswith("_energy_j")]
            matching += [f"{n}energy_j" for n in counters if f"{n}power_w" not in matching]
        lines = {_words(n): _line(blocks, starts, n, row.factor) for n in matching[:_MOST_LINES]}
        lines = {name: line for name, line in lines.items() if np.isfinite(line[1]).any()}
        if lines:
            yield row, lines


def _laid(blocks: Sequence[BlockInfo]) -> tuple[list[float], float]:
    """Where each block begins when they stand one after the other, and the end; seconds."""
    starts, at = [], 0.0
    for b in blocks:
        starts.append(at)
        at += (b.end_ns - b.start_ns) / _NS
    return starts, at


def _line(blocks: Sequence[BlockInfo], starts: Sequence[float], name: str, factor: float) -> Line:
    times, values = [], []
    for block, start in zip(blocks, starts, strict=True):
        table = np.array(block.utilisation.get(name, ()), dtype=np.float64).reshape(-1, 2)
        seconds = start + (table[:, 0] - block.start_ns) / _NS
        readings = table[:, 1]
        if name.endswith("_energy_j"):
            seconds, readings = _watts(seconds, readings)
        seconds, readings = averaged(seconds, readings * factor, max(20, _POINTS // len(blocks)))
        # A gap, so that no line joins two blocks.
        times.append(np.append(seconds, np.nan))
        values.append(np.append(readings, np.nan))
    return np.concatenate(times), np.concatenate(values)


def _watts(seconds: Floats, joules: Floats) -> Line:
    """Power from a counter, over steps of about a second."""
    if len(seconds) < 3:
        return seconds[:0], joules[:0]
    step = max(1, round(1.0 / float(np.median(np.diff(seconds)))))
    t, j = seconds[::step], joules[::step]
    return (t[1:] + t[:-1]) / 2, np.diff(j) / np.diff(t)


def _words(name: str) -> str:
    """How a series is called in the legend: its device."""
    if match := DEVICE.match(name):
        words = match[0][:-1].upper()
        return words if match[1] != "cpu" else f"CPU {match[2]}"
    known = {
        "cpu_share": "CPU",
        "memory_used_bytes": "machine",
        "server_rss_bytes": "server",
        "kv_cache_share": "KV cache",
    }
    return known.get(name, name.replace("_", " "))


def _panel(
    report: Report, case: CaseView, blocks: Sequence[BlockInfo], rows: _Rows, left_out: str
) -> Chart:
    speeds = {b.index: b.values.get("decode_tok_per_s") for b in case.summary.blocks}
    known = any(speeds.get(b.index) for b in blocks)
    height = 56 + _ROW * (len(rows) + known) + 34
    several = len(report.cases) > 1
    hot = " Red below the clock: throttled." if any(map(_throttled, blocks)) else ""
    return Chart(
        id=f"machine-{case.key}",
        title=f"The server's machine{f': {case.label}' if several else ''}",
        message=_message(rows),
        caption=(
            f"The {plural(len(blocks), 'block')} of the case, one after the other; the measured "
            f"window of each is shaded.{hot}{left_out} n = {_readings(blocks)}."
        ),
        table=_table(case, rows),
        draw=lambda on: _draw(on, blocks, rows, speeds if known else {}),
        height=(height, height),
        sample=f"n = {_readings(blocks)}",
        folded=True,
    )


def _readings(blocks: Sequence[BlockInfo]) -> str:
    most = max(sum(len(b.utilisation.get(n, ())) for b in blocks) for n in _series(blocks))
    return plural(most, "reading")


def _series(blocks: Sequence[BlockInfo]) -> list[str]:
    return list(dict.fromkeys(n for b in blocks for n in b.utilisation))


def _message(rows: _Rows) -> str:
    said = [
        f"{name} {row.title} {_rounded(float(np.nanmean(values)))} {row.unit}"
        for row, lines in rows
        for name, (_, values) in lines.items()
    ]
    return f"On average {'; '.join(said)}."


def _rounded(mean: float) -> str:
    """A server that holds 0.3 GiB does not hold 0."""
    return number(mean, 0 if abs(mean) >= 10 else 1)


def _table(case: CaseView, rows: _Rows) -> Table:
    lines = {
        f"{name}, {row.title} ({row.unit})": values[np.isfinite(values)]
        for row, of in rows
        for name, (_, values) in of.items()
    }
    columns = [
        text_column("What", lines),
        text_column("Lowest", [number(float(v.min()), 1) for v in lines.values()]),
        text_column("Mean", [number(float(v.mean()), 1) for v in lines.values()]),
        text_column("Highest", [number(float(v.max()), 1) for v in lines.values()]),
    ]
    return from_columns(f"machine-{case.key}-table", "The machine over the blocks", columns)


def _draw(
    on: Canvas, blocks: Sequence[BlockInfo], rows: _Rows, speeds: dict[int, float | None]
) -> None:
    names = list(dict.fromkeys(n for _, lines in rows for n in lines))
    looks: dict[str, dict[str, Any]] = {}
    for i, n in enumerate(names):
        look = {"color": series_colour(i), "linestyle": DASHES[i % len(DASHES)], "linewidth": 1.4}
        looks[n] = picked(look, f"device.{n.replace(' ', '-')}")
    top = 2 + on.legend(looks.items(), 2) + 4  # lines share the ids of the legend
    starts, end = _laid(blocks)
    scale = elapsed(end)
    count = len(rows) + bool(speeds)
    each = (on.height - top - 40) / count
    for i in range(count):
        bottom = on.height - top - each * (i + 1)
        ax = on.axes(58, 10, top + each * i + 16, bottom)
        for block, start in zip(blocks, starts, strict=True):
            window = (block.window_start_ns, block.window_end_ns)
            a, b = ((start + (x - block.start_ns) / _NS) * scale.factor for x in window)
            ax.axvspan(a, b, color=GRID, alpha=0.6, linewidth=0)
            if i == count - 1 and speeds and (speed := speeds.get(block.index)):
                ax.plot([a, b], [speed] * 2, color=INK, linewidth=2)
        ax.set_xlim(0, end * scale.factor)
        if i < len(rows):
            row, lines = rows[i]
            for name, (x, y) in lines.items():
                ax.plot(x * scale.factor, y, **looks[name])
            if row.unit == "MHz":
                _mark_throttling(ax, blocks, starts, scale.factor)
            if row.unit == "%":
                ax.set_ylim(0, 105)
            elif row.from_zero:
                ax.set_ylim(bottom=0, top=ax.get_ylim()[1] * 1.05)
            title = f"{row.title} ({row.unit})"
        else:
            ax.set_ylim(bottom=0, top=ax.get_ylim()[1] * 1.1)
            title = "decode speed of each block (tok/s)"
        ax.yaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 2.5, 5, 10]))
        ax.yaxis.set_major_formatter(plain)
        ax.text(0, 1.04, title, transform=ax.transAxes, fontsize=11, color=INK, va="bottom")
        if i < count - 1:
            ax.set_xticklabels([])
        else:
            ax.set_xlabel(f"{scale.unit} within the blocks of the case")


def _throttled(block: BlockInfo) -> list[int]:
    """When any card was slowed down; ns."""
    return [
        t
        for name, samples in block.utilisation.items()
        if name.partition("_")[2] in CAUSES
        for t, v in samples
        if v
    ]


def _mark_throttling(
    ax: Any, blocks: Sequence[BlockInfo], starts: Sequence[float], factor: float
) -> None:
    at = [
        (start + (t - b.start_ns) / _NS) * factor
        for b, start in zip(blocks, starts, strict=True)
        for t in _throttled(b)
    ]
    if at:
        low, high = ax.get_ylim()
        ax.plot(at, [low] * len(at), linestyle="none", marker="|", markersize=8, color=BAD)
        ax.set_ylim(low - 0.06 * (high - low), high)


def averaged(times: Floats, values: Floats, points: int) -> Line:
    """A series thinned for drawing by averaging neighbours; its mean stays as it is."""
    if len(times) <= points:
        return times, values
    thinned = (np.array([g.mean() for g in np.array_split(x, points)]) for x in (times, values))
    first, second = thinned
    return first, second
