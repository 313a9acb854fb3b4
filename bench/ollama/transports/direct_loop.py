"""An event loop for Linux that reads measured sockets without detours.

asyncio makes of a ready socket a key, a handle and a call in a context before its reader runs. For
a client that does little else than read small chunks, that is a good part of all it does. Here the
selector calls the readers of such sockets itself; all else is asyncio's as ever.
"""

from __future__ import annotations

import asyncio
import math
import os
import select
import selectors
from collections.abc import Callable

_MAX_EVENTS = 512


class DirectSelector(selectors.EpollSelector):
    """epoll, with some readers that it calls by itself.

    Args:
        failed: told what a direct reader raised.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        super().__init__()
        # The same epoll instance, by a descriptor of our own.
        self._events = select.epoll.fromfd(os.dup(self.fileno()))
        self._readers: dict[int, Callable[[], None]] = {}
        self._failed = failed

    def add_direct(self, fd: int, reader: Callable[[], None]) -> None:
        """Call `reader` whenever `fd` is readable."""
        self._events.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def remove_direct(self, fd: int) -> None:
        """Undo `add_direct`."""
        del self._readers[fd]
        self._events.unregister(fd)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait; call the direct readers that are ready, return the others."""
        if timeout is not None:
            # epoll counts in milliseconds; rounded up, so that a timer is never early.
            timeout = math.ceil(max(timeout, 0.0) * 1e3) * 1e-3
        ready: list[tuple[selectors.SelectorKey, int]] = []
        readers = self._readers
        for fd, event in self._events.poll(timeout, _MAX_EVENTS):
            reader = readers.get(fd)
            if reader is None:
                self._add_ready(ready, fd, event)
                continue
            try:
                reader()
            except Exception as e:
                self._failed(e)
        return ready

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
        """Let go of both descriptors."""
        self._events.close()
        super().close()


class DirectLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with `add_direct` beside `add_reader`."""

    def __init__(self) -> None:
        self._direct = DirectSelector(self._failed)
        super().__init__(self._direct)

    def add_direct(self, fd: int, reader: Callable[[], None]) -> None:
        """Call `reader` whenever `fd` is readable, within the wait for events itself.

        It must be quick. While it is added, `fd` must not be given to `add_reader` or
        `add_writer`.
        """
        self._direct.add_direct(fd, reader)

    def remove_direct(self, fd: int) -> None:
        """Undo `add_direct`."""
        self._direct.remove_direct(fd)

    def _failed(self, error: Exception) -> None:
        self.call_exception_handler({"message": "a direct reader failed", "exception": error})
