"""Every open request needs a file descriptor: there must be enough of them before the start."""

from __future__ import annotations

import sys

from bench.errors import UsageError
from bench.scenario.plan import Plan

SPARE = 100
"""For files, pipes and control connections."""


def descriptors_for(plan: Plan, workers: int = 1) -> int:
    """The most descriptors that one process needs for a plan."""
    most = max((c.load.users or c.load.max_in_flight for c in plan.cases), default=0)
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
