"""An event loop for Linux that reads measured sockets without detours.

asyncio makes of a ready socket a key, a handle and a call in a context before its reader runs. For
a client that does little else than read small chunks, that is a good part of all it does. Here the
selector calls the readers of such sockets itself; all else is asyncio's as ever.

What the kernel has stamped may also wait. A process that is woken for each single chunk spends most
of its time on waking up, and takes it from a server on the same machine. So at high rates the
selector waits a moment before it looks, and finds several chunks at once; timers and all other
descriptors end that wait.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import selectors
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.clock import NS

assert sys.platform == "linux"  # epoll: nobody imports this elsewhere

_MAX_EVENTS = 512

DirectReader = Callable[[], bool]
"""Reads once; returns whether that could have waited: nobody acts on what came."""

PAUSE_S = 250e-6
"""How long is waited for more chunks."""
_BUSY_PER_S = 10_000
"""From so many chunks a second on: fewer would not come together within the pause."""
_GAP_PAUSES = 8
"""Streams must be slower than one chunk in so many pauses: two chunks in one read share a stamp."""
_WINDOW_NS = NS // 100
_FD_SETSIZE = 1024
"""What `select` can wait for; only it counts in microseconds."""


class DirectSelector(selectors.EpollSelector):
    """epoll, with some readers that it calls by itself.

    `failed` receives what a direct reader raised.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        # The same epoll instance, by a descriptor of our own.
        self._events = select.epoll.fromfd(os.dup(self.fileno()))
        # A second instance, of all but the direct readers: what may end a pause.
        self._others = select.epoll()
        self._may_pause = self._others.fileno() < _FD_SETSIZE
        self._readers: dict[int, DirectReader] = {}
        self._failed = failed
        self._pausing = False
        self._patient = 0
        self._window_ns = 0

    def add_direct(self, fd: int, reader: DirectReader) -> None:
        """Call `reader` whenever `fd` is readable, within the wait for events itself.

        It must be quick. While it is added, `fd` must not be given to `add_reader` or
        `add_writer`.
        """
        self._events.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def remove_direct(self, fd: int) -> None:
        """Undo `add_direct`."""
        del self._readers[fd]
        self._events.unregister(fd)

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As any selector."""
        key = super().register(fileobj, events, data)
        self._others.register(key.fd, _epoll_mask(events))
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """As any selector."""
        key = super().unregister(fileobj)
        self._others.unregister(key.fd)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """As any selector."""
        key = super().modify(fileobj, events, data)
        self._others.modify(key.fd, _epoll_mask(events))
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait; call the direct readers that are ready, return the others."""
        if self._pausing and (timeout is None or timeout > PAUSE_S):
            self._pause()
        if timeout is not None:
            # epoll counts in milliseconds; rounded up, so that a timer is never early.
            timeout = math.ceil(max(timeout, 0.0) * 1e3) * 1e-3
        ready: list[tuple[selectors.SelectorKey, int]] = []
        readers = self._readers
        patient = 0
        for fd, event in self._events.poll(timeout, _MAX_EVENTS):
            reader = readers.get(fd)
            if reader is None:
                self._add_ready(ready, fd, event)
                continue
            try:
                patient += reader()
            except Exception as e:
                self._failed(e)
        if patient:
            self._count(patient)
        return ready

    def _pause(self) -> None:
        """Let chunks come together, unless anything else comes."""
        select.select((self._others,), (), (), PAUSE_S)

    def _count(self, patient: int) -> None:
        """Decide, at the end of each window, whether the next one has pauses."""
        self._patient += patient
        now_ns = time.monotonic_ns()
        if now_ns < self._window_ns:
            return
        span_s = (now_ns - self._window_ns + _WINDOW_NS) / NS
        per_s = self._patient / span_s
        slow_enough = per_s * _GAP_PAUSES * PAUSE_S <= len(self._readers)
        self._pausing = self._may_pause and per_s >= _BUSY_PER_S and slow_enough
        self._patient = 0
        self._window_ns = now_ns + _WINDOW_NS

    def _add_ready(
        self, ready: list[tuple[selectors.SelectorKey, int]], fd: int, event: int
    ) -> None:
        key = self.get_map().get(fd)
        if key is not None:
            # As the selectors module has it: an error or a hang-up makes it ready for both.
            mask = selectors.EVENT_WRITE if event & ~select.EPOLLIN else 0
            mask |= selectors.EVENT_READ if event & ~select.EPOLLOUT else 0
            ready.append((key, mask & key.events))

    def close(self) -> None:
        """Let go of all descriptors."""
        self._others.close()
        self._events.close()
        super().close()


def _epoll_mask(events: int) -> int:
    mask = select.EPOLLIN if events & selectors.EVENT_READ else 0
    return mask | (select.EPOLLOUT if events & selectors.EVENT_WRITE else 0)


class DirectLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with `add_direct` beside `add_reader`."""

    def __init__(self) -> None:
        selector = DirectSelector(self._failed)
        super().__init__(selector)
        self.add_direct, self.remove_direct = selector.add_direct, selector.remove_direct

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "a direct reader failed", "exception": error})
