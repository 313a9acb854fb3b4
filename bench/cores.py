"""How many of the machine's processors this program may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cpus(root: Path = Path("/")) -> int:
    """Logical processors that this process may keep busy, at least 1.

    Bounded by its CPU affinity, and by the quotas of its control groups (a container's limit),
    rounded down: once a quota is used up the kernel stops all its processes for a while.
    """
    return max(1, int(min(allowed_cpus(), *_quotas(root))))


def allowed_cpus() -> int:
    """Logical processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    import psutil  # late: not needed before the first request

    asked = getattr(psutil.Process(), "cpu_affinity", None)  # macOS has none
    return len(asked()) if asked else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Processors that the control groups around this process grant; inf = no limit.

    Source: Documentation/admin-guide/cgroup-v2.rst (`cpu.max`) and scheduler/sched-bwc.rst (v1) of
    the kernel. In a container the group's own folder may be mounted at the top, under any path.
    """
    yield float("inf")
    try:
        groups = (root / "proc/self/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return
    for group in groups:
        controllers, _, path = group.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        inner = Path(*(part for part in path.split("/") if part not in ("", "..")))
        for top in {controllers, "cpu"} if controllers else {"", "unified"}:
            for folder in (inner, *inner.parents):
                yield _quota(root / "sys/fs/cgroup" / top / folder, v1=bool(controllers))


def _quota(folder: Path, v1: bool) -> float:
    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if v1 else ("cpu.max",)
    try:
        quota, period = " ".join((folder / name).read_text() for name in names).split()
        return int(quota) / int(period) if int(quota) > 0 else float("inf")
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number
        return float("inf")
