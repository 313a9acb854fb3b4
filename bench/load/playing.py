"""Plays one session: its requests one after another, those of sub-agents at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.clock import NS
from bench.load.sender import Sender
from bench.load.session_requests import LiveSession
from bench.results.record import Phase, RequestRecord
from bench.wire.exchange import Outcome

_AHEAD_NS = 3_000_000
"""So long before it is due a request is encoded: not earlier, for a body is large and pauses are
long."""


class _Over(Exception):
    """The session does not go on: a request of it failed."""


@dataclass(eq=False, slots=True)
class Player:
    """One session being played.

    The main thread goes step by step. A title is asked for together with the message it is for; a
    sub-agent begins when its main step is answered; the next main step waits for those that stand
    before it in the session. Pauses count from the end of the answer before, as it was stamped.
    `phase_of` is asked what a request is sent for, right before it is sent.
    """

    session: LiveSession
    sender: Sender
    phase_of: Callable[[], Phase]
    user: int | None = None
    planned_ns: int | None = None
    _beside: dict[str, asyncio.Task[int]] = field(default_factory=dict)

    async def play(self) -> bool:
        """Play it; False if it did not come to its end."""
        whole = True
        try:
            async with asyncio.TaskGroup() as group:
                await self._main(group)
        except* _Over:
            whole = False
        return whole

    async def _main(self, group: asyncio.TaskGroup) -> None:
        steps, index = self.session.steps, 0
        ended_ns: int | None = None
        while index < len(steps):
            step = steps[index]
            if step.thread:
                self._start_beside(group, index, ended_ns)
            else:
                ended_ns = await self._after_others(ended_ns)
                titles = self._titles_after(index)
                for title in titles:
                    self._start_beside(group, title, None)
                ended_ns = await self._one(index, ended_ns)
                self.session.follow_up()
                index += len(titles)
            index += 1

    def _titles_after(self, index: int) -> range:
        """The titles right after a main step: they are asked for at the same time."""
        steps, after = self.session.steps, index + 1
        while after < len(steps) and steps[after].kind == "title" and steps[after].fresh:
            after += 1
        return range(index + 1, after)

    def _start_beside(self, group: asyncio.TaskGroup, index: int, ready_ns: int | None) -> None:
        thread = self.session.steps[index].thread
        before = self._beside.get(thread)

        async def go() -> int:
            after_ns = ready_ns if before is None else await before
            return await self._one(index, after_ns)

        self._beside[thread] = group.create_task(go())

    async def _after_others(self, ended_ns: int | None) -> int | None:
        """When the main thread and all that it waits for were done."""
        waits = [t for name, t in self._beside.items() if not name.startswith("title")]
        self._beside = {n: t for n, t in self._beside.items() if n.startswith("title")}
        ends = [await wait for wait in waits]
        return max([*ends, ended_ns or 0]) if ends else ended_ns

    async def _one(self, index: int, after_ns: int | None) -> int:
        """Send one request when it is due; when its answer had ended, absolute."""
        clock, step = self.sender.clock, self.session.steps[index]
        due_ns = None if after_ns is None else after_ns + round((step.gap_s or 0.0) * NS)
        if due_ns is not None and step.gap_s:
            await clock.sleep_until(due_ns - _AHEAD_NS)
        prepared = self.session.prepare(index)
        if due_ns is not None and step.gap_s:
            await clock.sleep_until(due_ns)
        planned_ns, self.planned_ns = self.planned_ns, None
        record: RequestRecord = await self.sender.send(
            prepared, self.phase_of(), self.user, planned_ns, due_ns
        )
        if record.outcome is not Outcome.OK or record.end_ns is None:
            raise _Over
        return self.sender.origin_ns + record.end_ns
