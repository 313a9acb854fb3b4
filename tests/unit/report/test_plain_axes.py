"""Axes with one tick an axis look exactly like matplotlib's own."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from bench.report.charts.plain_axes import PlainAxes

LOOK = {"svg.hashsalt": "x", "svg.fonttype": "none", "axes.grid": True, "xtick.major.size": 4}


def drawn(draw: Callable[[Axes], None], axes_class: type[Axes]) -> str:
    out = io.StringIO()
    with mpl.rc_context({**LOOK, "text.parse_math": False}):
        figure = Figure(figsize=(5, 3))
        ax: Any = figure.add_axes((0.2, 0.2, 0.7, 0.7), axes_class=axes_class)
        ax.xaxis.set_label_coords(0.5, -0.15)
        ax.yaxis.set_label_coords(-0.15, 0.5)
        draw(ax)
        figure.savefig(out, format="svg", metadata={"Date": None})
    # Ids count up with every drawing and mean nothing.
    return out.getvalue().replace("matplotlib.axis_", "axis_")


def linear(ax: Axes) -> None:
    ax.plot([0, 3, 7], [2, 5, 4])
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    ax.set_xlabel("users")
    ax.set_ylabel("time (s)")


def logarithmic(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xlim(0.013, 47)
    ax.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0), numticks=12))
    ax.xaxis.set_minor_locator(NullLocator())


def upside_down(ax: Axes) -> None:
    ax.set_ylim(100, 0)
    ax.set_yticks([10, 50, 90], ["a", "b", "c"])
    ax.grid(visible=False, axis="y")


def out_of_view(ax: Axes) -> None:
    ax.xaxis.set_major_locator(FixedLocator([-5, 0, 1, 2, 9]))
    ax.set_xlim(0, 2)


def without(ax: Axes) -> None:
    ax.set_yticks([])
    ax.xaxis.set_visible(False)


def with_offset(ax: Axes) -> None:
    ax.set_ylim(0, 7e9)


@pytest.mark.parametrize(
    "draw", [linear, logarithmic, upside_down, out_of_view, without, with_offset]
)
def test_the_drawing_is_the_same_as_matplotlibs(draw: Callable[[Axes], None]) -> None:
    assert drawn(draw, PlainAxes) == drawn(draw, Axes)


def test_an_offset_is_part_of_the_numbers() -> None:
    assert "1e9" in drawn(with_offset, PlainAxes)


@pytest.mark.slow
def test_matplotlib_gets_its_documentation_back() -> None:
    program = (
        "from bench.report.quick_import import import_matplotlib\n"
        "import_matplotlib()\n"
        "from matplotlib import artist, lines\n"
        "print('alpha' in (lines.Line2D.set.__doc__ or ''), 'alpha' in artist.kwdoc(lines.Line2D))"
    )
    run = [sys.executable, "-c", program]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    assert printed.split() == ["False", "True"]
