"""Goodput: requests that were good enough, one by one.

A threshold on a per-request metric says, request by request, what good enough is: of
`ttft_s.p95 <= 2` each request must have a `ttft_s` of at most 2. A request is good if it ended well
and meets all of them. One that never got the thing, a first answer say, does not meet it. One that
has no value for another reason (an answer too short to have a decode rate) cannot be judged by it:
if it breaks nothing else it is neither good nor bad, and is counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import Bools, Floats
from bench.thresholds import Threshold


@dataclass(frozen=True, slots=True)
class Goodness:
    """What became of each request: good, without a value to judge, or (neither) bad.

    Attributes:
        good, without: one a row.
    """

    good: Bools
    without: Bools


def requirements_of(thresholds: Iterable[Threshold]) -> tuple[Threshold, ...]:
    """The thresholds that say something of a single request."""
    return tuple(t for t in thresholds if t.kind.quality)


def goodness(
    values: Mapping[str, Floats], requirements: Sequence[Threshold], rows: int
) -> Goodness:
    """Which of some requests that ended well are good enough; none if nothing is required."""
    good = np.full(rows, bool(requirements))
    bad = np.zeros(rows, dtype=np.bool_)
    for required in requirements:
        value = values[required.metric]
        met = required.holds(value)
        judged = ~np.isnan(value) | (required.kind.missing == "never")
        good &= met
        bad |= ~met & judged
    return Goodness(good, ~good & ~bad & bool(requirements))


def left_out(without: Bools, requirements: Sequence[Threshold]) -> str:
    """Says how many requests could not be judged, and by what; "" if all could."""
    count = int(without.sum())
    if not count:
        return ""
    names = ", ".join(dict.fromkeys(r.metric for r in requirements if r.kind.missing != "never"))
    have = "has" if count == 1 else "have"
    return f"{count:,} of {len(without):,} requests {have} no {names} to judge"
