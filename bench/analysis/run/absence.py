"""Why requests have no value of a metric: the note beside a number, in the words of its reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bench.analysis.run.columns import Bools, Columns
from bench.analysis.run.evidence import Shape
from bench.analysis.run.plausibility import FIELD_NAMES, FIELDS, Reason

SHAPES = {
    Shape.FEW_BURSTS: "the tokens came in a few bursts",
    Shape.BURSTS: "the tokens came in bursts",
    Shape.ONE_PIECE: "the whole answer came at once",
    Shape.HELD_BACK: "the stream came faster than it was made",
    Shape.HELD_AT_START: "the first tokens came together",
    Shape.HIDDEN: "fewer tokens came than the server counted, and the stream does not show when "
    "the others were made",
}
"""Shape -> why times between tokens cannot be read off the stream."""

NO_TIME_PER_TOKEN = (Shape.ONE_PIECE, Shape.HELD_BACK, Shape.FEW_BURSTS, Shape.HIDDEN)

Why = tuple[str, Bools]
"""A reason, and the rows it holds for."""


def missing(columns: Columns, fields: Sequence[str]) -> list[Why]:
    """Why some of the server's fields are absent."""
    found: list[Why] = []
    for field in fields:
        refused = columns.refused[:, FIELDS.index(field)]
        name = FIELD_NAMES[field]
        reasons = np.unique(refused[refused > 0]).tolist()
        found += [(f"{name} is {Reason(r).text}", np.equal(refused, r)) for r in reasons]
        unsaid = np.isnan(getattr(columns, field)) & (refused == 0)
        found.append((f"the server does not say {name}", unsaid))
    return found


def shapes(columns: Columns, of: Iterable[Shape]) -> list[Why]:
    """Which streams have one of these shapes."""
    return [(SHAPES[shape], np.equal(columns.shape, shape)) for shape in of]


def note(absent: Bools, reasons: Iterable[Why]) -> str:
    """The reasons why rows are absent, the first that holds for each; "" if none is absent.

    Several come with how many rows each holds for, the most frequent first.
    """
    left = absent.copy()
    counts: dict[str, int] = {}
    for text, where in reasons:
        hit = left & where
        if hit.any():
            counts[text] = counts.get(text, 0) + int(hit.sum())
            left &= ~hit
    if len(counts) == 1 and not left.any():
        return next(iter(counts))
    ordered = sorted(counts.items(), key=lambda pair: -pair[1])
    return "; ".join(f"{text} ({n})" for text, n in ordered)


def left_out(absent: Bools, reasons: Iterable[Why]) -> str:
    """The note of a metric that some requests have: how many have it not, and why."""
    n = int(absent.sum())
    if not n:
        return ""
    why = note(absent, reasons)
    return f"{n} of {len(absent)} requests left out: {why}" if n < len(absent) else why
