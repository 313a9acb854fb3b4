"""Closed loop: so many users, each waiting for its answer (and thinking) before it asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bench.clock import NS
from bench.load.holding import Release, at_once
from bench.load.sender import Sender
from bench.load.stop import first_of
from bench.load.supply import Supply
from bench.results.record import Phase, RequestRecord
from bench.wire.exchange import Outcome

PAUSE_AFTER_FAILURE_NS = 200_000_000
"""A server that refuses at once would otherwise be flooded with thousands of requests a second."""

ThinkTime = Callable[[int, int], float]
"""User number, and how many answers the user has had -> seconds until its next request."""


class Users:
    """This process's users of a closed loop: when each begins, and until when they are measured.

    Their starts are spread evenly over `ramp_s` seconds from `start_ns` on; what is sent in these
    is not measured.

    Attributes:
        measure_from_ns: when measuring begins, on the sender's clock.
        measure_until_ns: when it ends at the latest; None = no such limit.
    """

    def __init__(self, sender: Sender, start_ns: int, ramp_s: float) -> None:
        load = sender.case.load
        self._sender, self._clock = sender, sender.clock
        self._count = load.users or 1
        self._mine = sender.share.each(self._count)
        self._limit = sender.share.of_users(self._count, load.requests)
        self._measured = 0
        self._start_ns = start_ns
        self.measure_from_ns = start_ns + round(ramp_s * NS)
        self.measure_until_ns = sender.until_ns(self.measure_from_ns)

    async def _turn_of(self, user: int) -> None:
        spread_ns = self.measure_from_ns - self._start_ns
        await self._clock.sleep_until(self._start_ns + spread_ns * user // self._count)

    def _is_measured(self, now_ns: int) -> bool:
        """Whether time and number of requests allow that one sent now is measured."""
        in_time = self.measure_until_ns is None or now_ns < self.measure_until_ns
        return in_time and (self._limit is None or self._measured < self._limit)


class ClosedSchedule(Users):
    """Runs a closed loop on a sender.

    When the last measured request has been sent, the users go on asking, unmeasured, until the
    last measured answer has ended: else the end of a block would be a load of fewer users.
    """

    def __init__(
        self, sender: Sender, start_ns: int, ramp_s: float, think: ThinkTime | None
    ) -> None:
        super().__init__(sender, start_ns, ramp_s)
        self._think_time = think
        self._all_sent = asyncio.Event()

    async def run(self, supplies: Mapping[Phase, Supply], release: Release = at_once) -> None:
        """Let the users ask until a limit is reached and all that is measured has ended.

        Answers to what was sent meanwhile may still be under way then.
        """
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self._use(user, supplies)) for user in self._mine]
            await self._all_measured_sent()
            await self._sender.none_measured()
            await release()
            for task in asking:
                task.cancel()

    async def _all_measured_sent(self) -> None:
        if self._limit == 0:
            return
        if self.measure_until_ns is None:
            await self._all_sent.wait()
        else:
            over = self._clock.sleep_until(self.measure_until_ns)
            await first_of(self._all_sent.wait(), over)

    async def _use(self, user: int, supplies: Mapping[Phase, Supply]) -> None:
        await self._turn_of(user)
        due_ns = None
        answers = 0
        while (phase := self._phase()) is not None:
            self._note_idle(phase, due_ns)
            if phase is Phase.MEASURE:
                self._measured += 1
                if self._measured == self._limit:
                    self._all_sent.set()
            ended = self._sender.send(supplies[phase].take(), phase, user, due_ns=due_ns)
            supplies[phase].refill()
            due_ns = await self._think(user, answers, await ended)
            answers += 1

    async def _think(self, user: int, answers: int, record: RequestRecord) -> int | None:
        """Pause after an answer, to an absolute time; when the user is ready to ask again.

        The pause counts from the end of the answer as it was stamped, not from when this program
        came to look at it.
        """
        if record.end_ns is None or record.outcome is not Outcome.OK:
            await self._clock.sleep_until(self._clock.now_ns() + PAUSE_AFTER_FAILURE_NS)
            return None
        ready_ns = self._sender.origin_ns + record.end_ns
        if self._think_time is not None:
            ready_ns += round(self._think_time(user, answers) * NS)
            await self._clock.sleep_until(ready_ns)
        return ready_ns

    def _phase(self) -> Phase | None:
        """What the next request is sent for; None if there is no reason left to send one."""
        now_ns = self._clock.now_ns()
        if now_ns < self.measure_from_ns:
            return Phase.RAMP_UP
        if self._is_measured(now_ns):
            return Phase.MEASURE
        return None if self._sender.alone and not self._sender.measuring else Phase.HOLD

    def _note_idle(self, phase: Phase, due_ns: int | None) -> None:
        """A user who came to ask only after the end was idle until then, in the measured window."""
        if phase is not Phase.HOLD or due_ns is None or self.measure_until_ns is None:
            return
        if self._is_measured(due_ns):
            self._sender.measured.late_ns.append(self.measure_until_ns - due_ns)
