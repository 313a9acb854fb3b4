"""How busy GPU and CPU were, where that was collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from bench.analysis.columns import Floats
from bench.report.charts.palette import DASHES, GRID, series_colour
from bench.report.charts.parts import axes_in, sample_note, series_legend
from bench.report.charts.scales import elapsed
from bench.report.model import Report
from bench.report.page import Chart, Marks, Size
from bench.report.tables import from_columns, number_column, text_column
from bench.report.units import number, percent, plural

_POINTS: Final = 300
_MOST_LINES: Final = 6
_NS: Final = 1e9

Series = tuple[Floats, Floats]
"""Seconds since the start of the run, and values."""


def utilisation_chart(report: Report) -> Chart | None:
    """The chart of the first run that holds shares of utilisation; None if there is none."""
    for view in report.runs:
        lines = _collected([b.utilisation for b in view.run.info.blocks])
        if lines:
            bounds = [(b.start_ns / _NS, b.end_ns / _NS) for b in view.run.info.blocks]
            return _chart(report, lines, bounds)
    return None


def _collected(blocks: Sequence[Mapping[str, Sequence[tuple[int, float]]]]) -> dict[str, Series]:
    """Shares (0 to 1) by name; other units are left to the raw data."""
    lines: dict[str, Series] = {}
    for name in dict.fromkeys(n for b in blocks for n in b):
        samples = [tuple(s) for b in blocks for s in b.get(name, ())]
        if not samples:
            continue
        table = np.array(samples, dtype=np.float64)
        if table[:, 1].max() <= 1.0 and table[:, 1].min() >= 0.0:
            lines[name] = (table[:, 0] / _NS, table[:, 1])
    return dict(list(lines.items())[:_MOST_LINES])


def _chart(
    report: Report, lines: dict[str, Series], bounds: Sequence[tuple[float, float]]
) -> Chart:
    n = sum(len(t) for t, _ in lines.values())

    def draw(figure: Figure, size: Size) -> Marks:
        sample_note(figure, size, f"n = {plural(n, 'sample')}")
        return _draw(figure, size, lines, bounds)

    means = {name: float(v.mean()) for name, (_, v) in lines.items()}
    return Chart(
        id="utilisation",
        title="How busy the machine was",
        message=" ".join(f"{_words(k)}: {percent(v)} on average." for k, v in means.items()),
        caption=(
            f"Samples taken during the blocks (shaded).{_thinned(lines)} n = {plural(n, 'sample')}."
        ),
        table=from_columns(
            "utilisation-table",
            "Utilisation over the run",
            [
                text_column("What", [_words(name) for name in lines]),
                number_column("Mean", "share", list(means.values())),
                number_column("Highest", "share", [float(v.max()) for _, v in lines.values()]),
                text_column("Samples", [len(t) for t, _ in lines.values()]),
            ],
        ),
        draw=draw,
        height=(280, 280),
        simulated=report.simulated,
    )


def _thinned(lines: dict[str, Series]) -> str:
    if max(len(seconds) for seconds, _ in lines.values()) <= _POINTS:
        return ""
    return f" Averaged to {_POINTS} points a line for drawing."


def _words(name: str) -> str:
    words = name.removesuffix("_share").replace("_", " ")
    return words.replace("gpu", "GPU").replace("cpu", "CPU")


def _draw(
    figure: Figure, size: Size, lines: dict[str, Series], bounds: Sequence[tuple[float, float]]
) -> Marks:
    looks: dict[str, dict[str, Any]] = {
        name: {"color": series_colour(i), "linestyle": DASHES[i], "linewidth": 1.6}
        for i, name in enumerate(lines)
    }
    top = 20 + series_legend(figure, size, [(_words(k), v) for k, v in looks.items()], 20) + 8
    ax = axes_in(figure, size, 50, 12, top, 42)
    scale = elapsed(max(stop for _, stop in bounds))
    for start, stop in bounds:
        ax.axvspan(start * scale.factor, stop * scale.factor, color=GRID, alpha=0.45, linewidth=0)
    for name, (seconds, values) in lines.items():
        x, y = averaged(seconds, values, _POINTS)
        ax.plot(x * scale.factor, y * 100, **looks[name])
    ax.set_ylim(0, 103)
    ax.set_xlim(left=0)
    ax.yaxis.set_major_formatter(lambda v, _: f"{number(v, 0)}%")
    ax.set_ylabel("share in use")
    ax.set_xlabel(f"{scale.unit} since the start of the run")
    return Marks()


def averaged(times: Floats, values: Floats, points: int) -> Series:
    """A series thinned for drawing by averaging neighbours; its mean stays as it is."""
    if len(times) <= points:
        return times, values
    groups = np.array_split(np.arange(len(times)), points)
    return (
        np.array([times[g].mean() for g in groups]),
        np.array([values[g].mean() for g in groups]),
    )
