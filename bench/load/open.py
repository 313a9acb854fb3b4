"""Open loop: requests arrive when they are due, whatever the server does."""

from __future__ import annotations

from collections.abc import Sequence

from bench.load.sender import Sender
from bench.load.supply import Supply
from bench.results.record import Phase

_WITHOUT_A_TURN_NS = 1_000_000
"""For so long arrivals are sent without a turn of the loop between them, which would hold them up
by what else there is to do; then answers are read as well."""
_SHORT_WAIT_NS = 150_000
"""Before an arrival that is due so soon the loop gets no turn either: reading one answer takes half
of that. Only where the kernel stamps, so that answers may wait."""


class OpenSchedule:
    """Sends each arrival at its absolute time.

    An arrival that is late is sent at once and keeps its planned time, from which its latency
    counts; none is skipped. Only when `max_in_flight` requests are open is an arrival dropped, and
    counted.

    Attributes:
        arrived: arrivals that were due so far, sent or dropped.
    """

    def __init__(
        self, offsets_ns: Sequence[int], max_in_flight: int, sender: Sender, start_ns: int
    ) -> None:
        self._offsets_ns = offsets_ns
        self._max_in_flight = max_in_flight
        self._sender = sender
        self._start_ns = start_ns
        self.arrived = 0

    async def run(self, measure: Supply) -> None:
        """Send every arrival; answers may still be under way when this returns."""
        clock = self._sender.clock
        short_ns = _SHORT_WAIT_NS if self._sender.kernel_stamped else 0
        turn_ns = clock.now_ns()
        for offset in self._offsets_ns:
            due = self._start_ns + int(offset)
            measure.refill_by(due, clock.now_ns)
            now = clock.now_ns()
            if due - now > short_ns or now - turn_ns > _WITHOUT_A_TURN_NS:
                await clock.sleep_until(due)
                turn_ns = clock.now_ns()
            else:
                while clock.now_ns() < due:
                    pass
            self.arrived += 1
            if self._sender.in_flight >= self._max_in_flight:
                self._sender.dropped += 1
            else:
                self._sender.send(measure, Phase.MEASURE, planned_ns=due)
