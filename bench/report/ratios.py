"""Ratios of estimates, and how every case stands to the best one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bench.analysis.run.summary import Estimate
from bench.report.model import CaseView
from bench.report.tables import Cell, estimate_column

_MOST_BASELINES: Final = 8


def ratio(one: Estimate | None, other: Estimate | None) -> Estimate | None:
    """The ratio of two independent estimates, with the range that their intervals allow.

    Half-widths add up on the log scale, where those of an interval of one given ratio would add as
    squares. The wider range also holds when one of the two was chosen as the best of several:
    `tests/unit/report/test_ratios.py` measures at least 95 % for 2 to 12 cases.

    Returns:
        None where a value or an end of an interval is missing or not positive.
    """
    if one is None or other is None or not one.value or not other.value:
        return None
    if not one.low or not one.high or not other.low or not other.high:
        return None
    return Estimate(one.value / other.value, one.low / other.high, one.high / other.low)


def against_best(
    cases: Sequence[CaseView], metric_id: str
) -> tuple[CaseView | None, list[Estimate | None]]:
    """The case with the largest value, and each case's ratio to it; invalid ones are left out."""
    values = {c.key: e for c in cases if not c.invalid and (e := c.estimate(metric_id)) and e.value}
    known = [c for c in cases if c.key in values]
    if len(known) < 2:
        return None, [None] * len(cases)
    best = max(known, key=lambda c: values[c.key].value or 0.0)
    return best, [None if c is best else ratio(values.get(c.key), values[best.key]) for c in cases]


def baselines(cases: Sequence[CaseView], metric_id: str) -> Iterator[tuple[str, tuple[Cell, ...]]]:
    """The ratios to other cases than the best, for a reader who asks for them."""
    valid = [c for c in cases if not c.invalid and c.estimate(metric_id)]
    for base in valid[:_MOST_BASELINES]:
        value = base.estimate(metric_id)
        ratios = [
            None if c is base or c.invalid else ratio(c.estimate(metric_id), value) for c in cases
        ]
        _, cells = estimate_column("", "", ratios)
        yield (
            base.label,
            tuple(Cell("baseline") if c is base else x for c, x in zip(cases, cells, strict=True)),
        )
