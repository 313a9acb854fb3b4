"""How many threads llama.cpp should compute with."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def default_threads() -> int:
    """Usable physical cores minus one, at least one.

    All threads of a step wait for the slowest, so as many threads as cores collapses as soon as
    anything else runs (measured: 2 threads on 2 busy cores 2-9 tokens/s, 1 thread 50-70).
    """
    return max(1, usable_cores() - 1)


def usable_cores() -> int:
    """Physical cores, within the process's CPU affinity and its container's quota."""
    logical = psutil.cpu_count() or 1
    physical = psutil.cpu_count(logical=False) or logical
    if hasattr(os, "sched_getaffinity"):
        # The share of the logical processors we may run on, taken of the physical cores.
        physical = math.ceil(physical * len(os.sched_getaffinity(0)) / logical)
    return max(1, min(physical, _quota(_CGROUP_QUOTA) or physical))


def _quota(path: Path) -> int | None:
    """Whole processors that a cgroup v2 `cpu.max` grants; None = no limit known."""
    try:
        quota, period = path.read_text(encoding="ascii").split()
        return max(1, int(quota) // int(period))
    except (OSError, ValueError):
        return None
