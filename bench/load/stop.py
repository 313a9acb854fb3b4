"""Stopping a run from outside: first gently, then at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first_of(*waits: Coroutine[Any, Any, object], timeout_s: float | None = None) -> None:
    """Return when one of these has ended, or after the time; the others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Stop:
    """What Ctrl-C sets: once = send nothing more, twice = end what is in flight as well.

    Must be used on the event loop's thread.
    """

    def __init__(self) -> None:
        self._gently = asyncio.Event()
        self._now = asyncio.Event()

    def request(self) -> None:
        """Ask once more to stop."""
        if self._gently.is_set():
            self._now.set()
        self._gently.set()

    @property
    def requested(self) -> bool:
        """Send nothing more."""
        return self._gently.is_set()

    @property
    def at_once(self) -> bool:
        """End what is in flight."""
        return self._now.is_set()

    async def wait_requested(self) -> None:
        """Return when the first request to stop comes."""
        await self._gently.wait()

    async def wait_at_once(self) -> None:
        """Return when the second one comes."""
        await self._now.wait()

    async def or_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The result of some work; None if the first request to stop comes before its end."""
        task = asyncio.ensure_future(work)
        stopped = asyncio.ensure_future(self.wait_requested())
        both: set[asyncio.Future[Any]] = {task, stopped}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)
        return None
