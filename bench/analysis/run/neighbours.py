"""What the parts of a mix cost each other: each together with the others, against alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.analysis.run.summary import CaseSummary
from bench.stats.paired import log_ratios, paired_effect

METRICS = ("user_turn_s.mean", "batch_s.mean", "ttft_s.mean", "e2e_s.mean", "decode_tok_per_s")
"""What a user feels, most telling first: the first that both have is compared, and the speed."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One metric of one part.

    Attributes:
        part: which part, and `of` its case together with the others.
        metric: as thresholds write it.
        ratio, low, high: together / alone, with its 95 % interval; None where two blocks or more
            of each would be needed.
        blocks: pairs of blocks it rests on.
    """

    part: str
    of: str
    metric: str
    ratio: float
    low: float | None
    high: float | None
    blocks: int


def neighbour_costs(cases: Sequence[CaseSummary]) -> list[Cost]:
    """The cost of every part of a mix, in the order of the cases.

    A repetition measures a part alone and together near in time and with the same prompts, so its
    two blocks are a pair: the interval is Student's t over the logs of their ratios
    (`bench.stats.paired`).
    """
    alone = {_key(c): c for c in cases if c.axes.get("mix") == "alone"}
    found: list[Cost] = []
    for case in cases:
        base = alone.get(_key(case))
        if case.axes.get("mix") == "together" and base is not None:
            found += _costs(base, case)
    return found


def _key(case: CaseSummary) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in case.axes.items() if k != "mix"))


def _costs(alone: CaseSummary, together: CaseSummary) -> Iterator[Cost]:
    waits = [m for m in METRICS[:-1] if _pairs(alone, together, m)]
    for metric in (*waits[:1], METRICS[-1]):
        pairs = _pairs(alone, together, metric)
        if not pairs:
            continue
        logs = log_ratios([a for a, _ in pairs], [b for _, b in pairs])
        low = high = None
        if len(pairs) > 1:
            effect = paired_effect(logs)
            low, high = (1 + end for end in effect.interval())
        ratio = math.exp(float(logs.mean()))
        yield Cost(together.axes["part"], together.id, metric, ratio, low, high, len(pairs))


def _pairs(alone: CaseSummary, together: CaseSummary, metric: str) -> list[tuple[float, float]]:
    """The values of both, by repetition."""
    before = {b.repetition: b.values.get(metric) for b in alone.blocks}
    after = {b.repetition: b.values.get(metric) for b in together.blocks}
    return [
        (x, y)
        for repetition, x in before.items()
        if x and (y := after.get(repetition)) and x > 0 and y > 0
    ]
