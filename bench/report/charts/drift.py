"""Did the numbers stay the same? Every block's speed against its case's, in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.report.charts.axes import elapsed
from bench.report.charts.palette import SOFT
from bench.report.charts.parts import Canvas, case_tag, look_of, picked, points
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.tables import from_columns, number_column, text_column
from bench.report.units import duration, number, plural

_METRICS: Final = {"decode_tok_per_s": "decode speed", "e2e_s.p50": "median time of a request"}
_LEAST_RANGE: Final = 2.0
"""Percent: the y axis shows at least so much, lest noise look like drift."""


@dataclass(frozen=True, slots=True)
class _Point:
    case: CaseView
    start_s: float
    percent: float
    value: float
    requests: int


def drift_chart(report: Report) -> Chart | None:
    """The chart, None where no case has two blocks."""
    drawn = ((_points(report, metric), name) for metric, name in _METRICS.items())
    return next((_chart(found, name) for found, name in drawn if found), None)


def _chart(points: Sequence[_Point], name: str) -> Chart:
    n = sum(p.requests for p in points)
    return Chart(
        id="drift",
        title="Steadiness over the run",
        message=_message(points, name),
        caption=(
            f"Deviation of each block's {name} from the mean of its case's blocks, in order of "
            f"time. n = {plural(len(points), 'block')} with {plural(n, 'request')}."
        ),
        table=from_columns(
            "drift-table",
            f"Deviation of each block's {name}",
            [
                text_column("Case", [p.case.label for p in points]),
                number_column("Start", "s", [p.start_s for p in points]),
                number_column("Value", "", [p.value for p in points]),
                number_column("Deviation", "%", [p.percent for p in points]),
            ],
            models=[p.case.model for p in points],
        ),
        draw=lambda on: _draw(on, points),
        sample=f"n = {plural(len(points), 'block')}",
        height=(300, 300),
        folded=True,  # how steady it was, few readers need
    )


def _points(report: Report, metric: str) -> list[_Point]:
    points = []
    for case in report.cases:
        blocks = [b for b in case.summary.blocks if b.values.get(metric)]
        if len(blocks) < 2:
            continue
        mean = sum(b.values[metric] for b in blocks) / len(blocks)
        points += [
            _Point(case, b.start_s, (b.values[metric] / mean - 1) * 100, b.values[metric], b.n_ok)
            for b in blocks
        ]
    return sorted(points, key=lambda p: (p.case.run, p.start_s))


def _message(points: Sequence[_Point], name: str) -> str:
    low, high = min(p.percent for p in points), max(p.percent for p in points)
    said = f"The {name} of every block is within {_signed(low)} and {_signed(high)} of its case's."
    if not (round(low, 1) or round(high, 1)):
        said = f"The {name} of every block is its case's, to a tenth of a percent."
    unsteady = dict.fromkeys(
        p.case.label for p in points if p.case.summary.steadiness.steady is False
    )
    return f"{said} Not steady: {', '.join(unsteady)}." if unsteady else said


def _tags(points: Sequence[_Point], model: str) -> list[str]:
    return [case_tag(p.case) for p in points if p.case.model == model]


def _signed(percent: float) -> str:
    return f"{'+' if round(percent, 1) > 0 else ''}{number(percent, 1)}\u202f%"


def _draw(on: Canvas, drawn: Sequence[_Point]) -> None:
    firsts = {p.case.model: p.case for p in reversed(drawn)}
    looks = [
        (m, picked({**look_of(c), "linestyle": "none"}, *_tags(drawn, m)))
        for m, c in sorted(firsts.items(), key=lambda i: i[1].series)
    ]
    top = 20 + on.legend(looks, 20) + 8
    ax = on.axes(58, 12, top, 42)
    last = max(p.start_s for p in drawn)
    scale = elapsed(last)
    ax.axhline(0, color=SOFT, linewidth=1.2)
    for model, first in firsts.items():
        own = [p for p in drawn if p.case.model == model]
        gid = f"drift-{first.key}"
        times = [p.start_s * scale.factor for p in own]
        points(ax, times, [p.percent for p in own], gid, first.series)
        tips = (
            f"{p.case.label}\n{_signed(p.percent)}\nat {duration(p.start_s)}, n = {p.requests}"
            for p in own
        )
        on.say(gid, tips, model, _tags(drawn, model))
    reach = max(_LEAST_RANGE, *(abs(p.percent) for p in drawn)) * 1.15
    ax.set_ylim(-reach, reach)
    ax.set_xlim(left=-0.02 * scale.factor * last)
    ax.set(xlabel=f"{scale.unit} since the start of the run", ylabel="deviation from the case (%)")
