"""How many worker processes a load needs."""

from __future__ import annotations

import math
import os

from bench.scenario.draws import mean
from bench.scenario.plan import Case, Plan

REQUESTS_PER_WORKER = 2000.0
"""Requests per second: a process then uses 40 % of a core and sends 99 % within 0.5 ms of their
time (`tests/performance/run_open_loop.py`, 2 busy cores)."""

CHUNKS_PER_WORKER = 30_000.0
"""Chunks per second: a process spends 13 to 30 us on each, journal and view included, so it uses
up to 80 % of a core then (`tests/performance/run_end_to_end.py`, 2 busy cores)."""

USERS_PER_WORKER = 1000
"""Users of a closed loop, each reading 30 chunks a second."""


def workers_for(plan: Plan, cores: int | None = None) -> int:
    """How many processes a plan's largest load needs, at most as many as there are cores.

    Blocks that run at the same time are sent by one.
    """
    if any(case.together for case in plan.cases):
        return 1
    wanted = max((_processes(case) for case in plan.cases), default=0.0)
    return min(max(1, math.ceil(wanted)), cores or os.cpu_count() or 1)


def _processes(case: Case) -> float:
    """What part of a process, or how many, the load of a case keeps busy."""
    load = case.load
    rate = load.rate_per_s or 0.0
    return max(
        (load.users or 0) / USERS_PER_WORKER,
        rate / REQUESTS_PER_WORKER,
        rate * _chunks(case) / CHUNKS_PER_WORKER,
    )


def _chunks(case: Case) -> float:
    """How many chunks an answer has, at most."""
    if not case.stream:
        return 0.0
    made = case.prompts.synthetic
    if made is not None and made.output_tokens is not None:
        return mean(made.output_tokens)
    return max(0.0, float(case.options.get("num_predict", 0)))
