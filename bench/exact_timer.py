"""Wakes asyncio code at exact times, by a Linux timerfd: no spinning, no 1 ms grain.

asyncio's own timers go through `epoll_wait`, whose time-out is rounded up to a millisecond. A
timerfd is a descriptor like any other: the loop wakes when it becomes readable, usually some tens
of microseconds after it went off. So it is set that much early, and what is left is waited for on
the spot.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import os
import sys
import time
import weakref
from itertools import count

_NS = 1_000_000_000
_TFD_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_CLOCK_MONOTONIC = 1  # of Linux
_TFD_TIMER_ABSTIME = 1
_LEAD_NS = 50_000
"""How early the timer goes off: what waking up usually takes, and the longest wait on the spot."""


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ExactTimer:
    """One timerfd for all who sleep on one event loop.

    Raises:
        OSError, AttributeError, NotImplementedError: this system or this loop has no such thing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._fd = fd
        self._spec = _Itimerspec()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()
        try:
            loop.add_reader(fd, self._ring)
        except BaseException:
            os.close(fd)
            raise
        # The loop's end is the timer's: nobody has to close it.
        weakref.finalize(loop, os.close, fd).atexit = False

    async def sleep_until(self, deadline_ns: int) -> None:
        """Return once CLOCK_MONOTONIC has reached `deadline_ns`, never before."""
        woken = asyncio.get_running_loop().create_future()
        sleeper = (deadline_ns, next(self._order), woken)
        heapq.heappush(self._sleepers, sleeper)
        if self._sleepers[0] is sleeper:
            self._arm(deadline_ns)
        try:
            await woken
        except asyncio.CancelledError:
            # What stays would keep the future, and with it a closed loop, alive.
            with contextlib.suppress(ValueError):
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)
            raise

    def _arm(self, deadline_ns: int) -> None:
        # All zero would disarm it.
        self._spec.value.sec, self._spec.value.nsec = divmod(max(deadline_ns - _LEAD_NS, 1), _NS)
        spec = ctypes.byref(self._spec)
        if self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, spec, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 8)
        sleepers = self._sleepers
        now_ns = time.monotonic_ns()
        if sleepers and sleepers[0][0] - now_ns <= _LEAD_NS:
            while now_ns < sleepers[0][0]:
                now_ns = time.monotonic_ns()
        while sleepers and sleepers[0][0] <= now_ns:
            woken = heapq.heappop(sleepers)[2]
            if not woken.done():
                woken.set_result(None)
        if sleepers:
            self._arm(sleepers[0][0])


_timers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ExactTimer | None] = (
    weakref.WeakKeyDictionary()
)


def exact_timer() -> ExactTimer | None:
    """The running loop's timer; None where the system has no timerfd."""
    loop = asyncio.get_running_loop()
    try:
        return _timers[loop]
    except KeyError:
        pass
    timer = None
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError, NotImplementedError):
            timer = ExactTimer(loop)
    _timers[loop] = timer
    return timer
