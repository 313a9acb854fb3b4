"""When a block's load may end: once the last measured request of every process has ended.

A load that stops with its last measured request would measure an emptying server: the last answers
of a closed loop would have it more and more to themselves. So the load goes on, unmeasured, until
they have ended. What was sent meanwhile is then awaited, not aborted: a server can be a moment, or
a whole prefill, late in noticing that nobody wants an answer any more, and that moment would fall
into the next block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Release = Callable[[], Awaitable[None]]
"""Awaited when no measured request of this process is left; returns when the load may end."""


async def at_once() -> None:
    """The release of a process that sends alone."""


class Together:
    """Meeting points of some blocks; one that ends early is not waited for any more."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._gone: set[int] = set()
        self._met: dict[str, set[int]] = {}
        self._changed = asyncio.Event()

    async def meet(self, point: str, block: int) -> None:
        """Return when all blocks that are still there have come to this point."""
        self._met.setdefault(point, set()).add(block)
        self._tell()
        while len(self._met[point] | self._gone) < self._blocks:
            await self._changed.wait()

    def leave(self, block: int) -> None:
        """This block has ended."""
        self._gone.add(block)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
