"""What this program saw of itself in a block: each thing with its threshold and what to do.

Whether it bent a reported number by more than the number's interval is known only when there are
intervals: `bench.analysis.run.client_checks` then calls the run invalid.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.results.run import ClientHealth, RunWarning
from bench.results.warning_codes import WarningCode
from bench.scenario.plan import Case

LAG_P99_MS = 20.0
LATE_P99_MS = 5.0
LATE_INVALID_MS = 100.0
"""Open loop, 99th percentile: the arrivals were no longer those asked for, whatever the numbers."""
CPU_SHARE = 0.8
"""Of one core: from here on queues build up inside this program."""
COALESCED_SHARE = 0.05
USER_STAMPS_SHARE = 0.01
GC_PAUSE_MS = 10.0


IDLE_SHARE = 0.02
"""Closed loop: of the users' time. So much, their rate is too low by."""
STALLED_SHARE = 0.01
"""Of the measured window, where arrivals or stamps wait for this program."""


def client_findings(
    case: Case,
    health: ClientHealth,
    requests: int,
    workers: int = 1,
    *,
    window_s: float = 0.0,
    kernel_stamps: bool = True,
) -> Iterator[RunWarning]:
    """Whether this program may have bent a number.

    With `kernel_stamps` the kernel stamped what arrived, whatever this program did then.
    """
    yield from _stall(case, health, window_s, kernel_stamps)
    late = health.send_late_p99_ms
    if late is not None and late > LATE_P99_MS:
        yield RunWarning(
            WarningCode.LATE_SENDS,
            f"requests were sent up to {late:.1f} ms after they were due (p99)",
            f"This machine is too busy: stop other work, or use --workers {workers + 1}.",
            case.id,
            invalidates=case.load.loop == "open" and late > LATE_INVALID_MS,
        )
    lag = health.loop_lag_p99_ms
    if lag is not None and lag > LAG_P99_MS:
        yield RunWarning(
            WarningCode.CLIENT_LAG,
            f"this program was up to {lag:.0f} ms late in its own work (p99)",
            "Other work on this machine slows it: stop that, or measure from another machine.",
            case.id,
        )
    if health.cpu_share is not None and health.cpu_share > CPU_SHARE:
        yield RunWarning(
            WarningCode.CLIENT_CPU,
            f"one process of this program used {health.cpu_share:.0%} of a core: it is the limit",
            f"Use --workers {workers + 1} if there are cores to spare, or a larger machine.",
            case.id,
        )
    if health.gc_pause_max_ms is not None and health.gc_pause_max_ms > GC_PAUSE_MS:
        yield RunWarning(
            WarningCode.GC_PAUSE,
            f"this program stopped for up to {health.gc_pause_max_ms:.0f} ms to collect garbage",
            "Only the general HTTP client needs that: reach the server without a proxy.",
            case.id,
        )
    yield from _stamps(case, health, requests)


def _stall(
    case: Case, health: ClientHealth, window_s: float, kernel_stamps: bool
) -> Iterator[RunWarning]:
    """This program was stopped, swapped out or starved, and what that bent.

    Their own interval says nothing of these numbers: the stall has widened it.
    """
    if window_s <= 0:
        return
    bent = []
    if case.load.loop == "closed":
        if health.idle_s > IDLE_SHARE * window_s * (case.load.users or 1):
            bent.append("users who were ready did not ask, so the throughput is too low")
    elif health.stalled_s > STALLED_SHARE * window_s:
        bent.append("arrivals that were due meanwhile were sent all at once")
    if not kernel_stamps and health.stalled_s > STALLED_SHARE * window_s:
        bent.append("what arrived meanwhile was stamped late")
    if bent:
        longest = max(health.stalled_s, (health.loop_lag_max_ms or 0.0) / 1e3)
        yield RunWarning(
            WarningCode.CLIENT_STALLED,
            f"this program stood still for {longest:.1f} s while it measured: {'; '.join(bent)}",
            "Was it stopped, or the machine asleep, swapping or overloaded? Measure again.",
            case.id,
            invalidates=True,
        )


def _stamps(case: Case, health: ClientHealth, requests: int) -> Iterator[RunWarning]:
    """How good the time stamps of what arrived are."""
    lines = health.reads + health.coalesced_lines
    # The done line mostly comes right behind the last token, and bends nothing.
    shared = health.coalesced_lines - requests
    if lines and shared > COALESCED_SHARE * lines:
        yield RunWarning(
            WarningCode.COALESCED,
            f"{shared / lines:.0%} of the chunks shared a read with another, "
            "so their gaps are not exact",
            "The server sends in bursts, something between here and it gathers the stream, or this "
            "machine is too busy (see its lag).",
            case.id,
        )
    if lines and health.user_stamps > USER_STAMPS_SHARE * lines:
        yield RunWarning(
            WarningCode.USER_STAMPS,
            f"{health.user_stamps / lines:.0%} of the reads have no kernel time stamp",
            "Their times hold this program's own delays (see loop lag).",
            case.id,
        )
