"""What a load needs of this machine: processes that send, and open files."""

from __future__ import annotations

import math
import sys
from collections import Counter

from bench.cores import usable_cpus
from bench.errors import UsageError
from bench.scenario.estimate import output_tokens
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
    """How many processes a plan's largest load needs, at most as many as it may use cores.

    Blocks that run at the same time are sent by one.
    """
    if any(case.together for case in plan.cases):
        return 1
    wanted = max((_processes(case) for case in plan.cases), default=0.0)
    return min(max(1, math.ceil(wanted)), cores or usable_cpus())


def processes_for(plan: Plan, asked: int) -> int:
    """How many processes send: as many as asked for, 0 = as many as the load needs."""
    together = any(case.together for case in plan.cases)
    return asked if asked and not together else workers_for(plan)


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
    return output_tokens(case) if case.stream and case.endpoint != "embed" else 0.0


SPARE = 100
"""For files, pipes and control connections."""


def descriptors_for(plan: Plan, workers: int = 1) -> int:
    """The most descriptors that one process needs for a plan."""
    at_once: Counter[str] = Counter()
    for case in plan.cases:
        at_once[case.together or case.id] += case.load.users or case.load.max_in_flight
    most = max(at_once.values(), default=0)
    return -(-most // workers) * max(1, len(plan.targets)) + SPARE


def ensure_descriptors(needed: int) -> None:
    """Raise this process's limit if it must be; child processes inherit it.

    Raises:
        UsageError: the system does not allow so many.
    """
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY or soft >= needed:
            return
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise UsageError(
                f"this load needs {needed:,} open files, and the system allows {hard:,} a process",
                f"Allow more (ulimit -n {needed}), use --workers, or lower users or max_in_flight.",
            )
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        except (OSError, ValueError) as error:
            raise UsageError(
                f"this load needs {needed:,} open files, {soft:,} are allowed: {error}",
                f"Allow more: ulimit -n {needed}",
            ) from error
