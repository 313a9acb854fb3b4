"""Blocks that run at the same time wait for each other where their load begins and ends."""

from __future__ import annotations

import asyncio


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
