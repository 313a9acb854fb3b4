"""What can be said of a scenario's thresholds before anything is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from bench.analysis.run.open_loop import QUEUEING
from bench.scenario.estimate import Range, estimate
from bench.scenario.plan import Case, Plan
from bench.stats.quantiles import requests_needed
from bench.stats.queue_memory import requests_for_quantile
from bench.thresholds import Threshold


def threshold_lines(plan: Plan) -> list[str]:
    """The thresholds in words, and which of them the plan is too short for."""
    return [line for t in plan.thresholds for line in (f"{t}: {t.meaning}", *_too_short(t, plan))]


def _too_short(threshold: Threshold, plan: Plan) -> Iterator[str]:
    """The cases whose blocks hold too few requests for the percentile that is asked for."""
    p = threshold.quantile
    if p is None or threshold.metric == "itl_s":  # a request has many gaps: nobody knows how many
        return
    for case in plan.cases:
        needs = requests_needed(p)
        queued = case.load.loop == "open" and threshold.metric in QUEUEING
        if queued:  # what the queue remembers makes it more; it is not known beforehand
            needs = math.ceil(requests_for_quantile(p, 1.0))
        blocks, requests = _planned(case, plan)
        if requests.low >= needs or not blocks:
            continue
        will = "will" if requests.high < needs else "may"
        advice = _advice(case, blocks, needs)
        yield (
            f"  {will} not be supported in {case.id}: {threshold.statistic} needs "
            f"{'at least ' if queued else ''}{needs:,} requests, and {_in_words(requests)} in "
            f"{blocks} {'block' if blocks == 1 else 'blocks'}{advice}"
        )


def _planned(case: Case, plan: Plan) -> tuple[int, Range]:
    """Blocks of a case, and the requests of all of them together."""
    blocks = tuple(b for b in plan.blocks if b.case == case.id)
    return len(blocks), estimate(replace(plan, cases=(case,), blocks=blocks)).requests


def _in_words(requests: Range) -> str:
    low, high = round(requests.low), round(requests.high)
    return f"{low:,} are planned" if low == high else f"{low:,} to {high:,} are expected"


def _advice(case: Case, blocks: int, needs: int) -> str:
    """What to set instead."""
    if case.load.requests is None:
        return ": let the load last longer, or set more blocks"
    each = math.ceil(needs / blocks)
    return f": set requests to {each:,}, or blocks to {math.ceil(needs / case.load.requests):,}"
