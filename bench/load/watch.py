"""The client watches itself: could it have bent a number?"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from array import array
from collections.abc import Iterable, Sequence

from bench.clock import Clock
from bench.results.record import RequestRecord
from bench.results.run import ClientHealth

TICK_NS = 10_000_000
"""How often the event loop's lag is looked at."""


class Watch:
    """Watches this process during one measured phase.

    A ticker on absolute deadlines sees how late the event loop runs. A stall longer than a tick
    counts once for every tick it swallowed, so that one long stall weighs as much as it lasted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lags_ns: array[int] = array("q")
        self._ticker: asyncio.Task[None] | None = None
        self._start_ns = 0
        self._cpu_ns = 0
        self._collections = 0

    def start(self) -> None:
        """Begin to watch."""
        self._start_ns = self._clock.now_ns()
        self._cpu_ns = time.process_time_ns()
        self._collections = _collections()
        self._ticker = asyncio.ensure_future(self._tick())

    def stop(self, records: Sequence[RequestRecord]) -> ClientHealth:
        """End the watch over the phase in which these records were made."""
        if self._ticker is not None:
            self._ticker.cancel()
        wall_ns = self._clock.now_ns() - self._start_ns
        cpu_ns = time.process_time_ns() - self._cpu_ns
        late = [r.sent_ns - r.planned_ns for r in records if r.planned_ns and r.sent_ns]
        return ClientHealth(
            loop_lag_p99_ms=_p99_ms(self._lags_ns),
            loop_lag_max_ms=max(self._lags_ns) / 1e6 if self._lags_ns else None,
            send_late_p99_ms=_p99_ms(late),
            cpu_share=cpu_ns / wall_ns if wall_ns > 0 else None,
            gc_collections=_collections() - self._collections,
            reads=sum(r.chunks - r.coalesced for r in records),
            coalesced_lines=sum(r.coalesced for r in records),
            user_stamps=sum(r.user_stamps for r in records),
            rss_bytes=_rss_bytes(),
        )

    async def _tick(self) -> None:
        due = self._clock.now_ns() + TICK_NS
        while True:
            # The loop's own timer, on purpose: its lag is what the sends and reads suffer.
            await asyncio.sleep(max(0, due - self._clock.now_ns()) / 1e9)
            now = self._clock.now_ns()
            while due <= now:
                self._lags_ns.append(now - due)
                due += TICK_NS


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _p99_ms(values_ns: Iterable[int]) -> float | None:
    """The 99th percentile by nearest rank, in milliseconds; None without values."""
    ordered = sorted(values_ns)
    if not ordered:
        return None
    return ordered[math.ceil(0.99 * len(ordered)) - 1] / 1e6


def _rss_bytes() -> int | None:
    import psutil  # late: not needed before the first request

    try:
        return int(psutil.Process().memory_info().rss)
    except psutil.Error:
        return None
