"""Axes of times and of load levels: linear or logarithmic, with plain numbers as ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from bench.analysis.run.columns import Floats
from bench.report.units import Scale, number

_LOG_FROM: Final = 12.0
"""An axis whose largest value exceeds its smallest by this factor is logarithmic."""
_MINUTES_FROM_S: Final = 180.0


def plain(value: float, _: object = None) -> str:
    """A tick's number in full, without exponent or trailing zeros."""
    exact = f"{value:.8f}".rstrip("0").rstrip(".")
    return number(value, len(exact.partition(".")[2]))


def time_axis(axis: Axis, values: Sequence[Floats], unit: str, label: str) -> None:
    """Scale, ticks and label of an axis of times, already in `unit`."""
    logarithmic = value_axis(axis, values)
    axis.set_label_text(f"{label} ({unit}, logarithmic)" if logarithmic else f"{label} ({unit})")


def value_axis(axis: Axis, values: Sequence[Floats]) -> bool:
    """Scale and ticks of an axis that holds some values; says whether it is logarithmic."""
    everything = np.concatenate([np.asarray(v, dtype=float) for v in values])
    positive = everything[everything > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.0, 1.0)
    set_limits = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
    logarithmic = bool(low > 0 and high / low > _LOG_FROM)
    if logarithmic:
        log_axis(axis, low / 1.2, high * 1.2)
    else:
        margin = (high - low) * 0.04 or high * 0.1 or 1.0
        set_limits(max(0.0, low - margin), high + margin)
        axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(plain))
    return logarithmic


def log_axis(axis: Axis, low: float, high: float) -> None:
    """A logarithmic axis between two positive values, with plain numbers as ticks."""
    horizontal = isinstance(axis, XAxis)
    (axis.axes.set_xscale if horizontal else axis.axes.set_yscale)("log")
    (axis.axes.set_xlim if horizontal else axis.axes.set_ylim)(low, high)
    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))


def elapsed(seconds: float) -> Scale:
    """The unit for an axis of time since the start of a run that lasted so long."""
    return Scale("seconds") if seconds < _MINUTES_FROM_S else Scale("minutes", 1 / 60)


def level_axis(ax: Axes, levels: Sequence[float], label: str) -> None:
    """The x axis of load levels: a tick for each, logarithmic if they double."""
    ordered = sorted(set(levels))
    if len(ordered) > 2 and ordered[0] > 0 and ordered[-1] / ordered[0] > 4:
        ax.set_xscale("log")
        ax.set_xlim(ordered[0] / 1.12, ordered[-1] * 1.12)
    else:
        span = ordered[-1] - ordered[0] or 1.0
        ax.set_xlim(ordered[0] - 0.06 * span, ordered[-1] + 0.06 * span)
    ax.xaxis.set_major_locator(FixedLocator(ordered))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(plain))
    ax.set_xlabel(label)
