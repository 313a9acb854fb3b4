"""When a block's load may end: once the last measured request of every process has ended.

A load that stops with its last measured request would measure an emptying server: the last answers
of a closed loop would have it more and more to themselves. So the load goes on, unmeasured, until
they have ended. What was sent meanwhile is then awaited, not aborted: a server can be a moment, or
a whole prefill, late in noticing that nobody wants an answer any more, and that moment would fall
into the next block.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

Release = Callable[[], Awaitable[None]]
"""Awaited when no measured request of this process is left; returns when the load may end."""


async def at_once() -> None:
    """The release of a process that sends alone."""
