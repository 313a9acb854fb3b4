"""The colours of charts, by the names that the page's stylesheet gives them.

Eight colours for models that people with any of the common colour blindnesses can tell apart, each
with its own marker and dash so that they also differ in black and white (after Okabe and Ito,
darkened to 3:1 against the paper). Drawings hold the light theme's values; in a page each carries a
class, and the theme decides.
"""

from __future__ import annotations

from typing import Final

INK: Final = "#1b1d22"
SOFT: Final = "#555b66"
LINE: Final = "#b5b0a5"
GRID: Final = "#e6e2da"
PAPER: Final = "#fbfaf7"
BAD: Final = "#a5211d"

SERIES: Final = (
    *("#0b6aa8", "#b84a00", "#00785a", "#8c3f88"),
    *("#7d6200", "#3a3f9e", "#a3243b", "#4a5560"),
)
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "h")
DASHES: Final[tuple[object, ...]] = (
    "solid",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (7, 2, 1.5, 2)),
    (0, (3, 1.5)),
    (0, (9, 3)),
    (0, (4, 1.5, 1, 1.5, 1, 1.5)),
    (0, (1, 3)),
)
SERIES_HATCHES: Final = ("", "//", "\\\\", "xx", "--", "||", "++", "/--")

PHASES: Final = {
    "queue": "#d98c1a",
    "load": "#6a7280",
    "prefill": "#8c3f89",
    "decode": "#0b6aa9",
    "overhead": "#9aa2ab",
}
PHASE_HATCHES: Final = {
    "queue": "//",
    "load": "xx",
    "prefill": "\\\\",
    "decode": "",
    "overhead": "--",
}

CLASSES: Final = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    GRID: "grid",
    PAPER: "paper",
    BAD: "bad",
    **{colour: f"s{i}" for i, colour in enumerate(SERIES)},
    **{colour: f"p-{name}" for name, colour in PHASES.items()},
}
"""Colour in a drawing -> name in the stylesheet. All colours differ."""


def series_colour(series: int) -> str:
    """The colour of a model."""
    return SERIES[series % len(SERIES)]


def series_marker(series: int) -> str:
    """The marker of a model; models beyond the eighth share colours but not markers."""
    return MARKERS[(series + series // len(SERIES)) % len(MARKERS)]
