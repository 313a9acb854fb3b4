"""Charts of one bar a case: rows with the model as a heading where it has several cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.charts.palette import INK, SOFT
from bench.report.charts.parts import axes_in, shortened, text_width
from bench.report.model import SEPARATOR, CaseView
from bench.report.page import Size

MOST_ROWS: Final = 24
"""At most so many cases are drawn."""
NUMBER_FONT: Final = 11.5
_FONT: Final = 12
_HEADING: Final = 30
_FEW: Final = 4
_ROW: Final = 27
_ROOMY_ROW: Final = 58
_NAME_ROW: Final = 18
_THICKEST: Final = 26
_TOP: Final = 22
_BOTTOM: Final = 44


@dataclass(frozen=True, slots=True)
class Rows:
    """Where each case is drawn, in pixels from the top of the axes.

    Attributes:
        headings: (text, place) of every model with several cases.
        places: (case, label, place of its bar).
        height: of all rows.
        bar: thickness of a bar.
    """

    headings: tuple[tuple[str, float], ...]
    places: tuple[tuple[CaseView, str, float], ...]
    height: float
    bar: float


def lay_out(cases: Sequence[CaseView], narrow: bool) -> Rows:
    """Rows for some cases, models together in their order."""
    headings, places = [], []
    y = 0.0
    step = _ROOMY_ROW if len(cases) <= _FEW and not narrow else _ROW
    for model in dict.fromkeys(c.model for c in cases):
        own = [c for c in cases if c.model == model]
        grouped = len(own) > 1
        if grouped:
            headings.append((model, y + _HEADING / 2 + 3))
            y += _HEADING
        for case in own:
            label = SEPARATOR.join(case.axes) if grouped else case.label
            on_top = narrow and not (grouped and text_width(label, _FONT) < 80)
            y += _NAME_ROW if on_top else 0
            places.append((case, label, y + step / 2))
            y += step
    return Rows(tuple(headings), tuple(places), y, min(step * 0.58, _THICKEST))


def chart_height(cases: Sequence[CaseView], legend: int = 0) -> tuple[int, int]:
    """Height of the wide and of the narrow drawing, with so many pixels above the rows."""
    frame = _TOP + _BOTTOM + legend
    return (
        round(lay_out(cases, narrow=False).height) + frame,
        round(lay_out(cases, narrow=True).height) + frame,
    )


def row_axes(figure: Figure, size: Size, rows: Rows, right: float, top: float = _TOP) -> Axes:
    """Axes in which y is pixels from the top, with the rows' names drawn.

    Args:
        figure: to draw on.
        size: of the figure.
        rows: what stands where.
        right: room for numbers, pixels.
        top: room above, pixels.
    """
    labels = [label for _, label, _ in rows.places]
    widest = max(text_width(label, _FONT) for label in labels)
    room = min(widest + 14.0, size.width * (0.28 if size.narrow else 0.44))
    on_top = size.narrow and widest >= 80
    left = 10.0 if on_top else room  # half a number of the scale
    ax = axes_in(figure, size, left, right, top, _BOTTOM)
    ax.set_ylim(rows.height, 0)
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.grid(visible=False, axis="y")
    for text, y in rows.headings:
        _name(ax, shortened(text, size.width - 12, _FONT), y, -left + 4, "left", "bold")
    for _, label, y in rows.places:
        if on_top:
            _name(ax, shortened(label, size.width - 12, _FONT), y - 17, 0, "left")
        else:
            _name(ax, shortened(label, left - 12, _FONT), y, -8, "right")
    return ax


def number_beside(ax: Axes, y: float, text: str) -> None:
    """A number right of the axes."""
    ax.annotate(
        text,
        (1, y),
        (8, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        va="center",
        color=SOFT,
        fontsize=NUMBER_FONT,
        annotation_clip=False,
    )


def _name(ax: Axes, text: str, y: float, dx: float, align: str, weight: str = "normal") -> None:
    ax.annotate(
        text,
        (0, y),
        (dx, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha=align,
        va="center",
        color=INK,
        fontsize=_FONT,
        fontweight=weight,
        annotation_clip=False,
    )
