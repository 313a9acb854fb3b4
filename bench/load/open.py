"""Open loop: requests arrive when they are due, whatever the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.load.holding import Release, at_once
from bench.load.sender import Sender
from bench.load.supply import Supply
from bench.results.record import Phase

_WITHOUT_A_TURN_NS = 1_000_000
"""For so long arrivals are sent without a turn of the loop between them, which would hold them up
by what else there is to do; then answers are read as well."""
_SHORT_WAIT_NS = 150_000
"""Before an arrival that is due so soon the loop gets no turn either: reading one answer takes half
of that. Only where the kernel stamps, so that answers may wait."""


@dataclass(frozen=True, slots=True)
class ArrivalStretch:
    """Arrivals of one phase, due so long after the begin of measuring (ascending), and requests."""

    phase: Phase
    offsets_ns: Sequence[int]
    supply: Supply


@dataclass(eq=False)
class OpenSchedule:
    """Sends each arrival at its absolute time.

    An arrival that is late is sent at once and keeps its planned time, from which its latency
    counts; none is skipped. Only when `max_in_flight` requests are open is an arrival dropped; a
    measured one is counted then.

    `max_in_flight` is this process's; `measure_from_ns` is time 0 of the arrivals, absolute.
    """

    max_in_flight: int
    sender: Sender
    measure_from_ns: int

    def __post_init__(self) -> None:
        self._turn_ns = self.sender.clock.now_ns()

    async def run(
        self,
        before: Iterable[ArrivalStretch],
        hold: ArrivalStretch | None = None,
        release: Release = at_once,
    ) -> None:
        """Send every arrival, and those of `hold` until all that is measured has ended.

        Answers to what was not measured may still be under way when this returns.
        """
        for stretch in before:
            await self._send(stretch)
        async with asyncio.TaskGroup() as group:
            going_on = group.create_task(self._send(hold)) if hold is not None else None
            await self.sender.none_measured()
            await release()
            if going_on is not None:
                going_on.cancel()

    async def _send(self, stretch: ArrivalStretch) -> None:
        clock, sender = self.sender.clock, self.sender
        measured = stretch.phase is Phase.MEASURE
        short_ns = _SHORT_WAIT_NS if sender.kernel_stamped else 0
        for offset in stretch.offsets_ns:
            due = self.measure_from_ns + int(offset)
            stretch.supply.refill_by(due, clock.now_ns)
            now = clock.now_ns()
            if due - now > short_ns or now - self._turn_ns > _WITHOUT_A_TURN_NS:
                await clock.sleep_until(due)
                self._turn_ns = clock.now_ns()
            else:
                while clock.now_ns() < due:
                    pass
            sender.arrived += measured
            if sender.in_flight >= self.max_in_flight:
                sender.dropped += measured
                stretch.supply.skip()
            else:
                sender.send(stretch.supply.take(), stretch.phase, planned_ns=due)
