"""Parts of a mix that got no turn: their model was not loaded while another's was never idle."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench.analysis.run.columns import WARMUP, Columns
from bench.results.run import RunInfo, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Case

TURNS = 4
"""So many requests of each user of the others overtook it: a fair queue lets each have one, and
one more that finds its model in memory."""


def starvation(info: RunInfo, columns: Columns) -> Iterator[RunWarning]:
    """One warning a case: its request that was overtaken most while it waited for its model."""
    worst: dict[str, tuple[int, float, int, str]] = {}
    for block in info.plan.blocks:
        case = info.plan.case(block.case)
        for beside in info.plan.blocks if case.together else ():
            other = info.plan.case(beside.case)
            if beside.beside != block.beside or not _compete(case, other):
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


def _compete(case: Case, other: Case) -> bool:
    return case.model != other.model and case.target == other.target


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
    return _within(theirs, begins[place], until[place]), float(waited[place]) / 1e9


def _within(theirs: Columns, begin_ns: float, end_ns: float) -> int:
    return int(((theirs.sent_ns > begin_ns) & (theirs.end_ns < end_ns)).sum())
