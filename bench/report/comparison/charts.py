"""Charts of a comparison: effects with their intervals, and block values in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes

from bench.analysis.comparison.result import (
    BlockPoint,
    CaseComparison,
    Comparison,
    Design,
    MetricComparison,
)
from bench.report.charts.palette import BAD, GRID, INK, LINE, PAPER, SERIES, SOFT
from bench.report.charts.parts import (
    BESIDE,
    Canvas,
    note,
    picked,
    points,
    shortened,
    tagged,
    text_width,
)
from bench.report.comparison.tables import block_table, verdict_table
from bench.report.comparison.wording import change_shown, metric_name, verdict_text
from bench.report.model import SEPARATOR
from bench.report.page import Chart
from bench.report.units import number, scale_for, show_value

_ROW: Final = 34
_FRAME: Final = 74
_MOST_ROWS: Final = 40
_REACH: Final = 3.0
"""The axis of effects ends at so many times the largest change to be caught, at most."""
_SIDES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("baseline", {"color": SERIES[0], "marker": "o", "linestyle": "none"}),
    ("candidate", {"color": SERIES[1], "marker": "s", "linestyle": "none"}),
)


def forest_chart(comparison: Comparison, number: int) -> Chart | None:
    """Every change with its interval against the sizes to ignore and to catch."""
    known = [(c, m) for c, m in comparison.judged() if m.change is not None]
    rows = [row for row in known if row[1].primary] or known
    drawn = rows[:_MOST_ROWS]
    if not drawn:
        return None
    names = [(metric_name(m.metric), c.case) for c, m in drawn]
    labels = [SEPARATOR.join(n if len(comparison.cases) > 1 else n[:1]) for n in names]
    left_out = len(rows) - len(drawn)
    height = _FRAME + _ROW * len(drawn)
    return Chart(
        id=f"effects-{number}",
        title="Changes",
        message="; ".join(
            f"{label}: {verdict_text(m)}, {change_shown(m).full}"
            for (_, m), label in zip(drawn[:4], labels, strict=False)
        ),
        caption=(
            "Change of every metric that decides, with its 95 % interval. Right of zero is better: "
            "faster, or less waiting. Dark band: changes to ignore; pale band: within the change "
            "to catch." + (f" {left_out} more are in the table." if left_out else "")
        ),
        table=verdict_table(comparison, number, brief=False),
        draw=lambda on: _draw_forest(on, [m for _, m in drawn], labels),
        height=(height, height + _ROW * len(drawn) // 2),
        simulated=comparison.baseline.simulated or comparison.candidate.simulated,
        full_width=True,
    )


def block_charts(comparison: Comparison, number: int) -> list[Chart]:
    """The block values of every primary metric, in order of time, pairs joined."""
    known = [(c, m) for c, m in comparison.judged() if m.primary and m.change is not None]
    return [
        _block_chart(comparison, c, m, f"blocks-{number}-{i}") for i, (c, m) in enumerate(known)
    ]


def _draw_forest(on: Canvas, rows: Sequence[MetricComparison], labels: Sequence[str]) -> None:
    widest = max(text_width(label, 12) for label in labels) + 16
    left = 8.0 if on.narrow else min(widest, on.width * 0.42)
    ax = on.axes(left, 14, 8, 58)
    reach = _reach(rows)
    step = 1.5 if on.narrow else 1.0
    for i, (m, label) in enumerate(zip(rows, labels, strict=True)):
        y = i * step
        _bands(ax, m, y)
        ends = [_right(m) * _clip(v or 0.0, reach) * 100 for v in (m.low, m.high)]
        ax.plot(ends, [y, y], color=_colour(m), linewidth=2, solid_capstyle="butt")
        gid = f"effect-{i}"
        x, marker = _right(m) * _clip(m.change or 0.0, reach) * 100, "D" if m.primary else "o"
        points(ax, [x], [y], gid, 0, marker=marker, color=_colour(m))
        on.say(gid, [f"{label}\n{change_shown(m).full}\n{verdict_text(m)}"])
        _label(on, ax, m, label, y, left)
    ax.axvline(0, color=SOFT, linewidth=1.2)
    ax.set_ylim(len(rows) * step - step / 2, -0.5 - (0.5 if on.narrow else 0))
    ax.set_xlim(-reach * 100, reach * 100)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")
    ax.spines[["left"]].set_visible(False)
    ax.set_xlabel("worse \u2190   change (%)   \u2192 better")
    ax.xaxis.set_major_formatter(lambda v, _: number(abs(v), 0 if abs(v) >= 2 or not v else 1))


def _reach(rows: Sequence[MetricComparison]) -> float:
    """Half the width of the axis: all intervals, but not the tail of a hopeless one."""
    largest = max(abs(v) for m in rows for v in (m.low or 0.0, m.high or 0.0, m.change or 0.0))
    catch = max(m.catch for m in rows)
    point = max(abs(m.change or 0.0) for m in rows)
    return 1.1 * max(catch * 1.2, point, min(largest, _REACH * catch))


def _bands(ax: Axes, m: MetricComparison, y: float) -> None:
    for size, shade in ((m.catch, GRID), (m.ignore, LINE)):
        # On the log scale: a change of D and its inverse.
        low, high = sorted((_right(m) * (1 / (1 + size) - 1) * 100, _right(m) * size * 100))
        ax.barh(y, high - low, left=low, height=0.62, color=shade, linewidth=0, zorder=0)


def _right(m: MetricComparison) -> int:
    """The sign that puts better to the right."""
    return -1 if m.better == "lower" else 1


def _clip(value: float, reach: float) -> float:
    return max(-reach, min(reach, value))


def _label(on: Canvas, ax: Axes, m: MetricComparison, label: str, y: float, left: float) -> None:
    look: dict[str, Any] = {"va": "center", "color": INK, "fontsize": 12, "xycoords": BESIDE}
    look |= {"fontweight": "bold" if m.primary else "normal", "annotation_clip": False}
    if on.narrow:
        note(ax, shortened(label, on.width - 24, 12), (0, y - 0.62), (0, 0), ha="left", **look)
    else:
        note(ax, shortened(label, left - 14, 12), (0, y), (-8, 0), ha="right", **look)


def _colour(m: MetricComparison) -> str:
    return BAD if m.verdict.value == "worse" else INK if m.primary else SOFT


def _block_chart(
    comparison: Comparison, case: CaseComparison, m: MetricComparison, chart_id: str
) -> Chart:
    paired = case.design is Design.PAIRED
    how = "Blocks of a pair are joined." if paired else "The two runs lie side by side."
    return Chart(
        id=chart_id,
        title=f"{metric_name(m.metric)}, block by block",
        message=f"{case.case}: {verdict_text(m)}, {change_shown(m).full}.",
        caption=f"{case.case}. Every block in order of time; the block is the unit. {how}",
        table=block_table(case, m, f"{chart_id}-table"),
        draw=lambda on: _draw_blocks(on, m, chart_id, paired),
        height=(300, 300),
        simulated=comparison.baseline.simulated or comparison.candidate.simulated,
    )


def _draw_blocks(on: Canvas, m: MetricComparison, gid: str, paired: bool) -> None:
    entries = [(name, picked(look, f"side.{name}")) for name, look in _SIDES]
    top = 4 + on.legend(entries, 4)
    ax = on.axes(66, 12, top + 8, 46)
    scale = scale_for(m.unit, m.baseline, m.candidate)
    xs = _minutes(m, paired)
    if paired:
        for a, b, x_a, x_b in zip(m.baseline_blocks, m.candidate_blocks, *xs, strict=True):
            values = [a.value * scale.factor, b.value * scale.factor]
            ax.plot([x_a, x_b], values, color=LINE, linewidth=1.5, zorder=1)
    of_sides = zip(_SIDES, (m.baseline_blocks, m.candidate_blocks), xs, strict=True)
    for (name, look), blocks, where in of_sides:
        group = tagged(f"{gid}-{name}", [f"side.{name}"])
        ys = [p.value * scale.factor for p in blocks]
        ax.plot(where, ys, markeredgecolor=PAPER, gid=group, zorder=2, **look)
        on.say(group, (_tip(name, p, m) for p in blocks))
    ax.set(xlabel="minutes since the start of the run", ylabel=scale.unit or metric_name(m.metric))


def _minutes(m: MetricComparison, paired: bool) -> tuple[list[float], list[float]]:
    """Where the blocks stand: by their start; a run that was made separately follows the other."""
    first = [p.start_s / 60 for p in m.baseline_blocks]
    second = [p.start_s / 60 for p in m.candidate_blocks]
    if paired:
        return first, second
    gap = (max(first) - min(first)) / max(len(first) - 1, 1)
    shift = max(first) + gap - min(second)
    return first, [x + shift for x in second]


def _tip(side: str, point: BlockPoint, m: MetricComparison) -> str:
    pair = "" if point.pair is None else f", pair {point.pair + 1}"
    return f"{side}{pair}\n{show_value(point.value, m.unit).number}"
