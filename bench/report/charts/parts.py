"""What several charts share: a canvas with axes and legends, intervals, bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from bench.analysis.run.summary import Estimate
from bench.report.charts import palette
from bench.report.charts.palette import INK, PAPER, SOFT, series_colour, series_marker
from bench.report.charts.plain_axes import PlainAxes
from bench.report.charts.svg import ENTRY
from bench.report.model import CaseView
from bench.report.page import Marks
from bench.shown import shown

_LEGEND_ROW: Final = 19
_LEGEND_SHARE: Final = 0.4
"""A legend takes at most so much of a drawing; what does not fit is counted."""
_X_LABEL: Final = 23
_Y_LABEL: Final = 16
_NARROW: Final = 0.6


@dataclass(frozen=True, slots=True)
class Canvas:
    """An empty figure of so many CSS pixels, and what the points drawn on it say.

    Attributes:
        narrow: for phones.
    """

    figure: Figure
    width: int
    height: int
    narrow: bool = False
    marks: Marks = field(default_factory=Marks)

    def axes(self, left: float, right: float, top: float, bottom: float) -> Axes:
        """Axes with margins in pixels; their labels stand at the outer edges of the margins."""
        w, h = self.width, self.height
        inner_w, inner_h = w - left - right, h - top - bottom
        place = (left / w, bottom / h, inner_w / w, inner_h / h)
        ax = self.figure.add_axes(place, axes_class=PlainAxes)
        ax.xaxis.set_label_coords(0.5, -_X_LABEL / inner_h)
        ax.yaxis.set_label_coords(-(left - _Y_LABEL) / inner_w, 0.5)
        return ax

    def text(self, x: float, y: float, text: str, **look: Any) -> None:
        """A text so many pixels from the upper left corner."""
        self.figure.text(x / self.width, 1 - y / self.height, text, **look)

    def sample(self, text: str) -> None:
        """How many requests the drawing rests on, in its upper right corner."""
        self.text(self.width - 4, 4, text, ha="right", va="top", color=SOFT, fontsize=11)

    def say(self, gid: str, tips: Iterable[str], model: str = "", tags: Iterable[str] = ()) -> None:
        """What each point of a group says, whose they are, and their tags (`Marks`)."""
        self.marks.tips[gid] = list(tips)
        if model:
            self.marks.models[gid] = model
        if tags := list(tags):
            self.marks.tags[gid] = tags

    def legend(self, entries: Iterable[tuple[str, dict[str, Any]]], top: float) -> float:
        """A legend so far below the upper edge, wrapped to the width; returns its height in pixels.

        An entry is a label and the look of its line (keywords of Line2D); `picked` makes it a
        switch.
        """
        x, y, entries = 2.0, top, list(entries)
        small: dict[str, Any] = {"fontsize": 11.5, "va": "center"}
        for number, (label, look) in enumerate(entries):
            text = shortened(label, self.width - 44, 11.5)
            width = 34 + text_width(text, 11.5) + 10
            if x > 2.0 and x + width > self.width:
                x, y = 2.0, y + _LEGEND_ROW
                if y + 2 * _LEGEND_ROW > top + _LEGEND_SHARE * self.height:
                    more = f"and {len(entries) - number} more: see the table"
                    self.text(2, y + 8, more, color=SOFT, **small)
                    break
            places = [(x + shift) / self.width for shift in (0, 13, 26)]
            middle = [1 - (y + 8) / self.height] * 3
            self.figure.add_artist(Line2D(places, middle, markevery=[1], **look))
            gid = look.get("gid")
            if gid:
                gid = _entry_id(text, label, (x, y - 2, width - 10), gid)
            self.text(x + 33, y + 8, text, color=INK, gid=gid, **small)
            x += width
        return y + _LEGEND_ROW - top

    def bar_legend(self, entries: Iterable[tuple[str, str, str]], top: float) -> float:
        """Filled boxes in one row: label, colour, hatch; returns where it ends, pixels."""
        x, w, h = 2.0, self.width, self.height
        fontsize, gap = (11, 6) if self.narrow else (11.5, 14)
        for label, colour, hatch in entries:
            gid, step = tagged("", [part_tag(colour, label)]), 18 + text_width(label, 11.5)
            look: dict[str, Any] = {"facecolor": colour, "edgecolor": PAPER, "hatch": hatch}
            corner = (x / w, 1 - (top + 13) / h)
            self.figure.add_artist(Rectangle(corner, 14 / w, 12 / h, linewidth=0, gid=gid, **look))
            name = _entry_id(label, label, (x, top - 3, step), gid)
            self.text(x + 18, top + 7, label, fontsize=fontsize, color=INK, va="center", gid=name)
            x += step + gap
        return x


def text_width(text: str, fontsize: float) -> float:
    """Width of a text in pixels, roughly; wide characters count double."""
    return sum(fontsize * (1.02 if ord(c) > 0x2E80 else _NARROW) for c in text)


def shortened(text: str, pixels: float, fontsize: float) -> str:
    """A text cut in the middle to fit, with an ellipsis."""
    # No character is narrower than this, so longer cuts need not be measured.
    short, kept = text, min(len(text), 2 + int(pixels / (fontsize * _NARROW)))
    if kept < len(text):
        kept += 1
        short = text[: kept + 1]
    while text_width(short, fontsize) > pixels and kept > 2:
        kept -= 1
        front = (kept + 1) // 2
        short = f"{text[:front]}…{text[len(text) - (kept - front) :]}"
    return short


def case_tag(case: CaseView) -> str:
    """What a case is called among the tags of drawings."""
    return f"c.{case.key.rpartition('c')[2]}"


def part_tag(colour: str, label: str = "") -> str:
    """What a part of requests is called among the tags: by its colour in all charts, or a label."""
    names = {c: name for name, c in palette.PHASES.items()}
    return f"p.{names.get(colour, label)}"


def tagged(gid: str, tags: Iterable[str]) -> str:
    """An id that says to which entries of legends a group belongs.

    Tags are of a kind each, before the dot. Who picks an entry sees, of all that has tags of its
    kind, only what has one of the entry's, in every chart of the page.
    """
    return f"{gid}@{' '.join(tags)}"


def picked(look: dict[str, Any], *tags: str) -> dict[str, Any]:
    """The look of an entry of a legend that picks what has one of these tags."""
    return {**look, "gid": tagged("", dict.fromkeys(tags))}


def interval_bars(
    ax: Axes, xs: Sequence[float], ys: Sequence[float], gid: str, colour: str, **bars: Any
) -> None:
    """Intervals alone, their lines and caps under one id; `bars` as `Axes.errorbar` has them."""
    drawn = ax.errorbar(xs, ys, fmt="none", ecolor=colour, **bars)
    for part in (*drawn.lines[1], *drawn.lines[2]):
        part.set_gid(gid)


def _entry_id(text: str, label: str, box: tuple[float, float, float], gid: str) -> str:
    """The id of an entry's text: where the entry stands, and its name if the text is cut."""
    name = "" if text == label else shown(label)
    return f"{ENTRY}{box[0]:.0f} {box[1]:.0f} {box[2]:.0f} {name}".rstrip() + gid


