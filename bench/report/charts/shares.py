"""Shares of requests against a time, in two views over one time axis: all of them, and the tail.

The views lie over each other and the page shows one at a time. In the tail, shares that the
requests cannot support are not drawn: p99 of 20 requests is their maximum under another name.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from bench.analysis.run.columns import Floats
from bench.report.charts.parts import Canvas
from bench.stats.quantiles import order_statistic_ranks

VIEWS: Final = ("Shares", "Tail")
TAIL_POINTS: Final = 48
_TICKS: Final = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)
Margins = tuple[float, float, float, float]
"""Margins of axes in pixels: left, right, top, bottom."""


def share_axes(on: Canvas, base: Axes, margins: Margins) -> tuple[Axes, Axes]:
    """The axes of both views, over the axes that hold the times."""
    base.set_yticks([])
    views = []
    for number, name in enumerate(("share of requests", "percentile (logarithmic)")):
        ax = on.axes(*margins)
        ax.set_gid(f"view-{number}")
        ax.set_xscale(base.get_xscale())
        ax.set_xlim(base.get_xlim())
        ax.xaxis.set_visible(False)
        ax.spines[:].set_visible(False)
        ax.set_ylabel(name)
        views.append(ax)
    return views[0], views[1]


def all_shares(ax: Axes) -> None:
    """The scale of all requests."""
    ax.set_ylim(0, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def tail_shares(ax: Axes, highest: float) -> None:
    """The scale of the tail, up to the highest share that any requests support."""
    ticks = [t for t in _TICKS if t <= highest]
    ax.set_ylim(0, max(float(in_tail(np.array([highest]))[0]) * 1.05, 0.1))
    ax.set_yticks(in_tail(np.array(ticks)), [f"p{100 * t:g}" for t in ticks])


def in_tail(shares: Floats) -> Floats:
    """Where shares below 1 stand in the tail: every nine takes as much room as the one before."""
    places: Floats = -np.log10(1 - shares)
    return places


def supported_share(n: int) -> float:
    """The highest share of which n requests have an interval with both ends; 0 if none."""
    rank = n - 1
    while rank > 0 and order_statistic_ranks(n, rank / n)[1] > n:
        rank -= 1
    return max(rank, 0) / n


def tail_curve(ordered: Floats, points: int = TAIL_POINTS) -> tuple[Floats, Floats]:
    """An ordered distribution thinned for its tail: up to the highest supported share."""
    n = len(ordered)
    highest = round(supported_share(n) * n)
    if highest < 1:
        return ordered[:0], ordered[:0]
    beyond = np.geomspace(n, n - highest, points)
    ranks = np.unique(np.append(1, (n - beyond).round().astype(int)))
    ranks = ranks[(ranks >= 1) & (ranks <= highest)]
    return ordered[ranks - 1], ranks / n
