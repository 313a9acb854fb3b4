"""What a roofline means, in words; silent where the interval does not carry it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from bench.analysis.run.roofline import GIVEN
from bench.analysis.run.summary import Estimate, Roofline
from bench.report.model import CaseView, Report
from bench.report.page import Answer, Sentence
from bench.report.units import number, plural, show
from bench.stats.student_t import t_quantile

BOUND: Final = 0.6
"""From this share on reading memory takes most of the time of a token."""
UNBOUND: Final = 0.4
"""Below this share something else does."""
_WORTH_IT: Final = 1.3
_LEAST_FILES: Final = 3


def memory(case: CaseView) -> Sentence | None:
    """Speaks of how near decoding comes to what the memory allows."""
    roof, share = case.summary.roofline, case.estimate("mem_bw_share")
    if roof is None or share is None or share.value is None:
        return None
    low = share.value if share.low is None else share.low
    high = share.value if share.high is None else share.high
    if high < UNBOUND:
        free = "Decode is not limited by memory here: "
        return (free, *_parts(roof), *_given(roof), *_growth(roof))
    reached: Sentence = ("Decode reaches ", show(share, "share"), " of what the memory allows: ")
    if low >= BOUND:
        helps = "a faster quantisation helps, more slots cost little."
        return (*reached, helps, *_given(roof), *_growth(roof))
    return (*reached, *_parts(roof), *_given(roof), *_growth(roof))


def _parts(roof: Roofline) -> Sentence:
    total, reading = roof.step_s * 1e3, roof.reading_s * 1e3
    return (
        f"reading {number(roof.bytes_per_step / 1e6, 0)} MB takes at least {number(reading, 1)} of "
        f"the {number(total, 1)} ms of each token.",
    )


def _given(roof: Roofline) -> Sentence:
    """A bandwidth that the user gave is marked, with what speaks against it."""
    if not roof.source.startswith(GIVEN):
        return ()
    return (f" The memory's {number(roof.reachable_bytes_per_s / 1e9, 0)} GB/s are {roof.source}.",)


def _growth(roof: Roofline) -> Sentence:
    if roof.growth is None or roof.growth < _WORTH_IT:
        return ()
    return (
        f" More users at once could raise throughput up to {number(roof.growth, 1)} times, to the "
        "speed at which prompts are read, before computing limits it.",
    )


def size_findings(report: Report) -> Iterator[Answer]:
    """The part of a token's time that does not depend on the size of the model's file."""
    groups: dict[tuple[object, ...], dict[str, Roofline]] = {}
    for case in report.cases:
        roof = case.summary.roofline
        if roof is not None and roof.family and not case.invalid and (case.users or 1) == 1:
            key = (roof.family, roof.place, case.run, case.summary.target)
            groups.setdefault(key, {}).setdefault(case.model, roof)
    for (family, *_), roofs in groups.items():
        fixed = fixed_part(list(roofs.values()))
        if fixed is not None:
            share = (fixed.value or 0.0) / max(r.step_s for r in roofs.values())
            begin = "Not limited by memory here: " if share > 1 - BOUND else ""
            said: Sentence = (
                f"{begin}{show(fixed, 's').full} of each token of {family} do not depend on the "
                f"model's size ({plural(len(roofs), 'file')}).",
            )
            yield Answer("", (said,))


def fixed_part(roofs: Sequence[Roofline]) -> Estimate | None:
    """Seconds of a step with no bytes to read, by least squares of time over bytes.

    Returns:
        None with fewer than three files of different size, or where the interval (Student's t,
        files less two degrees of freedom) reaches 0.
    """
    x = np.array([r.bytes_per_step for r in roofs])
    t = np.array([r.step_s for r in roofs])
    n = len(x)
    if n < _LEAST_FILES or len(np.unique(x)) < _LEAST_FILES:
        return None
    spread = float(((x - x.mean()) ** 2).sum())
    slope = float(((x - x.mean()) * (t - t.mean())).sum()) / spread
    at_zero = float(t.mean() - slope * x.mean())
    rest = t - at_zero - slope * x
    se = math.sqrt(float((rest**2).sum()) / (n - 2) * (1 / n + float(x.mean()) ** 2 / spread))
    half = t_quantile(0.975, n - 2) * se
    if at_zero - half <= 0:
        return None
    return Estimate(at_zero, at_zero - half, at_zero + half, method=f"least squares, {n} files")