MOST_CURVES: Final = 5
"""More curves than this cannot be distinguished."""


def distinguishable(groups: Sequence[Sequence[CaseView]]) -> list[list[CaseView]]:
    """Of many curves five, spread from first to last; of one model, each in its own colour."""
    last, most = len(groups) - 1, min(len(groups), MOST_CURVES)
    chosen = [groups[round(i * last / max(most - 1, 1))] for i in range(most)]
    if len({c.model for g in chosen for c in g}) > 1:
        return [list(g) for g in chosen]
    return [[replace(c, series=i) for c in g] for i, g in enumerate(chosen)]


def look_of(case: CaseView, dash: int = 0) -> dict[str, Any]:
    """Colour, marker and dash of a case's line."""
    return {
        "color": series_colour(case.series),
        "marker": series_marker(case.series),
        "markeredgecolor": PAPER,
        "linestyle": palette.DASHES[dash % len(palette.DASHES)],
    }


def ends(estimates: Sequence[Estimate], factor: float = 1.0) -> tuple[list[float], list[float]]:
    """Lengths of intervals below and above their values; 0 where an end is missing."""
    below, above = [], []
    for e in estimates:
        value = e.value or 0.0
        below.append(factor * max(0.0, value - (value if e.low is None else e.low)))
        above.append(factor * max(0.0, (value if e.high is None else e.high) - value))
    return below, above


