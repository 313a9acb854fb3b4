"""The client watches itself: could it have bent a number? And keeps its garbage collector out."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from bench.clock import Clock
from bench.load.tally import BlockTally
from bench.results.run import ClientHealth

TICK_NS = 10_000_000
"""Interval between samples of the event loop's lag."""
STALL_NS = 500_000_000
"""A lag from here on is no jitter: the process was stopped, swapped out, or starved."""


class Watch:
    """Watches this process from now on, during one measured phase.

    A ticker on absolute deadlines sees how late the event loop runs. A stall longer than a tick
    counts once for every tick it swallowed, so that one long stall weighs as much as it lasted.
    """

    def __init__(self, clock: Clock, origin_ns: int = 0) -> None:
        self._clock = clock
        self._origin_ns = origin_ns
        self._stalls_ns: list[tuple[int, int]] = []
        self._lags_ns: array[int] = array("q")
        self._pause_since_ns = self._pause_max_ns = 0
        self._start_ns = self._clock.now_ns()
        self._due_ns = self._start_ns + TICK_NS
        self._cpu_ns = time.process_time_ns()
        self._collections = _collections()
        gc.callbacks.append(self._on_collection)
        self._ticker = asyncio.ensure_future(self._tick())

    def stop(self, measured: BlockTally) -> ClientHealth:
        """End the watch over the phase in which these requests were measured."""
        self._ticker.cancel()
        self._see(self._clock.now_ns())  # a stall may just have ended
        gc.callbacks.remove(self._on_collection)
        wall_ns = self._clock.now_ns() - self._start_ns
        cpu_ns = time.process_time_ns() - self._cpu_ns
        return ClientHealth(
            loop_lag_p99_ms=_p99_ms(self._lags_ns),
            loop_lag_max_ms=max(self._lags_ns) / 1e6 if self._lags_ns else None,
            loop_lag_mean_ms=_mean_ms(self._lags_ns),
            send_late_p99_ms=_p99_ms(measured.late_ns),
            send_late_mean_ms=_mean_ms(measured.late_ns),
            cpu_share=cpu_ns / wall_ns if wall_ns > 0 else None,
            stalled_s=self._stalled_ns(measured) / 1e9,
            idle_s=sum(late for late in measured.late_ns if late >= STALL_NS) / 1e9,
            gc_collections=_collections() - self._collections,
            gc_pause_max_ms=self._pause_max_ns / 1e6 if self._pause_max_ns else None,
            reads=measured.reads,
            coalesced_lines=measured.coalesced,
            user_stamps=measured.user_stamps,
            rss_bytes=_rss_bytes(),
        )

    def _stalled_ns(self, measured: BlockTally) -> int:
        """Time of stalls until the last measured request ended."""
        now_ns = self._clock.now_ns()
        until_ns = now_ns if measured.ended_ns is None else measured.ended_ns + self._origin_ns
        return sum(max(0, min(end, until_ns) - start) for start, end in self._stalls_ns)

    def _on_collection(self, step: str, _: object) -> None:
        """See how long the garbage collector stops everything."""
        now_ns = time.monotonic_ns()
        if step == "start":
            self._pause_since_ns = now_ns
        elif self._pause_since_ns:
            self._pause_max_ns = max(self._pause_max_ns, now_ns - self._pause_since_ns)

    async def _tick(self) -> None:
        while True:
            # The loop's own timer, on purpose: its lag is what the sends and reads suffer.
            await asyncio.sleep(max(0, self._due_ns - self._clock.now_ns()) / 1e9)
            self._see(self._clock.now_ns())

    def _see(self, now_ns: int) -> None:
        """Note every tick that was due by now, and how late it is."""
        if now_ns - self._due_ns >= STALL_NS:
            self._stalls_ns.append((self._due_ns, now_ns))
        while self._due_ns <= now_ns:
            self._lags_ns.append(now_ns - self._due_ns)
            self._due_ns += TICK_NS


def _collections() -> int:
    return sum(generation["collections"] for generation in gc.get_stats())


def _mean_ms(values_ns: Sequence[int]) -> float | None:
    return sum(values_ns) / len(values_ns) / 1e6 if values_ns else None


def _p99_ms(values_ns: Iterable[int]) -> float | None:
    found = nearest_rank(values_ns, 0.99)
    return None if found is None else found / 1e6


def _rss_bytes() -> int | None:
    import psutil  # late: not needed before the first request

    try:
        return int(psutil.Process().memory_info().rss)
    except psutil.Error:
        return None


def nearest_rank(values: Iterable[int], p: float) -> int | None:
    """The p-quantile by nearest rank, without numpy; None without values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(p * len(ordered)) - 1)] if ordered else None


_inside = 0
"""Measured phases that are going on: the blocks of a mix overlap."""


@contextmanager
def quiet(active: bool = True) -> Iterator[None]:
    """Collect now, then not again until the end of the context, or of the last that overlaps it.

    What is alive at the start is frozen: later collections do not look at it. Our own transports
    make no reference cycles, so nothing piles up; httpx does, so do not use this with it.
    """
    global _inside
    if not active or (not _inside and not gc.isenabled()):
        yield
        return
    if not _inside:
        gc.collect()
        gc.freeze()
        gc.disable()
    _inside += 1
    try:
        yield
    finally:
        _inside -= 1
        if not _inside:
            gc.enable()
            gc.unfreeze()
