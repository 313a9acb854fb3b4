"""What the parts of a mix cost each other: each together with the others, against alone.

A part may even get no turn: its model is not loaded while another's is never idle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.run.columns import WARMUP, Columns
from bench.analysis.run.summary import CaseSummary
from bench.results.run import RunInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.stats.paired import log_ratios, paired_effect

METRICS = ("user_turn_s.mean", "batch_s.mean", "ttft_s.mean", "e2e_s.mean", "decode_tok_per_s")
"""What a user feels, most telling first: the first that both have is compared, and the speed."""

TURNS = 4
"""So many requests of each user of the others overtook it: a fair queue lets each have one, and
one more that finds its model in memory."""


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
    before = {b.repetition: b.values.get(metric) for b in alone.blocks}
    after = {b.repetition: b.values.get(metric) for b in together.blocks}
    return [
        (x, y)
        for repetition, x in before.items()
        if x and (y := after.get(repetition)) and x > 0 and y > 0
    ]


def starvation(info: RunInfo, columns: Columns) -> Iterator[RunWarning]:
    """One warning a case: its request that was overtaken most while it waited for its model."""
    worst: dict[str, tuple[int, float, int, str]] = {}
    for block in info.plan.blocks:
        case = info.plan.case(block.case)
        for beside in info.plan.blocks if case.together else ():
            other = info.plan.case(beside.case)
            apart = case.model != other.model and case.target == other.target
            if beside.beside != block.beside or not apart:
                continue
            theirs = columns.select((columns.block == beside.index) & columns.ok)
            # Those before measuring began, too: a starved part may not get as far.
            mine = columns.select((columns.block == block.index) & (columns.phase != WARMUP))
            overtaken, waited_s = _most_overtaken(mine, theirs)
            users = max(len(np.unique(theirs.user)), 1)
            if overtaken > TURNS * users and overtaken > worst.get(case.id, (0,))[0]:
                worst[case.id] = overtaken, waited_s, block.number, other.model
    for id, (overtaken, waited_s, number, model) in worst.items():
        yield RunWarning(
            WarningCode.STARVED,
            f"block {number}: a request for {info.plan.case(id).model} waited {waited_s:.3g} s for "
            f"its model while {overtaken:,} later ones for {model} were answered",
            "A server unloads no model that is in use. Let both fit into memory, or give the "
            "users pauses (think_time) in which a model is idle; until then the numbers of "
            "both parts are those of this order, not of taking turns.",
            id,
        )


def _most_overtaken(mine: Columns, theirs: Columns) -> tuple[int, float]:
    """How many of theirs came later than one of mine and ended before its wait; and that wait."""
    waited = np.where(mine.ok, mine.load_ns, mine.end_ns - mine.sent_ns)
    waited[~mine.ok & (mine.chunks > 0)] = np.nan  # it was being answered
    if not (waited > 0).any():
        return 0, 0.0
    begins, until = mine.sent_ns, mine.sent_ns + waited
    ends = np.sort(theirs.end_ns)
    # Answered meanwhile; those that were sent before it are taken off for the worst one only.
    meanwhile = np.searchsorted(ends, until) - np.searchsorted(ends, begins)
    place = int(np.where(np.isnan(waited), 0, meanwhile).argmax())
    overtook = (theirs.sent_ns > begins[place]) & (theirs.end_ns < until[place])
    return int(overtook.sum()), float(waited[place]) / 1e9
