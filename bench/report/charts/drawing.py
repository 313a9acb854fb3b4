"""Drawing charts with matplotlib, without pyplot: an empty figure goes in, SVG or PNG comes out."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedFormatter
from matplotlib.transforms import Bbox

from bench.files import write_whole
from bench.report.charts.palette import INK
from bench.report.charts.parts import Canvas
from bench.report.charts.svg import page_svg, values_of
from bench.report.page import Chart, Marks
from bench.resources import resource_dir
from bench.shown import all_shown, shown

STYLE_FILE: Final = "charts.mplstyle"
WIDE: Final = 560
FULL: Final = 1040
NARROW: Final = 340
_PX_PER_INCH: Final = 72
_PNG_SCALE: Final = 2.5
_MARK: Final = "SIMULATED"
_LOW: Final = 120
"""Axes less high than this, in pixels, are full of bars."""
_ROW: Final = 18
"""Pixels that a line of small type takes."""
_MARK_EMS: Final = (6.8, 1.0)
"""How wide and high it is, in bold type of size 1, with room to spare."""
# Those of them that are installed, in this order: Latin first, then Chinese, Japanese, Korean.
_FAMILIES: Final[tuple[str, ...]] = (
    *("DejaVu Sans", "Noto Sans CJK SC", "Noto Serif CJK SC", "PingFang SC", "Hiragino Sans GB"),
    *("Microsoft YaHei", "SimHei", "WenQuanYi Zen Hei", "Arial Unicode MS"),
)


def inline_svg(chart: Chart) -> tuple[str, str]:
    """The chart as two elements of a page: for wide screens and for phones."""
    label = shown(f"{chart.title}. {chart.message}")
    with _style():
        (source, marks), (other, other_marks) = _svg(chart), _svg(chart, narrow=True)
    first = page_svg(source, f"{chart.id}-w", label, marks)
    return first, page_svg(other, f"{chart.id}-n", label, other_marks, values_of(first))


def save(chart: Chart, path: Path) -> None:
    """Write the chart to a file; its ending says how: `.svg` or `.png`."""
    with _style():
        figure = _drawn(chart).figure
        for axes in figure.axes:
            # A picture has room for the first view alone.
            axes.set_visible((axes.get_gid() or "view-0") == "view-0")
        figure.suptitle(shown(chart.title), x=0.0, ha="left", y=1.0, va="top", fontweight="bold")
        picture = io.BytesIO()
        look: dict[str, Any] = {"facecolor": "white", "bbox_inches": "tight", "pad_inches": 0.15}
        kind, metadata = path.suffix[1:], _NO_DATE if path.suffix == ".svg" else None
        dpi = _PX_PER_INCH * _PNG_SCALE
        figure.savefig(picture, format=kind, dpi=dpi, metadata=metadata, **look)
    write_whole(path, picture.getbuffer())


_NO_DATE: Final[dict[str, str | None]] = {"Date": None, "Creator": None}


def _svg(chart: Chart, *, narrow: bool = False) -> tuple[str, Marks]:
    out = io.StringIO()
    on = _drawn(chart, narrow=narrow)
    renderer: Any = _Renderer(on.width, on.height, out, metadata=_NO_DATE)  # type: ignore[no-untyped-call]
    on.figure.draw(renderer)
    renderer.finalize()
    return out.getvalue(), all_shown(on.marks)


class _Renderer(RendererSVG):
    """Remembers how large texts are: a page says each of them in several drawings."""

    def get_text_width_height_descent(self, s: str, prop: Any, ismath: Any) -> Any:
        return _measured(s, prop, ismath)


@lru_cache(maxsize=4096)
def _measured(text: str, font: FontProperties, ismath: Any) -> Any:
    return text_to_path.get_text_width_height_descent(text, font, ismath)


def _drawn(chart: Chart, *, narrow: bool = False) -> Canvas:
    width = NARROW if narrow else FULL if chart.full_width else WIDE
    height = chart.height[narrow]
    figure = Figure(figsize=(width / _PX_PER_INCH, height / _PX_PER_INCH))
    on = Canvas(figure, width, height, narrow)
    if chart.sample:
        on.sample(chart.sample)
    chart.draw(on)
    if chart.simulated:
        _watermark(figure)
    _make_fit(figure)
    return on


def _make_fit(figure: Figure) -> None:
    """All text of a drawing, as it may be shown: XML allows no control character."""
    texts = list(figure.texts)
    for ax in figure.axes:
        texts += [child for child in ax.get_children() if isinstance(child, Text)]
        for axis in (ax.xaxis, ax.yaxis):
            texts.append(axis.label)
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):  # labels of ticks are made when drawn
                formatter.seq = [shown(str(label)) for label in formatter.seq]
    for text in texts:
        text.set_text(shown(text.get_text()))


def _watermark(figure: Figure) -> None:
    """Across what the axes enclose; in the upper left corner where bars would hide it."""
    box = Bbox.union([ax.get_position() for ax in figure.axes] or [Bbox.unit()])
    whole = figure.get_size_inches() * _PX_PER_INCH
    width, height = whole * box.size
    mark: dict[str, Any] = {"color": INK, "fontweight": "bold", "zorder": -1}
    if height < _LOW and (1 - box.y1) * whole[1] > _ROW:
        left, top = 4 / whole[0], 1 - 4 / whole[1]
        figure.text(left, top, _MARK, alpha=0.5, fontsize=11, ha="left", va="top", **mark)
        return
    slope = math.radians(min(18, height / 14))
    turned = np.array([[math.cos(slope), math.sin(slope)], [math.sin(slope), math.cos(slope)]])
    room = np.array([width, height]) / (turned @ _MARK_EMS)
    mark |= {"fontsize": 0.95 * min(*room, height / 4 + 16), "rotation": math.degrees(slope)}
    middle = (box.x0 + box.width / 2, box.y0 + box.height / 2)
    figure.text(*middle, _MARK, alpha=0.12, ha="center", va="center", **mark)


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context(_settings()), warnings.catch_warnings():
        # Text stays text: what this machine's fonts lack, the reader's fonts may have.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from (current )?font")
        yield


@cache
def _settings() -> Any:
    path = resource_dir("reports") / STYLE_FILE
    settings: Any = mpl.rc_params_from_file(path, use_default_template=False)
    installed = {f.name for f in font_manager.fontManager.ttflist}
    settings["font.family"] = [f for f in _FAMILIES if f in installed] or ["sans-serif"]
    return settings
