"""Decode speed over two axes of a sweep: a cell a case, a panel for each value of a third axis."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from matplotlib.colors import to_rgba

from bench.report.charts.palette import INK, SERIES, SOFT
from bench.report.charts.parts import Canvas, boxes, case_tag, shortened
from bench.report.model import CaseView, Report
from bench.report.page import Chart
from bench.report.result_tables import metric_table
from bench.report.units import plural, show

METRIC: Final = "decode_tok_per_s"
_MOST_PANELS: Final = 4
_CELL: Final = 44
_LEFT: Final = 76
_PALEST, _DEEPEST = 0.08, 0.6

Panel = tuple[str, dict[tuple[str, str], CaseView]]
"""Its title, and the case of each (column, row)."""


def heat_chart(report: Report) -> Chart | None:
    """The chart, None unless the cases vary in two axes besides the model, or in three of all."""
    cases = [c for c in report.cases if c.value(METRIC)]
    names = [n for n, _ in cases[0].columns] if cases else []
    inner = [n for n in names if n not in ("Model", "Run")]
    if len(inner) < 2 or len(names) > 3 or len(cases) < len(report.cases):
        return None
    values = {n: list(dict.fromkeys(dict(c.columns).get(n, "") for c in cases)) for n in names}
    if len(inner) == 3:
        inner.remove(min(inner, key=lambda n: len(values[n])))
    across, down = sorted(inner, key=lambda n: -len(values[n]))
    outer = next((n for n in names if n not in inner), "")
    panels: list[Panel] = []
    for value in values.get(outer, [""]):
        own = [c for c in cases if not outer or dict(c.columns)[outer] == value]
        places = {(dict(c.columns)[across], dict(c.columns)[down]): c for c in own}
        if len(places) < len(own):
            return None
        panels.append((f"{outer}: {value}" if outer else "", places))
    if len(panels) > _MOST_PANELS:
        return None
    n = sum(c.n(METRIC) for c in cases)
    worst, *_, best = sorted(cases, key=lambda c: c.value(METRIC))
    tall = len(values[down]) * _CELL + 92
    return Chart(
        id="heat",
        title="Decode speed over the sweep",
        message=(
            f"From {show(best.estimate(METRIC), 'tok/s').full} ({best.label}) down to "
            f"{show(worst.estimate(METRIC), 'tok/s').full} ({worst.label})."
        ),
        caption=(
            "Tokens per second of one answer, on the server's clock; the deeper the colour, the "
            f"faster. Intervals are in the table. n = {plural(n, 'request')}."
        ),
        table=metric_table(report, METRIC, "heat-"),
        draw=lambda on: _draw(on, panels, (across, values[across]), (down, values[down])),
        sample=f"n = {plural(n, 'request')}",
        height=(tall, 12 + (tall - 12) * len(panels)),
        full_width=len(panels) > 1,
    )


def _draw(
    on: Canvas,
    panels: Sequence[Panel],
    across: tuple[str, Sequence[str]],
    down: tuple[str, Sequence[str]],
) -> None:
    speeds = np.array([c.value(METRIC) for _, places in panels for c in places.values()])
    low, span = float(speeds.min()), max(float(np.ptp(speeds)), 1e-9)
    for number, (title, places) in enumerate(panels):
        stacked = (on.height - 12) / len(panels) if on.narrow else on.height
        wide = on.width if on.narrow else on.width / len(panels)
        left = 0.0 if on.narrow else number * wide
        top = 12 + number * stacked if on.narrow else 12
        below = on.height - (top + stacked - 12) if on.narrow else 0
        ax = on.axes(left + _LEFT, on.width - left - wide + 8, top + 24, below + 46)
        cells = [k for k in product(across[1], down[1]) if k in places]
        at = [(across[1].index(a), down[1].index(d)) for a, d in cells]
        shares = [(places[k].value(METRIC) - low) / span for k in cells]
        gid = f"heat-{number}"
        colours = [to_rgba(SERIES[0], _PALEST + (_DEEPEST - _PALEST) * s) for s in shares]
        places_of = [(x - 0.5, x + 0.5, y - 0.5, y + 0.5) for x, y in at]
        boxes(ax, places_of, colours, gid=gid, edge=1.5)
        shown = [show(places[k].estimate(METRIC), "tok/s") for k in cells]
        tips = (f"{places[k].label}\n{s.full}" for k, s in zip(cells, shown, strict=True))
        on.say(gid, tips, tags=(case_tag(places[k]) for k in cells))
        for (x, y), number_shown in zip(at, shown, strict=True):
            ax.text(x, y, number_shown.text, ha="center", va="center", fontsize=11.5, color=INK)
        ax.set_xlim(-0.5, len(across[1]) - 0.5)
        ax.set_ylim(len(down[1]) - 0.5, -0.5)
        ax.set_xticks(range(len(across[1])), [shortened(v, 70, 11) for v in across[1]])
        ax.set_yticks(range(len(down[1])), [shortened(v, 44, 11) for v in down[1]])
        ax.grid(visible=False)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel=across[0], ylabel=down[0])
        if title:
            text = shortened(title, wide - _LEFT, 11.5)
            ax.set_title(text, fontsize=11.5, color=SOFT, loc="left")
