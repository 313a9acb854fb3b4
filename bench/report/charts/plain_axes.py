"""Axes that cost less to draw: each axis has one tick, which is drawn at every place.

A tick of matplotlib is five artists. Making them, and measuring their labels to push the axis's
own label away, took a third of a drawing's time; here that label has a given place.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis, YAxis


class _OneTick(Axis):
    """An axis without minor ticks, whose label has a given place."""

    @property
    def minorTicks(self) -> list[Any]:  # type: ignore[override]  # noqa: N802
        """None; matplotlib would make one as soon as it sets its look."""
        return []

    def draw(self, renderer: Any) -> None:
        """Draw the tick at every place in view, then the label."""
        if not self.get_visible():
            return
        places = self.get_majorticklocs().tolist()
        formatter = self.get_major_formatter()
        labels = formatter.format_ticks(places)
        if formatter.get_offset():  # "1e7" beside the axis: part of its numbers
            super().draw(renderer)
            return
        renderer.open_group("matplotlib.axis", gid=self.get_gid())
        low, high = sorted(self.get_transform().transform(self.get_view_interval()))
        slack = (high - low) * 1e-10
        for place, label in zip(places, labels, strict=True):
            if low - slack <= self.get_transform().transform(place) <= high + slack:
                tick: Any = self.get_major_ticks(1)[0]
                tick.update_position(place)
                tick.label1.set_text(label)
                tick.draw(renderer)
        self.label.draw(renderer)
        renderer.close_group("matplotlib.axis")


class _X(_OneTick, XAxis):
    pass


class _Y(_OneTick, YAxis):
    pass


class PlainAxes(Axes):
    """Axes with such ticks."""

    def _init_axis(self) -> None:
        # The one place where matplotlib lets axes choose their axis; its own gallery does it so.
        self.xaxis = _X(self, clear=False)
        self.yaxis = _Y(self, clear=False)
        for sides, axis in ((("bottom", "top"), self.xaxis), (("left", "right"), self.yaxis)):
            for side in sides:
                self.spines[side].register_axis(axis)
