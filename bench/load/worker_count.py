"""How many worker processes a load needs."""

from __future__ import annotations

import os

from bench.scenario.plan import Plan

USERS_PER_WORKER = 500
RATE_PER_WORKER = 1000.0
"""`auto`: a load within these needs one process only."""


def workers_for(plan: Plan, cores: int | None = None) -> int:
    """How many processes a plan's largest load needs, at most as many as there are cores."""
    users = max((c.load.users or 0 for c in plan.cases), default=0)
    rate = max((c.load.rate_per_s or 0.0 for c in plan.cases), default=0.0)
    wanted = max(1, -(-users // USERS_PER_WORKER), -(-int(rate) // int(RATE_PER_WORKER)))
    return min(wanted, cores or os.cpu_count() or 1)
