"""Closed loop: so many users, each waiting for its answer (and thinking) before it asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.clock import NS
from bench.load.holding import Release, at_once
from bench.load.sender import Sender
from bench.load.supply import Supply
from bench.results.record import Phase, RequestRecord
from bench.wire.exchange import Outcome

PAUSE_AFTER_FAILURE_NS = 200_000_000
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
        sessions: sessions to begin, or None; they are measured to their end.
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
    sessions: int | None = None


class ClosedSchedule:
    """Runs a closed loop on a sender.

    When the last measured request has been sent, the users go on asking, unmeasured, until the
    last measured answer has ended: else the end of a block would be a load of fewer users.

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
        self._all_sent = asyncio.Event()
        self.measure_from_ns = start_ns + round(loop.ramp_up_s * NS)
        self.measure_until_ns = (
            None if loop.duration_s is None else self.measure_from_ns + round(loop.duration_s * NS)
        )

    async def run(
        self, ramp_up: Supply, measure: Supply, hold: Supply, release: Release = at_once
    ) -> None:
        """Let the users ask until a limit is reached and all that is measured has ended.

        Answers to what was sent meanwhile may still be under way then.
        """
        supplies = {Phase.RAMP_UP: ramp_up, Phase.MEASURE: measure, Phase.HOLD: hold}
        users = range(self._loop.first_user, self._loop.users, self._loop.user_step)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._use(user, supplies)) for user in users]
            await self._all_measured_sent()
            await self._sender.none_measured()
            await release()
            for task in asking:
                task.cancel()

    async def _all_measured_sent(self) -> None:
        if self._loop.requests == 0:
            return
        waits: set[asyncio.Future[Any]] = {asyncio.ensure_future(self._all_sent.wait())}
        if self.measure_until_ns is not None:
            waits.add(asyncio.ensure_future(self._clock.sleep_until(self.measure_until_ns)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _use(self, user: int, supplies: Mapping[Phase, Supply]) -> None:
        spread_ns = self.measure_from_ns - self._start_ns
        await self._clock.sleep_until(self._start_ns + spread_ns * user // self._loop.users)
        due_ns = None
        answers = 0
        while (phase := self._phase()) is not None:
            self._note_idle(phase, due_ns)
            record = await self._send(user, phase, supplies[phase], due_ns)
            due_ns = await self._think(user, answers, record)
            answers += 1

    def _send(
        self, user: int, phase: Phase, supply: Supply, due_ns: int | None
    ) -> asyncio.Future[RequestRecord]:
        if phase is Phase.MEASURE:
            self._measured += 1
            if self._measured == self._loop.requests:
                self._all_sent.set()
        ended = self._sender.send(supply, phase, user, due_ns=due_ns)
        supply.refill()
        return ended

    async def _think(self, user: int, answers: int, record: RequestRecord) -> int | None:
        """Pause after an answer, to an absolute time; when the user is ready to ask again.

        The pause counts from the end of the answer as it was stamped, not from when this program
        came to look at it.
        """
        if record.end_ns is None or record.outcome is not Outcome.OK:
            await self._clock.sleep_until(self._clock.now_ns() + PAUSE_AFTER_FAILURE_NS)
            return None
        ready_ns = self._sender.origin_ns + record.end_ns
        if self._loop.think_time is not None:
            ready_ns += round(self._loop.think_time(user, answers) * NS)
            await self._clock.sleep_until(ready_ns)
        return ready_ns

    def _phase(self) -> Phase | None:
        """What the next request is sent for; None if there is no reason left to send one."""
        now_ns, limit = self._clock.now_ns(), self._loop.requests
        if now_ns < self.measure_from_ns:
            return Phase.RAMP_UP
        in_time = self.measure_until_ns is None or now_ns < self.measure_until_ns
        if in_time and (limit is None or self._measured < limit):
            return Phase.MEASURE
        return None if self._sender.alone and not self._sender.measuring else Phase.HOLD

    def _note_idle(self, phase: Phase, due_ns: int | None) -> None:
        """A user who came to ask only after the end was idle until then, in the measured window."""
        if phase is not Phase.HOLD or due_ns is None or self.measure_until_ns is None:
            return
        all_sent = self._loop.requests is not None and self._measured >= self._loop.requests
        if due_ns < self.measure_until_ns and not all_sent:
            self._sender.measured.late_ns.append(self.measure_until_ns - due_ns)
