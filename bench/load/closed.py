"""Closed loop: so many users, each waiting for its answer (and thinking) before it asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bench.clock import NS
from bench.load.sender import Sender
from bench.load.supply import Supply
from bench.ollama.exchange import Outcome
from bench.results.record import Phase, RequestRecord

_PAUSE_AFTER_FAILURE_NS = 200_000_000
"""A server that refuses at once would otherwise be flooded with thousands of requests a second."""

ThinkTime = Callable[[int, int], float]
"""User number, and how many answers the user has had -> seconds until its next request."""


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """How one block's users behave.

    Attributes:
        users: how many.
        ramp_up_s: their first requests are spread evenly over this time; what is sent in it is
            not measured.
        requests: measured requests to send, or None.
        duration_s: seconds of measuring, or None.
        think_time: pause after each answer, or None.
        first_user, user_step: which users are this process's.
    """

    users: int
    ramp_up_s: float = 0.0
    requests: int | None = None
    duration_s: float | None = None
    think_time: ThinkTime | None = None
    first_user: int = 0
    user_step: int = 1


class ClosedSchedule:
    """Runs a closed loop on a sender.

    Attributes:
        measure_from_ns: when measuring begins, on the sender's clock.
        measure_until_ns: when it ends at the latest; None = no such limit.
    """

    def __init__(self, loop: ClosedLoop, sender: Sender, start_ns: int) -> None:
        self._loop = loop
        self._sender = sender
        self._clock = sender.clock
        self._start_ns = start_ns
        self._measured = 0
        self.measure_from_ns = start_ns + round(loop.ramp_up_s * NS)
        self.measure_until_ns = (
            None if loop.duration_s is None else self.measure_from_ns + round(loop.duration_s * NS)
        )

    async def run(self, ramp_up: Supply, measure: Supply) -> None:
        """Let the users ask until a limit is reached; answers may still be under way then."""
        users = range(self._loop.first_user, self._loop.users, self._loop.user_step)
        async with asyncio.TaskGroup() as group:
            for user in users:
                group.create_task(self._use(user, ramp_up, measure))

    async def _use(self, user: int, ramp_up: Supply, measure: Supply) -> None:
        spread_ns = self.measure_from_ns - self._start_ns
        await self._clock.sleep_until(self._start_ns + spread_ns * user // self._loop.users)
        due_ns = None
        answers = 0
        while self._wanted():
            record = await self._send(user, ramp_up, measure, due_ns)
            due_ns = await self._think(user, answers, record)
            answers += 1

    def _send(
        self, user: int, ramp_up: Supply, measure: Supply, due_ns: int | None
    ) -> asyncio.Future[RequestRecord]:
        if self._clock.now_ns() < self.measure_from_ns:
            supply, phase = ramp_up, Phase.RAMP_UP
        else:
            supply, phase = measure, Phase.MEASURE
            self._measured += 1
        ended = self._sender.send(supply, phase, user, due_ns=due_ns)
        supply.refill()
        return ended

    async def _think(self, user: int, answers: int, record: RequestRecord) -> int | None:
        """Pause after an answer, to an absolute time; when the user is ready to ask again.

        The pause counts from the end of the answer as it was stamped, not from when this program
        came to look at it.
        """
        if record.end_ns is None or record.outcome is not Outcome.OK:
            await self._sleep_until(self._clock.now_ns() + _PAUSE_AFTER_FAILURE_NS)
            return None
        ready_ns = self._sender.origin_ns + record.end_ns
        if self._loop.think_time is not None:
            ready_ns += round(self._loop.think_time(user, answers) * NS)
            await self._sleep_until(ready_ns)
        return ready_ns

    async def _sleep_until(self, deadline_ns: int) -> None:
        """Sleep, but not beyond the end of measuring."""
        if self.measure_until_ns is not None:
            deadline_ns = min(deadline_ns, self.measure_until_ns)
        await self._clock.sleep_until(deadline_ns)

    def _wanted(self) -> bool:
        limit = self._loop.requests
        if limit is not None and self._measured >= limit:
            return False
        return self.measure_until_ns is None or self._clock.now_ns() < self.measure_until_ns