def points(
    ax: Axes, xs: Sequence[float], ys: Sequence[float], gid: str, series: int, **more: Any
) -> None:
    """The markers of a model, without a line; `more` takes the place of what they look like."""
    look: dict[str, Any] = {
        "linestyle": "none",
        "marker": series_marker(series),
        "color": series_colour(series),
        "markeredgecolor": PAPER,
    }
    ax.plot(xs, ys, gid=gid, **(look | more))


def note(
    ax: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], **look: Any
) -> None:
    """A text some pixels from a place."""
    ax.annotate(text, at, shift, textcoords="offset points", **look)


ABOVE: Final = ("data", "axes fraction")
"""The place of a note: x by the data, y by the axes."""
BESIDE: Final = ("axes fraction", "data")


def only_first(drawn: int, present: int, noun: str) -> str:
    """Says for a caption that not everything is drawn; "" if it is."""
    if drawn >= present:
        return ""
    return f" Only the first {drawn} of {present} {noun}s are drawn; the table has all."


Box = tuple[float, float, float, float]
"""Left, right, lower, upper: in the units of the axes."""


def boxes(
    ax: Axes,
    drawn: Sequence[Box],
    colour: str | Sequence[Any],
    hatch: str = "",
    gid: str = "",
    edge: float = 0.6,
) -> None:
    """Bars of one colour, or of one each, as one artist: several times faster than one a bar."""
    corners = [((a, lo), (b, lo), (b, up), (a, up)) for a, b, lo, up in drawn]
    edges: Any = PAPER if colour != "none" else "none"
    look = {"facecolors": colour, "edgecolors": edges, "linewidths": edge, "hatch": hatch}
    ax.add_collection(PolyCollection(corners, gid=gid, **look), autolim=False)


def interval_line(
    on: Canvas,
    ax: Axes,
    cases: Sequence[CaseView],
    gid: str,
    drawn: Sequence[tuple[float, Estimate, str]],
    factor: float = 1.0,
    dash: int = 0,
) -> None:
    """A line through estimates with their intervals and markers that can be asked.

    Args:
        on: what to draw on.
        ax: its axes.
        cases: that the line is of; the first gives it its colour and marker.
        gid: begins the ids of all that is drawn.
        drawn: place, estimate and what the marker says.
        factor: displayed = stored x factor.
        dash: 0 is solid with filled markers; others are dashed with hollow ones.
    """
    case, tags = cases[0], [case_tag(c) for c in cases]
    colour = series_colour(case.series)
    line, ends_of, dots = (tagged(gid + part, tags) for part in ("-line", "-bars", ""))
    xs, estimates, tips = zip(*drawn, strict=True)
    ys = [(e.value or 0.0) * factor for e in estimates]
    lengths, width = ends(estimates, factor), 1.5 if dash else 2
    ax.plot(xs, ys, color=colour, linestyle=palette.DASHES[dash], linewidth=width, gid=line)
    interval_bars(ax, xs, ys, ends_of, colour, yerr=lengths, elinewidth=1.5, capsize=4)
    hollow = {"color": PAPER, "markeredgecolor": colour} if dash else {}
    points(ax, xs, ys, dots, case.series, **hollow)
    on.say(dots, tips)
    for name in (line, ends_of, dots):
        on.marks.models[name] = case.model
