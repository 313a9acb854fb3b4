"""A clock that is passed in: the real one, and a virtual one on which hours take milliseconds.

All times are integer nanoseconds on one monotonic clock. The real clock is the system's
CLOCK_MONOTONIC, so its readings can be compared with those of other processes of the machine.

Virtual time works by replacing the event loop's idea of time: `run_virtual(main())` runs `main` on
a loop that, whenever it has nothing to do, jumps to the next timer instead of waiting. Everything
built on asyncio timers then runs in virtual time, unchanged. It must not touch real sockets.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from bench.exact_timer import exact_timer

NS = 1_000_000_000
"""Nanoseconds in a second."""

# Grain of the loop's timers where there is no timerfd: kqueue is exact, Windows ticks in 15.6 ms.
_COARSE_NS = 16_000_000 if sys.platform == "win32" else 100_000

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now_ns(self) -> int:
        """Nanoseconds on a monotonic clock."""

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return at `deadline_ns` or, if that has passed, at the loop's next turn."""


class RealClock:
    """The system's monotonic clock."""

    def now_ns(self) -> int:
        """CLOCK_MONOTONIC, in nanoseconds."""
        return time.monotonic_ns()

    async def sleep_until(self, deadline_ns: int) -> None:
        """Sleep to an absolute deadline with sub-millisecond accuracy, without burning the core.

        Linux: a timerfd. Elsewhere the loop's timers; where those are coarse (Windows), the last
        stretch is spent yielding to the loop, so that other tasks still run.
        """
        if deadline_ns <= time.monotonic_ns():
            await asyncio.sleep(0)
            return
        timer = exact_timer()
        if timer is not None:
            await timer.sleep_until(deadline_ns)
            return
        while (left := deadline_ns - time.monotonic_ns()) > _COARSE_NS:
            await asyncio.sleep((left - _COARSE_NS) / NS)
        while time.monotonic_ns() < deadline_ns:
            await asyncio.sleep(0)


class VirtualClock:
    """The clock inside `run_virtual`: reads the virtual loop's time."""

    def now_ns(self) -> int:
        """Virtual nanoseconds since the start of `run_virtual`."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop.now_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return once virtual time has reached `deadline_ns`."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        if deadline_ns <= loop.now_ns:
            await asyncio.sleep(0)
            return
        done = loop.create_future()
        handle = loop.call_at(deadline_ns / NS, done.set_result, None)
        try:
            await done
        finally:
            handle.cancel()


class _JumpingSelector(selectors.SelectSelector):
    """A selector that, instead of waiting for its time-out, moves virtual time on by it."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Poll once; if nothing is ready, jump."""
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("virtual time stands still: nothing is scheduled and nothing runs")
        self.loop.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self.now_ns = 0
        self._clock_resolution = 0.5 / NS

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_ns / NS

    def jump(self) -> None:
        """Move on to the next timer."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        if scheduled:
            self.now_ns = max(self.now_ns, round(scheduled[0].when() * NS))


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, from 0 ns, and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
